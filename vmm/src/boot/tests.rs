use super::*;
use crate::memory;
use proptest::prelude::*;
use std::io::Write;

const MIB: u64 = 1 << 20;

fn ram() -> GuestRam {
    memory::create(64 * MIB).unwrap()
}

/// An ELF file with one segment of `code` at 16 MiB and a PVH note that names its second byte.
fn pvh_elf(code: &[u8]) -> Vec<u8> {
    let load: u64 = 16 * MIB;
    let note =
        [[4u32, 4, 18].map(u32::to_le_bytes).concat(), b"Xen\0".to_vec(), (load as u32 + 1).to_le_bytes().to_vec()];
    let note = note.concat();
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2u16, 62].map(u16::to_le_bytes).concat());
    elf.extend(1u32.to_le_bytes());
    elf.extend([load, 64, 0].map(u64::to_le_bytes).concat());
    elf.extend(0u32.to_le_bytes());
    elf.extend([64u16, 56, 2, 64, 0, 0].map(u16::to_le_bytes).concat());
    let data = 64 + 2 * 56;
    for (kind, offset, length, memory) in
        [(1u32, data as u64, code.len() as u64, 4096), (4, (data + code.len()) as u64, note.len() as u64, 20)]
    {
        elf.extend([kind, 5].map(u32::to_le_bytes).concat());
        elf.extend([offset, load, load, length, memory, 0].map(u64::to_le_bytes).concat());
    }
    elf.extend(code);
    elf.extend(note);
    elf
}

/// A bzImage whose payload is `payload`.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x400 + 0x400];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x201] = 0x66;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    image[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    image[0x236..0x238].copy_from_slice(&1u16.to_le_bytes());
    image[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&0x400u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image[0x258..0x260].copy_from_slice(&(16 * MIB).to_le_bytes());
    image[0x260..0x264].copy_from_slice(&(4 * MIB as u32).to_le_bytes());
    image.extend(payload);
    image
}

/// What `lz4 -l` writes, with the length the kernel's build appends.
fn lz4_payload(unpacked: &[u8]) -> Vec<u8> {
    let mut payload = 0x184c_2102u32.to_le_bytes().to_vec();
    for block in unpacked.chunks(8 << 20) {
        let packed = lz4_flex::block::compress(block);
        payload.extend((packed.len() as u32).to_le_bytes());
        payload.extend(packed);
    }
    payload.extend((unpacked.len() as u32).to_le_bytes());
    payload
}

fn load_bytes(ram: &GuestRam, kernel: &[u8], initrd: Option<&[u8]>) -> Result<Entry> {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    };
    let source = BootSource {
        kernel: write("kernel", kernel),
        initrd: initrd.map(|bytes| write("initrd", bytes)),
        cmdline: "console=ttyS0".into(),
    };
    load(ram, &source, 0xe0000)
}

fn read(ram: &GuestRam, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ram.read_slice(&mut bytes, GuestAddress(address)).unwrap();
    bytes
}

fn u64_at(ram: &GuestRam, address: u64) -> u64 {
    ram.read_obj(GuestAddress(address)).unwrap()
}

#[test]
fn a_pvh_elf_is_loaded_with_its_start_info() {
    let ram = ram();
    let entry = load_bytes(&ram, &pvh_elf(b"code"), Some(b"initrd")).unwrap();
    assert_eq!(entry, Entry::Pvh { address: 16 * MIB + 1 });
    assert_eq!(read(&ram, 16 * MIB, 6), b"code\0\0");
    let info = layout::PVH_START_INFO;
    assert_eq!(read(&ram, info, 4), 0x336e_c578u32.to_le_bytes());
    let (modules, cmdline, rsdp, map) =
        (u64_at(&ram, info + 16), u64_at(&ram, info + 24), u64_at(&ram, info + 32), u64_at(&ram, info + 40));
    assert_eq!((rsdp, map), (0xe0000, layout::PVH_MEMMAP));
    assert_eq!(read(&ram, cmdline, 14), b"console=ttyS0\0");
    let initrd = u64_at(&ram, modules);
    assert_eq!((initrd % 4096, u64_at(&ram, modules + 8)), (0, 6));
    assert_eq!(read(&ram, initrd, 6), b"initrd");
    // The third entry is the RAM that holds all of this.
    assert_eq!((u64_at(&ram, map + 48), u64_at(&ram, map + 56)), (MIB, 63 * MIB));
}

#[test]
fn a_bzimage_with_a_pvh_kernel_in_lz4_is_unpacked() {
    let ram = ram();
    // Two blocks.
    let code: Vec<u8> = (0..9 * MIB).map(|n| (n / 1000) as u8).collect();
    let mut elf = pvh_elf(&code);
    elf[64 + 40..64 + 48].copy_from_slice(&(10 * MIB).to_le_bytes());
    let entry = load_bytes(&ram, &bzimage(&lz4_payload(&elf)), None).unwrap();
    assert_eq!(entry, Entry::Pvh { address: 16 * MIB + 1 });
    assert_eq!(read(&ram, 16 * MIB, code.len()), code);
}

#[test]
fn any_other_bzimage_unpacks_itself() {
    for payload in [&b"\x1f\x8bgzip"[..], &lz4_payload(b"no ELF file")] {
        let ram = ram();
        let entry = load_bytes(&ram, &bzimage(payload), Some(b"initrd")).unwrap();
        assert_eq!(entry, Entry::Linux64 { address: 16 * MIB + 0x200 });
        assert_eq!(read(&ram, 16 * MIB + 0x400, payload.len()), payload);
        let page = layout::ZERO_PAGE;
        assert_eq!(read(&ram, page + 0x202, 4), b"HdrS");
        assert_eq!(read(&ram, page + 0x228, 4), (layout::CMDLINE as u32).to_le_bytes());
        assert_eq!(read(&ram, page + 0x1e8, 1), [4]);
        let initrd = u32::from_le_bytes(read(&ram, page + 0x218, 4).try_into().unwrap());
        assert_eq!(read(&ram, initrd.into(), 6), b"initrd");
        assert_eq!(u64_at(&ram, layout::PAGE_TABLES + 2 * 4096 + 8), 0x20_0083);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |kernel: &[u8], initrd: Option<&[u8]>| load_bytes(&ram(), kernel, initrd).unwrap_err().to_string();
    assert!(refused(b"text", None).contains("neither an ELF file nor a bzImage"));
    let mut high = pvh_elf(b"code");
    high[64 + 24..64 + 32].copy_from_slice(&(100 * MIB).to_le_bytes());
    assert!(refused(&high, None).contains("does not fit guest RAM"));
    let mut low = pvh_elf(b"code");
    low[64 + 24..64 + 32].copy_from_slice(&0x1000u64.to_le_bytes());
    assert!(refused(&low, None).contains("does not fit guest RAM"), "over the VMM's tables");
    let mut noteless = pvh_elf(b"code");
    noteless[64 + 56] = 0;
    assert!(refused(&noteless, None).contains("no PVH entry"));
    let initrd = vec![0; 60 * MIB as usize];
    assert!(refused(&pvh_elf(b"code"), Some(&initrd)).contains("beside the kernel"));
}

#[test]
fn memory_above_the_gap_is_in_the_map() {
    let ram = memory::create((3 << 30) + 2 * MIB).unwrap();
    let map = memory_map(&ram);
    assert_eq!(map.last(), Some(&MapEntry { start: 4 << 30, length: 2 * MIB, kind: MAP_RAM }));
    assert_eq!(map[2], MapEntry { start: MIB, length: (3 << 30) - MIB, kind: MAP_RAM });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_kernels_do_not_panic(
        is_elf in any::<bool>(),
        changes in prop::collection::vec((0usize..0x300, any::<u8>()), 0..16),
        length in 0usize..3000,
    ) {
        let mut image = if is_elf { pvh_elf(b"code") } else { bzimage(&lz4_payload(&pvh_elf(b"code"))) };
        for (position, value) in changes {
            if let Some(byte) = image.get_mut(position) {
                *byte = value;
            }
        }
        image.truncate(length);
        // Either way; it returns.
        let _ = load_bytes(&ram(), &image, None);
    }

    #[test]
    fn hostile_payloads_do_not_panic(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut framed = 0x184c_2102u32.to_le_bytes().to_vec();
        framed.extend(&payload);
        let _ = bzimage::unpack_lz4(&framed);
    }
}
