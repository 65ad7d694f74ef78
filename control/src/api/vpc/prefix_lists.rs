//! Managed prefix lists: named sets of networks, each change a new version.

use super::super::filter::{Filterable, Filters};
use super::super::page::Page;
use super::super::{Api, Call, parse_id, parse_ids, tags};
use super::rules::check_rule_count;
use super::{Asked, Seen, arn, describe, make_once, refuse};
use crate::error::{
    Error, combination, incorrect_state, invalid, limit, missing, network as fault, not_found, required,
};
use crate::store::{Destination, Network, Peer, PrefixListEntry, PrefixListRecord, PrefixListVersion, Tags, Version};
use hive_aws_types::ec2::{
    AddPrefixListEntry, CreateManagedPrefixListRequest, CreateManagedPrefixListResult, DeleteManagedPrefixListRequest,
    DeleteManagedPrefixListResult, DescribeManagedPrefixListsRequest, DescribeManagedPrefixListsResult,
    DescribePrefixListsRequest, DescribePrefixListsResult, GetManagedPrefixListEntriesRequest,
    GetManagedPrefixListEntriesResult, ManagedPrefixList, ModifyManagedPrefixListRequest,
    ModifyManagedPrefixListResult, PrefixListEntry as ShownEntry,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::PrefixListId;
use ipnet::IpNet;
use std::sync::Arc;

/// EC2's default quota.
const MAX_LISTS: usize = 100;
/// EC2's.
const MAX_ENTRIES: i32 = 1000;
/// Of one call.
const MAX_CHANGES: usize = 100;
/// Older versions are forgotten: with them all, a record would outgrow its place in the store...
const KEPT_VERSIONS: usize = 10;
/// ... which is one message of the bus, 1 MiB. So fewer are kept of long lists, and the latest must fit by itself.
const MAX_VERSIONS_BYTES: usize = 700_000;

fn parse_entry(family: &str, cidr: Option<&String>) -> Result<IpNet, Error> {
    let text = cidr.ok_or_else(|| missing("Cidr"))?;
    let malformed = || invalid("Cidr", text, format!("The CIDR ({text}) is not a valid {family} CIDR."));
    let cidr: IpNet = text.parse().map_err(|_| malformed())?;
    let is_ipv4 = matches!(cidr, IpNet::V4(_));
    if is_ipv4 == (family == "IPv4") { Ok(cidr.trunc()) } else { Err(malformed()) }
}

fn added(
    family: &str,
    mut entries: Vec<PrefixListEntry>,
    add: &[AddPrefixListEntry],
) -> Result<Vec<PrefixListEntry>, Error> {
    if add.len() > MAX_CHANGES {
        return Err(invalid("Entry", add.len(), format!("At most {MAX_CHANGES} entries a call.")));
    }
    for entry in add {
        let cidr = parse_entry(family, entry.cidr.as_ref())?;
        let description = entry.description.clone();
        if description.as_ref().is_some_and(|text| text.chars().count() > 255) {
            return Err(invalid("Description", description.unwrap_or_default(), "Up to 255 characters."));
        }
        match entries.iter_mut().find(|known| known.cidr == cidr) {
            // Adding an entry that is there gives it another description.
            Some(known) => known.description = description,
            None => entries.push(PrefixListEntry { cidr, description }),
        }
    }
    entries.sort_by_key(|entry| entry.cidr);
    Ok(entries)
}

fn check_full(list: &PrefixListRecord) -> Result<(), Error> {
    let count = list.versions.last().map_or(0, |version| version.entries.len());
    if count <= usize::from(list.max_entries) {
        return Ok(());
    }
    let reason = format!("You've reached the maximum number of entries for the prefix list, {}.", list.max_entries);
    Err(fault(NetworkFault::PrefixListFull, reason))
}

/// Forgets old versions until the rest fits.
fn forget_old(list: &mut PrefixListRecord) -> Result<(), Error> {
    let size = |version: &PrefixListVersion| serde_json::to_vec(version).map_or(usize::MAX, |encoded| encoded.len());
    let (mut total, mut kept) = (0_usize, 0);
    for version in list.versions.iter().rev().take(KEPT_VERSIONS) {
        total = total.saturating_add(size(version));
        if total > MAX_VERSIONS_BYTES {
            break;
        }
        kept += 1;
    }
    if kept == 0 {
        let reason = "The entries and their descriptions are longer than a prefix list may be.";
        return Err(fault(NetworkFault::PrefixListFull, reason));
    }
    list.versions.drain(..list.versions.len().saturating_sub(kept));
    Ok(())
}

fn check_max(max_entries: i32) -> Result<u16, Error> {
    let max = u16::try_from(max_entries).ok().filter(|_| (1..=MAX_ENTRIES).contains(&max_entries));
    max.ok_or_else(|| invalid("MaxEntries", max_entries, format!("Expecting 1 to {MAX_ENTRIES}.")))
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.chars().count() > 255 || name.starts_with("com.amazonaws") {
        return Err(invalid("PrefixListName", name, "Up to 255 characters, not beginning with com.amazonaws."));
    }
    Ok(())
}

pub async fn create(
    api: Arc<Api>,
    call: Call,
    input: CreateManagedPrefixListRequest,
) -> Result<CreateManagedPrefixListResult, Error> {
    let parameters = CreateManagedPrefixListRequest { client_token: None, ..input.clone() };
    let name = required(input.prefix_list_name, "PrefixListName")?;
    let max_entries = check_max(required(input.max_entries, "MaxEntries")?)?;
    let family = required(input.address_family, "AddressFamily")?;
    check_name(&name)?;
    if !matches!(family.as_str(), "IPv4" | "IPv6") {
        return Err(invalid("AddressFamily", &family, "Expecting IPv4 or IPv6."));
    }
    let tags = tags::specified(&input.tag_specifications, "prefix-list", &["prefix-list"])?;
    let entries = added(&family, Vec::new(), &input.entries)?;
    let token = ("CreateManagedPrefixList", input.client_token.as_deref(), &parameters);
    let make = |network: &mut Network, id: &PrefixListId| {
        if network.prefix_lists.len() >= MAX_LISTS {
            return Err(limit(Resource::PrefixList, "The maximum number of prefix lists has been reached."));
        }
        let list = PrefixListRecord {
            version: Version,
            prefix_list_id: id.clone(),
            account: call.caller.account.clone(),
            name: name.clone(),
            address_family: family.clone(),
            max_entries,
            versions: vec![PrefixListVersion { number: 1, entries: entries.clone() }],
            tags: tags.clone(),
        };
        check_full(&list)?;
        Ok(list)
    };
    let (network, list) = make_once(&api, &call, token, PrefixListId::from_random, make).await?;
    let seen = Seen { record: &list, network: &network, place: &api.place };
    Ok(CreateManagedPrefixListResult { prefix_list: Some(show(&seen, "create-complete")) })
}

fn find_id(id: Option<&str>) -> Result<PrefixListId, Error> {
    parse_id(Resource::PrefixList, required(id, "PrefixListId")?)
}

pub async fn delete(
    api: Arc<Api>,
    call: Call,
    input: DeleteManagedPrefixListRequest,
) -> Result<DeleteManagedPrefixListResult, Error> {
    let id = find_id(input.prefix_list_id.as_deref())?;
    let deleted = api.change(&call, |network| {
        let list = network.get::<PrefixListRecord>(&id)?.clone();
        let in_rule = network.groups.values().flat_map(|group| &group.rules);
        let mut in_route = network.route_tables.values().flat_map(|table| &table.routes);
        let is_used = in_rule.map(|rule| &rule.key.peer).any(|peer| *peer == Peer::PrefixList(id.clone()))
            || in_route.any(|route| route.destination == Destination::PrefixList(id.clone()));
        if is_used {
            return Err(fault(NetworkFault::PrefixListInUse, format!("The prefix list '{id}' is in use.")));
        }
        network.prefix_lists.remove(&id);
        Ok(list)
    });
    let (network, list) = deleted.await?;
    let seen = Seen { record: &list, network: &network, place: &api.place };
    Ok(DeleteManagedPrefixListResult { prefix_list: Some(show(&seen, "delete-complete")) })
}

pub async fn modify(
    api: Arc<Api>,
    call: Call,
    input: ModifyManagedPrefixListRequest,
) -> Result<ModifyManagedPrefixListResult, Error> {
    refuse(&[(input.ipam_prefix_list_resolver_sync_enabled.is_some(), "IPAM resolvers")])?;
    let id = find_id(input.prefix_list_id.as_deref())?;
    let changes_entries = !input.add_entries.is_empty() || !input.remove_entries.is_empty();
    if changes_entries && input.max_entries.is_some() {
        return Err(combination("MaxEntries and entries cannot be changed in one call."));
    }
    if let Some(name) = &input.prefix_list_name {
        check_name(name)?;
    }
    let max_entries = input.max_entries.map(check_max).transpose()?;
    let modified = api.change(&call, |network| {
        let list = network.get_mut::<PrefixListRecord>(&id)?;
        if changes_entries {
            let current = required(input.current_version, "CurrentVersion")?;
            if current != list.current() {
                let reason = format!("The prefix list has the incorrect version number: it is {}.", list.current());
                return Err(fault(NetworkFault::PrefixListVersion, reason));
            }
            let mut entries = list.versions.last().map(|version| version.entries.clone()).unwrap_or_default();
            for entry in &input.remove_entries {
                let cidr = parse_entry(&list.address_family, entry.cidr.as_ref())?;
                let at = entries.iter().position(|known| known.cidr == cidr);
                let at = at.ok_or_else(|| invalid("Cidr", cidr, "The prefix list has no such entry."))?;
                entries.remove(at);
            }
            let entries = added(&list.address_family, entries, &input.add_entries)?;
            list.versions.push(PrefixListVersion { number: current.saturating_add(1), entries });
            forget_old(list)?;
        }
        list.max_entries = max_entries.unwrap_or(list.max_entries);
        if let Some(name) = &input.prefix_list_name {
            list.name.clone_from(name);
        }
        check_full(list)?;
        let list = list.clone();
        // A list that may grow takes up more of the groups that name it.
        network.groups.values().try_for_each(|group| check_rule_count(network, group))?;
        Ok(list)
    });
    let (network, list) = modified.await?;
    let seen = Seen { record: &list, network: &network, place: &api.place };
    Ok(ModifyManagedPrefixListResult { prefix_list: Some(show(&seen, "modify-complete")) })
}

fn show(seen: &Seen<'_, PrefixListRecord>, state: &str) -> ManagedPrefixList {
    let list = seen.record;
    ManagedPrefixList {
        address_family: Some(list.address_family.clone()),
        max_entries: Some(list.max_entries.into()),
        owner_id: Some(list.account.to_string()),
        prefix_list_arn: Some(arn(seen.place, &list.account, &format!("prefix-list/{}", list.prefix_list_id))),
        prefix_list_id: Some(list.prefix_list_id.to_string()),
        prefix_list_name: Some(list.name.clone()),
        state: Some(state.into()),
        tags: tags::to_api(&list.tags),
        version: Some(list.current()),
        ..Default::default()
    }
}

impl Filterable for Seen<'_, PrefixListRecord> {
    const NAMES: &'static [&'static str] = &["owner-id", "prefix-list-id", "prefix-list-name"];

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "owner-id" => self.record.account.to_string(),
            "prefix-list-id" => self.record.prefix_list_id.to_string(),
            _ => self.record.name.clone(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_managed(
    api: Arc<Api>,
    call: Call,
    input: DescribeManagedPrefixListsRequest,
) -> Result<DescribeManagedPrefixListsResult, Error> {
    let asked = Asked {
        ids: &input.prefix_list_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 1..=100,
    };
    let (prefix_lists, next_token) = describe(&api, &call, asked, |seen| show(seen, "create-complete")).await?;
    Ok(DescribeManagedPrefixListsResult { next_token, prefix_lists })
}

/// Lists of AWS's own services; none of them is here.
pub async fn describe_of_services(
    _api: Arc<Api>,
    _call: Call,
    input: DescribePrefixListsRequest,
) -> Result<DescribePrefixListsResult, Error> {
    struct Nothing;
    impl Filterable for Nothing {
        const NAMES: &'static [&'static str] = &["prefix-list-id", "prefix-list-name"];
        const TAGGED: bool = false;
        fn values(&self, _name: &str) -> Vec<String> {
            Vec::new()
        }
        fn tags(&self) -> Option<&Tags> {
            None
        }
    }
    let ids: Vec<PrefixListId> = parse_ids(Resource::PrefixList, &input.prefix_list_ids)?;
    Page::check(input.max_results, input.next_token.as_deref(), 1..=1000, !ids.is_empty())?;
    Filters::check::<Nothing>(&input.filters)?;
    match ids.first() {
        Some(id) => Err(not_found(Resource::PrefixList, id)),
        None => Ok(DescribePrefixListsResult::default()),
    }
}

pub async fn get_entries(
    api: Arc<Api>,
    call: Call,
    input: GetManagedPrefixListEntriesRequest,
) -> Result<GetManagedPrefixListEntriesResult, Error> {
    let id = find_id(input.prefix_list_id.as_deref())?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 1..=100, false)?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    let list = network.get::<PrefixListRecord>(&id)?;
    let wanted = input.target_version.unwrap_or(list.current());
    let version = list.versions.iter().find(|version| version.number == wanted);
    let version = match version {
        Some(version) => version,
        None if (1..list.current()).contains(&wanted) => {
            return Err(incorrect_state(format!("Version {wanted} of the prefix list '{id}' is kept no longer.")));
        }
        None => return Err(invalid("TargetVersion", wanted, "The prefix list has no such version.")),
    };
    // Numbered, so that pages follow each other in the order of the entries.
    let numbered = version.entries.iter().enumerate().collect();
    let (page, next_token) = page.cut(numbered, |(index, _): &(usize, &PrefixListEntry)| format!("{index:04}"));
    let show = |(_, entry): (usize, &PrefixListEntry)| ShownEntry {
        cidr: Some(entry.cidr.to_string()),
        description: entry.description.clone(),
    };
    Ok(GetManagedPrefixListEntriesResult { entries: page.into_iter().map(show).collect(), next_token })
}
