//! Fetches single Debian packages without touching the host's own apt state.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::{BuildError, io_error};
use crate::{BuildOptions, Package};

/// The release that images are made from.
pub(crate) const SUITE: &str = "bookworm";
/// Signs Debian's archives; from package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The lines of a sources.list for [`SUITE`].
pub(crate) fn sources(options: &BuildOptions) -> [String; 3] {
    let line = |mirror: &str, suite: &str| format!("deb [signed-by={KEYRING}] {mirror} {suite} main");
    [
        line(&options.mirror, SUITE),
        line(&options.mirror, &format!("{SUITE}-updates")),
        line(&options.security_mirror, &format!("{SUITE}-security")),
    ]
}

/// A package that lies unpacked in a folder.
pub(crate) struct Unpacked {
    pub(crate) package: Package,
    pub(crate) folder: PathBuf,
}

/// The packages of one cache folder, and an apt of our own to fill it.
pub(crate) struct Archive<'a> {
    options: &'a BuildOptions,
    /// Packages, one folder for each name asked for: what is in it answers later builds.
    folder: PathBuf,
    apt_folder: PathBuf,
    /// Lists are read at most once a build, and only when a package is missing.
    lists_are_fresh: Cell<bool>,
}

impl<'a> Archive<'a> {
    pub(crate) fn new(options: &'a BuildOptions) -> Self {
        Self {
            options,
            folder: options.cache_dir.join("packages"),
            apt_folder: options.cache_dir.join("apt"),
            lists_are_fresh: Cell::new(false),
        }
    }

    /// Unpacks `name` for amd64 below `work`, from the cache if it is there.
    pub(crate) fn unpack(
        &self,
        name: &str,
        work: &Path,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Unpacked, BuildError> {
        let deb = match self.cached(name)? {
            Some(deb) => deb,
            None => self.fetch(name, progress)?,
        };
        let folder = work.join(name);
        fs::create_dir_all(&folder).map_err(io_error("making a folder for a package", &folder))?;
        command::run("unpacking a package", Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&folder))?;
        let version = command::run(
            "asking for a package's version",
            Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Version"),
        )?;
        let package = Package { name: name.to_owned(), version: version.trim().to_owned() };
        Ok(Unpacked { package, folder })
    }

    /// The name of the package that `meta` depends on first, such as the newest kernel behind `linux-image-cloud-amd64`.
    pub(crate) fn behind(&self, meta: &str, progress: &mut dyn FnMut(&str)) -> Result<String, BuildError> {
        let deb = match self.cached(meta)? {
            Some(deb) => deb,
            None => self.fetch(meta, progress)?,
        };
        let step = "asking what a package depends on";
        let depends = command::run(step, Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Depends"))?;
        let first = depends.split([',', '|', '(']).next().unwrap_or_default().trim();
        if first.is_empty() {
            return Err(BuildError::Output {
                step,
                program: "dpkg-deb",
                detail: format!("{meta} depends on {depends:?}"),
            });
        }
        Ok(first.to_owned())
    }

    fn cached(&self, name: &str) -> Result<Option<PathBuf>, BuildError> {
        let folder = self.folder.join(name);
        if !folder.exists() {
            return Ok(None);
        }
        let entries = fs::read_dir(&folder).map_err(io_error("looking into the package cache", &folder))?;
        let mut debs: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        debs.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
        Ok(debs.pop())
    }

    fn fetch(&self, name: &str, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, BuildError> {
        if !self.lists_are_fresh.get() {
            progress("reading Debian's package lists");
            self.update()?;
            self.lists_are_fresh.set(true);
        }
        progress(&format!("fetching package {name}"));
        // apt downloads into the current folder; a whole package appears in the cache by renaming that folder.
        let partial = tempfile::tempdir_in(&self.options.cache_dir)
            .map_err(io_error("making a download folder in", &self.options.cache_dir))?;
        command::run("fetching a package", self.apt().args(["download", name]).current_dir(partial.path()))?;
        let folder = self.folder.join(name);
        fs::create_dir_all(&self.folder).map_err(io_error("making the package cache", &self.folder))?;
        fs::rename(partial.path(), &folder).map_err(io_error("moving a package to", &folder))?;
        self.cached(name)?.ok_or_else(|| BuildError::Output {
            step: "fetching a package",
            program: "apt-get",
            detail: format!("it left no {name}"),
        })
    }

    fn update(&self) -> Result<(), BuildError> {
        let step = "preparing apt's folder";
        for folder in ["lists/partial", "archives/partial"] {
            let folder = self.apt_folder.join(folder);
            fs::create_dir_all(&folder).map_err(io_error(step, &folder))?;
        }
        for (file, content) in [("sources.list", sources(self.options).join("\n") + "\n"), ("status", String::new())] {
            let path = self.apt_folder.join(file);
            fs::write(&path, content).map_err(io_error(step, &path))?;
        }
        command::run("reading Debian's package lists", self.apt().arg("update")).map(drop)
    }

    /// apt-get with state of its own: the host's sources, pins and locks do not matter, its proxy settings do.
    fn apt(&self) -> Command {
        let mut apt = Command::new("apt-get");
        let path = |name: &str| self.apt_folder.join(name).display().to_string();
        for (key, value) in [
            ("APT::Architecture", "amd64".to_owned()),
            ("APT::Sandbox::User", "root".to_owned()),
            ("APT::Get::List-Cleanup", "false".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            ("Dir::State", self.apt_folder.display().to_string()),
            ("Dir::State::lists", path("lists")),
            ("Dir::State::status", path("status")),
            ("Dir::Cache", self.apt_folder.display().to_string()),
            ("Dir::Cache::archives", path("archives")),
            ("Dir::Etc::sourcelist", path("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
            ("Dir::Etc::preferencesparts", "/dev/null".to_owned()),
        ] {
            apt.arg("-o").arg(format!("{key}={value}"));
        }
        apt.args(["-q", "-y"]);
        apt
    }
}
