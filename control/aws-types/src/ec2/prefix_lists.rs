// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a managed prefix list.
#[derive(Clone, Copy, Debug)]
pub struct CreateManagedPrefixList;

impl Operation for CreateManagedPrefixList {
    type Input = CreateManagedPrefixListRequest;
    type Output = CreateManagedPrefixListResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateManagedPrefixList";

    fn decode(members: Members) -> serde_json::Result<CreateManagedPrefixListRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateManagedPrefixListResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified managed prefix list.
#[derive(Clone, Copy, Debug)]
pub struct DeleteManagedPrefixList;

impl Operation for DeleteManagedPrefixList {
    type Input = DeleteManagedPrefixListRequest;
    type Output = DeleteManagedPrefixListResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteManagedPrefixList";

    fn decode(members: Members) -> serde_json::Result<DeleteManagedPrefixListRequest> {
        crate::decode(members)
    }

    fn encode(output: &DeleteManagedPrefixListResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes your managed prefix lists and any Amazon Web Services-managed prefix lists.
#[derive(Clone, Copy, Debug)]
pub struct DescribeManagedPrefixLists;

impl Operation for DescribeManagedPrefixLists {
    type Input = DescribeManagedPrefixListsRequest;
    type Output = DescribeManagedPrefixListsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeManagedPrefixLists";

    fn decode(members: Members) -> serde_json::Result<DescribeManagedPrefixListsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeManagedPrefixListsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Modifies the specified managed prefix list.
#[derive(Clone, Copy, Debug)]
pub struct ModifyManagedPrefixList;

impl Operation for ModifyManagedPrefixList {
    type Input = ModifyManagedPrefixListRequest;
    type Output = ModifyManagedPrefixListResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifyManagedPrefixList";

    fn decode(members: Members) -> serde_json::Result<ModifyManagedPrefixListRequest> {
        crate::decode(members)
    }

    fn encode(output: &ModifyManagedPrefixListResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Gets information about the entries for a specified managed prefix list.
#[derive(Clone, Copy, Debug)]
pub struct GetManagedPrefixListEntries;

impl Operation for GetManagedPrefixListEntries {
    type Input = GetManagedPrefixListEntriesRequest;
    type Output = GetManagedPrefixListEntriesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "GetManagedPrefixListEntries";

    fn decode(members: Members) -> serde_json::Result<GetManagedPrefixListEntriesRequest> {
        crate::decode(members)
    }

    fn encode(output: &GetManagedPrefixListEntriesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes available Amazon Web Services services in a prefix list format, which includes the prefix list name and prefix list ID of the service and the IP address range for the service.
#[derive(Clone, Copy, Debug)]
pub struct DescribePrefixLists;

impl Operation for DescribePrefixLists {
    type Input = DescribePrefixListsRequest;
    type Output = DescribePrefixListsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribePrefixLists";

    fn decode(members: Members) -> serde_json::Result<DescribePrefixListsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribePrefixListsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddPrefixListEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateManagedPrefixListRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<AddPrefixListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateManagedPrefixListResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list: Option<ManagedPrefixList>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteManagedPrefixListRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteManagedPrefixListResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list: Option<ManagedPrefixList>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeManagedPrefixListsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefix_list_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeManagedPrefixListsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefix_lists: Vec<ManagedPrefixList>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribePrefixListsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefix_list_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribePrefixListsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefix_lists: Vec<PrefixList>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetManagedPrefixListEntriesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_version: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetManagedPrefixListEntriesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<PrefixListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManagedPrefixList {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam_prefix_list_resolver_sync_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam_prefix_list_resolver_target_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyManagedPrefixListRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_entries: Vec<AddPrefixListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam_prefix_list_resolver_sync_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_entries: Vec<RemovePrefixListEntry>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyManagedPrefixListResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list: Option<ManagedPrefixList>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrefixList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cidrs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrefixListEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RemovePrefixListEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
}
