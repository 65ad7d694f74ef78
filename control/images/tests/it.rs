//! Builds `hive-minimal` from Debian's packages, looks into what came out, and boots it under QEMU's software emulation.
//!
//! Needs the Debian packages of `HOST_PACKAGES`, `qemu-system-x86`, and a Debian mirror the first time: the packages stay in cargo's
//! target folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hive_images::{BuildError, BuildOptions, ImageManifest, Recipe, build};

/// A program that dies with the test.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots the image in `folder` with `extra` on the command line and gives each console line to `line`, until the guest powers off.
fn boot(folder: &Path, manifest: &ImageManifest, extra: &str, mut line: impl FnMut(&str, &Path)) -> String {
    let monitor = folder.join("monitor");
    let disk = format!("if=none,id=root,format=raw,file={}", manifest.disk.path(folder).display());
    let mut machine = Machine(
        // `timeout` ends a guest that hangs; the test then fails on what is missing from the console.
        Command::new("timeout")
            .args(["300", "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256"])
            .args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"])
            .arg("-monitor")
            .arg(format!("unix:{},server,nowait", monitor.display()))
            .arg("-kernel")
            .arg(manifest.kernel.path(folder))
            .arg("-initrd")
            .arg(manifest.initrd.path(folder))
            .args(["-append", &format!("{} {extra}", manifest.cmdline)])
            .args(["-drive", &disk, "-device", "virtio-blk-pci,drive=root"])
            .args(["-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile="])
            .args(["-device", "virtio-rng-pci"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("timeout and qemu-system-x86_64 are installed"),
    );
    let console = machine.0.stdout.take().expect("piped");
    let mut seen = String::new();
    for text in BufReader::new(console).split(b'\n') {
        let text = String::from_utf8_lossy(&text.expect("console")).trim_end().to_owned();
        line(&text, &monitor);
        seen += &text;
        seen.push('\n');
    }
    let status = machine.0.wait().expect("QEMU");
    assert!(status.success(), "{status}; the console said:\n{seen}");
    seen
}

/// Entries of a newc archive: name to mode and content.
fn read_cpio(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut entries = BTreeMap::new();
    let mut at = 0;
    loop {
        let header = std::str::from_utf8(&archive[at..at + 110]).expect("header");
        assert!(header.starts_with("070701"));
        let field = |n: usize| usize::from_str_radix(&header[6 + 8 * n..14 + 8 * n], 16).expect("hexadecimal");
        let (mode, size, name_size) = (field(1), field(6), field(11));
        let name = String::from_utf8(archive[at + 110..at + 110 + name_size - 1].to_vec()).expect("name");
        let content = (at + 110 + name_size).next_multiple_of(4);
        if name == "TRAILER!!!" {
            return entries;
        }
        let mode = u32::try_from(mode).expect("mode");
        let earlier = entries.insert(name.clone(), (mode, archive[content..content + size].to_vec()));
        assert!(earlier.is_none(), "{name} is there twice");
        at = (content + size).next_multiple_of(4);
    }
}

#[test]
fn hive_minimal_is_built_and_boots() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hive-images-cache");
    let options = BuildOptions::new(&cache);
    let out = tempfile::tempdir().expect("tempdir");
    let folder = out.path();
    let mut steps = Vec::new();
    let built = build(Recipe::HiveMinimal, &options, folder, &mut |step| steps.push(step.to_owned())).expect("build");
    assert!(!steps.is_empty());

    // The manifest tells the truth, and nothing else is left behind.
    let manifest = ImageManifest::load(folder).expect("load");
    assert_eq!(manifest, built);
    manifest.verify(folder).expect("verify");
    assert_eq!(manifest.name, "hive-minimal");
    assert!(manifest.packages.iter().any(|package| package.name.starts_with("linux-image-6.")));
    let mut files: Vec<_> = fs::read_dir(folder).expect("list").map(|file| file.expect("list").file_name()).collect();
    files.sort();
    assert_eq!(files, ["disk.raw", "image.json", "initrd", "vmlinuz"]);

    // The initramfs.
    let archive = read_cpio(&fs::read(manifest.initrd.path(folder)).expect("read"));
    assert_eq!(archive["init"].0, 0o100_755);
    assert_eq!(archive["dev/console"].0, 0o020_600);
    assert_eq!(archive["bin/sh"].1, b"/bin/busybox");
    let order = String::from_utf8(archive["lib/modules/load-order"].1.clone()).expect("text");
    let position =
        |name: &str| order.lines().position(|line| line == name).unwrap_or_else(|| panic!("{name} in {order}"));
    assert!(position("virtio_ring.ko") < position("virtio_pci.ko"));
    assert!(position("failover.ko") < position("net_failover.ko"));
    assert!(position("net_failover.ko") < position("virtio_net.ko"));
    for module in order.lines() {
        assert!(archive[&format!("lib/modules/{module}")].1.starts_with(b"\x7fELF"), "{module}");
    }

    // The root disk.
    let check = |when| {
        let output = Command::new("e2fsck").arg("-fn").arg(manifest.disk.path(folder)).output().expect("e2fsck");
        assert!(output.status.success(), "{when}: {}", String::from_utf8_lossy(&output.stdout));
    };
    check("new");

    // Built again from the cache, it is the same, byte for byte.
    let again = tempfile::tempdir().expect("tempdir");
    assert_eq!(build(Recipe::HiveMinimal, &options, again.path(), &mut |_| {}).expect("build"), built);

    // The benchmark's boot ends at once.
    let console = boot(folder, &manifest, "hive.bench", |_, _| {});
    assert!(console.contains("hive-bench: init"), "{console}");
    assert!(!console.contains("hive-minimal:"), "{console}");

    // A boot without a metadata service says so, and the power button ends it cleanly.
    // QEMU drops commands of a connection that closes, so this one stays.
    let mut connection = None;
    let console = boot(folder, &manifest, "", |line, monitor| {
        if line == "hive-minimal: ready" {
            let mut monitor = UnixStream::connect(monitor).expect("QEMU's monitor");
            monitor.write_all(b"system_powerdown\n").expect("QEMU's monitor");
            connection = Some(monitor);
        }
    });
    assert!(connection.is_some(), "never ready:\n{console}");
    for expected in ["init at ", "dhcp eth0 10.0.2.15/24", "no metadata: ", "boot-time ", "ready", "shutting down"] {
        assert!(console.contains(&format!("hive-minimal: {expected}")), "{expected:?} is missing from:\n{console}");
    }
    assert!(!console.contains("no root disk") && !console.contains("no module"), "{console}");
    check("after a boot");
}

#[test]
fn an_unknown_recipe_and_an_unusable_folder_are_named() {
    assert!(matches!("debian-11".parse::<Recipe>(), Err(BuildError::UnknownRecipe { name }) if name == "debian-11"));
    let folder = tempfile::tempdir().expect("tempdir");
    let file = folder.path().join("file");
    File::create(&file).expect("create");
    let error = build(Recipe::HiveMinimal, &BuildOptions::new(&file), folder.path(), &mut |_| {}).expect_err("a file");
    assert!(error.to_string().contains("package cache"), "{error}");
}
