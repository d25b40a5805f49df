//! All 2^32 inputs of a quantizer.

mod implementation;
mod oracle;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use fewbit_formats::Format;
use rayon::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use implementation::Implementation;
use oracle::{Oracle, Position};

#[derive(clap::Args)]
pub struct Args {
    /// Name of a number format: e4m3, e3m1, int8, bipolar, ...
    format: Format,
    /// Which code is certified.
    #[arg(long, value_enum, default_value_t = Implementation::Scalar)]
    implementation: Implementation,
    /// Number of threads [default: all cores].
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Folder of the certificate.
    #[arg(long, default_value = "certificates")]
    out: PathBuf,
}

/// Inputs that are rounded together: neighbouring bit patterns of one sign.
const BLOCK: usize = 1 << 20;
const BLOCKS: u32 = 1 << 12;

/// How many mismatches a block, and a certificate, writes down.
const WRITTEN: usize = 20;

/// Writes the certificate; returns whether there was no mismatch.
pub fn run(args: &Args) -> Result<bool> {
    let oracle = Oracle::new(&args.format)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build()?;
    let start = Instant::now();
    // Collected in order: the hash does not depend on the number of threads.
    let blocks: Vec<Block> = pool.install(|| {
        let blocks = (0..BLOCKS).into_par_iter();
        blocks.map(|block| check(block, &args.format, args.implementation, &oracle)).collect()
    });
    let seconds = start.elapsed().as_secs_f64();

    let mismatches: u64 = blocks.iter().map(|block| block.mismatches).sum();
    let inputs: u64 = blocks.iter().map(|block| block.inputs).sum();
    let mut hash = Sha256::new();
    for block in &blocks {
        hash.update(block.hash);
    }
    let first: Vec<_> = blocks.iter().flat_map(|block| &block.written).take(WRITTEN).collect();
    let certificate = json!({
        "format": args.format.to_string(),
        "rounding_mode": "HALF_EVEN",
        "values": oracle.value_count(),
        "implementation": args.implementation.to_string(),
        "instruction_set": args.implementation.instruction_set(),
        "version": env!("CARGO_PKG_VERSION"),
        "architecture": std::env::consts::ARCH,
        "inputs": inputs,
        "mismatches": mismatches,
        "first_mismatches": first,
        "outputs_sha256": hex(&hash.finalize()),
        "outputs_sha256_of":
            "the SHA-256 sums, one after the other, of 4096 blocks of 2^20 outputs in the order of the inputs' bits, each output its bits in \
             little-endian order, NaN as 7fc00000",
        "seconds": (seconds * 1000.0).round_ties_even() / 1000.0,
        "threads": pool.current_num_threads(),
    });
    let name = format!("{}.{}.json", args.format, args.implementation);
    let path = args.out.join(name);
    write(&path, &format!("{certificate:#}\n"))?;
    println!(
        "{} ({}): {inputs} inputs, {mismatches} mismatches, {seconds:.1} s; {}",
        args.format,
        args.implementation,
        path.display()
    );
    Ok(mismatches == 0 && inputs == 1 << 32)
}

/// What came out of a block.
struct Block {
    inputs: u64,
    mismatches: u64,
    written: Vec<String>,
    hash: [u8; 32],
}

fn check(block: u32, format: &Format, implementation: Implementation, oracle: &Oracle) -> Block {
    let first = block * BLOCK as u32;
    let x: Vec<f32> = (0..BLOCK as u32).map(|i| f32::from_bits(first + i)).collect();
    let mut y = vec![0.0; BLOCK];
    implementation.quantize(format, &x, &mut y);

    let mut position: Position = oracle.start();
    let (mut mismatches, mut written) = (0, Vec::new());
    let mut bytes = Vec::with_capacity(4 * BLOCK);
    for (&x, &y) in x.iter().zip(&y) {
        let expected = oracle.next(&mut position, x);
        let got = canonical(y);
        bytes.extend_from_slice(&got.to_le_bytes());
        if got != expected {
            mismatches += 1;
            if written.len() < WRITTEN {
                let bits = x.to_bits();
                written.push(format!("{bits:08x} -> {got:08x}, not {expected:08x}"));
            }
        }
    }
    Block { inputs: x.len() as u64, mismatches, written, hash: Sha256::digest(&bytes).into() }
}

/// The bits of a number, one pattern for every NaN: which one arithmetic gives depends on the machine.
fn canonical(y: f32) -> u32 {
    if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes to a temporary name beside the file, then renames.
fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a certificate lies in a folder")?;
    let at = || format!("writing {}", path.display());
    std::fs::create_dir_all(folder).with_context(at)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(at)?;
    file.write_all(text.as_bytes()).with_context(at)?;
    file.persist(path).with_context(at)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks_of(name: &str, implementation: Implementation, blocks: &[u32]) -> u64 {
        let format: Format = name.parse().unwrap();
        let oracle = Oracle::new(&format).unwrap();
        blocks.iter().map(|&block| check(block, &format, implementation, &oracle).mismatches).sum()
    }

    /// Zeros and subnormals, numbers around 1, the largest and NaN, of both signs.
    const BLOCKS: [u32; 8] = [0, 0x3f7, 0x3f8, 0x7f7, 0x7f8, 0x800, 0xbf8, 0xff8];

    #[test]
    fn formats_and_kernels_pass() {
        for name in [
            "e4m3",
            "e3m1",
            "e2m0",
            "ue4m3",
            "e8m7",
            "e4m3-max100.5",
            "int8",
            "uint4",
            "fixed8.4",
            "bipolar",
            "ternary",
        ] {
            for implementation in [Implementation::Scalar, Implementation::Kernel] {
                assert_eq!(blocks_of(name, implementation, &BLOCKS), 0, "{name} {implementation}");
            }
        }
    }

    #[test]
    fn another_format_does_not_pass() {
        let (e4m3, finite): (Format, Format) =
            ("e4m3".parse().unwrap(), "e4m3-finite".parse().unwrap());
        let oracle = Oracle::new(&finite).unwrap();
        // 2^20 numbers from f32 448 * 2^(1/8) on.
        let block = check(0x43e, &e4m3, Implementation::Scalar, &oracle);
        assert!(block.mismatches > 0);
        assert!(!block.written.is_empty());
    }

    #[test]
    fn the_certificate_appears_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        write(&path, "{}\n").unwrap();
        write(&path, "{1}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{1}\n");
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
