//! Key pairs: made here (the private half is answered once and kept nowhere) or brought by the caller.

mod material;

use super::filter::{Filterable, Filters};
use super::{Api, Call, iso, parse_ids, tags};
use crate::error::{Error, invalid, missing, not_found, required};
use crate::random;
use crate::store::{KeyPairRecord, KeyType, Tags, Version, account_prefix};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_aws_types::ec2::{
    CreateKeyPairRequest, DeleteKeyPairRequest, DeleteKeyPairResult, DescribeKeyPairsRequest, DescribeKeyPairsResult,
    ImportKeyPairRequest, ImportKeyPairResult, KeyPair, KeyPairInfo,
};
use hive_bus::Record;
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::KeyPairId;
use std::sync::Arc;

/// EC2's limit, in ASCII characters.
const MAX_NAME_BYTES: usize = 255;

fn check_name(name: Option<String>) -> Result<String, Error> {
    let name = required(name, "KeyName")?;
    // The store's key holds the name in hexadecimal, within its own limit.
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(|b| (b' '..=b'~').contains(&b));
    if !fits || name.trim() != name {
        return Err(invalid("KeyName", &name, "A name has 1 to 255 ASCII characters and no space at either end."));
    }
    Ok(name)
}

async fn store(api: &Api, record: &KeyPairRecord) -> Result<(), Error> {
    let key = KeyPairRecord::key_of(&record.account, &record.name);
    if api.stores.key_pairs.create(&key, record).await? {
        return Ok(());
    }
    Err(ApiError::Duplicate { resource: Resource::KeyPair, id: record.name.clone() }.into())
}

pub async fn create_key_pair(api: Arc<Api>, call: Call, input: CreateKeyPairRequest) -> Result<KeyPair, Error> {
    let name = check_name(input.key_name)?;
    let tags = tags::specified(&input.tag_specifications, "key-pair", &["key-pair"])?;
    let key_type = match input.key_type.as_deref() {
        None | Some("rsa") => KeyType::Rsa,
        Some("ed25519") => KeyType::Ed25519,
        Some(other) => return Err(invalid("KeyType", other, "Expecting rsa or ed25519.")),
    };
    if let Some(format) = input.key_format.as_deref().filter(|format| *format != "pem") {
        return Err(invalid("KeyFormat", format, "Only pem is available."));
    }
    if api.stores.key_pairs.get(&KeyPairRecord::key_of(&call.caller.account, &name)).await?.is_some() {
        return Err(ApiError::Duplicate { resource: Resource::KeyPair, id: name }.into());
    }
    // Finding two primes takes a good part of a second.
    let made = tokio::task::spawn_blocking(move || material::generate(key_type)).await;
    let made = made.map_err(|e| Error::Fault(format!("making a key failed: {e}")))??;
    let record = KeyPairRecord {
        version: Version,
        key_pair_id: KeyPairId::from_random(random::draw()?),
        account: call.caller.account.clone(),
        name: name.clone(),
        key_type,
        fingerprint: made.fingerprint,
        public_key: made.public_key,
        created_at: call.now,
        tags,
    };
    store(&api, &record).await?;
    Ok(KeyPair {
        key_fingerprint: Some(record.fingerprint),
        key_material: Some(made.private_key),
        key_name: Some(name),
        key_pair_id: Some(record.key_pair_id.to_string()),
        tags: tags::to_api(&record.tags),
    })
}

pub async fn import_key_pair(
    api: Arc<Api>,
    call: Call,
    input: ImportKeyPairRequest,
) -> Result<ImportKeyPairResult, Error> {
    let name = check_name(input.key_name)?;
    let tags = tags::specified(&input.tag_specifications, "key-pair", &["key-pair"])?;
    let blob = required(input.public_key_material, "PublicKeyMaterial")?;
    let malformed = || invalid("PublicKeyMaterial", "", "Key is not in valid OpenSSH public key format");
    let text = STANDARD.decode(blob).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(malformed)?;
    let brought = material::parse(&text).ok_or_else(malformed)?;
    let record = KeyPairRecord {
        version: Version,
        key_pair_id: KeyPairId::from_random(random::draw()?),
        account: call.caller.account.clone(),
        name: name.clone(),
        key_type: brought.key_type,
        fingerprint: brought.fingerprint,
        public_key: brought.public_key,
        created_at: call.now,
        tags,
    };
    store(&api, &record).await?;
    Ok(ImportKeyPairResult {
        key_fingerprint: Some(record.fingerprint),
        key_name: Some(name),
        key_pair_id: Some(record.key_pair_id.to_string()),
        tags: tags::to_api(&record.tags),
    })
}

impl Filterable for KeyPairRecord {
    const NAMES: &'static [&'static str] = &["fingerprint", "key-name", "key-pair-id"];

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "fingerprint" => self.fingerprint.clone(),
            "key-name" => self.name.clone(),
            _ => self.key_pair_id.to_string(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.tags)
    }
}

pub async fn describe_key_pairs(
    api: Arc<Api>,
    call: Call,
    input: DescribeKeyPairsRequest,
) -> Result<DescribeKeyPairsResult, Error> {
    let filters = Filters::check::<KeyPairRecord>(&input.filters)?;
    let ids: Vec<KeyPairId> = parse_ids(Resource::KeyPair, &input.key_pair_ids)?;
    let all = api.stores.key_pairs.range(&account_prefix(&call.caller.account)).await?;
    let mut all: Vec<KeyPairRecord> = all.into_iter().map(|record| record.value).collect();
    if let Some(name) = input.key_names.iter().find(|name| !all.iter().any(|pair| pair.name == **name)) {
        return Err(not_found(Resource::KeyPair, name));
    }
    if let Some(id) = ids.iter().find(|id| !all.iter().any(|pair| pair.key_pair_id == **id)) {
        return Err(not_found(Resource::KeyPair, id));
    }
    all.retain(|pair| {
        let named = input.key_names.contains(&pair.name) || ids.contains(&pair.key_pair_id);
        (named || (input.key_names.is_empty() && ids.is_empty())) && filters.admit(pair)
    });
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let include_public_key = input.include_public_key.unwrap_or(false);
    let described = all.into_iter().map(|pair| KeyPairInfo {
        create_time: Some(iso(pair.created_at)),
        key_fingerprint: Some(pair.fingerprint),
        key_name: Some(pair.name.clone()),
        key_pair_id: Some(pair.key_pair_id.to_string()),
        key_type: Some(pair.key_type.name().into()),
        public_key: include_public_key.then(|| format!("{} {}", pair.public_key, pair.name)),
        tags: tags::to_api(&pair.tags),
    });
    Ok(DescribeKeyPairsResult { key_pairs: described.collect() })
}

pub async fn find_by_id(api: &Api, call: &Call, id: &str) -> Result<Option<Record<KeyPairRecord>>, Error> {
    let all = api.stores.key_pairs.range(&account_prefix(&call.caller.account)).await?;
    Ok(all.into_iter().find(|record| record.value.key_pair_id.as_str() == id))
}

/// Deleting a name that is not there succeeds, as EC2 does; an unknown id is an error.
pub async fn delete_key_pair(
    api: Arc<Api>,
    call: Call,
    input: DeleteKeyPairRequest,
) -> Result<DeleteKeyPairResult, Error> {
    let key = match (&input.key_name, &input.key_pair_id) {
        (Some(name), _) => KeyPairRecord::key_of(&call.caller.account, name),
        (None, Some(id)) => {
            super::parse_id::<KeyPairId>(Resource::KeyPair, id)?;
            find_by_id(&api, &call, id).await?.ok_or_else(|| not_found(Resource::KeyPair, id))?.key
        }
        (None, None) => return Err(missing("KeyName")),
    };
    let gone = match api.stores.key_pairs.delete_if(&key, |_| Ok::<_, Error>(true)).await {
        // A name too long to be anybody's key.
        Err(Error::Table(hive_bus::TableError::Store(hive_bus::StoreError::BadKey { .. }))) => None,
        other => other?,
    };
    Ok(DeleteKeyPairResult { key_pair_id: gone.map(|pair| pair.key_pair_id.to_string()), r#return: Some(true) })
}
