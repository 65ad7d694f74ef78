//! The daemons' configuration files, expanded from a profile.

use super::daemon::{DATABASE_SOCKET, worker_name};
use crate::credentials::Credential;
use crate::profile::Profile;
use crate::root::Root;
use crate::tls::write_private;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Largest message on the bus; NATS's own default. A block of a snapshot (512 KiB, in base64 683 KiB) and its envelope fit.
const BUS_MAX_PAYLOAD_BYTES: u32 = 1 << 20;

/// Writes the files anew and returns their names: they follow the profile, which is kept beside them and is what to edit.
pub(super) fn write_all(
    root: &Root,
    profile: &Profile,
    credential: &Credential,
    programs: &Path,
) -> Result<Vec<PathBuf>> {
    let kept = toml::to_string(profile).context("cannot write the profile as TOML")?;
    let all = files(root, profile, credential, programs).into_iter().chain([("profile.toml".to_owned(), kept)]);
    all.map(|(file, text)| {
        let path = root.config(&file);
        write_private(&path, &text)?;
        Ok(path)
    })
    .collect()
}

fn files(root: &Root, profile: &Profile, credential: &Credential, programs: &Path) -> Vec<(String, String)> {
    let mut files = vec![
        ("nats.conf".into(), nats(root, profile)),
        ("blockd.toml".into(), blockd(root).to_string()),
        ("netd.env".into(), netd_env(profile)),
        ("objectd.toml".into(), objectd(root, profile, credential).to_string()),
        ("awsd.toml".into(), awsd(root, profile).to_string()),
    ];
    files.extend((1..=profile.compute.workers).map(|number| {
        (format!("{}.toml", worker_name(number)), hived(root, profile, programs, number == 1).to_string())
    }));
    files
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn path(path: impl AsRef<Path>) -> Value {
    Value::String(path.as_ref().display().to_string())
}

fn text(text: &impl ToString) -> Value {
    Value::String(text.to_string())
}

fn nats_url(profile: &Profile) -> Value {
    text(&format!("nats://{}", super::local_address(profile.bus.listen)))
}

fn nats(root: &Root, profile: &Profile) -> String {
    format!(
        "# Made by hive from config/profile.toml.\nserver_name: \"{}\"\nlisten: \"{}\"\nmax_payload: {BUS_MAX_PAYLOAD_BYTES}\n\
         jetstream {{ store_dir: \"{}\" }}\n",
        profile.node_id,
        profile.bus.listen,
        root.state("nats").display()
    )
}

/// The first hived runs this node's instances; further ones only answer API calls.
fn hived(root: &Root, profile: &Profile, programs: &Path, runs_node: bool) -> Table {
    let mut config = table([
        ("nats_url", nats_url(profile)),
        ("region", text(&profile.region)),
        ("zone", text(&profile.zone)),
        ("account", text(&profile.account)),
        ("credentials_file", path(root.config("credentials.toml"))),
        ("public_address_pools", Value::Array(profile.public_address_pools.iter().map(text).collect())),
        ("ipv6_pools", Value::Array(profile.ipv6_pools.iter().map(text).collect())),
    ]);
    if runs_node {
        let mut node = table([
            ("node_id", text(&profile.node_id)),
            ("state_dir", path(root.state("hived"))),
            ("run_dir", path(root.machines())),
            ("vmm", path(programs.join("hive-vmm"))),
            ("blockd_socket", path(root.run("blockd.sock"))),
            ("netd_socket", path(root.run("netd.sock"))),
            ("ovsdb_socket", path(root.run(DATABASE_SOCKET))),
            ("switch_run_dir", path(root.switch_run_dir())),
            ("objects_url", text(&format!("http://{}", super::local_address(profile.objects.listen)))),
            ("memory_mib", Value::Integer(i64::try_from(profile.compute.memory_mib).unwrap_or(i64::MAX))),
        ]);
        if let Some(uplink) = &profile.uplink {
            node.insert("uplink".into(), Value::Table(uplink.clone()));
        }
        if let Some(address) = profile.tunnel_address {
            node.insert("tunnel_address".into(), text(&address));
            node.insert("tunnel_encryption".into(), Value::Boolean(profile.tunnel_encryption));
        }
        config.insert("node".into(), Value::Table(node));
    }
    config
}

fn blockd(root: &Root) -> Table {
    table([
        ("state_dir", path(root.state("blockd"))),
        ("run_dir", path(root.run("volumes"))),
        ("control_socket", path(root.run("blockd.sock"))),
    ])
}

/// netd has no file; of its options the unit takes these from here.
fn netd_env(profile: &Profile) -> String {
    let options = profile.resolver.map(|resolver| format!("--resolver {resolver}")).unwrap_or_default();
    format!("# Made by hive from config/profile.toml.\nNETD_OPTIONS={options}\n")
}

/// objectd authenticates by itself and does not ask the bus: its keys are in its file.
fn objectd(root: &Root, profile: &Profile, credential: &Credential) -> Table {
    let key = table([
        ("access_key_id", text(&credential.access_key_id)),
        ("secret_access_key", text(&credential.secret_access_key)),
        ("account_id", text(&credential.account)),
        ("principal_arn", text(&credential.arn)),
        ("user_id", text(&credential.user_id)),
    ]);
    table([
        ("data_dir", path(root.state("objectd"))),
        ("listen", text(&profile.objects.listen)),
        ("region", text(&profile.region)),
        ("credentials", Value::Array(vec![Value::Table(key)])),
    ])
}

fn awsd(root: &Root, profile: &Profile) -> Table {
    table([
        ("listen", text(&profile.api.listen)),
        ("certificate", path(root.tls("cert.pem"))),
        ("key", path(root.tls("key.pem"))),
        ("nats_url", nats_url(profile)),
        ("objectd", text(&super::local_address(profile.objects.listen))),
        ("region", text(&profile.region)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Preset;

    #[test]
    fn only_the_first_hived_runs_the_node() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path()).unwrap();
        root.create().unwrap();
        let text = Preset::Dev.text().replace("workers = 1", "workers = 3");
        let credential = crate::credentials::ensure_root_credential(&root, "123456789012").unwrap();
        write_all(&root, &Profile::parse(&text).unwrap(), &credential, Path::new("/opt/hive")).unwrap();
        let runs_node = |file: &str| {
            let text = std::fs::read_to_string(root.config(file)).unwrap();
            text.parse::<Table>().unwrap().contains_key("node")
        };
        assert!(runs_node("hived.toml"));
        assert!(!runs_node("hived-2.toml") && !runs_node("hived-3.toml"));
    }
}
