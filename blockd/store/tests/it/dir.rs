//! The store in a directory: the suite, and what is its own.

use crate::suite::{self, Store, content};
use crate::watch::{TEST_PATIENCE, Watch};
use hive_blockd_store::{Condition, DirConfig, DirStore, StoreConfig, StoreError, error::chain, open};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

fn dir_store(path: &Path) -> Store {
    Arc::new(DirStore::open(path).unwrap())
}

/// Regular files below a directory.
fn files(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let store = dir_store(&home.path().join("store"));
    suite::everything(&store).await;
    assert!(files(&home.path().join("store/tmp")).is_empty());
    // What was acknowledged is there for the next.
    store.put("vol/1", content(1, 100)).await.unwrap();
    drop(store);
    let store = dir_store(&home.path().join("store"));
    assert_eq!(store.get("vol/1").await.unwrap().0, content(1, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_one_counter() {
    let _watch = Watch::test(TEST_PATIENCE);
    // flock excludes two opens of one file wherever they are, so a second store in this process is as good as another process.
    let home = tempfile::tempdir().unwrap();
    let stores = [dir_store(home.path()), dir_store(home.path())];
    let tasks: Vec<_> = (0..8)
        .map(|writer| {
            let store = stores[writer % 2].clone();
            tokio::spawn(async move {
                for before in 0..10 {
                    suite::increment(&store, "vol/manifest", writer, before).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let (counter, _) = suite::read_counter(&stores[0], "vol/manifest").await;
    assert!(counter.0.len() == 8 && counter.0.values().all(|count| *count == 10), "{counter:?}");
}

#[tokio::test]
async fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let store = dir_store(home.path());
    store.put("vol/a/1", content(1, 10)).await.unwrap();
    store.delete("vol/a/1").await.unwrap();
    let dead = home.path().join("tmp/dead");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("torn"), "half").unwrap();
    fs::write(home.path().join("tmp/stray"), "").unwrap();
    let living = home.path().join("tmp/living");
    fs::create_dir(&living).unwrap();
    fs::write(living.join("busy"), "half").unwrap();
    let lock = File::open(&living).unwrap();
    lock.lock().unwrap();
    let second = dir_store(home.path());
    assert!(!dead.exists() && !home.path().join("tmp/stray").exists());
    assert!(living.join("busy").exists());
    // Both work on, and nothing half written was ever an object.
    store.put("vol/b", content(2, 10)).await.unwrap();
    assert_eq!(second.list("").await.unwrap(), ["vol/b"]);
    assert!(home.path().join("objects/vol/a").exists(), "no directory goes while others may be using it");
    drop((store, second, lock));
    let store = dir_store(home.path());
    assert!(!living.exists() && !home.path().join("objects/vol/a").exists());
    store.put("vol/a/1", content(1, 10)).await.unwrap();
}

#[tokio::test]
async fn a_truncated_object_is_told() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let store = dir_store(home.path());
    store.put("vol/seg", content(1, 10_000)).await.unwrap();
    File::options().write(true).open(home.path().join("objects/vol/seg_")).unwrap().set_len(9_999).unwrap();
    let error = store.get_range("vol/seg", 8_000..10_000).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }) && error.to_string().contains("vol/seg"), "{error:?}");
    assert!(store.get_range("vol/seg", 8_000..9_999).await.is_ok());
}

#[tokio::test]
async fn a_directory_that_went_away_comes_back() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let store = dir_store(home.path());
    store.put("vol/1", content(1, 10)).await.unwrap();
    fs::remove_dir_all(home.path().join("objects/vol")).unwrap();
    let error = store.put("vol/2", content(2, 10)).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    store.put("vol/2", content(2, 10)).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), ["vol/2"]);
}

#[tokio::test]
async fn a_full_disk() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("small");
    fs::create_dir(&target).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(&target)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("skipped: may not mount a small tmpfs");
        return;
    }
    let outcome = {
        let store = dir_store(&target);
        let small = store.put("vol/1", content(1, 1000)).await;
        let large = store.put("vol/2", content(2, 1 << 20)).await;
        let conditional = store.put_if("vol/1", content(3, 1 << 20), Condition::Absent).await.map(drop);
        let again = store.put("vol/3", content(1, 1000)).await;
        let read = store.get("vol/1").await.map(|(data, _)| data);
        (small, large, conditional, again, read, store.list("").await)
    };
    assert!(Command::new("umount").arg(&target).status().unwrap().success());
    let (small, large, conditional, again, read, list) = outcome;
    small.unwrap();
    again.unwrap();
    for refused in [large, conditional] {
        assert!(matches!(refused, Err(StoreError::NoSpace { .. })), "{refused:?}");
    }
    assert_eq!(read.unwrap(), content(1, 1000));
    assert_eq!(list.unwrap(), ["vol/1", "vol/3"]);
}

#[test]
fn mistakes_of_the_configuration_are_named() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    for (path, expected) in [
        ("relative/path".into(), "store.path must be an absolute path"),
        (home.path().join("none/store"), "No such file or directory"),
        (file.join("store"), "Not a directory"),
    ] {
        let error = open(&StoreConfig::Dir(DirConfig { path: path.clone() })).unwrap_err();
        let text = chain(&error);
        assert!(matches!(error, StoreError::Invalid { .. }), "{error:?}");
        assert!(text.contains(expected) && text.contains(&path.display().to_string()), "{text}");
    }
    assert!(open(&StoreConfig::Dir(DirConfig { path: home.path().join("store") })).is_ok());
}

/// Where the child of the next test writes; without it, that test does nothing.
const CHILD_ROOT: &str = "HIVE_BLOCKD_STORE_CHILD";

/// Not a test of its own: the process that the next test kills. Prints what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes_until_it_is_killed() {
    let _watch = Watch::test(TEST_PATIENCE);
    let Some(root) = std::env::var_os(CHILD_ROOT) else { return };
    let store = dir_store(Path::new(&root));
    let (mut counter, mut condition) = suite::read_counter(&store, "counter").await;
    for number in counter.of(0) + 1.. {
        let len = [10, 50_000, 700_000][number as usize % 3];
        store.put(&format!("vol/{}/{number}", number % 7), content(number, len)).await.unwrap();
        counter.0.insert(0, number);
        let version = store.put_if("counter", counter.bytes(), condition).await.unwrap();
        condition = Condition::Version(version);
        println!("acknowledged {number}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_kill() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "dir::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD_ROOT, home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let number = |line: String| line.strip_prefix("acknowledged ").map(|number| number.parse::<u64>().unwrap());
        // A moment that differs from round to round, in the middle of something.
        let first = lines.by_ref().find_map(number).unwrap();
        std::thread::sleep(Duration::from_millis(40 + 13 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        last = lines.filter_map(number).last().unwrap_or(first).max(last);
        let store = dir_store(home.path());
        let (counter, _) = suite::read_counter(&store, "counter").await;
        assert!(counter.of(0) == last || counter.of(0) == last + 1, "{counter:?} {last}");
        assert!(files(&home.path().join("tmp")).is_empty());
        for key in store.list("vol/").await.unwrap() {
            let number: u64 = key.rsplit('/').next().unwrap().parse().unwrap();
            let len = [10, 50_000, 700_000][number as usize % 3];
            assert!(store.get(&key).await.unwrap().0 == content(number, len), "{key}");
        }
        let listed = store.list("vol/").await.unwrap().len() as u64;
        assert!((counter.of(0)..=counter.of(0) + 1).contains(&listed), "{listed} {counter:?}");
    }
    assert!(last > 8, "{last}");
}
