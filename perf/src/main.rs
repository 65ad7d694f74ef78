use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Side-by-side measurements: ours, a rival and the physical limit, interleaved in one run.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Every bench that this machine can run, in turn
    All(hive_perf::all::Options),
    /// The control plane: cold start, and DescribeInstances of 100 instances
    Api(hive_perf::api::Options),
    /// blockd beside qemu-storage-daemon and raw io_uring (fio)
    Block(hive_perf::block::Options),
    /// hive-vmm beside QEMU's microvm and q35 machines
    Boot(hive_perf::boot::Options),
    /// netd beside OVS-DPDK and testpmd's vhost limit
    Net(hive_perf::net::Options),
    /// Tunnels between nodes, encrypted and in the clear, beside the cable itself
    Tunnel(hive_perf::tunnel::Options),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().bench {
        Bench::All(options) => return hive_perf::all::run(&options),
        Bench::Api(options) => hive_perf::api::run(&options),
        Bench::Block(options) => hive_perf::block::run(&options),
        Bench::Boot(options) => hive_perf::boot::run(&options),
        Bench::Net(options) => hive_perf::net::run(&options),
        Bench::Tunnel(options) => hive_perf::tunnel::measure(&options),
    }?;
    Ok(ExitCode::SUCCESS)
}
