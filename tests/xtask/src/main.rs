//! Developer tasks, run as `cargo xtask TASK`.

#![forbid(unsafe_code)]

mod codegen;
mod firmware;

use clap::Parser;
use std::path::{Path, PathBuf};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tasks of Hive")]
enum Task {
    Codegen(codegen::Args),
    Firmware(firmware::Args),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Codegen(args) => codegen::run(&args, &root()),
        Task::Firmware(args) => firmware::run(&args, &root()),
    }
}

/// The repository, two floors above this crate.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
