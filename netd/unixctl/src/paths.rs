//! Where ovs-appctl looks.

use std::path::{Path, PathBuf};

/// Open vSwitch's, if `OVS_RUNDIR` does not say otherwise.
pub const DEFAULT_RUNDIR: &str = "/var/run/openvswitch";

/// The run directory: the one given, or what `OVS_RUNDIR` says, or the default.
pub fn rundir(given: Option<&Path>) -> PathBuf {
    let environment = || std::env::var_os("OVS_RUNDIR").filter(|path| !path.is_empty()).map(PathBuf::from);
    given.map(Path::to_owned).or_else(environment).unwrap_or_else(|| PathBuf::from(DEFAULT_RUNDIR))
}

/// The control socket of this process: `given` (`--unixctl FILE`, relative to the run directory), or the name that ovs-appctl
/// makes of the program's and of what its pidfile says.
pub fn socket_path(rundir: &Path, program: &str, given: Option<&Path>) -> PathBuf {
    match given {
        Some(given) => rundir.join(given),
        None => rundir.join(format!("{program}.{}.ctl", std::process::id())),
    }
}

/// The pidfile: `given` (`--pidfile FILE`), or the one that ovs-appctl looks for.
pub fn pidfile_path(rundir: &Path, program: &str, given: Option<&Path>) -> PathBuf {
    match given {
        Some(given) => rundir.join(given),
        None => rundir.join(format!("{program}.pid")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let rundir = Path::new("/run/x");
        let own = PathBuf::from(format!("/run/x/netd.{}.ctl", std::process::id()));
        assert_eq!(socket_path(rundir, "netd", None), own);
        assert_eq!(socket_path(rundir, "netd", Some(Path::new("a.ctl"))), Path::new("/run/x/a.ctl"));
        assert_eq!(pidfile_path(rundir, "netd", Some(Path::new("/y.pid"))), Path::new("/y.pid"));
        assert_eq!(pidfile_path(rundir, "netd", None), Path::new("/run/x/netd.pid"));
    }
}
