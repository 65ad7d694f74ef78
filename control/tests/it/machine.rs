//! Machines without guests: a hive-vmm that answers its socket and ends when its button is pressed, and a netd that agrees.

use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

/// Writes `on` and `off` to the story as the machine starts and ends.
const VMM: &str = r#"#!/usr/bin/env python3
import json, os, socket, sys
config = json.load(open(sys.argv[2]))
def tell(line):
    with open("STORY", "a") as story:
        story.write(line + "\n")
server = socket.socket(socket.AF_UNIX)
server.bind(config["api_socket"])
server.listen()
tell("on")
while True:
    stream, _ = server.accept()
    with stream, stream.makefile("rw") as lines:
        method = json.loads(lines.readline())["method"]
        ends = method in ("power-button", "stop")
        about = {"vm_id": config["vm_id"], "version": "0", "pid": os.getpid(), "state": "running", "vcpus": 1,
                 "memory_size_bytes": 1, "resets": 0, "devices": []}
        lines.write(json.dumps("done" if ends else {"describe": about}) + "\n")
        lines.flush()
    if ends:
        tell("off")
        report = {"vm_id": config["vm_id"], "reason": "guest-power-off", "message": "powered off"}
        with open(config["exit_report"], "w") as file:
            json.dump(report, file)
        sys.exit(0)
"#;

pub fn install_vmm(path: &Path, story: &Path) {
    std::fs::write(path, VMM.replace("STORY", &story.display().to_string())).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// Requests as they came.
pub type Requests = Arc<Mutex<Vec<Value>>>;

pub fn start_netd(socket: &Path) -> Requests {
    let listener = UnixListener::bind(socket).expect("bind");
    let requests = Requests::default();
    let kept = requests.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.expect("a request");
            let request: Value = serde_json::from_str(&line).expect("JSON");
            let reply = match request["method"].as_str() {
                Some("put-port") => json!({"port": {"socket": "/port"}}),
                Some("list-segments") => json!({"segments": []}),
                _ => json!("done"),
            };
            kept.lock().expect("requests").push(request);
            let _ = stream.write_all(format!("{reply}\n").as_bytes()).await;
        }
    });
    requests
}
