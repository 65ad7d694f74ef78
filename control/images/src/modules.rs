//! Which kernel modules an initramfs needs, in the order in which to load them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{BuildError, io_error};

/// Modules below one `lib/modules/VERSION/kernel` folder, by name.
pub(crate) struct ModuleTree {
    paths: BTreeMap<String, PathBuf>,
}

/// The kernel treats `-` and `_` alike in the names of modules.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

impl ModuleTree {
    pub(crate) fn scan(kernel_folder: &Path) -> Result<Self, BuildError> {
        let mut paths = BTreeMap::new();
        let mut folders = vec![kernel_folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(io_error("listing kernel modules in", &folder))? {
                let entry = entry.map_err(io_error("listing kernel modules in", &folder))?;
                let path = entry.path();
                if entry.file_type().map_err(io_error("looking at", &path))?.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".ko")) {
                    paths.insert(canonical(name), path);
                }
            }
        }
        Ok(Self { paths })
    }

    /// The files of `wanted` and of everything they depend on; a module comes after those it depends on.
    ///
    /// # Errors
    /// If a module is absent or depends on itself.
    pub(crate) fn load_order(&self, wanted: &[&str]) -> Result<Vec<PathBuf>, BuildError> {
        let mut order = Vec::new();
        let mut placed = BTreeSet::new();
        for name in wanted {
            self.place(&canonical(name), &mut Vec::new(), &mut placed, &mut order)?;
        }
        Ok(order)
    }

    fn place(
        &self,
        name: &str,
        above: &mut Vec<String>,
        placed: &mut BTreeSet<String>,
        order: &mut Vec<PathBuf>,
    ) -> Result<(), BuildError> {
        if placed.contains(name) {
            return Ok(());
        }
        let path = match self.paths.get(name) {
            Some(path) if !above.iter().any(|waiting| waiting == name) => path,
            _ => return Err(BuildError::Module { name: name.to_owned() }),
        };
        let object = fs::read(path).map_err(io_error("reading kernel module", path))?;
        above.push(name.to_owned());
        for dependency in dependencies(&object) {
            self.place(&dependency, above, placed, order)?;
        }
        above.pop();
        placed.insert(name.to_owned());
        order.push(path.clone());
        Ok(())
    }
}

/// The modules that `object` needs, from the zero-terminated `depends=a,b` string in its `.modinfo` section.
fn dependencies(object: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"depends=";
    let strings = object.split(|byte| *byte == 0);
    let list = strings.filter_map(|string| string.strip_prefix(KEY)).next().unwrap_or_default();
    String::from_utf8_lossy(list).split(',').filter(|name| !name.is_empty()).map(canonical).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(modules: &[(&str, &str)]) -> (tempfile::TempDir, ModuleTree) {
        let folder = tempfile::tempdir().expect("tempdir");
        fs::create_dir(folder.path().join("drivers")).expect("mkdir");
        for (name, depends) in modules {
            let object = format!("\x7fELF\0name={name}\0depends={depends}\0vermagic=6.1\0");
            fs::write(folder.path().join("drivers").join(format!("{name}.ko")), object).expect("write");
        }
        let tree = ModuleTree::scan(folder.path()).expect("scan");
        (folder, tree)
    }

    fn order(tree: &ModuleTree, wanted: &[&str]) -> Option<Vec<String>> {
        let paths = tree.load_order(wanted).ok()?;
        Some(paths.iter().map(|path| path.file_stem().expect("file").to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let (_folder, tree) =
            tree(&[("net", "ring,fail-over"), ("blk", "ring"), ("ring", ""), ("fail_over", ""), ("x", "")]);
        assert_eq!(order(&tree, &["blk", "net"]).expect("order"), ["ring", "blk", "fail_over", "net"]);
    }

    #[test]
    fn absent_and_circular_modules_are_errors() {
        let (_folder, tree) = tree(&[("a", "b"), ("b", "a"), ("c", "gone")]);
        assert!(order(&tree, &["a"]).is_none());
        assert!(order(&tree, &["c"]).is_none());
        assert!(order(&tree, &["nothing"]).is_none());
    }
}
