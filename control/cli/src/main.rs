//! `hive`: the operator's command line.

use clap::Parser;
use std::{io, process::ExitCode};

fn main() -> ExitCode {
    match hive_cli::run(hive_cli::Cli::parse()) {
        Ok(code) => code,
        // Nobody reads any more: the end of `hive logs -f | head`, not a failure to report.
        Err(error) if error.downcast_ref().is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hive: {error:#}");
            ExitCode::FAILURE
        }
    }
}
