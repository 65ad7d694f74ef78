//! What a disk offers to boot: the EFI loaders on its EFI system partitions (UEFI 2.10, section 3.5).

use core::fmt;

use crate::block::BlockDevice;
use crate::crc32::Crc32;
use crate::fat::{Entry, FatError, Folder, Kind, Name, Volume};
use crate::gpt::{self, EFI_SYSTEM_PARTITION, GptError, Partition};

/// What firmware starts when it knows nothing else about a disk.
pub const DEFAULT_LOADER: &str = "\\EFI\\BOOT\\BOOTX64.EFI";
const VENDOR_FOLDER: &str = "\\EFI";
/// Loaders of a vendor's folder, the better first: shim starts GRUB, and checks it.
const VENDOR_LOADERS: [&str; 2] = ["shimx64.efi", "grubx64.efi"];
/// Vendor folders that are looked into; a machine with more operating systems than that picks in its loader.
const VENDORS_MAX: usize = 16;
/// Every EFI program begins with these two bytes (PE/COFF, section 2.1).
const PE_MAGIC: &[u8] = b"MZ";

/// A loader's path on its partition.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to box the name on")]
pub enum LoaderPath {
    /// [`DEFAULT_LOADER`].
    Default,
    Vendor {
        folder: Name,
        file: &'static str,
    },
}

impl fmt::Display for LoaderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str(DEFAULT_LOADER),
            Self::Vendor { folder, file } => write!(f, "{VENDOR_FOLDER}\\{folder}\\{file}"),
        }
    }
}

/// A loader that was read from its first to its last byte.
#[derive(Clone, Copy, Debug)]
pub struct Loader {
    /// Number of the partition it is on.
    pub partition: u32,
    pub path: LoaderPath,
    pub size_bytes: u32,
    /// Of the whole file.
    pub crc32: u32,
}

/// What [`survey`] came across.
#[derive(Clone, Copy, Debug)]
pub enum Finding<'a> {
    Table {
        copy: gpt::Copy,
        partition_count: usize,
    },
    Partition(&'a Partition),
    /// An EFI system partition with this file system.
    FileSystem {
        partition: u32,
        kind: Kind,
    },
    Loader(Loader),
    /// A file of a loader's name that is not one.
    NotALoader {
        partition: u32,
        path: LoaderPath,
    },
    BadFileSystem {
        partition: u32,
        error: FatError,
    },
}

/// Looks for loaders on every EFI system partition of `disk`, tells `report` each finding in turn, and returns the loader to start:
/// the first [`DEFAULT_LOADER`], or else the first of a vendor. `buffer` is used to read files; a larger one needs fewer requests.
///
/// # Errors
/// If the disk has no valid GPT. A damaged file system is a finding.
pub fn survey(
    disk: &mut impl BlockDevice,
    buffer: &mut [u8],
    mut report: impl FnMut(Finding<'_>),
) -> Result<Option<Loader>, GptError> {
    let table = gpt::read(disk)?;
    report(Finding::Table { copy: table.copy, partition_count: table.partitions().len() });
    table.partitions().iter().for_each(|partition| report(Finding::Partition(partition)));
    let mut choice: Option<Loader> = None;
    for partition in table.partitions().iter().filter(|partition| partition.type_guid == EFI_SYSTEM_PARTITION) {
        let number = partition.number;
        let result = survey_partition(disk, partition, buffer, &mut |finding| {
            if let Finding::Loader(loader) = finding {
                let is_better = match choice {
                    None => true,
                    Some(chosen) => {
                        matches!((chosen.path, loader.path), (LoaderPath::Vendor { .. }, LoaderPath::Default))
                    }
                };
                if is_better {
                    choice = Some(loader);
                }
            }
            report(finding);
        });
        if let Err(error) = result {
            report(Finding::BadFileSystem { partition: number, error });
        }
    }
    Ok(choice)
}

fn survey_partition(
    disk: &mut impl BlockDevice,
    partition: &Partition,
    buffer: &mut [u8],
    report: &mut impl FnMut(Finding<'_>),
) -> Result<(), FatError> {
    let number = partition.number;
    let mut volume = Volume::open(disk, partition.first_lba, partition.last_lba)?;
    report(Finding::FileSystem { partition: number, kind: volume.kind });
    if let Some(file) = volume.find(DEFAULT_LOADER)? {
        report(inspect(&mut volume, number, LoaderPath::Default, &file, buffer)?);
    }
    for vendor in vendor_folders(&mut volume)?.into_iter().flatten() {
        for name in VENDOR_LOADERS {
            let Some(folder) = vendor.folder() else { continue };
            let path = LoaderPath::Vendor { folder: vendor.name, file: name };
            if let Some(file) = find_in(&mut volume, folder, name)? {
                report(inspect(&mut volume, number, path, &file, buffer)?);
            }
        }
    }
    Ok(())
}

/// Folders of `\EFI` but `BOOT`, which holds the default loader.
fn vendor_folders(volume: &mut Volume<'_, impl BlockDevice>) -> Result<[Option<Entry>; VENDORS_MAX], FatError> {
    let mut vendors = [None; VENDORS_MAX];
    if let Some(folder) = volume.find(VENDOR_FOLDER)?.as_ref().and_then(Entry::folder) {
        let mut places = vendors.iter_mut();
        volume.list(folder, |entry| {
            if entry.is_folder && !entry.name.matches("BOOT") {
                match places.next() {
                    Some(place) => *place = Some(*entry),
                    None => return false,
                }
            }
            true
        })?;
    }
    Ok(vendors)
}

fn find_in(volume: &mut Volume<'_, impl BlockDevice>, folder: Folder, name: &str) -> Result<Option<Entry>, FatError> {
    let mut found = None;
    volume.list(folder, |entry| {
        if entry.name.matches(name) {
            found = Some(*entry);
        }
        found.is_none()
    })?;
    Ok(found)
}

/// Reads the whole file: a loader that cannot be read is better known before the choice.
fn inspect(
    volume: &mut Volume<'_, impl BlockDevice>,
    partition: u32,
    path: LoaderPath,
    file: &Entry,
    buffer: &mut [u8],
) -> Result<Finding<'static>, FatError> {
    let mut crc = Crc32::default();
    let mut begins_as_program = None;
    volume.read_file(file, buffer, |piece| {
        begins_as_program.get_or_insert(piece.starts_with(PE_MAGIC));
        crc.update(piece);
    })?;
    Ok(if !file.is_folder && begins_as_program == Some(true) {
        Finding::Loader(Loader { partition, path, size_bytes: file.size_bytes, crc32: crc.value() })
    } else {
        Finding::NotALoader { partition, path }
    })
}
