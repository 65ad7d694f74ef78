use super::*;
use serde_json::{Value, json};

fn example() -> Value {
    json!({
        "vm_id": "i-1", "vcpus": 2, "memory_size_bytes": 256 << 20,
        "boot": {"kernel": "/boot/vmlinuz"},
        "disks": [{"id": "vol-1", "socket": "/run/vol-1.sock"}],
        "nets": [{"id": "eni-1", "socket": "/run/eni-1.sock", "mac": "02:00:00:aa:bb:cc"}],
        "smbios": {
            "uuid": "ec2f0000-0000-4000-8000-000000000001", "vendor": "Amazon EC2", "product": "t3.micro",
            "version": "", "serial": "1", "asset_tag": "i-1"
        },
        "console": {"log": "/run/console.log", "socket": "/run/console.sock"},
        "api_socket": "/run/api.sock", "exit_report": "/run/exit.json"
    })
}

fn check_value(value: Value) -> std::result::Result<(), String> {
    let config: VmConfig = serde_json::from_value(value).map_err(|e| e.to_string())?;
    check(&config).map_err(|e| e.to_string())
}

#[test]
fn the_example_passes() {
    assert_eq!(check_value(example()), Ok(()));
}

#[test]
fn what_cannot_be_built_is_refused_by_name() {
    let cases = [
        ("/vcpus", json!(0), "vcpus"),
        ("/vcpus", json!(17), "vcpus"),
        ("/memory_size_bytes", json!((256 << 20) + 4096), "memory_size_bytes"),
        ("/memory_size_bytes", json!(u64::MAX), "memory_size_bytes"),
        ("/boot/kernel", json!("vmlinuz"), "boot.kernel"),
        ("/boot/cmdline", json!("x".repeat(2048)), "boot.cmdline"),
        ("/disks/0/queues", json!(0), "vol-1"),
        ("/disks/0/queue_size", json!(100), "queue_size"),
        ("/disks/0/socket", json!(format!("/{}", "x".repeat(200))), "disk socket"),
        ("/nets/0/id", json!("vol-1"), "twice"),
        ("/nets/0/mac", json!("03:00:00:aa:bb:cc"), "MAC"),
        ("/nets/0/mtu", json!(1), "mtu"),
        ("/smbios/uuid", json!("ec2"), "uuid"),
        ("/smbios/serial", json!("a\u{0}b"), "smbios"),
        ("/console/log_size_bytes", json!(1), "log_size_bytes"),
        ("/surprise", json!(1), "surprise"),
    ];
    for (pointer, value, expected) in cases {
        let mut config = example();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value;
        let message = check_value(config).unwrap_err();
        assert!(message.contains(expected), "{pointer}: {message}");
    }
}

#[test]
fn too_many_devices_are_refused() {
    let mut config = example();
    let disks: Vec<_> = (0..25).map(|n| json!({"id": format!("vol-{n}"), "socket": "/s"})).collect();
    config["disks"] = json!(disks);
    assert!(check_value(config).unwrap_err().contains("24 disks"));
}

#[test]
fn macs_are_six_hex_bytes() {
    assert_eq!(parse_mac("02:00:00:aa:BB:0c"), Some([2, 0, 0, 0xaa, 0xbb, 0x0c]));
    for bad in ["", "02:00:00:aa:bb", "02:00:00:aa:bb:cc:dd", "2:0:0:a:b:c", "02:00:00:aa:bb:+c"] {
        assert_eq!(parse_mac(bad), None, "{bad}");
    }
}
