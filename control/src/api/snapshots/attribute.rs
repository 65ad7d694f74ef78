//! Who may make volumes of a snapshot: accounts, or everybody.

use super::super::{Api, Call, parse_id};
use super::find_own;
use crate::error::{Error, combination, invalid, missing, not_found, required, unsupported};
use crate::store::{SnapshotRecord, key};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    CreateVolumePermission, DescribeSnapshotAttributeRequest, DescribeSnapshotAttributeResult,
    ModifySnapshotAttributeRequest, ResetSnapshotAttributeRequest,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{AccountId, SnapshotId};
use std::sync::Arc;

/// AWS's quota of accounts that one snapshot is shared with is of this order; the record stays small.
const MAX_SHARED_WITH: usize = 1000;

/// Whom a permission is for.
#[derive(Debug)]
enum Grantee {
    Account(AccountId),
    Everybody,
}

fn account(id: &str) -> Result<Grantee, Error> {
    let malformed = |_| ApiError::Malformed { resource: Resource::User, id: id.to_owned() };
    Ok(Grantee::Account(id.parse().map_err(malformed)?))
}

fn group(name: &str) -> Result<Grantee, Error> {
    match name {
        "all" => Ok(Grantee::Everybody),
        other => Err(invalid("GroupName", other, "The only group is all.")),
    }
}

fn grantees(permissions: &[CreateVolumePermission]) -> Result<Vec<Grantee>, Error> {
    let one = |permission: &CreateVolumePermission| match (&permission.user_id, &permission.group) {
        (Some(id), None) => account(id),
        (None, Some(name)) => group(name),
        _ => Err(missing("CreateVolumePermission.UserId")),
    };
    permissions.iter().map(one).collect()
}

/// Those to add and those to remove, in either of the call's forms.
fn changes(input: &ModifySnapshotAttributeRequest) -> Result<(Vec<Grantee>, Vec<Grantee>), Error> {
    if let Some(permission) = &input.create_volume_permission {
        return Ok((grantees(&permission.add)?, grantees(&permission.remove)?));
    }
    let accounts = input.user_ids.iter().map(|id| account(id));
    let named: Vec<Grantee> =
        accounts.chain(input.group_names.iter().map(|name| group(name))).collect::<Result<_, _>>()?;
    match input.operation_type.as_deref() {
        Some("add") => Ok((named, Vec::new())),
        Some("remove") => Ok((Vec::new(), named)),
        Some(other) => Err(invalid("OperationType", other, "Expecting add or remove.")),
        None if named.is_empty() => Ok((named, Vec::new())),
        None => Err(missing("OperationType")),
    }
}

fn check_attribute(attribute: Option<&str>) -> Result<(), Error> {
    match attribute {
        None | Some("createVolumePermission") => Ok(()),
        Some("productCodes") => Err(unsupported("Product codes are the marketplace's.")),
        Some(other) => Err(invalid("Attribute", other, "Expecting createVolumePermission.")),
    }
}

pub async fn modify_snapshot_attribute(
    api: Arc<Api>,
    call: Call,
    input: ModifySnapshotAttributeRequest,
) -> Result<Empty, Error> {
    let text = required(input.snapshot_id.clone(), "SnapshotId")?;
    let id: SnapshotId = parse_id(Resource::Snapshot, &text)?;
    check_attribute(input.attribute.as_deref())?;
    let (add, remove) = changes(&input)?;
    if add.is_empty() && remove.is_empty() {
        return Err(combination("No permissions to add or remove were specified."));
    }
    find_own(&api, &call, &id).await?;
    let changed = api.stores.snapshots.modify(key(&call.caller.account, &id), |snapshot: &mut SnapshotRecord| {
        // The key that AWS manages cannot be shared, and there is no other here.
        if snapshot.encrypted && !add.is_empty() {
            let reason = "Encrypted snapshots with EBS default key cannot be shared".into();
            return Err(Error::from(ApiError::OperationNotPermitted { reason }));
        }
        for grantee in &remove {
            match grantee {
                Grantee::Everybody => snapshot.public = false,
                Grantee::Account(account) => drop(snapshot.shared_with.remove(account)),
            }
        }
        for grantee in &add {
            match grantee {
                Grantee::Everybody => snapshot.public = true,
                Grantee::Account(account) => drop(snapshot.shared_with.insert(account.clone())),
            }
        }
        if snapshot.shared_with.len() > MAX_SHARED_WITH {
            let reason = format!("A snapshot is shared with at most {MAX_SHARED_WITH} accounts.");
            return Err(ApiError::LimitExceeded { resource: Resource::Snapshot, reason }.into());
        }
        Ok(())
    });
    changed.await?.map(|_| Empty {}).ok_or_else(|| not_found(Resource::Snapshot, &id))
}

pub async fn describe_snapshot_attribute(
    api: Arc<Api>,
    call: Call,
    input: DescribeSnapshotAttributeRequest,
) -> Result<DescribeSnapshotAttributeResult, Error> {
    let id: SnapshotId = parse_id(Resource::Snapshot, &required(input.snapshot_id, "SnapshotId")?)?;
    let attribute = required(input.attribute, "Attribute")?;
    let snapshot = find_own(&api, &call, &id).await?;
    let mut answer = DescribeSnapshotAttributeResult { snapshot_id: Some(id.to_string()), ..Default::default() };
    match attribute.as_str() {
        "createVolumePermission" => {
            let everybody = CreateVolumePermission { group: Some("all".into()), ..Default::default() };
            let accounts = snapshot
                .shared_with
                .iter()
                .map(|account| CreateVolumePermission { user_id: Some(account.to_string()), ..Default::default() });
            answer.create_volume_permissions =
                snapshot.public.then_some(everybody).into_iter().chain(accounts).collect();
        }
        "productCodes" => {}
        other => return Err(invalid("Attribute", other, "Expecting createVolumePermission or productCodes.")),
    }
    Ok(answer)
}

pub async fn reset_snapshot_attribute(
    api: Arc<Api>,
    call: Call,
    input: ResetSnapshotAttributeRequest,
) -> Result<Empty, Error> {
    let id: SnapshotId = parse_id(Resource::Snapshot, &required(input.snapshot_id, "SnapshotId")?)?;
    check_attribute(Some(&required(input.attribute, "Attribute")?))?;
    find_own(&api, &call, &id).await?;
    let reset = api.stores.snapshots.modify(key(&call.caller.account, &id), |snapshot| {
        snapshot.public = false;
        snapshot.shared_with.clear();
        Ok::<_, Error>(())
    });
    reset.await?.map(|_| Empty {}).ok_or_else(|| not_found(Resource::Snapshot, &id))
}
