//! Huge pages, which DPDK wants.

use anyhow::{Context, ensure};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// 2 MiB pages: 2 GiB for OVS-DPDK, whose pools of buffers are that large, and 512 MiB for each of two testpmd processes.
const HUGE_PAGES: usize = 1600;
const HUGE_PAGES_FILE: &str = "/proc/sys/vm/nr_hugepages";
/// Waits for the end of its input, which is ours however we end, and sets what was there before.
const GIVE_BACK: &str = r#"trap "" INT TERM HUP; echo; read -r _; echo "$1" >"$2""#;

/// Huge pages for the bench; what was there before is set again after it, also if that was killed.
pub struct HugePages {
    keeper: Child,
}

impl HugePages {
    pub fn reserve() -> anyhow::Result<Self> {
        Self::reserve_by(Path::new(HUGE_PAGES_FILE))
    }

    fn reserve_by(file: &Path) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<usize> { Ok(std::fs::read_to_string(file)?.trim().parse()?) };
        let before = read()?;
        let mut command = Command::new("sh");
        command.args(["-c", GIVE_BACK, "sh", &before.to_string()]).arg(file);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut pages = Self { keeper: command.spawn().context("cannot start sh")? };
        // From here on nothing stops it.
        let said = pages.keeper.stdout.as_mut().context("sh has no output")?.read(&mut [0])?;
        ensure!(said > 0, "sh does not wait");
        if before < HUGE_PAGES {
            std::fs::write(file, HUGE_PAGES.to_string())
                .with_context(|| format!("cannot reserve {HUGE_PAGES} huge pages (root is needed)"))?;
        }
        let reserved = read()?;
        ensure!(reserved >= HUGE_PAGES, "there is room for {reserved} of {HUGE_PAGES} huge pages only");
        Ok(pages)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_set_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nr_hugepages");
        let now = || std::fs::read_to_string(&file).unwrap().trim().to_owned();
        std::fs::write(&file, "7\n").unwrap();
        let pages = HugePages::reserve_by(&file).unwrap();
        assert_eq!(now(), HUGE_PAGES.to_string());
        // An interrupt of the terminal is for it too.
        let id = pages.keeper.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        drop(pages);
        assert_eq!(now(), "7");
    }
}
