//! The store in a bucket of the real objectd.

use crate::watch::{TEST_PATIENCE, Watch};
use crate::{
    objectd::{BUCKET, Objectd, REGION},
    suite::{self, Store, content},
};
use hive_blockd_store::{
    Condition, ObjectStore, S3Config, S3Store, StoreConfig, StoreError, error::chain, open, s3::Timeouts,
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// Gives up soon.
fn impatient() -> Timeouts {
    Timeouts { call: Duration::from_millis(300), first_pause: Duration::from_millis(10), ..Timeouts::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    let store: Store = Arc::new(objectd.store(objectd.address, Timeouts::default()));
    suite::everything(&store).await;
    // The same bucket without a prefix sees the other's objects, under their whole names.
    store.put("vol/1", content(1, 10)).await.unwrap();
    let config = S3Config { prefix: String::new(), ..objectd.config(objectd.address) };
    let whole = open(&StoreConfig::S3(config)).unwrap();
    assert_eq!(whole.get("hive/blockd/vol/1").await.unwrap().0, content(1, 10));
    let config = S3Config { prefix: "hive/block".into(), ..objectd.config(objectd.address) };
    let neighbour = open(&StoreConfig::S3(config)).unwrap();
    assert!(neighbour.list("").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_several_pages_is_complete() {
    let _watch = Watch::test(TEST_PATIENCE);
    const KEYS: usize = 2300;
    let objectd = Objectd::start();
    let store: Store = Arc::new(objectd.store(objectd.address, Timeouts::default()));
    let tasks: Vec<_> = (0..23)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for key in (task..KEYS).step_by(23) {
                    store.put(&format!("vol/{key:05}"), content(1, 3)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let expected: Vec<String> = (0..KEYS).map(|key| format!("vol/{key:05}")).collect();
    assert!(store.list("vol/").await.unwrap() == expected);
    assert!(store.list("vol/010").await.unwrap() == expected[1000..1100]);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    let with = |change: &dyn Fn(&mut S3Config)| {
        let mut config = objectd.config(objectd.address);
        change(&mut config);
        S3Store::open(&config, impatient()).unwrap()
    };
    // Another account's bucket; a key nobody has.
    let foreign = with(&|config| config.credentials_file = objectd.credentials(2));
    let unknown = with(&|config| config.credentials_file = objectd.credentials(3));
    for store in [foreign, unknown] {
        for error in [
            store.get("vol/1").await.map(drop).unwrap_err(),
            store.put("vol/1", content(1, 1)).await.unwrap_err(),
            store.put_if("vol/1", content(1, 1), Condition::Absent).await.map(drop).unwrap_err(),
            store.list("").await.map(drop).unwrap_err(),
            store.size("vol/1").await.map(drop).unwrap_err(),
            store.delete("vol/1").await.unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Denied { .. }), "{}", chain(&error));
        }
    }
    let nowhere = with(&|config| config.bucket = "none-such".into());
    let error = nowhere.put("vol/1", content(1, 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. }) && chain(&error).contains("NoSuchBucket"), "{}", chain(&error));
    let elsewhere = with(&|config| config.region = "eu-west-1".into());
    assert!(matches!(elsewhere.get("vol/1").await, Err(StoreError::Invalid { .. })));
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = with(&|config| config.endpoint = format!("http://{closed}"));
    let error = away.get("vol/1").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && error.is_transient(), "{}", chain(&error));
    assert!(chain(&error).starts_with("get vol/1: store is unavailable"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let home = tempfile::tempdir().unwrap();
    let ca_file = home.path().join("ca.pem");
    fs::write(&ca_file, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = objectd.address;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(upstream).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    let endpoint = format!("https://localhost:{port}");
    let trusting = S3Config { endpoint, ca_file: Some(ca_file), ..objectd.config(objectd.address) };
    let store = S3Store::open(&trusting, Timeouts::default()).unwrap();
    let data = content(1, 1 << 20);
    store.put("vol/1", data.clone()).await.unwrap();
    assert!(store.get_range("vol/1", 1000..900_000).await.unwrap() == data[1000..900_000]);
    // Whom nobody vouches for is not spoken to, and neither is one of another name.
    let other_key = rcgen::KeyPair::generate().unwrap();
    let other = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&other_key).unwrap();
    let stranger = home.path().join("other.pem");
    fs::write(&stranger, other.pem()).unwrap();
    for wary in [
        S3Config { ca_file: Some(stranger), ..trusting.clone() },
        S3Config { endpoint: format!("https://127.0.0.1:{port}"), ..trusting },
    ] {
        let error = S3Store::open(&wary, impatient()).unwrap().get("vol/1").await.unwrap_err();
        let text = chain(&error);
        assert!(matches!(error, StoreError::Unavailable { .. }) && text.contains("certificate"), "{text}");
    }
}

#[test]
fn mistakes_of_the_configuration_are_named() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let sound = "access_key_id = 'AKIA1'\nsecret_access_key = 'hush'\n";
    let base = S3Config {
        endpoint: "http://127.0.0.1:9000".into(),
        region: REGION.into(),
        bucket: BUCKET.into(),
        prefix: String::new(),
        path_style: true,
        credentials_file: file("sound", sound, 0o600),
        ca_file: None,
    };
    let store = S3Store::open(&base, Timeouts::default()).unwrap();
    assert_eq!(format!("{store:?}"), "S3Store(http://127.0.0.1:9000/volumes/)");
    type Change<'c> = &'c dyn Fn(&mut S3Config);
    let credentials = |path: &Path| {
        let path = path.to_owned();
        move |config: &mut S3Config| config.credentials_file = path.clone()
    };
    let open_to_all = file("open", sound, 0o644);
    let incomplete = file("incomplete", "access_key_id = 'AKIA1'\n", 0o600);
    let misspelt = file("misspelt", &format!("{sound}secret = 'hush'\n"), 0o600);
    let broken = file("broken", "access_key_id = 'AKIA1'\nsecret_access_key = hush\n", 0o600);
    let empty = file("empty", "access_key_id = ''\nsecret_access_key = 'hush'\n", 0o600);
    let no_pem = file("ca.pem", "nothing", 0o644);
    let cases: [(Change<'_>, &str); 17] = [
        (&|config| config.endpoint = "127.0.0.1:9000".into(), "store.endpoint must begin with"),
        (&|config| config.endpoint = "ftp://host".into(), "store.endpoint must begin with"),
        (&|config| config.endpoint = "http://host/bucket".into(), "store.endpoint must end after host"),
        (&|config| config.endpoint = "http://user:hush@host".into(), "must not hold user or password"),
        (&|config| config.endpoint = "http://a b".into(), "store.endpoint is no URL"),
        (&|config| config.region = String::new(), "store.region"),
        (&|config| config.bucket = "My_Bucket".into(), "store.bucket"),
        (&|config| config.prefix = "/x/".into(), "store.prefix"),
        (&|config| config.ca_file = Some("/ca.pem".into()), "store.ca_file is set, but"),
        (&|config| config.credentials_file = "/none".into(), "store.credentials_file: No such file"),
        (&credentials(&open_to_all), "store.credentials_file is open to everybody (mode 644)"),
        (&credentials(&incomplete), "missing field `secret_access_key`"),
        (&credentials(&misspelt), "line 3: unknown field `secret`"),
        (&credentials(&broken), "line 2"),
        (&credentials(&empty), "a key is empty"),
        (
            &|config| (config.endpoint, config.ca_file) = ("https://host".into(), Some(no_pem.clone())),
            "holds no certificate",
        ),
        (
            &|config| (config.endpoint, config.ca_file) = ("https://host".into(), Some("/none.pem".into())),
            "store.ca_file /none.pem",
        ),
    ];
    for (change, expected) in cases {
        let mut config = base.clone();
        change(&mut config);
        let error = S3Store::open(&config, Timeouts::default()).unwrap_err();
        let text = chain(&error);
        assert!(matches!(error, StoreError::Invalid { .. }), "{text}");
        assert!(text.contains(expected), "{expected:?} is not in {text:?}");
        assert!(!text.contains("hush") && !format!("{error:?}").contains("hush"), "{error:?}");
    }
    let hosted = S3Config { path_style: false, ..base };
    assert!(S3Store::open(&hosted, Timeouts::default()).is_ok());
}
