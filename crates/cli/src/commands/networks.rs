//! `fewbit networks`: the named networks, and their descriptions as files.

use clap::Args;
use fewbit_nn::config::{Architecture, NetworkConfig, Quantization};
use serde_json::{Value, json};

use crate::command_line::Example;
use crate::console::{Console, grouped, table};
use crate::failure::Outcome;
use crate::networks;
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example { purpose: "the named networks", lines: "fewbit networks" },
    Example {
        purpose: "one of them as a file, to be changed and trained",
        lines: "fewbit networks TFC_2W2A > mine.toml\n\
                fewbit train --network mine.toml --dataset glyphs --limit 500 --epochs 1 --dry-run",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
A file needs only what differs from a named network. This one has narrower stages, other activations and \
scales; its name is that of the file:

  base = \"RESNET18_5W5A_FLOAT_E3M1\"
  [architecture]
  widths = [16, 32, 64, 128]
  [architecture.quantizers]
  act_format = \"e3m2\"               # any format of `fewbit formats`
  rectified_format = \"ue3m2\"        # behind rectifiers
  weight_scaling = \"per_channel\"    # unscaled, per_tensor, per_channel
  act_scaling = \"learned\"           # unscaled, learned, statistics
  scale_restriction = \"float\"       # float, power_of_two (also _ceil, _floor)

Further keys, printed only where they differ from their default: output_norm (TFC, SFC, LFC, CNV); blocks, \
stem_stride (RESNET18); rectified_format, first_layer_format, last_layer_format, act_statistic, \
collection_steps, scale_restriction (quantizers). INI files of the published examples (cfg/*.ini) are read, too.
";

/// Flags of `networks`.
#[derive(Args, Clone, Debug)]
pub struct NetworksArgs {
    /// A network, such as TFC_2W2A, or a file with a description; without it, lists the named networks
    #[arg(value_name = "NAME|FILE")]
    pub name: Option<String>,
}

/// Runs the command.
pub fn run(args: &NetworksArgs, console: &Console) -> Outcome<Report> {
    let Some(name) = &args.name else { return list() };
    let network = networks::network(name, console)?;
    let text = format!(
        "# {}: fewbit train --network THIS_FILE.toml\n{}",
        network.name,
        network.to_toml()?
    );
    Ok(Report { text, json: serde_json::to_value(&network)?, verdict: Verdict::Good })
}

fn list() -> Outcome<Report> {
    let (mut rows, mut entries) = (vec![], vec![]);
    for name in NetworkConfig::shipped_names() {
        let network = NetworkConfig::named(&name)?;
        let [channels, height, width] = network.image_shape;
        let image = format!("{channels}x{height}x{width}");
        let numbers = numbers(&network);
        rows.push(vec![name.clone(), image, grouped(network.weight_count()), numbers.clone()]);
        entries.push(json!({
            "name": name,
            "image_shape": network.image_shape,
            "weights": network.weight_count(),
            "numbers": numbers,
        }));
    }
    let text = format!(
        "{}\nOther bits and formats have names of the same pattern, such as TFC_4W3A or \
         RESNET18_6W4A_FLOAT_E3M2_E2M1.\n",
        table(&["network", "image", "weights", "numbers"], &rows)
    );
    Ok(Report { text, json: json!({ "networks": Value::Array(entries) }), verdict: Verdict::Good })
}

/// What weights and activations are.
fn numbers(network: &NetworkConfig) -> String {
    if network.quantization == Quantization::Off {
        return "float32".to_owned();
    }
    match &network.architecture {
        Architecture::Resnet18 { quantizers, .. } => {
            let outer = [
                (quantizers.first_layer_format, "first layer"),
                (quantizers.last_layer_format, "last layer"),
            ];
            let outer = outer.into_iter().filter_map(|(format, layer)| {
                format.map(|format| format!(", weights of the {layer} {}", format.0))
            });
            format!(
                "weights {}, activations {}{}",
                quantizers.weight_format.0,
                quantizers.act_format.0,
                outer.collect::<String>()
            )
        }
        Architecture::Fc { .. }
        | Architecture::Cnv { .. }
        | Architecture::Resnet18Integer { .. } => {
            let (weights, activations) = (network.weight_bit_width, network.act_bit_width);
            format!("weights of {weights}, activations of {activations} bits")
        }
    }
}
