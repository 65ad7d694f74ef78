//! Writes the archive an initramfs is: cpio in the "new ASCII" format (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::io::{self, Write};

use crate::SOURCE_DATE_EPOCH;

const FILE_TYPE_REGULAR: u32 = 0o100_000;
const FILE_TYPE_FOLDER: u32 = 0o040_000;
const FILE_TYPE_SYMLINK: u32 = 0o120_000;
const FILE_TYPE_CHARACTER_DEVICE: u32 = 0o020_000;
/// Headers and contents begin at multiples of this.
const ALIGNMENT_BYTES: usize = 4;
/// The kernel reads whole blocks from a disk; cpio tools end an archive at one of these.
const BLOCK_BYTES: usize = 512;

/// An archive being written. Everything belongs to root and carries the same time, so the same entries give the same bytes.
pub(crate) struct Archive<W> {
    out: W,
    written_bytes: usize,
    inode: u32,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, written_bytes: 0, inode: 0 }
    }

    pub(crate) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, FILE_TYPE_FOLDER | 0o755, (0, 0), &[])
    }

    /// A file with the permission bits `mode`.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, FILE_TYPE_REGULAR | mode, (0, 0), content)
    }

    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, FILE_TYPE_SYMLINK | 0o777, (0, 0), target.as_bytes())
    }

    pub(crate) fn character_device(&mut self, path: &str, major_minor: (u32, u32)) -> io::Result<()> {
        self.entry(path, FILE_TYPE_CHARACTER_DEVICE | 0o600, major_minor, &[])
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.header("TRAILER!!!", 0, (0, 0), 0)?;
        self.pad(BLOCK_BYTES)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{path} is larger than 4 GiB")))?;
        self.inode += 1;
        self.header(path, mode, device, size)?;
        self.write(content)?;
        self.pad(ALIGNMENT_BYTES)
    }

    fn header(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), size: u32) -> io::Result<()> {
        let links = 1;
        let name_bytes = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        // Inode, mode, uid, gid, links, time, size, device the file is on (2), device it is (2), name with its zero, checksum.
        let fields = [self.inode, mode, 0, 0, links, SOURCE_DATE_EPOCH, size, 0, 0, major, minor, name_bytes, 0];
        self.write(b"070701")?;
        for field in fields {
            self.write(format!("{field:08x}").as_bytes())?;
        }
        self.write(path.as_bytes())?;
        self.write(&[0])?;
        self.pad(ALIGNMENT_BYTES)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written_bytes += bytes.len();
        Ok(())
    }

    fn pad(&mut self, alignment_bytes: usize) -> io::Result<()> {
        let missing_bytes = self.written_bytes.next_multiple_of(alignment_bytes) - self.written_bytes;
        self.write(&vec![0; missing_bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_documented_bytes() {
        let mut archive = Archive::new(Vec::new());
        archive.file("a", 0o644, b"hello").expect("memory");
        let bytes = archive.finish().expect("memory");
        let header = "070701\
             00000001\
             000081a4\
             00000000\
             00000000\
             00000001\
             65920080\
             00000005\
             00000000\
             00000000\
             00000000\
             00000000\
             00000002\
             00000000";
        assert_eq!(bytes[..110], *header.as_bytes());
        assert_eq!(bytes[110..112], *b"a\0");
        assert_eq!(bytes[112..120], *b"hello\0\0\0");
        assert_eq!(bytes[120..126], *b"070701");
        assert_eq!(bytes[230..241], *b"TRAILER!!!\0");
        assert_eq!(bytes.len(), 512);
    }
}
