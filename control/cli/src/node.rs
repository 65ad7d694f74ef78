//! Whether this machine can run guests: hardware KVM told apart from a /dev/kvm that emulates.

use std::fmt;
use std::fs;
use std::path::Path;

/// What `/dev/kvm` and `/proc/cpuinfo` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kvm {
    /// The CPU's extension: `svm` or `vmx`.
    Hardware { flag: &'static str },
    /// /dev/kvm is there, but the CPU has no virtualisation extension: whatever serves it interprets instructions one by one.
    Emulated,
    /// The CPU could, but /dev/kvm is missing or closed to us.
    NoDevice { flag: &'static str, reason: String },
    /// Neither.
    Absent,
}

impl Kvm {
    pub fn usable(&self) -> bool {
        matches!(self, Self::Hardware { .. })
    }

    /// Looks at this machine.
    pub fn detect() -> Self {
        // A machine without /proc has no flags: the verdict then rests on the device alone.
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let device = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").map(drop);
        Self::judge(&cpuinfo, Path::new("/dev/kvm").exists(), device.err().map(|e| e.to_string()))
    }

    fn judge(cpuinfo: &str, device_exists: bool, open_error: Option<String>) -> Self {
        match (virtualisation_flag(cpuinfo), device_exists, open_error) {
            (Some(flag), true, None) => Self::Hardware { flag },
            (Some(flag), _, error) => {
                Self::NoDevice { flag, reason: error.unwrap_or_else(|| "it does not exist".into()) }
            }
            (None, true, _) => Self::Emulated,
            (None, false, _) => Self::Absent,
        }
    }
}

fn virtualisation_flag(cpuinfo: &str) -> Option<&'static str> {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':').map(|(_, flags)| flags))?;
    ["svm", "vmx"].into_iter().find(|wanted| flags.split_ascii_whitespace().any(|flag| flag == *wanted))
}

impl fmt::Display for Kvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hardware { flag } => write!(f, "hardware KVM: the CPU has {flag} and /dev/kvm opens; guests run on this machine itself"),
            Self::Emulated => f.write_str(
                "no hardware KVM: /dev/kvm exists, but the CPU shows neither svm nor vmx, so it only emulates instructions one by \
                 one, too slowly to boot a kernel; use the simulated node",
            ),
            Self::NoDevice { flag, reason } => {
                write!(f, "no usable KVM: the CPU has {flag}, but /dev/kvm does not open: {reason} (modprobe kvm_amd or kvm_intel; group kvm)")
            }
            Self::Absent => {
                f.write_str("no KVM: the CPU shows neither svm nor vmx and there is no /dev/kvm; use the simulated node")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMD: &str = "processor\t: 0\nflags\t\t: fpu vme svm npt\n";
    const PLAIN: &str = "processor\t: 0\nflags\t\t: fpu vme svm_lock\n";

    #[test]
    fn a_device_without_the_cpu_flag_is_an_emulating_one() {
        assert_eq!(Kvm::judge(PLAIN, true, None), Kvm::Emulated);
        assert!(!Kvm::judge(PLAIN, true, None).usable());
    }

    #[test]
    fn hardware_needs_flag_and_device() {
        assert_eq!(Kvm::judge(AMD, true, None), Kvm::Hardware { flag: "svm" });
        assert_eq!(Kvm::judge(&AMD.replace("svm", "vmx"), true, None), Kvm::Hardware { flag: "vmx" });
        assert!(matches!(Kvm::judge(AMD, true, Some("Permission denied".into())), Kvm::NoDevice { .. }));
        assert!(matches!(Kvm::judge(AMD, false, Some("not found".into())), Kvm::NoDevice { .. }));
        assert_eq!(Kvm::judge("", false, Some("not found".into())), Kvm::Absent);
    }
}
