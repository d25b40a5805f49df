//! Writes the shipped networks, with their initial weights, as QONNX files into a folder:
//! `cargo run --release -p fewbit-nn --example export_shipped -- FOLDER`.
//!
//! `benches/check_exports.py` shows such files to other programs.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

use std::error::Error;
use std::path::PathBuf;

use fewbit_nn::{Device, Network, NetworkConfig, export};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("expected a folder")?;
    std::fs::create_dir_all(&folder)?;
    for name in NetworkConfig::shipped_names() {
        let network = Network::new(&NetworkConfig::named(&name)?, 1, &Device::cpu())?;
        let path = folder.join(format!("{name}.onnx"));
        fewbit_onnx::write_model(&path, &export::to_qonnx(&network)?)?;
        println!("{}", path.display());
    }
    Ok(())
}
