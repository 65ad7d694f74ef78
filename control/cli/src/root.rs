//! Where everything of one node's cloud lives: a single directory.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest root: `sun_path` holds 107 bytes and the longest socket below is `/run/vms/<instance id>/console.sock` (41).
const MAX_ROOT_BYTES: usize = 66;

/// The root directory of a node (`--root`), absolute.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// # Errors
    /// The path is too long for the Unix sockets below it, or relative while the working directory is gone.
    pub fn new(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).with_context(|| format!("cannot make {} absolute", path.display()))?;
        ensure!(
            path.as_os_str().len() <= MAX_ROOT_BYTES,
            "root directory {} is longer than {MAX_ROOT_BYTES} bytes: Unix sockets below it could not be bound",
            path.display()
        );
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn config(&self, file: &str) -> PathBuf {
        self.0.join("config").join(file)
    }

    pub fn tls(&self, file: &str) -> PathBuf {
        self.0.join("tls").join(file)
    }

    pub fn run(&self, file: &str) -> PathBuf {
        self.0.join("run").join(file)
    }

    pub fn state(&self, daemon: &str) -> PathBuf {
        self.0.join("state").join(daemon)
    }

    pub fn log(&self, daemon: &str) -> PathBuf {
        self.0.join("log").join(format!("{daemon}.log"))
    }

    pub fn pid_file(&self, daemon: &str) -> PathBuf {
        self.0.join("pids").join(format!("{daemon}.pid"))
    }

    /// Sockets of the switch: its bridge's, and one of each guest's interface.
    pub fn switch_run_dir(&self) -> PathBuf {
        self.run("ovs")
    }

    /// One directory per running instance, kept by hived.
    pub fn machines(&self) -> PathBuf {
        self.0.join("run").join("vms")
    }

    /// Shell file with the `AWS_*` variables of a client on this node.
    pub fn env(&self) -> PathBuf {
        self.0.join("env")
    }

    /// # Errors
    /// A directory cannot be created.
    pub fn create(&self) -> Result<()> {
        for directory in
            ["config", "tls", "run", "run/volumes", "run/ovs", "run/vms", "state", "state/ovs", "log", "pids"]
        {
            let path = self.0.join(directory);
            fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_socket_of_the_longest_root_fits_sun_path() {
        let root = Root::new(Path::new(&format!("/{}", "r".repeat(MAX_ROOT_BYTES - 1)))).unwrap();
        assert!(root.machines().join("i-0123456789abcdef0/console.sock").as_os_str().len() <= 107);
        assert!(Root::new(Path::new(&format!("/{}", "r".repeat(MAX_ROOT_BYTES)))).is_err());
    }
}
