//! `debian-12`: a cloud image such as Debian's own, made of packages.
//!
//! The disk has a GPT with an EFI system partition (shim and GRUB, signed by Debian) and an ext4 root; kernel, initrd and
//! command line are recorded beside it for a direct boot.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::disk::{self, Extent};
use crate::error::{BuildError, io_error};
use crate::{Context, DISK_FILE, Described, INITRD_FILE, KERNEL_FILE, Package, command, packages};

/// What the guest has beside Debian's essential packages. Recommended packages stay out.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "cloud-guest-utils",
    "cloud-init",
    "curl",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "grub-efi-amd64",
    "grub-efi-amd64-signed",
    "ifupdown",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "isc-dhcp-client",
    "kmod",
    "less",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "nano",
    "netbase",
    "openssh-server",
    "procps",
    "shim-signed",
    "sudo",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "zstd",
];

/// Runs before the kernel is installed: an initramfs with the drivers of our guests only. With Debian's choice, "most", it is
/// three times as large, which every boot pays for.
const INITRAMFS_HOOK: &str = r#"mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d" &&
echo MODULES=list >"$1/etc/initramfs-tools/conf.d/hive" &&
printf '%s\n' virtio_pci virtio_blk virtio_net >"$1/usr/share/initramfs-tools/modules.d/hive""#;

const DISK_SIZE_BYTES: u64 = 2 << 30;
const ESP: Extent = Extent { offset_bytes: 1 << 20, size_bytes: 63 << 20 };
/// The last partition, so that cloud-init can grow it; the backup GPT lies in the last MiB.
const ROOT: Extent = Extent { offset_bytes: 64 << 20, size_bytes: DISK_SIZE_BYTES - (65 << 20) };
const SECTOR_BYTES: u64 = 512;

/// Identities of the disk. Fixed: they name the image's own parts, and an instance has one such disk.
const DISK_GUID: &str = "68697665-6465-4269-8000-000000000001";
const ESP_PARTUUID: &str = "68697665-6465-4269-8000-000000000002";
const ROOT_PARTUUID: &str = "68697665-6465-4269-8000-000000000003";
const ROOT_UUID: &str = "68697665-6465-4269-8000-000000000004";
/// Serial number of the FAT, eight hexadecimal digits.
const ESP_VOLUME_ID: &str = "48495645";

/// Files of ours in the guest: path, content with the placeholders of [`fill_in`].
const GUEST_FILES: &[(&str, &str)] = &[
    ("boot/grub/grub.cfg", include_str!("../guest/debian/grub.cfg")),
    ("etc/cloud/cloud.cfg.d/90_hive.cfg", include_str!("../guest/debian/cloud.cfg")),
    ("etc/default/grub.d/hive.cfg", include_str!("../guest/debian/grub-defaults")),
    ("etc/fstab", include_str!("../guest/debian/fstab")),
    ("etc/hostname", "localhost\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    // Empty: systemd makes one on the first boot of each instance.
    ("etc/machine-id", ""),
];

/// GRUB's first configuration; Debian's signed GRUB looks for it in `EFI/debian` of the partition it was loaded from.
const ESP_GRUB_CONFIG: &str = include_str!("../guest/debian/esp-grub.cfg");

/// Loaders on the EFI system partition: from the root, to the partition. `EFI/BOOT` is what firmware starts when it knows of no
/// boot entry; shim starts the GRUB beside itself.
const LOADERS: &[(&str, &str)] = &[
    ("usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"),
    ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"),
    ("usr/lib/shim/shimx64.efi.signed", "EFI/debian/shimx64.efi"),
    ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/debian/grubx64.efi"),
];

pub(crate) fn build(context: &Context<'_>, progress: &mut dyn FnMut(&str)) -> Result<Described, BuildError> {
    // Whoever makes a folder owns it: the work folder tells who runs this, without asking the kernel by an unsafe call.
    let owner = fs::metadata(context.work).map_err(io_error("looking at", context.work))?.uid();
    if owner != 0 {
        return Err(BuildError::NeedsRoot);
    }
    let root = context.work.join("root");
    unpack_root(context, &root, progress)?;

    let version = kernel_version(&root)?;
    let cmdline = format!("root=PARTUUID={ROOT_PARTUUID} ro console=tty0 console=ttyS0");
    for (from, to) in
        [(format!("boot/vmlinuz-{version}"), KERNEL_FILE), (format!("boot/initrd.img-{version}"), INITRD_FILE)]
    {
        let from = root.join(from);
        fs::copy(&from, context.staging.join(to)).map_err(io_error("copying", &from))?;
    }
    let packages = installed_packages(&root)?;
    customise(&root, &version, &cmdline)?;

    progress("making the disk: partitions and loaders");
    let disk = context.staging.join(DISK_FILE);
    disk::create_sparse(&disk, DISK_SIZE_BYTES)?;
    make_partitions(&disk)?;
    make_esp(context.work, &root, &disk)?;
    progress("making the disk: root file system");
    disk::make_ext4(&disk, ROOT, "root", ROOT_UUID, &root)?;

    Ok(Described {
        description: "Debian 12 (bookworm) with cloud-init and OpenSSH, for UEFI or direct boot",
        cmdline,
        packages,
    })
}

/// Fills `root` from the cached archive, which mmdebstrap makes first if need be.
fn unpack_root(context: &Context<'_>, root: &Path, progress: &mut dyn FnMut(&str)) -> Result<(), BuildError> {
    let sources = packages::sources(context.options);
    // A new list of packages is a new archive.
    let mut recipe = Sha256::new();
    for part in PACKAGES.iter().copied().chain(sources.iter().map(String::as_str)).chain([INITRAMFS_HOOK]) {
        recipe.update(part);
        recipe.update("\n");
    }
    let name = format!("debian-12-root-{}.tar.zst", &hex::encode(recipe.finalize())[..16]);
    let archive = context.options.cache_dir.join(&name);
    if !archive.exists() {
        progress("installing Debian's packages (a minute or two)");
        let partial = context.options.cache_dir.join(format!("partial-{name}"));
        command::run(
            "installing Debian's packages",
            Command::new("mmdebstrap")
                .args(["--quiet", "--variant=minbase", "--architectures=amd64", "--format=tar"])
                .arg(format!("--include={}", PACKAGES.join(",")))
                .arg(format!("--essential-hook={INITRAMFS_HOOK}"))
                .arg("--aptopt=APT::Install-Recommends \"false\"")
                .arg(packages::SUITE)
                .arg(&partial)
                .args(&sources),
        )?;
        fs::rename(&partial, &archive).map_err(io_error("keeping the archive", &archive))?;
    }
    progress("unpacking the root file system");
    fs::create_dir(root).map_err(io_error("making a folder", root))?;
    // Devices are left out: the guest's /dev is the kernel's own.
    command::run(
        "unpacking the root file system",
        Command::new("tar")
            .args(["--zstd", "--numeric-owner", "--same-owner", "-p", "--xattrs", "--xattrs-include=*"])
            .args(["--exclude=./dev/*", "-xf"])
            .arg(&archive)
            .arg("-C")
            .arg(root),
    )?;
    Ok(())
}

/// The version of the kernel below `root`, from the name of its file.
fn kernel_version(root: &Path) -> Result<String, BuildError> {
    let boot = root.join("boot");
    let entries = fs::read_dir(&boot).map_err(io_error("looking for the kernel in", &boot))?;
    let mut versions: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()))
        .collect();
    versions.sort();
    versions.pop().ok_or_else(|| BuildError::MissingFromPackage { path: boot.join("vmlinuz-*") })
}

/// What dpkg says is installed below `root`, sorted by name.
fn installed_packages(root: &Path) -> Result<Vec<Package>, BuildError> {
    let path = root.join("var/lib/dpkg/status");
    let status = fs::read_to_string(&path).map_err(io_error("reading", &path))?;
    let mut packages: Vec<Package> = status
        .split("\n\n")
        .filter_map(|paragraph| {
            let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            Some(Package { name: field("Package")?.to_owned(), version: field("Version")?.to_owned() })
        })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn fill_in(template: &str, version: &str, cmdline: &str) -> String {
    template
        .replace("@CMDLINE@", cmdline)
        .replace("@ESP_PARTUUID@", ESP_PARTUUID)
        .replace("@KERNEL_VERSION@", version)
        .replace("@ROOT_PARTUUID@", ROOT_PARTUUID)
        .replace("@ROOT_UUID@", ROOT_UUID)
}

/// Makes the bootstrapped system a cloud image: our configuration in, identities of this build out.
fn customise(root: &Path, version: &str, cmdline: &str) -> Result<(), BuildError> {
    for (path, template) in GUEST_FILES {
        let path = root.join(path);
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder).map_err(io_error("making a folder", folder))?;
        fs::write(&path, fill_in(template, version, cmdline)).map_err(io_error("writing", &path))?;
    }
    let esp_mount = root.join("boot/efi");
    fs::create_dir_all(&esp_mount).map_err(io_error("making a folder", &esp_mount))?;
    // Every instance gets host keys of its own from cloud-init.
    let ssh = root.join("etc/ssh");
    for entry in fs::read_dir(&ssh).map_err(io_error("looking for host keys in", &ssh))? {
        let path = entry.map_err(io_error("looking for host keys in", &ssh))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ssh_host_")) {
            fs::remove_file(&path).map_err(io_error("removing", &path))?;
        }
    }
    let dbus_id = root.join("var/lib/dbus/machine-id");
    match fs::remove_file(&dbus_id) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", &dbus_id)(error)),
        _ => Ok(()),
    }
}

fn make_partitions(disk: &Path) -> Result<(), BuildError> {
    let sectors = |extent: Extent| {
        let first = extent.offset_bytes / SECTOR_BYTES;
        (first, first + extent.size_bytes / SECTOR_BYTES - 1)
    };
    let ((esp_first, esp_last), (root_first, root_last)) = (sectors(ESP), sectors(ROOT));
    command::run(
        "writing the partition table",
        Command::new("sgdisk")
            .args(["--disk-guid", DISK_GUID])
            .arg(format!("--new=1:{esp_first}:{esp_last}"))
            .args(["--typecode=1:ef00", "--change-name=1:esp"])
            .arg(format!("--partition-guid=1:{ESP_PARTUUID}"))
            .arg(format!("--new=2:{root_first}:{root_last}"))
            .args(["--typecode=2:8304", "--change-name=2:root"])
            .arg(format!("--partition-guid=2:{ROOT_PARTUUID}"))
            .arg(disk),
    )?;
    Ok(())
}

fn make_esp(work: &Path, root: &Path, disk: &Path) -> Result<(), BuildError> {
    let step = "filling the EFI system partition";
    command::run(
        step,
        Command::new("mkfs.vfat")
            .args(["--invariant", "-F", "32", "-s", "1", "-n", "ESP", "-i", ESP_VOLUME_ID, "--offset"])
            .arg((ESP.offset_bytes / SECTOR_BYTES).to_string())
            .arg(disk)
            .arg((ESP.size_bytes / 1024).to_string()),
    )?;
    let config = work.join("esp-grub.cfg");
    fs::write(&config, fill_in(ESP_GRUB_CONFIG, "", "")).map_err(io_error("writing", &config))?;

    let image = format!("{}@@{}", disk.display(), ESP.offset_bytes);
    command::run(step, Command::new("mmd").args(["-i", &image, "::EFI", "::EFI/BOOT", "::EFI/debian"]))?;
    let loaders = LOADERS.iter().map(|(from, to)| (root.join(from), *to));
    for (from, to) in loaders.chain([(config, "EFI/debian/grub.cfg")]) {
        if !from.exists() {
            return Err(BuildError::MissingFromPackage { path: from });
        }
        command::run(step, Command::new("mcopy").args(["-i", &image]).arg(&from).arg(format!("::{to}")))?;
    }
    Ok(())
}
