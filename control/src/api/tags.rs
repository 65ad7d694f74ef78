//! Tags: their rules, and the calls that change them on any kind of resource.

use super::filter::{Filterable, Filters};
use super::page::Page;
use super::{Api, Call};
use crate::error::{Error, invalid, missing, not_found};
use crate::store::{Network, Tags, account_prefix, key};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    CreateTagsRequest, DeleteTagsRequest, DescribeTagsRequest, DescribeTagsResult, Tag, TagDescription,
    TagSpecification,
};
use hive_bus::Table;
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{ImageId, InstanceId, KeyPairId, SecurityGroupRuleId, SnapshotId, VolumeId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// EC2's limits.
const MAX_TAGS: usize = 50;
const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;
const MAX_RESOURCES: usize = 1000;

pub fn to_api(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

/// Checks tags by EC2's rules.
pub fn from_api(tags: &[Tag]) -> Result<Tags, Error> {
    let mut checked = Tags::new();
    for tag in tags {
        let key = tag.key.as_deref().ok_or_else(|| missing("Tag.Key"))?;
        let value = tag.value.as_deref().unwrap_or_default();
        if key.is_empty() || key.chars().count() > MAX_KEY_CHARS {
            return Err(invalid("Tag.Key", key, "Tag keys have 1 to 128 characters."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("Tag.Key", key, "Tag keys starting with 'aws:' are reserved for internal use"));
        }
        if value.chars().count() > MAX_VALUE_CHARS {
            return Err(invalid("Tag.Value", value, "Tag values have at most 256 characters."));
        }
        if checked.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(invalid("Tag.Key", key, "Duplicate tag key specified."));
        }
    }
    check_count(&checked)?;
    Ok(checked)
}

fn check_count(tags: &Tags) -> Result<(), Error> {
    if tags.len() > MAX_TAGS {
        let reason = format!("A resource has at most {MAX_TAGS} tags.");
        return Err(invalid("Tag", tags.len(), reason));
    }
    Ok(())
}

/// The tags that a creating call gives to resources of type `of` (`instance`); `allowed` are all types that the call makes.
pub fn specified(specifications: &[TagSpecification], of: &str, allowed: &[&str]) -> Result<Tags, Error> {
    let mut tags = Vec::new();
    for specification in specifications {
        let resource_type =
            specification.resource_type.as_deref().ok_or_else(|| missing("TagSpecification.ResourceType"))?;
        if !allowed.contains(&resource_type) {
            let reason = format!("'{resource_type}' is not a valid taggable resource type for this operation.");
            return Err(invalid("TagSpecification.ResourceType", resource_type, reason));
        }
        if resource_type == of {
            tags.extend_from_slice(&specification.tags);
        }
    }
    from_api(&tags)
}

/// A record whose tags the calls here change.
trait Tagged: Serialize + DeserializeOwned + PartialEq + Clone {
    fn tags_mut(&mut self) -> &mut Tags;
}

macro_rules! tagged {
    ($($record:ty),*) => {$(
        impl Tagged for $record {
            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        }
    )*};
}
tagged!(
    crate::store::InstanceRecord,
    crate::store::VolumeRecord,
    crate::store::ImageRecord,
    crate::store::SnapshotRecord,
    crate::store::KeyPairRecord
);

/// The kinds of resource that an id's prefix may say, so that one list names them for all calls.
fn kind_of(id: &str) -> Result<Resource, Error> {
    let kinds = [
        (InstanceId::PREFIX, Resource::Instance, id.parse::<InstanceId>().is_ok()),
        (VolumeId::PREFIX, Resource::Volume, id.parse::<VolumeId>().is_ok()),
        (ImageId::PREFIX, Resource::Image, id.parse::<ImageId>().is_ok()),
        (SnapshotId::PREFIX, Resource::Snapshot, id.parse::<SnapshotId>().is_ok()),
        (KeyPairId::PREFIX, Resource::KeyPair, id.parse::<KeyPairId>().is_ok()),
        (SecurityGroupRuleId::PREFIX, Resource::SecurityGroupRule, id.parse::<SecurityGroupRuleId>().is_ok()),
    ];
    let prefix = id.split('-').next().unwrap_or_default();
    let found = kinds.into_iter().find(|(kind, _, _)| *kind == prefix).map(|(_, resource, is_id)| (resource, is_id));
    match found.or_else(|| Network::kind_of(prefix, id)) {
        Some((resource, true)) => Ok(resource),
        Some((resource, false)) => Err(ApiError::Malformed { resource, id: id.to_owned() }.into()),
        None => Err(invalid("ResourceId", id, format!("The ID '{id}' is not valid"))),
    }
}

/// A change of one resource's tags, or its refusal.
type Edit<'a> = &'a (dyn Fn(&mut Tags) -> Result<(), Error> + Sync);

/// Edits the tags of one resource of the caller; false when there is none.
async fn edit(api: &Api, call: &Call, id: &str, change: Edit<'_>) -> Result<bool, Error> {
    async fn in_table<T: Tagged>(table: &Table<T>, key: &str, change: Edit<'_>) -> Result<bool, Error> {
        Ok(table.modify(key, |record| change(record.tags_mut())).await?.is_some())
    }
    let stores = &api.stores;
    let key = key(&call.caller.account, &id);
    match kind_of(id)? {
        Resource::Instance => in_table(&stores.instances, &key, change).await,
        Resource::Volume => in_table(&stores.volumes, &key, change).await,
        Resource::Image => in_table(&stores.images, &key, change).await,
        Resource::Snapshot => in_table(&stores.snapshots, &key, change).await,
        // Key pairs lie under their names.
        Resource::KeyPair => match super::keys::find_by_id(api, call, id).await? {
            Some(record) => in_table(&stores.key_pairs, &record.key, change).await,
            None => Ok(false),
        },
        // Of a VPC: changed by `edit_all`, all at once.
        _ => Ok(false),
    }
}

/// Whether things of this kind are part of the account's network, whose changes are commits of it all.
fn is_of_network(kind: Resource) -> bool {
    let own = [Resource::Instance, Resource::Volume, Resource::Image, Resource::Snapshot, Resource::KeyPair];
    !own.contains(&kind)
}

/// Of a VPC's object, or of a rule, which is part of its group.
fn tags_in<'a>(network: &'a mut Network, id: &str) -> Result<&'a mut Tags, Error> {
    if let Ok(id) = id.parse::<SecurityGroupRuleId>() {
        let mut rules = network.groups.values_mut().flat_map(|group| &mut group.rules);
        let found = rules.find(|rule| rule.rule_id == id);
        return found.map(|rule| &mut rule.tags).ok_or_else(|| not_found(Resource::SecurityGroupRule, id));
    }
    network.tags_of(id).unwrap_or_else(|| Err(invalid("ResourceId", id, format!("The ID '{id}' is not valid"))))
}

async fn edit_all(api: &Api, call: &Call, ids: &[String], change: Edit<'_>) -> Result<Empty, Error> {
    if ids.is_empty() {
        return Err(missing("ResourceId"));
    }
    if ids.len() > MAX_RESOURCES {
        return Err(invalid("ResourceId", ids.len(), format!("At most {MAX_RESOURCES} resources a call.")));
    }
    let kinds = ids.iter().map(|id| kind_of(id)).collect::<Result<Vec<_>, _>>()?;
    let kinded = || ids.iter().zip(&kinds);
    let of_network: Vec<&String> = kinded().filter(|(_, kind)| is_of_network(**kind)).map(|(id, _)| id).collect();
    // As many as one commit takes, beside the account's head.
    for ids in of_network.chunks(hive_bus::MAX_COMMIT_WRITES - 1) {
        let edited = api
            .stores
            .networks
            .change(&call.caller.account, |network| ids.iter().try_for_each(|id| change(tags_in(network, id)?)));
        edited.await?;
    }
    for (id, kind) in kinded().filter(|(_, kind)| !is_of_network(**kind)) {
        if !edit(api, call, id, change).await? {
            return Err(not_found(*kind, id));
        }
    }
    Ok(Empty {})
}

pub async fn create_tags(api: Arc<Api>, call: Call, input: CreateTagsRequest) -> Result<Empty, Error> {
    if input.tags.is_empty() {
        return Err(missing("Tag"));
    }
    let new = from_api(&input.tags)?;
    edit_all(&api, &call, &input.resources, &|tags| {
        tags.extend(new.clone());
        check_count(tags)
    })
    .await
}

/// A tag without a value goes whatever its value; with one, only if it has that. No tags named: all go.
pub async fn delete_tags(api: Arc<Api>, call: Call, input: DeleteTagsRequest) -> Result<Empty, Error> {
    edit_all(&api, &call, &input.resources, &|tags| {
        tags.retain(|key, value| {
            let named =
                |tag: &Tag| tag.key.as_ref() == Some(key) && tag.value.as_ref().is_none_or(|wanted| wanted == value);
            !input.tags.is_empty() && !input.tags.iter().any(named)
        });
        Ok(())
    })
    .await
}

struct TagOf {
    resource_id: String,
    resource_type: &'static str,
    key: String,
    value: String,
}

impl Filterable for TagOf {
    const NAMES: &'static [&'static str] = &["key", "resource-id", "resource-type", "value"];

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "key" => self.key.clone(),
            "resource-id" => self.resource_id.clone(),
            "resource-type" => self.resource_type.into(),
            _ => self.value.clone(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }

    const TAGGED: bool = false;
}

pub async fn describe_tags(api: Arc<Api>, call: Call, input: DescribeTagsRequest) -> Result<DescribeTagsResult, Error> {
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, false)?;
    let filters = Filters::check::<TagOf>(&input.filters)?;
    let prefix = account_prefix(&call.caller.account);
    let mut all = Vec::new();
    let mut add = |resource_id: String, resource_type: &'static str, tags: &Tags| {
        for (key, value) in tags {
            let (resource_id, key, value) = (resource_id.clone(), key.clone(), value.clone());
            all.push(TagOf { resource_id, resource_type, key, value });
        }
    };
    let stores = &api.stores;
    for r in stores.instances.range(&prefix).await? {
        add(r.value.instance_id.to_string(), "instance", &r.value.tags);
    }
    for r in stores.volumes.range(&prefix).await? {
        add(r.value.volume_id.to_string(), "volume", &r.value.tags);
    }
    for r in stores.images.range(&prefix).await? {
        add(r.value.image_id.to_string(), "image", &r.value.tags);
    }
    for r in stores.snapshots.range(&prefix).await? {
        add(r.value.snapshot_id.to_string(), "snapshot", &r.value.tags);
    }
    for r in stores.key_pairs.range(&prefix).await? {
        add(r.value.key_pair_id.to_string(), "key-pair", &r.value.tags);
    }
    let network = stores.networks.load(&call.caller.account).await?;
    for (id, kind, tags) in network.all_tags() {
        add(id, kind, tags);
    }
    for rule in network.groups.values().flat_map(|group| &group.rules) {
        add(rule.rule_id.to_string(), "security-group-rule", &rule.tags);
    }
    all.retain(|tag| filters.admit(tag));
    let order = |tag: &TagOf| format!("{}\n{}", tag.resource_id, tag.key);
    all.sort_by_key(order);
    let (page, next_token) = page.cut(all, order);
    let tags = page.into_iter().map(|tag| TagDescription {
        key: Some(tag.key),
        resource_id: Some(tag.resource_id),
        resource_type: Some(tag.resource_type.into()),
        value: Some(tag.value),
    });
    Ok(DescribeTagsResult { next_token, tags: tags.collect() })
}
