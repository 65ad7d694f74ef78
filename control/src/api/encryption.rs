//! Encryption of volumes and snapshots: the account's default, and the one key that there is. Volumes are encrypted by blockd under
//! keys of their own; the key that AWS manages for an account, `alias/aws/ebs`, stands for that.

use super::{Api, Call};
use crate::error::{Error, invalid, required};
use crate::store::AccountRecord;
use hive_aws_types::ec2::{
    DisableEbsEncryptionByDefaultRequest, DisableEbsEncryptionByDefaultResult, EnableEbsEncryptionByDefaultRequest,
    EnableEbsEncryptionByDefaultResult, GetEbsDefaultKmsKeyIdRequest, GetEbsDefaultKmsKeyIdResult,
    GetEbsEncryptionByDefaultRequest, GetEbsEncryptionByDefaultResult, ModifyEbsDefaultKmsKeyIdRequest,
    ModifyEbsDefaultKmsKeyIdResult, ResetEbsDefaultKmsKeyIdRequest, ResetEbsDefaultKmsKeyIdResult,
};
use hive_types::ApiError;
use hive_types::id::AccountId;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const MANAGED_ALIAS: &str = "alias/aws/ebs";

/// The account's key as volumes name it: `arn:aws:kms:us-east-1:123456789012:key/<uuid>`, the same always.
fn key_arn(region: &str, account: &AccountId) -> String {
    format!("arn:aws:kms:{region}:{account}:key/{}", key_uuid(account))
}

fn key_uuid(account: &AccountId) -> String {
    let digest = hex::encode(Sha256::digest(format!("EBS key of {account}")));
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// Refuses every key but the account's own, in each of the ways in which KMS keys are named.
fn check_key(api: &Api, call: &Call, name: &str) -> Result<(), Error> {
    let (region, account) = (&api.place.region, &call.caller.account);
    let alias_arn = format!("arn:aws:kms:{region}:{account}:{MANAGED_ALIAS}");
    if [MANAGED_ALIAS, &alias_arn, &key_arn(region, account), &key_uuid(account)].contains(&name) {
        return Ok(());
    }
    Err(invalid("KmsKeyId", name, format!("The key does not exist; the only one here is {MANAGED_ALIAS}.")))
}

async fn settings(api: &Api, call: &Call) -> Result<AccountRecord, Error> {
    let found = api.stores.accounts.get(call.caller.account.as_str()).await?;
    Ok(found.map(|record| record.value).unwrap_or_default())
}

async fn set(api: &Api, call: &Call, change: impl Fn(&mut AccountRecord)) -> Result<(), Error> {
    let key = call.caller.account.as_str();
    // Made by the first change; losing the race to make it is as good.
    api.stores.accounts.create(key, &AccountRecord::default()).await?;
    let changed = api.stores.accounts.modify(key, |record| {
        change(record);
        Ok::<_, Error>(())
    });
    changed.await.map(drop)
}

/// The key of a new volume or snapshot; None: it is not encrypted. What descends from something encrypted always is.
///
/// # Errors
/// A key without encryption, or a key that does not exist.
pub async fn key_for(
    api: &Api,
    call: &Call,
    encrypted: Option<bool>,
    kms_key_id: Option<&str>,
    source_is_encrypted: bool,
) -> Result<Option<String>, Error> {
    if let Some(name) = kms_key_id {
        check_key(api, call, name)?;
        if encrypted != Some(true) && !source_is_encrypted {
            let reason = "The parameter KmsKeyId requires the parameter Encrypted to be set.".into();
            return Err(ApiError::InvalidParameterDependency { reason }.into());
        }
    }
    let wanted = source_is_encrypted
        || match encrypted {
            Some(true) => true,
            // An account that encrypts by default has no volumes in the clear, whatever a call says.
            _ => settings(api, call).await?.ebs_encryption_by_default,
        };
    Ok(wanted.then(|| key_arn(&api.place.region, &call.caller.account)))
}

/// `sse-ebs` is what the managed key is called where AWS names the kind.
pub fn sse_type(encrypted: bool) -> Option<String> {
    encrypted.then(|| "sse-ebs".to_owned())
}

pub async fn get_default(
    api: Arc<Api>,
    call: Call,
    _: GetEbsEncryptionByDefaultRequest,
) -> Result<GetEbsEncryptionByDefaultResult, Error> {
    let on = settings(&api, &call).await?.ebs_encryption_by_default;
    let sse_type = Some(if on { "sse-ebs" } else { "none" }.to_owned());
    Ok(GetEbsEncryptionByDefaultResult { ebs_encryption_by_default: Some(on), sse_type })
}

pub async fn enable_default(
    api: Arc<Api>,
    call: Call,
    _: EnableEbsEncryptionByDefaultRequest,
) -> Result<EnableEbsEncryptionByDefaultResult, Error> {
    set(&api, &call, |account| account.ebs_encryption_by_default = true).await?;
    Ok(EnableEbsEncryptionByDefaultResult { ebs_encryption_by_default: Some(true) })
}

pub async fn disable_default(
    api: Arc<Api>,
    call: Call,
    _: DisableEbsEncryptionByDefaultRequest,
) -> Result<DisableEbsEncryptionByDefaultResult, Error> {
    set(&api, &call, |account| account.ebs_encryption_by_default = false).await?;
    Ok(DisableEbsEncryptionByDefaultResult { ebs_encryption_by_default: Some(false) })
}

pub async fn get_default_key(
    api: Arc<Api>,
    call: Call,
    _: GetEbsDefaultKmsKeyIdRequest,
) -> Result<GetEbsDefaultKmsKeyIdResult, Error> {
    let chosen = settings(&api, &call).await?.ebs_default_kms_key_id;
    Ok(GetEbsDefaultKmsKeyIdResult { kms_key_id: Some(chosen.unwrap_or_else(|| MANAGED_ALIAS.into())) })
}

pub async fn modify_default_key(
    api: Arc<Api>,
    call: Call,
    input: ModifyEbsDefaultKmsKeyIdRequest,
) -> Result<ModifyEbsDefaultKmsKeyIdResult, Error> {
    check_key(&api, &call, &required(input.kms_key_id, "KmsKeyId")?)?;
    let arn = key_arn(&api.place.region, &call.caller.account);
    set(&api, &call, |account| account.ebs_default_kms_key_id = Some(arn.clone())).await?;
    Ok(ModifyEbsDefaultKmsKeyIdResult { kms_key_id: Some(arn) })
}

pub async fn reset_default_key(
    api: Arc<Api>,
    call: Call,
    _: ResetEbsDefaultKmsKeyIdRequest,
) -> Result<ResetEbsDefaultKmsKeyIdResult, Error> {
    set(&api, &call, |account| account.ebs_default_kms_key_id = None).await?;
    Ok(ResetEbsDefaultKmsKeyIdResult { kms_key_id: Some(MANAGED_ALIAS.into()) })
}
