//! Link arguments of the firmware's ELF: its own entry, layout and nothing of the host's runtime.

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    if std::env::var_os("CARGO_FEATURE_ELF").is_none() {
        return;
    }
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let script = format!("-Wl,-T,{folder}/link.ld");
    for argument in
        ["-nostartfiles", "-nostdlib", "-static", "-no-pie", &script, "-Wl,--build-id=none", "-Wl,--strip-all"]
    {
        println!("cargo:rustc-link-arg-bin=hive-firmware={argument}");
    }
}
