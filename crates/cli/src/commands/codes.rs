//! `fewbit codes`: the codes of quantized weights, for hardware and other programs.

use std::path::{Path, PathBuf};

use clap::Args;
use fewbit_data::npy::NpyArray;
use fewbit_data::npz::{Compression, NpzWriter};
use fewbit_qonnx::codes::Codes;
use fewbit_qonnx::facts::Facts;
use serde_json::{Value, json};

use crate::command_line::Example;
use crate::console::{counted, escape, grouped, table};
use crate::executor::{ExternalData, model_file, read_with};
use crate::failure::{Failure, Hint, Outcome};
use crate::files;
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "a header of C with packed codes, scales, and functions that decode them",
        lines: "fewbit export experiments -o network.onnx\nfewbit codes network.onnx -o weights.h",
    },
    Example {
        purpose: "for Python, and for $readmemh of Verilog",
        lines: "fewbit codes network.onnx -o weights.npz\nfewbit codes network.onnx -o weights.mem",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
value = (decode[code] - zero_point) * scale, the product rounded once. Each weight is checked to come \
back bit for bit. Packed codes follow each other without gaps, the first one in the lowest bits of the \
first byte. An .npz holds for each tensor NAME.codes, NAME.packed, NAME.scale, and decode.FORMAT.
";

/// Flags of `codes`.
#[derive(Args, Clone, Debug)]
pub struct CodesArgs {
    /// The file, or a run folder with one in it
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// Also read tensors whose data is in other files in the model's folder
    #[arg(long)]
    pub external_data: bool,
    /// The file to write; its ending says how: .json, .npz, .h or .mem
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

/// Runs the command.
pub fn run(args: &CodesArgs) -> Outcome<Report> {
    let args = &CodesArgs { model: model_file(&args.model)?, ..args.clone() };
    let extension =
        args.output.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if !["json", "npz", "h", "mem"].contains(&extension.as_str()) {
        return Err(Failure::new(format!(
            "{}: how to write it is not known",
            args.output.display()
        ))
        .or_hint("the name has to end in .json, .npz, .h or .mem"));
    }
    files::check_outputs(&[("--output", &args.output)], &[("MODEL.onnx", &args.model)])?;
    let proto = read_with(&args.model, ExternalData::if_asked(args.external_data))?;
    let facts = Facts::new(&proto).context(args.model.display())?;
    let codes = Codes::of(&facts).context(args.model.display()).hint_with(|_| {
        // What was not read is no constant.
        let tensors = proto.graph.iter().flat_map(|graph| &graph.initializer);
        let elsewhere = tensors.filter(|tensor| !tensor.external_data.is_empty()).count();
        (elsewhere > 0 && !args.external_data).then(|| {
            let tensors = counted(elsewhere as u64, "tensor");
            format!("the data of {tensors} is in other files, read only with --external-data")
        })
    })?;
    let source = args.model.file_name().unwrap_or_default().to_string_lossy();
    match extension.as_str() {
        "npz" => write_npz(&codes, &args.output)?,
        "h" => files::write(&args.output, codes.to_c_header(&source).as_bytes())?,
        "mem" => files::write(&args.output, codes.to_mem(&source).as_bytes())?,
        _ => files::write(&args.output, format!("{}\n", document(&codes)?).as_bytes())?,
    }
    let rows: Vec<Vec<String>> = codes
        .tensors
        .iter()
        .map(|tensor| {
            vec![
                escape(&tensor.layer),
                escape(&tensor.name),
                tensor.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
                tensor.format.clone(),
                grouped(tensor.packed().len() as u64),
                tensor.scales.len().to_string(),
            ]
        })
        .collect();
    let mut text = table(&["layer", "tensor", "shape", "format", "packed bytes", "scales"], &rows);
    for (name, reason) in &codes.left_out {
        text.push_str(&format!("left out: {}: {}\n", escape(name), escape(reason)));
    }
    let weights: usize = codes.tensors.iter().map(|tensor| tensor.codes.len()).sum();
    text.push_str(&format!(
        "{}: {}, each of which comes back bit for bit\n",
        escape(&args.output.to_string_lossy()),
        counted(weights as u64, "code"),
    ));
    let tensors: Vec<Value> = codes
        .tensors
        .iter()
        .map(|tensor| {
            json!({
                "name": tensor.name,
                "layer": tensor.layer,
                "shape": tensor.shape,
                "format": tensor.format,
                "bit_width": tensor.bit_width,
                "scales": tensor.scales.len(),
                "packed_bytes": tensor.packed().len(),
            })
        })
        .collect();
    let json = json!({
        "model": args.model.display().to_string(),
        "output": args.output.display().to_string(),
        "output_sha256": files::sha256(&args.output)?,
        "tensors": tensors,
        "left_out": codes.left_out,
    });
    Ok(Report { text, json, verdict: Verdict::Good })
}

/// All of it as JSON; codes that stand for no finite number are `null` in tables.
fn document(codes: &Codes) -> Outcome<Value> {
    Ok(serde_json::to_value(codes)?)
}

fn write_npz(codes: &Codes, path: &Path) -> Outcome<()> {
    let mut writer = NpzWriter::create(&files::target(path)?, Compression::Deflate)?;
    for tensor in &codes.tensors {
        let shape = tensor.shape.clone();
        let array = match tensor.bit_width {
            0..=8 => NpyArray::new(
                shape,
                tensor.codes.iter().map(|&code| code as u8).collect::<Vec<u8>>(),
            ),
            9..=16 => NpyArray::new(
                shape,
                tensor.codes.iter().map(|&code| code as u16).collect::<Vec<u16>>(),
            ),
            _ => NpyArray::new(shape, tensor.codes.clone()),
        };
        // Names of entries are paths in an archive.
        let name = tensor.name.replace(['/', '\\'], "_");
        writer.add(&format!("{name}.codes"), &array?)?;
        let packed = tensor.packed();
        writer.add(&format!("{name}.packed"), &NpyArray::new(vec![packed.len()], packed)?)?;
        writer.add(
            &format!("{name}.scale"),
            &NpyArray::new(scale_shape(tensor), tensor.scales.clone())?,
        )?;
        writer
            .add(&format!("{name}.zero_point"), &NpyArray::new(vec![], vec![tensor.zero_point])?)?;
    }
    for (format, values) in &codes.decode {
        writer.add(
            &format!("decode.{format}"),
            &NpyArray::new(vec![values.len()], values.clone())?,
        )?;
    }
    Ok(writer.finish()?)
}

/// A shape that repeats over the codes.
fn scale_shape(tensor: &fewbit_qonnx::codes::TensorCodes) -> Vec<usize> {
    match tensor.scale_axis {
        None => Vec::new(),
        Some(axis) => {
            (0..tensor.shape.len()).map(|i| if i == axis { tensor.shape[i] } else { 1 }).collect()
        }
    }
}
