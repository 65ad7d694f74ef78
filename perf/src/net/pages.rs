//! Huge pages, which DPDK wants.

use anyhow::{Context, ensure};

/// 2 MiB pages: 2 GiB for OVS-DPDK, whose pools of buffers are that large, and 512 MiB for each of two testpmd processes.
const HUGE_PAGES: usize = 1600;
const HUGE_PAGES_FILE: &str = "/proc/sys/vm/nr_hugepages";

/// Huge pages for the bench; what was there before is set again after it.
pub struct HugePages(usize);

impl HugePages {
    pub fn reserve() -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<usize> { Ok(std::fs::read_to_string(HUGE_PAGES_FILE)?.trim().parse()?) };
        let before = read()?;
        if before < HUGE_PAGES {
            std::fs::write(HUGE_PAGES_FILE, HUGE_PAGES.to_string())
                .with_context(|| format!("cannot reserve {HUGE_PAGES} huge pages (root is needed)"))?;
        }
        let pages = Self(before);
        let reserved = read()?;
        ensure!(reserved >= HUGE_PAGES, "only {reserved} of {HUGE_PAGES} huge pages are free");
        Ok(pages)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = std::fs::write(HUGE_PAGES_FILE, self.0.to_string());
    }
}
