//! The catalogue of volumes and images, and the exports that keep it true. One lock orders all changes; no I/O path takes it.

use crate::config::Config;
use crate::engine::FileEngine;
use crate::export::{Export, ExportConfig, StartError};
use crate::status::VolumeStatus;
use crate::store::{Attachment, ImageRecord, Store, StoreError, VolumeRecord};
use crate::vhost::{DeviceConfig, SERIAL_BYTES};
use hive_blockd_api::{
    BLOCK_SIZE_BYTES, ErrorKind, Image, ImageId, MAX_QUEUES, MAX_VOLUME_SIZE_BYTES, Metrics, Reply, Request, Volume,
    VolumeId,
};
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest path of a Unix socket, its terminator not counted.
const MAX_SOCKET_PATH_BYTES: usize = 107;
const DIR_MODE: u32 = 0o700;

/// Why a request failed, as the API tells it.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("no {0}")]
    NotFound(String),
    #[error("{0} exists with other parameters")]
    Exists(String),
    #[error("{0}")]
    InUse(String),
    #[error("{0}")]
    Invalid(String),
    #[error("cannot {0}")]
    Store(&'static str, #[source] StoreError),
    #[error("cannot serve volume {0}")]
    Start(VolumeId, #[source] StartError),
    #[error("volume {0} did not end cleanly")]
    Stop(VolumeId, #[source] std::io::Error),
    #[error("cannot create {0}")]
    RunDir(PathBuf, #[source] std::io::Error),
}

impl DaemonError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Exists(_) => ErrorKind::Exists,
            Self::InUse(_) => ErrorKind::InUse,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Store(_, e) if e.is_no_space() => ErrorKind::NoSpace,
            Self::Store(_, StoreError::NotAFile(_)) => ErrorKind::Invalid,
            Self::Store(..) | Self::Start(..) | Self::Stop(..) | Self::RunDir(..) => ErrorKind::Io,
        }
    }
}

impl From<DaemonError> for Reply {
    fn from(error: DaemonError) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            message += &format!(": {error}");
            source = error.source();
        }
        Self::Error { kind: error.kind(), message }
    }
}

/// Everything the daemon knows.
#[derive(Debug)]
struct Catalogue {
    volumes: BTreeMap<VolumeId, VolumeRecord>,
    images: BTreeMap<ImageId, ImageRecord>,
    exports: BTreeMap<VolumeId, Export>,
    /// Kept after an export's end: counters run from the daemon's start.
    statuses: BTreeMap<VolumeId, Arc<VolumeStatus>>,
}

/// The running daemon.
#[derive(Debug)]
pub struct Daemon {
    store: Store,
    export_dir: PathBuf,
    poll: Duration,
    catalogue: Mutex<Catalogue>,
}

impl Daemon {
    /// Open the state and serve what was attached, before anything else is done.
    pub fn start(config: &Config) -> Result<Self, DaemonError> {
        let store = Store::open(&config.state_dir).map_err(|e| DaemonError::Store("open the state directory", e))?;
        let volumes = store.volumes().map_err(|e| DaemonError::Store("read the volumes", e))?;
        let images = store.images().map_err(|e| DaemonError::Store("read the images", e))?;
        let export_dir = config.run_dir.join("vhost");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(&export_dir)
            .map_err(|e| DaemonError::RunDir(export_dir.clone(), e))?;
        let catalogue = Catalogue { volumes, images, exports: BTreeMap::new(), statuses: BTreeMap::new() };
        let daemon = Self { store, export_dir, poll: config.poll(), catalogue: Mutex::new(catalogue) };
        {
            let mut catalogue = daemon.lock();
            let attached: Vec<VolumeId> = catalogue
                .volumes
                .iter()
                .filter(|(_, record)| record.attachment.is_some())
                .map(|(id, _)| id.clone())
                .collect();
            for id in attached {
                // One volume that cannot be served is no reason not to serve the others; attaching again retries.
                if let Err(e) = daemon.serve(&mut catalogue, &id) {
                    tracing::error!(volume = %id, error = ?e, "cannot serve an attached volume");
                }
            }
        }
        Ok(daemon)
    }

    fn lock(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answer one request.
    pub fn handle(&self, request: Request) -> Reply {
        self.dispatch(request).unwrap_or_else(Reply::from)
    }

    fn dispatch(&self, request: Request) -> Result<Reply, DaemonError> {
        match request {
            Request::CreateVolume { volume_id, size_bytes, image_id } => {
                self.create_volume(volume_id, size_bytes, image_id)
            }
            Request::DeleteVolume { volume_id } => self.delete_volume(&volume_id),
            Request::DescribeVolume { volume_id } => Ok(Reply::Volume(self.describe(&self.lock(), &volume_id)?)),
            Request::ListVolumes => {
                let catalogue = self.lock();
                let volumes = catalogue.volumes.keys().map(|id| self.describe(&catalogue, id));
                Ok(Reply::Volumes(volumes.collect::<Result<_, _>>()?))
            }
            Request::ResizeVolume { volume_id, size_bytes } => self.resize_volume(&volume_id, size_bytes),
            Request::AttachVolume { volume_id, queues, read_only, serial } => {
                self.attach_volume(&volume_id, Attachment { queues, read_only, serial })
            }
            Request::DetachVolume { volume_id } => self.detach_volume(&volume_id),
            Request::ImportImage { image_id, path } => self.import_image(image_id, &path),
            Request::DeleteImage { image_id } => self.delete_image(&image_id),
            Request::ListImages => Ok(Reply::Images(
                self.lock()
                    .images
                    .iter()
                    .map(|(id, record)| Image { image_id: id.clone(), size_bytes: record.size_bytes })
                    .collect(),
            )),
            Request::Metrics => {
                let volumes = self.lock().statuses.iter().map(|(id, s)| (id.to_string(), s.metrics())).collect();
                Ok(Reply::Metrics(Metrics { volumes }))
            }
        }
    }

    fn describe(&self, catalogue: &Catalogue, id: &VolumeId) -> Result<Volume, DaemonError> {
        let record = find_volume(catalogue, id)?;
        let export = catalogue.exports.get(id);
        let status = export.and_then(|_| catalogue.statuses.get(id));
        Ok(Volume {
            volume_id: id.clone(),
            size_bytes: record.size_bytes,
            image_id: record.image_id.clone(),
            socket: export.map(|e| e.socket().to_owned()),
            connected: status.is_some_and(|s| s.connected.load(Ordering::Relaxed)),
            fault: status.and_then(|s| s.fault()),
            allocated_bytes: self
                .store
                .allocated_bytes(id)
                .map_err(|e| DaemonError::Store("describe the volume", e))?,
        })
    }

    fn create_volume(&self, id: VolumeId, size: u64, image_id: Option<ImageId>) -> Result<Reply, DaemonError> {
        check_size(size)?;
        let mut catalogue = self.lock();
        if let Some(record) = catalogue.volumes.get(&id) {
            if record.created_size_bytes != size || record.image_id != image_id {
                return Err(DaemonError::Exists(format!("volume {id}")));
            }
            return Ok(Reply::Volume(self.describe(&catalogue, &id)?));
        }
        if let Some(image_id) = &image_id {
            let image = catalogue.images.get(image_id).ok_or_else(|| no_image(image_id))?;
            if size < image.size_bytes {
                return Err(DaemonError::Invalid(format!(
                    "a volume of {size} bytes cannot hold image {image_id} of {} bytes",
                    image.size_bytes
                )));
            }
        }
        let record = VolumeRecord::new(size, image_id);
        self.store.create_volume(&id, &record).map_err(|e| DaemonError::Store("create the volume", e))?;
        catalogue.volumes.insert(id.clone(), record);
        Ok(Reply::Volume(self.describe(&catalogue, &id)?))
    }

    fn delete_volume(&self, id: &VolumeId) -> Result<Reply, DaemonError> {
        let mut catalogue = self.lock();
        if let Some(record) = catalogue.volumes.get(id) {
            refuse_attached(id, record)?;
            self.store.delete_volume(id).map_err(|e| DaemonError::Store("delete the volume", e))?;
            catalogue.volumes.remove(id);
            catalogue.statuses.remove(id);
        }
        Ok(Reply::Done)
    }

    fn resize_volume(&self, id: &VolumeId, size: u64) -> Result<Reply, DaemonError> {
        check_size(size)?;
        let mut catalogue = self.lock();
        let record = find_volume(&catalogue, id)?;
        if size != record.size_bytes {
            refuse_attached(id, record)?;
            if size < record.size_bytes {
                return Err(DaemonError::Invalid(format!(
                    "volume {id} of {} bytes cannot shrink to {size}",
                    record.size_bytes
                )));
            }
            let record = VolumeRecord { size_bytes: size, ..record.clone() };
            self.store.resize_volume(id, &record).map_err(|e| DaemonError::Store("resize the volume", e))?;
            catalogue.volumes.insert(id.clone(), record);
        }
        Ok(Reply::Volume(self.describe(&catalogue, id)?))
    }

    fn attach_volume(&self, id: &VolumeId, attachment: Attachment) -> Result<Reply, DaemonError> {
        if attachment.queues == 0 || attachment.queues > MAX_QUEUES {
            return Err(DaemonError::Invalid(format!("queues must be 1 to {MAX_QUEUES}, not {}", attachment.queues)));
        }
        if attachment.serial.len() > SERIAL_BYTES {
            return Err(DaemonError::Invalid(format!("a serial has at most {SERIAL_BYTES} bytes")));
        }
        let mut catalogue = self.lock();
        let record = find_volume(&catalogue, id)?;
        match &record.attachment {
            Some(existing) if *existing != attachment => {
                return Err(DaemonError::Exists(format!("an attachment of volume {id}")));
            }
            Some(_) => {}
            None => {
                let record = VolumeRecord { attachment: Some(attachment), ..record.clone() };
                self.store.update_volume(id, &record).map_err(|e| DaemonError::Store("record the attachment", e))?;
                catalogue.volumes.insert(id.clone(), record);
            }
        }
        if !catalogue.exports.contains_key(id)
            && let Err(e) = self.serve(&mut catalogue, id)
        {
            self.forget_attachment(&mut catalogue, id)?;
            return Err(e);
        }
        match catalogue.exports.get(id) {
            Some(export) => Ok(Reply::Attached { socket: export.socket().to_owned() }),
            None => Err(DaemonError::NotFound(format!("export of volume {id}"))),
        }
    }

    /// Start the export that the record asks for.
    fn serve(&self, catalogue: &mut Catalogue, id: &VolumeId) -> Result<(), DaemonError> {
        let record = find_volume(catalogue, id)?;
        let Some(attachment) = &record.attachment else { return Ok(()) };
        let socket = self.export_dir.join(format!("{id}.sock"));
        if socket.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            return Err(DaemonError::Invalid(format!("{} is too long for a socket", socket.display())));
        }
        let config = ExportConfig {
            socket,
            device: DeviceConfig {
                name: id.to_string(),
                queues: attachment.queues,
                read_only: attachment.read_only,
                serial: attachment.serial.clone(),
            },
            poll: self.poll,
        };
        let (data, size) = (self.store.volume_data(id), record.size_bytes);
        let image = record.image_id.as_ref().map(|image| self.store.image_data(image));
        let status = catalogue.statuses.entry(id.clone()).or_default().clone();
        let export = Export::start(config, status, move || FileEngine::open(&data, image.as_deref(), size))
            .map_err(|e| DaemonError::Start(id.clone(), e))?;
        catalogue.exports.insert(id.clone(), export);
        Ok(())
    }

    fn forget_attachment(&self, catalogue: &mut Catalogue, id: &VolumeId) -> Result<(), DaemonError> {
        let record = VolumeRecord { attachment: None, ..find_volume(catalogue, id)?.clone() };
        self.store.update_volume(id, &record).map_err(|e| DaemonError::Store("record the detachment", e))?;
        catalogue.volumes.insert(id.clone(), record);
        Ok(())
    }

    fn detach_volume(&self, id: &VolumeId) -> Result<Reply, DaemonError> {
        let mut catalogue = self.lock();
        if find_volume(&catalogue, id)?.attachment.is_some() {
            // The export first: should we die in between, it is served again, and asked again this ends well.
            let stopped = catalogue.exports.remove(id).map_or(Ok(()), Export::stop);
            self.forget_attachment(&mut catalogue, id)?;
            stopped.map_err(|e| DaemonError::Stop(id.clone(), e))?;
        }
        Ok(Reply::Done)
    }

    fn import_image(&self, id: ImageId, path: &Path) -> Result<Reply, DaemonError> {
        if !path.is_absolute() {
            return Err(DaemonError::Invalid(format!("the image's path must be absolute, not {}", path.display())));
        }
        if let Some(image) = existing_image(&self.lock(), &id, path)? {
            return Ok(Reply::Image(image));
        }
        // The copy takes long: others go on meanwhile, and who comes first with this name wins.
        let staged = self.store.stage_image(&id, path).map_err(|e| DaemonError::Store("import the image", e))?;
        check_size(staged.record.size_bytes)?;
        let mut catalogue = self.lock();
        if let Some(image) = existing_image(&catalogue, &id, path)? {
            return Ok(Reply::Image(image));
        }
        let record = staged.record.clone();
        self.store.publish_image(&id, staged).map_err(|e| DaemonError::Store("import the image", e))?;
        let image = Image { image_id: id.clone(), size_bytes: record.size_bytes };
        catalogue.images.insert(id, record);
        Ok(Reply::Image(image))
    }

    fn delete_image(&self, id: &ImageId) -> Result<Reply, DaemonError> {
        let mut catalogue = self.lock();
        if catalogue.images.contains_key(id) {
            if let Some((volume, _)) = catalogue.volumes.iter().find(|(_, v)| v.image_id.as_ref() == Some(id)) {
                return Err(DaemonError::InUse(format!("volume {volume} is a clone of image {id}")));
            }
            self.store.delete_image(id).map_err(|e| DaemonError::Store("delete the image", e))?;
            catalogue.images.remove(id);
        }
        Ok(Reply::Done)
    }

    /// Stop serving; attachments stay recorded and are served again by the next start.
    pub fn stop(&self) {
        for (id, export) in std::mem::take(&mut self.lock().exports) {
            match export.stop() {
                Ok(()) => tracing::info!(volume = %id, "flushed and closed"),
                Err(error) => tracing::error!(volume = %id, %error, "volume did not end cleanly"),
            }
        }
    }
}

fn find_volume<'a>(catalogue: &'a Catalogue, id: &VolumeId) -> Result<&'a VolumeRecord, DaemonError> {
    catalogue.volumes.get(id).ok_or_else(|| DaemonError::NotFound(format!("volume {id}")))
}

fn no_image(id: &ImageId) -> DaemonError {
    DaemonError::NotFound(format!("image {id}"))
}

fn existing_image(catalogue: &Catalogue, id: &ImageId, source: &Path) -> Result<Option<Image>, DaemonError> {
    match catalogue.images.get(id) {
        Some(record) if record.source != source => Err(DaemonError::Exists(format!("image {id}"))),
        record => Ok(record.map(|r| Image { image_id: id.clone(), size_bytes: r.size_bytes })),
    }
}

fn refuse_attached(id: &VolumeId, record: &VolumeRecord) -> Result<(), DaemonError> {
    if record.attachment.is_some() {
        return Err(DaemonError::InUse(format!("volume {id} is attached")));
    }
    Ok(())
}

fn check_size(size: u64) -> Result<(), DaemonError> {
    if size == 0 || size > MAX_VOLUME_SIZE_BYTES || !size.is_multiple_of(BLOCK_SIZE_BYTES) {
        return Err(DaemonError::Invalid(format!(
            "a size must be a multiple of {BLOCK_SIZE_BYTES} bytes, at most {MAX_VOLUME_SIZE_BYTES}, not {size}"
        )));
    }
    Ok(())
}
