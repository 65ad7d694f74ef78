//! Reads disks made by the tools that own the formats, damages them, and boots the firmware itself under QEMU's software emulation.
//!
//! Needs the Debian packages dosfstools, gdisk, mtools and qemu-system-x86.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hive_firmware::block::{BlockDevice, ReadError, SECTOR_BYTES};
use hive_firmware::boot::{self, Finding, Loader};
use hive_firmware::crc32::crc32;
use hive_firmware::fat::{FatError, Kind, Volume};
use hive_firmware::gpt::{self, Copy, EFI_SYSTEM_PARTITION, GptError};
use proptest::prelude::*;

struct MemoryDisk(Vec<u8>);

impl BlockDevice for MemoryDisk {
    fn sector_count(&self) -> u64 {
        (self.0.len() / SECTOR_BYTES) as u64
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(first).ok().and_then(|first| first.checked_mul(SECTOR_BYTES)).ok_or(ReadError)?;
        let end = start.checked_add(buffer.len()).ok_or(ReadError)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or(ReadError)?);
        Ok(())
    }
}

fn tool(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A program for tests: `MZ`, then bytes that differ from sector to sector.
fn program(size_bytes: usize) -> Vec<u8> {
    let mut content: Vec<u8> = (0..size_bytes).map(|at| (at * 7 + at / 509) as u8).collect();
    content[..2].copy_from_slice(b"MZ");
    content
}

/// Makes a FAT at `offset` of `image`, with a deleted file below the others so that the last one lies in pieces.
fn make_fat(
    folder: &Path,
    image: &Path,
    offset_sectors: u64,
    size_kib: u64,
    options: &[&str],
    loader: &[u8],
    shim: &[u8],
) {
    let (offset, size, path) = (offset_sectors.to_string(), size_kib.to_string(), image.to_str().expect("UTF-8"));
    tool("mkfs.vfat", &[options, &["--offset", &offset, path, &size]].concat());
    let at = format!("{path}@@{}", offset_sectors * SECTOR_BYTES as u64);
    let put = |content: &[u8], to: &str| {
        let from = folder.join("file");
        fs::write(&from, content).expect("write");
        tool("mcopy", &["-i", &at, from.to_str().expect("UTF-8"), &format!("::{to}")]);
    };
    tool("mmd", &["-i", &at, "::EFI", "::EFI/BOOT", "::EFI/A vendor with a long name"]);
    // Holes of one file's size each, into which the loader then goes.
    for index in 0..20 {
        put(&program(3000), &format!("EFI/BOOT/filler with a long name {index}"));
    }
    for index in (0..20).step_by(2) {
        tool("mdel", &["-i", &at, &format!("::EFI/BOOT/filler with a long name {index}")]);
    }
    put(loader, "EFI/BOOT/BOOTX64.EFI");
    put(shim, "EFI/A vendor with a long name/shimx64.efi");
    put(b"not a program", "EFI/A vendor with a long name/grubx64.efi");
}

#[test]
fn files_are_read_from_every_kind_of_fat() {
    let folder = tempfile::tempdir().expect("tempdir");
    for (kind, size_kib, options) in [
        (Kind::Fat12, 2048, &["-F", "12", "-s", "1"][..]),
        (Kind::Fat12, 2048, &["-F", "12", "-s", "4"]),
        (Kind::Fat16, 16_384, &["-F", "16", "-s", "4"]),
        (Kind::Fat16, 16_384, &["-F", "16", "-S", "2048", "-s", "1"]),
        (Kind::Fat32, 40_960, &["-F", "32", "-s", "1"]),
    ] {
        let image = folder.path().join("fat");
        File::create(&image).expect("create").set_len(size_kib * 1024).expect("grow");
        let (loader, shim) = (program(200_001), program(2));
        make_fat(folder.path(), &image, 0, size_kib, options, &loader, &shim);
        let mut disk = MemoryDisk(fs::read(&image).expect("read"));
        fs::remove_file(&image).expect("remove");
        let last_lba = disk.sector_count() - 1;
        let mut volume = Volume::open(&mut disk, 0, last_lba).expect("open");
        assert_eq!(volume.kind, kind, "{options:?}");

        for (path, expected) in
            [("\\efi\\boot\\bootx64.efi", &loader), ("EFI\\a VENDOR with a long name\\shimx64.efi", &shim)]
        {
            let file = volume.find(path).expect("find").unwrap_or_else(|| panic!("{path} in {options:?}"));
            for buffer_sectors in [1, 3, 1000] {
                let mut content = Vec::new();
                let mut buffer = vec![0; buffer_sectors * SECTOR_BYTES];
                volume.read_file(&file, &mut buffer, |piece| content.extend_from_slice(piece)).expect("read");
                assert!(content == *expected, "{path} in {options:?} by {buffer_sectors} sectors");
            }
        }
        for absent in
            ["\\EFI\\BOOT\\BOOTIA32.EFI", "\\EFI\\BOOT\\filler with a long name 0", "\\EFI\\BOOT\\BOOTX64.EFI\\x"]
        {
            assert!(volume.find(absent).expect("find").is_none(), "{absent}");
        }
        let mut names = Vec::new();
        let boot = volume.find("EFI\\BOOT").expect("find").expect("there").folder().expect("folder");
        volume
            .list(boot, |entry| {
                names.push(entry.name.to_string());
                true
            })
            .expect("list");
        assert_eq!(names.len(), 11, "{names:?}");
        assert!(names.contains(&"filler with a long name 19".to_owned()), "{names:?}");

        // A partition smaller than its file system is refused.
        assert!(matches!(Volume::open(&mut disk, 0, last_lba - 64), Err(FatError::BootSector)));
    }
}

const ESP_FIRST: u64 = 2048;
const ESP_KIB: u64 = 4096;

/// A disk with an EFI system partition and another one; returns its path.
fn make_disk(folder: &Path, loader: &[u8], shim: &[u8]) -> PathBuf {
    let image = folder.join("disk");
    let path = image.to_str().expect("UTF-8");
    File::create(&image).expect("create").set_len(8 << 20).expect("grow");
    let esp = format!("--new=1:{ESP_FIRST}:{}", ESP_FIRST + ESP_KIB * 2 - 1);
    tool("sgdisk", &[&esp, "--typecode=1:ef00", "--new=3:12288:14335", "--typecode=3:8300", path]);
    make_fat(folder, &image, ESP_FIRST, ESP_KIB, &["-F", "12"], loader, shim);
    image
}

fn survey(disk: &mut MemoryDisk) -> (Vec<String>, Result<Option<Loader>, GptError>) {
    let mut findings = Vec::new();
    let mut buffer = vec![0; 64 * SECTOR_BYTES];
    let choice = boot::survey(disk, &mut buffer, |finding| findings.push(format!("{finding:?}")));
    (findings, choice)
}

#[test]
fn a_disk_is_surveyed_and_its_backup_table_serves() {
    let folder = tempfile::tempdir().expect("tempdir");
    let (loader, shim) = (program(50_000), program(9_000));
    let golden = fs::read(make_disk(folder.path(), &loader, &shim)).expect("read");

    let mut disk = MemoryDisk(golden.clone());
    let table = gpt::read(&mut disk).expect("GPT");
    assert_eq!(table.copy, Copy::Primary);
    let numbers: Vec<_> =
        table.partitions().iter().map(|partition| (partition.number, partition.sector_count())).collect();
    assert_eq!(numbers, [(1, ESP_KIB * 2), (3, 2048)]);
    assert_eq!(table.partitions()[0].type_guid, EFI_SYSTEM_PARTITION);
    assert_eq!(EFI_SYSTEM_PARTITION.to_string(), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");

    let (findings, choice) = survey(&mut disk);
    let choice = choice.expect("GPT").expect("a loader");
    assert_eq!(choice.path.to_string(), boot::DEFAULT_LOADER);
    assert_eq!((choice.size_bytes, choice.crc32), (50_000, crc32(&loader)), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.starts_with("NotALoader")), "{findings:?}");

    // Header, then entries of the primary table damaged.
    for damaged in [512 + 40, 1024 + 40] {
        let mut disk = MemoryDisk(golden.clone());
        disk.0[damaged] ^= 1;
        let table = gpt::read(&mut disk).expect("backup");
        assert_eq!(table.copy, Copy::Backup);
        assert_eq!(table.partitions().len(), 2);
        // The backup's header is the disk's last sector.
        let end = disk.0.len();
        disk.0[end - 512 + 40] ^= 1;
        assert!(matches!(gpt::read(&mut disk), Err(GptError::HeaderChecksum | GptError::EntriesChecksum)));
    }

    // Without the default loader, the vendor's is chosen.
    let mut disk = MemoryDisk(golden.clone());
    let name = disk.0.windows(11).position(|window| window == b"BOOTX64 EFI").expect("directory entry");
    disk.0[name] = 0xE5;
    let (_, choice) = survey(&mut disk);
    let choice = choice.expect("GPT").expect("a loader");
    assert_eq!(choice.path.to_string(), "\\EFI\\A vendor with a long name\\shimx64.efi");
    assert_eq!(choice.crc32, crc32(&shim));

    assert_eq!(survey(&mut MemoryDisk(vec![0; 1 << 20])).1.err(), Some(GptError::Signature));
    assert_eq!(survey(&mut MemoryDisk(Vec::new())).1.err(), Some(GptError::Read));
}

#[test]
fn damaged_disks_are_survived() {
    let folder = tempfile::tempdir().expect("tempdir");
    let golden = fs::read(make_disk(folder.path(), &program(50_000), &program(9_000))).expect("read");
    let esp = usize::try_from(ESP_FIRST).expect("small") * SECTOR_BYTES;
    // Where the structures are: boot sector, FATs, folders; and anywhere in the first half of the partition.
    let place = prop_oneof![0..128usize, 0..16_384usize, 16_384..65_536usize, 0..(2usize << 20)];
    let changes = prop::collection::vec((place, any::<u8>()), 1..60);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 200, ..ProptestConfig::default() });
    runner
        .run(&changes, |changes| {
            let mut disk = MemoryDisk(golden.clone());
            for (at, byte) in changes {
                disk.0[esp + at] = byte;
            }
            let (_, choice) = survey(&mut disk);
            prop_assert!(choice.is_ok());
            Ok(())
        })
        .expect("no panic");
}

proptest! {
    #[test]
    fn hostile_headers_are_survived(header in prop::collection::vec(any::<u8>(), 92), entries in prop::collection::vec(any::<u8>(), 1024)) {
        // The checksums are made right, so that the fields behind them are reached.
        let mut disk = vec![0; 64 * SECTOR_BYTES];
        disk[1024..2048].copy_from_slice(&entries);
        let mut header = header;
        header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5C\0\0\0");
        header[24..32].copy_from_slice(&1u64.to_le_bytes());
        let [first_usable, last_usable, count] = [header[40] & 31, header[48] & 63, header[80] & 15];
        header[40..56].copy_from_slice(&[first_usable, 0, 0, 0, 0, 0, 0, 0, last_usable, 0, 0, 0, 0, 0, 0, 0]);
        header[72..88].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, count, 0, 0, 0, 128, 0, 0, 0]);
        let used = usize::from(count) * 128;
        let entries_crc32 = crc32(&disk[1024..1024 + used]);
        header[88..92].copy_from_slice(&entries_crc32.to_le_bytes());
        header[16..20].fill(0);
        let header_crc32 = crc32(&header);
        header[16..20].copy_from_slice(&header_crc32.to_le_bytes());
        disk[512..604].copy_from_slice(&header);
        let mut disk = MemoryDisk(disk);
        let sector_count = disk.sector_count();
        if let Ok(table) = gpt::read(&mut disk) {
            for partition in table.partitions() {
                prop_assert!(partition.first_lba <= partition.last_lba && partition.last_lba < sector_count);
            }
        }
        let _ = survey(&mut disk);
    }

    #[test]
    fn hostile_boot_sectors_are_survived(fields in prop::collection::vec(any::<u8>(), 62), rest in prop::collection::vec(any::<u8>(), 8192)) {
        let mut image = vec![0; SECTOR_BYTES];
        image[..62].copy_from_slice(&fields);
        // Sizes that are often accepted.
        image[11..13].copy_from_slice(&512u16.to_le_bytes());
        image[13] = 1 << (fields[13] & 1);
        image[14..19].copy_from_slice(&[fields[14] & 3, 0, fields[16] & 3, fields[17] & 31, 0]);
        image[19..24].copy_from_slice(&[17, 0, 0xF8, fields[22] & 3, 0]);
        image[510..512].copy_from_slice(&[0x55, 0xAA]);
        image.extend_from_slice(&rest);
        let mut disk = MemoryDisk(image);
        if let Ok(mut volume) = Volume::open(&mut disk, 0, 16) {
            let root = volume.root();
            let mut files = Vec::new();
            let _ = volume.list(root, |entry| { files.push(*entry); files.len() < 10 });
            for file in files {
                let _ = volume.read_file(&file, &mut [0; 1024], |_| {});
            }
        }
    }
}

/// Builds the firmware and returns its ELF. A target folder of its own: cargo has locked the one this test is in.
fn build_firmware() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--features", "elf", "--bin", "hive-firmware", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo");
    assert!(status.success());
    target.join("release/hive-firmware")
}

/// Boots the firmware on QEMU's machine `machine` with `disk`; returns what it wrote to the serial port.
fn boot_firmware(firmware: &Path, disk: &Path) -> String {
    let mut child = Command::new("timeout")
        .args(["300", "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "64", "-nodefaults"])
        .args(["-display", "none", "-no-reboot", "-serial", "stdio", "-kernel"])
        .arg(firmware)
        .args(["-drive", &format!("if=none,id=disk,format=raw,file={}", disk.display())])
        // Behind a bridge, so that its bus must be found.
        .args(["-device", "pcie-root-port,id=bridge", "-device", "virtio-blk-pci,drive=disk,bus=bridge"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("timeout and qemu-system-x86_64 are installed");
    let mut console = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut console).expect("console");
    let status = child.wait().expect("QEMU");
    let console = String::from_utf8_lossy(&console).replace('\r', "");
    assert!(status.success(), "the firmware did not power off: {status}\n{console}");
    console
}

#[test]
fn the_firmware_reports_what_it_would_boot() {
    let firmware = build_firmware();
    let folder = tempfile::tempdir().expect("tempdir");
    let loader = program(300_000);
    let disk = make_disk(folder.path(), &loader, &program(9_000));
    let console = boot_firmware(&firmware, &disk);
    for expected in [
        "PCI configuration by ECAM".to_owned(),
        "disk 01:00.0: 16384 sectors".to_owned(),
        "disk 01:00.0: Primary GPT, 2 partitions".to_owned(),
        "partition 1: Fat12".to_owned(),
        format!("partition 1: loader \\EFI\\BOOT\\BOOTX64.EFI (300000 bytes, CRC-32 {:08x})", crc32(&loader)),
        "loader \\EFI\\A vendor with a long name\\shimx64.efi (9000 bytes".to_owned(),
        "grubx64.efi is not an EFI program".to_owned(),
        "would boot disk 01:00.0 partition 1 \\EFI\\BOOT\\BOOTX64.EFI (300000 bytes)".to_owned(),
    ] {
        assert!(console.contains(&expected), "{expected:?} is missing from:\n{console}");
    }

    let mut file = OpenOptions::new().write(true).open(&disk).expect("open");
    file.write_all(&vec![0; 8 << 20]).expect("write");
    drop(file);
    let console = boot_firmware(&firmware, &disk);
    assert!(console.contains("disk 01:00.0: there is no GPT signature\n"), "{console}");
    assert!(console.contains("nothing to boot\n"), "{console}");
}

#[test]
fn findings_have_no_unbounded_text() {
    // A report names files by what the disk says: control characters must not reach the console.
    let folder = tempfile::tempdir().expect("tempdir");
    let mut golden = fs::read(make_disk(folder.path(), &program(5_000), &program(9_000))).expect("read");
    let name = golden.windows(4).position(|window| window == b"A\0 \0").expect("long name");
    golden[name] = 0x1B;
    let mut disk = MemoryDisk(golden);
    let mut seen = Vec::new();
    boot::survey(&mut disk, &mut [0; 4096], |finding| {
        if let Finding::Loader(loader) = finding {
            seen.push(loader.path.to_string());
        }
    })
    .expect("GPT");
    assert!(seen.iter().any(|path| path.contains("vendor")), "{seen:?}");
    assert!(!seen.iter().any(|path| path.contains('\u{1b}')), "{seen:?}");
}
