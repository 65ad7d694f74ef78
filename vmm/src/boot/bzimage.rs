//! Linux bzImages (Documentation/arch/x86/boot.rst): the setup header, the compressed payload, and the 64-bit entry.

use super::image::Image;
use super::{Entry, Kernel, check_target};
use crate::memory::GuestRam;
use std::sync::atomic::{AtomicUsize, Ordering};

type Result<T> = std::result::Result<T, String>;

/// Where the setup header begins in the image and in `boot_params`.
pub const SETUP_HEADER_OFFSET: usize = 0x1f1;
/// Bytes read of the first sectors; the header ends below this.
const SETUP_BYTES: usize = 0x270;
/// Oldest boot protocol taken: 2.12 brought `xloadflags` with the 64-bit entry.
const MIN_PROTOCOL: u16 = 0x20c;
/// `xloadflags`: the kernel has the 64-bit entry at 0x200.
const XLF_KERNEL_64: u16 = 1;
const ENTRY_64_OFFSET: u64 = 0x200;
const SECTOR_BYTES: u64 = 512;
/// Largest unpacked kernel; a distribution kernel has about 60 MiB.
const MAX_UNPACKED_BYTES: usize = 512 << 20;

/// Magic of the LZ4 legacy frame, the format `lz4 -l` writes for the kernel.
const LZ4_LEGACY_MAGIC: u32 = 0x184c_2102;
/// Every block of a legacy frame but the last unpacks to exactly this.
const LZ4_LEGACY_BLOCK_BYTES: usize = 8 << 20;

/// The setup header, and the bytes of it that `boot_params` wants back.
#[derive(Clone, Copy, Debug)]
pub struct SetupHeader {
    raw: [u8; SETUP_BYTES],
}

impl SetupHeader {
    /// Read and check the header of a 64-bit bzImage.
    pub fn read(image: &impl Image) -> Result<Self> {
        let mut raw = [0; SETUP_BYTES];
        image.read_at(0, &mut raw)?;
        let header = Self { raw };
        if header.u16(0x1fe) != 0xaa55 || &raw[0x202..0x206] != b"HdrS" {
            return Err("no boot sector with a setup header".into());
        }
        if header.u16(0x206) < MIN_PROTOCOL {
            return Err(format!("boot protocol {:#x} is older than 2.12", header.u16(0x206)));
        }
        if header.u16(0x236) & XLF_KERNEL_64 == 0 {
            return Err("the kernel has no 64-bit entry".into());
        }
        Ok(header)
    }

    fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.raw[offset], self.raw[offset + 1]])
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from(self.u16(offset)) | u32::from(self.u16(offset + 2)) << 16
    }

    /// The bytes that go to `boot_params` at [`SETUP_HEADER_OFFSET`]; byte 0x201 holds the header's length from 0x202.
    pub fn boot_params_part(&self) -> &[u8] {
        let end = 0x202 + usize::from(self.raw[0x201]);
        &self.raw[SETUP_HEADER_OFFSET..end.min(SETUP_BYTES)]
    }

    /// Highest address an initrd byte may have.
    pub fn initrd_address_max(&self) -> u64 {
        self.u32(0x22c).into()
    }

    /// Longest command line the kernel takes, without its NUL.
    pub fn cmdline_size(&self) -> u32 {
        self.u32(0x238)
    }

    /// Offset of the protected-mode code in the file.
    fn code_offset(&self) -> u64 {
        // 0 means 4, says the protocol; one more for the boot sector.
        let sectors = if self.raw[0x1f1] == 0 { 4 } else { self.raw[0x1f1] };
        (u64::from(sectors) + 1) * SECTOR_BYTES
    }

    fn preferred_address(&self) -> u64 {
        u64::from(self.u32(0x258)) | u64::from(self.u32(0x25c)) << 32
    }

    /// Memory the kernel needs from its load address while it unpacks itself.
    fn init_size(&self) -> u64 {
        self.u32(0x260).into()
    }

    /// The compressed kernel, as offset and length in the file.
    fn payload(&self) -> (u64, u64) {
        (self.code_offset() + u64::from(self.u32(0x248)), self.u32(0x24c).into())
    }
}

/// Load the image as it is; the kernel unpacks itself.
pub fn load(ram: &GuestRam, image: &impl Image, setup: SetupHeader) -> Result<Kernel> {
    let start = setup.preferred_address();
    let code_offset = setup.code_offset();
    let length = image.len().checked_sub(code_offset).ok_or("the image ends within its setup code")?;
    let end = check_target(ram, start, length.max(setup.init_size()))?;
    image.load(code_offset, length, ram, start)?;
    Ok(Kernel { entry: Entry::Linux64 { address: start + ENTRY_64_OFFSET }, end, setup: Some(setup) })
}

/// Unpack the kernel inside the image, if its compression is one the VMM knows: LZ4.
pub fn unpack(image: &impl Image, setup: &SetupHeader) -> Result<Vec<u8>> {
    let (offset, length) = setup.payload();
    let mut magic = [0; 4];
    image.read_at(offset, &mut magic)?;
    if u32::from_le_bytes(magic) != LZ4_LEGACY_MAGIC {
        return Err("its payload is not LZ4".into());
    }
    if offset.checked_add(length).is_none_or(|end| end > image.len()) {
        return Err("its payload is beyond the end of the file".into());
    }
    let mut payload = vec![0; length as usize];
    image.read_at(offset, &mut payload)?;
    unpack_lz4(&payload)
}

/// Unpack an LZ4 legacy frame followed by the unpacked length, as the kernel's build appends it. Blocks are independent,
/// so each host CPU takes the next one.
pub(super) fn unpack_lz4(payload: &[u8]) -> Result<Vec<u8>> {
    let (frame, trailer) = payload.split_last_chunk::<4>().ok_or("its payload is empty")?;
    let unpacked_size = u32::from_le_bytes(*trailer) as usize;
    if unpacked_size > MAX_UNPACKED_BYTES {
        return Err(format!("its payload claims to unpack to {unpacked_size} bytes"));
    }
    let blocks = lz4_blocks(frame)?;
    if blocks.len() != unpacked_size.div_ceil(LZ4_LEGACY_BLOCK_BYTES) {
        return Err(format!("its payload has {} blocks for {unpacked_size} bytes", blocks.len()));
    }
    let mut unpacked = vec![0; unpacked_size];
    let jobs: Vec<_> = blocks
        .into_iter()
        .zip(unpacked.chunks_mut(LZ4_LEGACY_BLOCK_BYTES))
        .map(|job| std::sync::Mutex::new(Some(job)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some((block, target)) = crate::lock(job).take() else { continue };
            let length = lz4_flex::block::decompress_into(block, target).map_err(|e| format!("its payload: {e}"))?;
            if length != target.len() {
                return Err("a block of its payload is short".into());
            }
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        helpers.into_iter().fold(work(), |result, helper| match helper.join() {
            Ok(helped) => result.and(helped),
            Err(_) => Err("unpacking it failed".into()),
        })
    })?;
    drop(jobs);
    Ok(unpacked)
}

/// Split a legacy frame: the magic, then blocks of a 32-bit length and that many bytes.
fn lz4_blocks(frame: &[u8]) -> Result<Vec<&[u8]>> {
    let mut rest = frame.get(4..).ok_or("its payload has no magic")?;
    let mut blocks = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let (block, behind) = behind.split_at_checked(length).ok_or("a block of its payload is cut off")?;
        blocks.push(block);
        rest = behind;
    }
    Ok(blocks)
}
