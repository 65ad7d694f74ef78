//! The command line of `hive-vmm`.

use clap::Parser;
use hive_vmm::lifecycle;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tracing_subscriber::EnvFilter;

/// Run one virtual machine on KVM.
///
/// The process is the machine: it lives as long as the guest runs, and ends with it. Its API socket takes one JSON request
/// a line and answers each with one line.
#[derive(Debug, Parser)]
#[command(
    version,
    after_long_help = r#"Example vm.json:
  {
    "vm_id": "i-0123456789abcdef0", "vcpus": 1, "memory_size_bytes": 268435456,
    "boot": {"kernel": "/boot/vmlinuz", "initrd": "/boot/initrd.img", "cmdline": "console=ttyS0 root=/dev/vda"},
    "disks": [{"id": "vol-1", "socket": "/run/hive/vol-1.sock"}],
    "nets": [{"id": "eni-1", "socket": "/run/hive/eni-1.sock", "mac": "02:00:00:00:00:01"}],
    "smbios": {"uuid": "ec2f0000-0000-4000-8000-000000000001", "vendor": "Amazon EC2", "product": "t3.micro",
               "version": "", "serial": "ec2f0000-0000-4000-8000-000000000001", "asset_tag": "i-0123456789abcdef0"},
    "console": {"log": "/run/hive/console.log", "socket": "/run/hive/console.sock"},
    "api_socket": "/run/hive/api.sock", "exit_report": "/run/hive/exit.json"
  }

The kernel is a Linux bzImage or an ELF file with a PVH note. Each disk and net is a vhost-user backend that listens on
its socket; the VMM connects, and reconnects when the backend restarts.

Talk to the machine:
  echo '{"method":"describe"}' | socat - UNIX:/run/hive/api.sock
  methods: describe, console (max_bytes), power-button, reset, pause, resume, stop, metrics
  socat -,raw,echo=0 UNIX:/run/hive/console.sock      # live serial console

Exit status: 0 the guest powered off, or the machine was stopped (API, SIGTERM); 1 the guest or the VMM failed;
2 the machine could not be started. The reason is in the exit report."#
)]
struct Arguments {
    /// Configuration of the machine, a JSON file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration, print it with its defaults, and exit.
    #[arg(long)]
    check_config: bool,
    /// The KVM device.
    #[arg(long, value_name = "DEVICE", default_value = "/dev/kvm")]
    kvm: PathBuf,
    /// What to log to standard error: a level, or directives as `hive_vmm::vhost=debug`.
    #[arg(long, value_name = "FILTER", env = "HIVE_VMM_LOG", default_value = "info")]
    log: EnvFilter,
}

fn main() -> ExitCode {
    let started = Instant::now();
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(arguments.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    if arguments.check_config {
        lifecycle::check_config(&arguments.config)
    } else {
        lifecycle::run(&arguments.config, &arguments.kvm, started)
    }
}
