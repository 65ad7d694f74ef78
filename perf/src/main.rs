use clap::{Parser, Subcommand};

/// Side-by-side measurements: ours, a rival and the physical limit, interleaved in one run.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// blockd beside qemu-storage-daemon and raw io_uring (fio)
    Block(hive_perf::block::Options),
    /// hive-vmm beside QEMU's microvm and q35 machines
    Boot(hive_perf::boot::Options),
    /// netd beside testpmd's vhost limit (DPDK)
    Net(hive_perf::net::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().bench {
        Bench::Block(options) => hive_perf::block::run(&options),
        Bench::Boot(options) => hive_perf::boot::run(&options),
        Bench::Net(options) => hive_perf::net::run(&options),
    }
}
