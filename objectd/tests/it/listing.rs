use crate::client::{Client, TestServer};
use hive_auth::canonical::encode;
use http::StatusCode;
use proptest::{prelude::*, test_runner::TestRunner};
use std::collections::BTreeSet;

/// What S3 says a listing is: keys in byte order, everything behind the delimiter rolled up.
fn model(keys: &BTreeSet<String>, prefix: &str, delimiter: &str) -> Vec<String> {
    let mut names = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let name = match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => format!("P:{prefix}{}", &rest[..at + delimiter.len()]),
            None => format!("K:{key}"),
        };
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    names
}

/// Keys and common prefixes of all pages, in order within each page's two lists.
async fn pages(client: &Client, prefix: &str, delimiter: &str, page: usize, v2: bool) -> Vec<String> {
    let (mut names, mut position) = (Vec::new(), String::new());
    loop {
        let target = format!(
            "/bkt?{}&encoding-type=url&max-keys={page}&prefix={}&delimiter={}{position}",
            if v2 { "list-type=2" } else { "" },
            encode(prefix.as_bytes()),
            encode(delimiter.as_bytes())
        );
        let reply = client.get(&target).await.expect(StatusCode::OK);
        let decode = |text: &str| String::from_utf8(hive_auth::canonical::decode(text, false)).unwrap();
        let keys: Vec<_> = reply.elements("Key").iter().map(|key| decode(key)).collect();
        let prefixes: Vec<_> = reply
            .elements("CommonPrefixes")
            .iter()
            .map(|text| decode(&text.replace("<Prefix>", "").replace("</Prefix>", "")))
            .collect();
        assert!(keys.len() + prefixes.len() <= page);
        let mut both: Vec<_> =
            keys.iter().map(|key| (key.clone(), 'K')).chain(prefixes.iter().map(|key| (key.clone(), 'P'))).collect();
        both.sort();
        names.extend(both.iter().map(|(name, kind)| format!("{kind}:{name}")));
        if reply.element("IsTruncated").as_deref() != Some("true") {
            return names;
        }
        position = if v2 {
            format!("&continuation-token={}", encode(reply.element("NextContinuationToken").unwrap().as_bytes()))
        } else {
            let last = both.last().unwrap().0.clone();
            assert!(delimiter.is_empty() || decode(&reply.element("NextMarker").unwrap()) == last);
            format!("&marker={}", encode(last.as_bytes()))
        };
    }
}

#[test]
fn paging_agrees_with_a_sorted_set() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, client) = runtime.block_on(TestServer::with_bucket());
    let key = "[ab/\u{e4}]{1,4}";
    let case = (
        proptest::collection::btree_set(key, 0..25),
        "[ab/]{0,2}",
        prop_oneof!["", "/", "b/"],
        1usize..6,
        any::<bool>(),
    );
    let mut runner = TestRunner::new(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&case, |(keys, prefix, delimiter, page, v2)| {
            runtime.block_on(async {
                for key in &keys {
                    client.put(&format!("/bkt/{}", encode(key.as_bytes())), "").await.expect(StatusCode::OK);
                }
                let listed = pages(&client, &prefix, &delimiter, page, v2).await;
                for key in &keys {
                    client.delete(&format!("/bkt/{}", encode(key.as_bytes()))).await.expect(StatusCode::NO_CONTENT);
                }
                prop_assert_eq!(listed, model(&keys, &prefix, &delimiter));
                Ok(())
            })
        })
        .unwrap();
    drop(server);
}

#[tokio::test]
async fn a_key_that_is_the_prefix_and_ends_a_page_hides_nothing() {
    let (_server, client) = TestServer::with_bucket().await;
    for key in ["/", "/b", "/c/d"] {
        client.put(&format!("/bkt/{key}"), "").await.expect(StatusCode::OK);
    }
    assert_eq!(pages(&client, "/", "/", 1, false).await, ["K:/", "K:/b", "P:/c/"]);
}

#[tokio::test]
async fn start_after_owner_and_arguments() {
    let (_server, client) = TestServer::with_bucket().await;
    for key in ["a", "b", "c"] {
        client.put(&format!("/bkt/{key}"), key).await.expect(StatusCode::OK);
    }
    let listed = client.get("/bkt?list-type=2&start-after=a&fetch-owner=true").await.expect(StatusCode::OK);
    assert_eq!(listed.elements("Key"), ["b", "c"]);
    assert_eq!(listed.element("ID").as_deref(), Some("000000000001"));
    assert_eq!(listed.element("KeyCount").as_deref(), Some("2"));
    let none = client.get("/bkt?list-type=2&max-keys=0").await.expect(StatusCode::OK);
    assert_eq!((none.elements("Key").len(), none.element("IsTruncated").as_deref()), (0, Some("false")));
    client.get("/bkt?list-type=2&max-keys=x").await.refused(400, "InvalidArgument");
    client.get("/bkt?list-type=2&continuation-token=x").await.refused(400, "InvalidArgument");
    client.get("/bkt?list-type=2&encoding-type=gzip").await.refused(400, "InvalidArgument");
}
