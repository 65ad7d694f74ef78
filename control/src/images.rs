//! The operator's import of an image: the disk into blockd, the boot files into the node's state, then the records.
//!
//! All ids follow from owner, name and content, so an import that was cut off is finished by the next one and leaves nothing twice.

use crate::api::DEFAULT_ROOT_DEVICE;
use crate::config::NodeConfig;
use crate::error::Error;
use crate::node::backend::{BackendError, Blockd};
use crate::store::{
    BootFiles, ImageRecord, ImageSource, Origin, SnapshotRecord, SnapshotState, Stores, Tags, Version, account_prefix,
};
use hive_images::{ImageManifest, ManifestError};
use hive_types::id::{AccountId, ImageId, SnapshotId};
use hive_types::operator::{ImageImport, ImageImported};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{} is not absolute", .0.display())]
    Relative(PathBuf),
    #[error("the image directory is not usable")]
    Manifest(#[from] ManifestError),
    #[error("blockd did not take the disk in")]
    Blockd(#[from] BackendError),
    #[error("cannot copy the boot files")]
    Copy(#[from] io::Error),
    #[error("cannot write the records")]
    Store(#[from] Error),
}

pub async fn import(
    stores: &Stores,
    node: &NodeConfig,
    account: &AccountId,
    request: ImageImport,
) -> Result<ImageImported, ImportError> {
    let directory = request.directory;
    if !directory.is_absolute() {
        return Err(ImportError::Relative(directory));
    }
    let folder = directory.clone();
    // Reads and hashes the whole disk.
    let checked = tokio::task::spawn_blocking(move || {
        let manifest = ImageManifest::load(&folder)?;
        manifest.verify(&folder)?;
        Ok::<_, ManifestError>(manifest)
    });
    let manifest = checked.await.map_err(io::Error::other)??;
    let name = request.name.unwrap_or_else(|| manifest.name.clone());
    let digest = content_digest(&manifest);
    let drawn = derived(&format!("{account} {name} {digest}"));
    let (image_id, snapshot_id) = (ImageId::from_random(drawn), SnapshotId::from_random(drawn));

    let own = stores.images.range(&account_prefix(account)).await.map_err(Error::from)?;
    if own.iter().any(|image| image.value.image_id == image_id) {
        return Ok(ImageImported { image_id, snapshot_id, name, created: false });
    }
    let blockd = Blockd { socket: node.blockd_socket.clone() };
    blockd.import_snapshot(snapshot_id.as_str(), &manifest.disk.path(&directory)).await?;
    let boot = BootFiles { directory: image_id.to_string(), cmdline: manifest.cmdline.clone() };
    let target = node.state_dir.join("images").join(&boot.directory);
    let files = [
        (manifest.kernel.path(&directory), hive_images::KERNEL_FILE),
        (manifest.initrd.path(&directory), hive_images::INITRD_FILE),
    ];
    tokio::task::spawn_blocking(move || copy_boot_files(&files, &target)).await.map_err(io::Error::other)??;

    let size_gib = u32::try_from(manifest.disk.size_bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX);
    let (snapshot, image) = records(account, &name, &manifest, &node.node_id, size_gib, boot, image_id, snapshot_id);
    stores.snapshots.create(&snapshot.key(), &snapshot).await.map_err(Error::from)?;
    stores.images.create(&image.key(), &image).await.map_err(Error::from)?;
    // A new build under the same name takes the name over; what was launched from the old one goes on.
    for older in own.iter().filter(|older| older.value.name == name) {
        stores.images.delete_if(&older.key, |_| Ok::<_, Error>(true)).await?;
    }
    let (image_id, snapshot_id) = (image.image_id, snapshot.snapshot_id);
    tracing::info!(image = %image_id, name, "imported");
    Ok(ImageImported { image_id, snapshot_id, name, created: true })
}

#[expect(clippy::too_many_arguments, reason = "the parts of two records")]
fn records(
    account: &AccountId,
    name: &str,
    manifest: &ImageManifest,
    node_id: &str,
    size_gib: u32,
    boot: BootFiles,
    image_id: ImageId,
    snapshot_id: SnapshotId,
) -> (SnapshotRecord, ImageRecord) {
    let created_at = Timestamp::now();
    let snapshot = SnapshotRecord {
        version: Version,
        snapshot_id: snapshot_id.clone(),
        account: account.clone(),
        public: true,
        shared_with: BTreeSet::new(),
        size_gib,
        volume_id: None,
        node_id: Some(node_id.to_owned()),
        encrypted: false,
        kms_key_id: None,
        origin: Origin::Import,
        boot: Some(boot.clone()),
        description: format!("Imported for {image_id}"),
        created_at,
        state: SnapshotState::Completed,
        progress_percent: 100,
        fault: None,
        completed_at: Some(created_at),
        tags: Tags::new(),
    };
    let image = ImageRecord {
        version: Version,
        image_id,
        account: account.clone(),
        name: name.to_owned(),
        description: Some(manifest.description.clone()).filter(|text| !text.is_empty()),
        public: true,
        owner_alias: Some("amazon".into()),
        architecture: manifest.architecture.clone(),
        root_device_name: DEFAULT_ROOT_DEVICE.into(),
        root: ImageSource {
            snapshot_id: Some(snapshot_id),
            size_gib,
            volume_type: "gp2".into(),
            iops: None,
            throughput: None,
            encrypted: false,
            delete_on_termination: true,
        },
        more_volumes: Vec::new(),
        boot,
        created_at,
        tags: Tags::new(),
    };
    (snapshot, image)
}

/// Everything that a guest of the image can tell apart.
fn content_digest(manifest: &ImageManifest) -> String {
    let parts = [&manifest.disk.sha256, &manifest.kernel.sha256, &manifest.initrd.sha256, &manifest.cmdline];
    hex::encode(Sha256::digest(parts.map(String::as_str).join("\n")))
}

fn derived(what: &str) -> u128 {
    Sha256::digest(what).iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))
}

/// Copies into a directory beside the target and renames it: the target is whole or absent.
fn copy_boot_files(files: &[(PathBuf, &str)], target: &Path) -> io::Result<()> {
    if target.exists() {
        return Ok(());
    }
    let parent = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = target.with_extension("new");
    std::fs::create_dir_all(&temporary)?;
    for (from, name) in files {
        let to = temporary.join(name);
        std::fs::copy(from, &to)?;
        File::open(&to)?.sync_all()?;
    }
    File::open(&temporary)?.sync_all()?;
    std::fs::rename(&temporary, target)?;
    File::open(parent)?.sync_all()
}
