//! The unmodified aws-cli against the server.

use crate::client::{REGION, TestServer};
use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

struct Aws<'t> {
    server: &'t TestServer,
    directory: &'t Path,
}

impl Aws<'_> {
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new("aws");
        command
            .args(["--endpoint-url", &format!("http://{}", self.server.address)])
            .args(arguments)
            .current_dir(self.directory)
            .env("AWS_ACCESS_KEY_ID", "AKIA1")
            .env("AWS_SECRET_ACCESS_KEY", "secret1")
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_CONFIG_FILE", self.directory.join("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .kill_on_drop(true);
        command.output().await.unwrap()
    }

    /// Runs, expects success, returns what was printed.
    async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn write(&self, name: &str, size: usize) {
        let body: Vec<u8> = (0..size).map(|index| (index ^ index >> 9) as u8).collect();
        let path = self.directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }

    fn assert_same(&self, one: &str, other: &str) {
        let read = |name: &str| std::fs::read(self.directory.join(name)).unwrap();
        assert!(read(one) == read(other), "{one} differs from {other}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_commands() {
    let version = Command::new("aws").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(version.is_ok(), "there is no aws on PATH: run packaging/install-deps");
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let aws = Aws { server: &server, directory: directory.path() };
    // Version 1 of the aws-cli presigns by the old signature version 2 unless told otherwise.
    std::fs::write(directory.path().join("config"), "[default]\ns3 =\n  signature_version = s3v4\n").unwrap();
    aws.ok(&["s3", "mb", "s3://first"]).await;
    // Large enough for the client to upload, copy and download it in parts.
    aws.write("tree/large", 20 << 20);
    aws.write("tree/empty", 0);
    aws.write("tree/deep/one byte", 1);
    aws.ok(&["s3", "sync", "tree", "s3://first/tree"]).await;
    let listed = aws.ok(&["s3", "ls", "--recursive", "s3://first"]).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(aws.ok(&["s3", "ls", "s3://first/tree/"]).await.contains("PRE deep/"));
    aws.ok(&["s3", "mv", "s3://first/tree/large", "s3://first/moved"]).await;
    aws.ok(&["s3", "cp", "s3://first/moved", "back"]).await;
    aws.assert_same("tree/large", "back");
    aws.ok(&["s3", "sync", "s3://first/tree", "synced"]).await;
    aws.assert_same("tree/deep/one byte", "synced/deep/one byte");
    aws.assert_same("tree/empty", "synced/empty");

    let url = aws.ok(&["s3", "presign", "s3://first/tree/deep/one byte"]).await;
    let target = url.trim().split_once(&server.address.to_string()).unwrap().1.to_owned();
    let client = server.client(1);
    assert_eq!(client.send_raw(client.parts("GET", &target, &[]), "".into()).await.body, &[0][..]);

    let refused = aws.run(&["s3", "rb", "s3://first"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("BucketNotEmpty"));
    let missing = aws.run(&["s3", "cp", "s3://first/none", "x"]).await;
    assert!(String::from_utf8_lossy(&missing.stderr).contains("404"));
    aws.ok(&["s3", "rm", "--recursive", "s3://first"]).await;
    aws.ok(&["s3", "rb", "s3://first"]).await;
    server.settle(0).await;
}
