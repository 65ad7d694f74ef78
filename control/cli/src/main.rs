//! `hive`: the operator's command line.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match hive_cli::run(hive_cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hive: {error:#}");
            ExitCode::FAILURE
        }
    }
}
