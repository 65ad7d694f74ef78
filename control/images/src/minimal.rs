//! `hive-minimal`: everything the guest runs is in its initramfs; the disk holds only what it writes.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::Command;

use crate::cpio::Archive;
use crate::disk::{self, Extent};
use crate::error::{BuildError, io_error};
use crate::modules::ModuleTree;
use crate::{Context, DISK_FILE, Described, INITRD_FILE, KERNEL_FILE, command, packages};

/// Depends on the newest cloud kernel of the release.
const KERNEL_META_PACKAGE: &str = "linux-image-cloud-amd64";
/// Drivers the init loads, in this order; what they depend on comes before them. ext4 is built into the kernel.
/// The disk comes first, because everything waits for it; the power button needs evdev to reach acpid.
const DRIVERS: &[&str] = &["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "button", "evdev"];

/// Room for what scripts write, and small enough to copy and hash in no time.
const DISK_SIZE_BYTES: u64 = 64 << 20;
const DISK_LABEL: &str = "hive-root";
/// Of the root file system: fixed, so that the same packages give the same disk.
const DISK_UUID: &str = "6869766d-696e-4d69-8000-000000000001";

/// `quiet` and `panic=-1` (reboot at once): the console carries what init says, and a guest that dies is seen to die.
const CMDLINE: &str = "console=ttyS0 quiet panic=-1";

/// The guest's own files: path, permission bits, content.
const GUEST_FILES: &[(&str, u32, &str)] = &[
    ("bin/bash", 0o755, include_str!("../guest/minimal/bash")),
    ("etc/acpi/PWRF/00000080", 0o755, include_str!("../guest/minimal/power-button")),
    ("etc/group", 0o644, "root:x:0:\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n"),
    ("etc/inittab", 0o644, include_str!("../guest/minimal/inittab")),
    ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n"),
    ("init", 0o755, include_str!("../guest/minimal/init")),
    ("usr/lib/hive/dhcp-event", 0o755, include_str!("../guest/minimal/dhcp-event")),
    ("usr/lib/hive/identity", 0o755, include_str!("../guest/minimal/identity")),
    ("usr/lib/hive/metadata", 0o755, include_str!("../guest/minimal/metadata")),
    ("usr/lib/hive/scripts", 0o755, include_str!("../guest/minimal/scripts")),
    ("usr/lib/hive/shutdown", 0o755, include_str!("../guest/minimal/shutdown")),
];

/// Folders of the guest; a folder comes after the one it is in.
const GUEST_FOLDERS: &[&str] = &[
    "bin",
    "dev",
    "disk",
    "etc",
    "etc/acpi",
    "etc/acpi/PWRF",
    "home",
    "lib",
    "lib/modules",
    "mnt",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/lib/hive",
    "usr/sbin",
    "var",
];

/// `/dev/console`, which the kernel opens for init before anything is mounted.
const CONSOLE_DEVICE: (u32, u32) = (5, 1);

pub(crate) fn build(context: &Context<'_>, progress: &mut dyn FnMut(&str)) -> Result<Described, BuildError> {
    let archive = packages::Archive::new(context.options);
    let kernel_name = archive.behind(KERNEL_META_PACKAGE, progress)?;
    progress(&format!("unpacking {kernel_name} and busybox"));
    let kernel = archive.unpack(&kernel_name, context.work, progress)?;
    let busybox = archive.unpack("busybox-static", context.work, progress)?;
    // linux-image-VERSION holds vmlinuz-VERSION and lib/modules/VERSION.
    let version = kernel_name.trim_start_matches("linux-image-");

    let vmlinuz = kernel.folder.join(format!("boot/vmlinuz-{version}"));
    fs::copy(&vmlinuz, context.staging.join(KERNEL_FILE)).map_err(io_error("copying the kernel", &vmlinuz))?;

    progress("writing the initramfs");
    let modules =
        ModuleTree::scan(&kernel.folder.join(format!("lib/modules/{version}/kernel")))?.load_order(DRIVERS)?;
    write_initramfs(&context.staging.join(INITRD_FILE), &busybox.folder.join("bin/busybox"), &modules)?;

    progress("making the root disk");
    let path = context.staging.join(DISK_FILE);
    let empty = context.work.join("root");
    fs::create_dir(&empty).map_err(io_error("making an empty folder", &empty))?;
    disk::create_sparse(&path, DISK_SIZE_BYTES)?;
    disk::make_ext4(&path, Extent { offset_bytes: 0, size_bytes: DISK_SIZE_BYTES }, DISK_LABEL, DISK_UUID, &empty)?;

    let mut packages = vec![busybox.package, kernel.package];
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Described {
        description: "Debian's cloud kernel with a static busybox: boots fast, runs user-data scripts",
        cmdline: CMDLINE.to_owned(),
        packages,
    })
}

/// The initramfs is not compressed: a guest copies it faster than it unpacks it.
fn write_initramfs(path: &Path, busybox: &Path, modules: &[impl AsRef<Path>]) -> Result<(), BuildError> {
    let applets = command::run("listing busybox's applets", Command::new(busybox).arg("--list-full"))?;
    let busybox_content = fs::read(busybox).map_err(io_error("reading", busybox))?;
    let mut files = Vec::new();
    let mut load_order = String::new();
    for module in modules.iter().map(AsRef::as_ref) {
        let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((
            format!("lib/modules/{name}"),
            fs::read(module).map_err(io_error("reading kernel module", module))?,
        ));
        load_order += &name;
        load_order.push('\n');
    }

    let write = || -> io::Result<()> {
        let mut archive = Archive::new(BufWriter::new(File::create(path)?));
        for folder in GUEST_FOLDERS {
            archive.folder(folder)?;
        }
        archive.character_device("dev/console", CONSOLE_DEVICE)?;
        archive.file("bin/busybox", 0o755, &busybox_content)?;
        // `linuxrc` of the list lies at the root, where nothing looks for it.
        for applet in applets.lines().filter(|path| path.contains('/') && *path != "bin/busybox") {
            archive.symlink(applet, "/bin/busybox")?;
        }
        for (path, mode, content) in GUEST_FILES {
            archive.file(path, *mode, content.as_bytes())?;
        }
        for (path, content) in &files {
            archive.file(path, 0o644, content)?;
        }
        archive.file("lib/modules/load-order", 0o644, load_order.as_bytes())?;
        archive.finish().map(drop)
    };
    write().map_err(io_error("writing the initramfs", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_file_has_its_folder() {
        let paths = GUEST_FILES.iter().map(|(path, _, _)| *path).chain(GUEST_FOLDERS.iter().copied());
        for path in paths.filter(|path| path.contains('/')) {
            let (folder, _) = path.rsplit_once('/').expect("has a slash");
            assert!(GUEST_FOLDERS.contains(&folder), "{folder} of {path}");
        }
        let mut sorted = GUEST_FOLDERS.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, GUEST_FOLDERS);
    }
}
