//! `kill -9` of the real binary while it takes PUTs, and what the next start finds.

use crate::client::{Client, REGION, key_of};
use http::StatusCode;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

struct Daemon {
    process: Child,
    client: Client,
}

impl Daemon {
    fn start(home: &Path) -> Self {
        let config = home.join("objectd.toml");
        let text = format!(
            "data_dir = {:?}\nlisten = '127.0.0.1:0'\nregion = '{REGION}'\n[limits]\nreserve_mib = 0\n\
             [[credentials]]\naccess_key_id = 'AKIA1'\nsecret_access_key = 'secret1'\naccount_id = '000000000001'\n",
            home.join("data")
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_objectd"))
            .arg("--config")
            .arg(&config)
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address: SocketAddr =
            lines.find_map(|line| Some(line.split_once("address=")?.1.trim().parse().unwrap())).unwrap();
        // Somebody must read on, or the daemon would block on its log.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, client: Client { address, credential: key_of(1).into() } }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Inline, one buffer, several buffers.
const SIZES: [usize; 3] = [100, 50_000, 700_000];

fn content(writer: usize, version: u32) -> Vec<u8> {
    let size = SIZES[(writer + version as usize) % SIZES.len()];
    let mut body = format!("{writer}/{version}/").into_bytes();
    body.resize(size, version as u8);
    body
}

/// Writes ever newer versions of a few keys; returns per key the last acknowledged version and the last one tried.
async fn write_until_killed(client: Client, writer: usize) -> BTreeMap<String, (Option<u32>, u32)> {
    let mut keys: BTreeMap<String, (Option<u32>, u32)> = BTreeMap::new();
    for version in 0.. {
        let key = format!("/bucket/{writer}-{}", version % 5);
        let entry = keys.entry(key.clone()).or_insert((None, version));
        entry.1 = version;
        let put = tokio::spawn({
            let client = client.clone();
            async move { client.put(&key, content(writer, version)).await.status }
        });
        // The connection breaks when the daemon dies: the request panics in its task.
        match put.await {
            Ok(StatusCode::OK) => entry.0 = Some(version),
            _ => return keys,
        }
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_kill() {
    let home = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(home.path());
    daemon.client.put("/bucket", "").await.expect(StatusCode::OK);
    for round in 0..4 {
        let writers: Vec<_> =
            (0..4).map(|writer| tokio::spawn(write_until_killed(daemon.client.clone(), round * 4 + writer))).collect();
        tokio::time::sleep(Duration::from_millis(400)).await;
        drop(daemon);
        daemon = Daemon::start(home.path());
        let mut acknowledged = 0;
        for (writer, outcome) in writers.into_iter().enumerate() {
            let writer = round * 4 + writer;
            for (key, (acked, tried)) in outcome.await.unwrap() {
                let got = daemon.client.get(&key).await;
                if acked.is_none() && got.status == StatusCode::NOT_FOUND {
                    continue;
                }
                acknowledged += usize::from(acked.is_some());
                let body = got.expect(StatusCode::OK).body;
                let possible = [acked, Some(tried)].into_iter().flatten();
                assert!(possible.into_iter().any(|version| body == content(writer, version)), "{key}");
            }
        }
        assert!(acknowledged > 0, "the round was too short to prove anything");
    }
    // Every blob left is one of an object: nothing of the torn uploads remains.
    let mut blobs = 0;
    for key in daemon.client.get("/bucket?list-type=2").await.expect(StatusCode::OK).elements("Size") {
        blobs += usize::from(key.parse::<usize>().unwrap() > 16 * 1024);
    }
    let found = Command::new("find").arg(home.path().join("data/blobs")).args(["-type", "f"]).output().unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap().lines().count(), blobs);
}
