//! `cargo xtask codegen`: the committed AWS schema tables and types.

use std::path::Path;

/// Generate gateway/aws-model and control/aws-types from the pinned botocore wheel
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail when the committed sources are not what would be generated
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    let cache = root.join("target/codegen");
    if args.check { hive_codegen::check(root, &cache) } else { hive_codegen::generate(root, &cache) }
}
