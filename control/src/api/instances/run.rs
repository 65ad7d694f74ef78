//! RunInstances: check everything, draw ids, take room and addresses, make the volumes' records, and last the instances': those are
//! what makes the launch true. A worker that dies before leaves claims that the node's sweeper undoes; a retry with the same
//! ClientToken finishes them.

use super::super::vpc::interfaces::{in_use, make};
use super::super::vpc::public;
use super::super::{Api, Call, idempotency};
use super::interfaces::{PlannedInterface, Source};
use super::plan::{Plan, PlannedVolume};
use super::{find, placement, view};
use crate::error::Error;
use crate::random;
use crate::store::{
    Attachment, Claimed, Disk, DrawnIds, InstanceRecord, InstanceState, InterfaceAttachment, InterfaceRecord, Network,
    NetworkInterface, Version, VolumeRecord, VolumeState, key,
};
use hive_aws_types::ec2::{Reservation, RunInstancesRequest};
use hive_types::id::{AttachmentId, InstanceId, NetworkInterfaceId, ReservationId, VolumeId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

type Ids = (InstanceId, Vec<NetworkInterfaceId>, Vec<VolumeId>);

pub async fn run_instances(api: Arc<Api>, call: Call, input: RunInstancesRequest) -> Result<Reservation, Error> {
    let parameters = RunInstancesRequest { client_token: None, ..input.clone() };
    let plan = Plan::check(&api, &call, &input).await?;
    let token = input.client_token.as_deref();
    let draw = || draw_ids(plan.max, plan.interfaces.len(), plan.volumes.len());
    let drawn = idempotency::draw(&api, &call, "RunInstances", token, &parameters, draw).await?;
    let DrawnIds::Launch { reservation_id, instances: ids } = &drawn.ids else {
        return Err(Error::Fault("a RunInstances token holds other ids".into()));
    };
    let made = already_made(&api, &call, ids).await?;
    let (network, records) = if made.is_empty() {
        match launch(&api, &call, &plan, reservation_id, ids, token).await {
            Ok(launched) => launched,
            Err(error) => {
                undo(&api, &call, ids).await;
                idempotency::forget(&api, &drawn).await?;
                return Err(error);
            }
        }
    } else {
        (api.stores.networks.load(&call.caller.account).await?, made)
    };
    Ok(view::reservation(&api, &network, &records))
}

fn draw_ids(count: usize, interfaces: usize, volumes: usize) -> Result<DrawnIds, Error> {
    let one = || -> Result<Ids, Error> {
        let interface = |_| Ok(NetworkInterfaceId::from_random(random::draw()?));
        let volume = |_| Ok(VolumeId::from_random(random::draw()?));
        Ok((
            InstanceId::from_random(random::draw()?),
            (0..interfaces).map(interface).collect::<Result<_, Error>>()?,
            (0..volumes).map(volume).collect::<Result<_, Error>>()?,
        ))
    };
    Ok(DrawnIds::Launch {
        reservation_id: ReservationId::from_random(random::draw()?),
        instances: (0..count).map(|_| one()).collect::<Result<_, Error>>()?,
    })
}

/// What an earlier call with the same token made.
async fn already_made(api: &Api, call: &Call, ids: &[Ids]) -> Result<Vec<InstanceRecord>, Error> {
    let mut made = Vec::new();
    for (id, _, _) in ids {
        if let Some(found) = api.stores.instances.get(&key(&call.caller.account, id)).await? {
            made.push(found.value);
        }
    }
    Ok(made)
}

async fn launch(
    api: &Api,
    call: &Call,
    plan: &Plan,
    reservation_id: &ReservationId,
    ids: &[Ids],
    token: Option<&str>,
) -> Result<(Network, Vec<InstanceRecord>), Error> {
    let account = &call.caller.account;
    let instance_ids: Vec<InstanceId> = ids.iter().map(|(id, _, _)| id.clone()).collect();
    let (node, count) = placement::reserve(api, account, plan.instance_type, &instance_ids, plan.min, call.now).await?;
    let ids = ids.get(..count).unwrap_or(ids);
    let (made, interfaces) = make_interfaces(api, call, plan, ids).await?;
    let mut records = Vec::with_capacity(ids.len());
    for (index, ((instance_id, _, volume_ids), network)) in ids.iter().zip(interfaces).enumerate() {
        for (planned, volume_id) in plan.volumes.iter().zip(volume_ids) {
            let volume = volume_record(call, plan, planned, volume_id, instance_id, &node.node_id, &node.zone);
            api.stores.volumes.create(&volume.key(), &volume).await?;
        }
        let disk = |(planned, volume_id): (&PlannedVolume, &VolumeId)| Disk {
            device_name: planned.device_name.clone(),
            volume_id: volume_id.clone(),
            delete_on_termination: planned.source.delete_on_termination,
            attach_time: call.now,
        };
        records.push(InstanceRecord {
            version: Version,
            instance_id: instance_id.clone(),
            account: account.clone(),
            reservation_id: reservation_id.clone(),
            launch_index: i32::try_from(index).unwrap_or(i32::MAX),
            client_token: token.map(str::to_owned),
            image_id: plan.image.image_id.clone(),
            boot: plan.image.boot.clone(),
            instance_type: plan.instance_type.name.into(),
            key: plan.key.clone(),
            user_data: plan.user_data.clone(),
            network,
            metadata: plan.metadata.clone(),
            root_device_name: plan.image.root_device_name.clone(),
            disks: plan.volumes.iter().zip(volume_ids).map(disk).collect(),
            zone: node.zone.clone(),
            node_id: node.node_id.clone(),
            shutdown_behavior: plan.shutdown_behavior,
            disable_api_termination: plan.disable_api_termination,
            disable_api_stop: plan.disable_api_stop,
            tags: plan.instance_tags.clone(),
            state: InstanceState::Pending,
            state_since: call.now,
            state_reason: None,
            transition_reason: String::new(),
            launch_time: call.now,
            has_run: false,
            force_stop: false,
            reboots_wanted: 0,
            reboots_done: 0,
            imaging: None,
        });
    }
    let mut launched = Vec::with_capacity(records.len());
    for record in records {
        if api.stores.instances.create(&record.key(), &record).await? {
            launched.push(record);
        } else {
            // The same token, answered by two workers at once.
            launched.push(find(api, call, &record.instance_id).await?);
        }
    }
    Ok((made, launched))
}

fn volume_record(
    call: &Call,
    plan: &Plan,
    planned: &PlannedVolume,
    volume_id: &VolumeId,
    instance_id: &InstanceId,
    node_id: &str,
    zone: &str,
) -> VolumeRecord {
    VolumeRecord {
        version: Version,
        volume_id: volume_id.clone(),
        account: call.caller.account.clone(),
        zone: zone.into(),
        node_id: node_id.into(),
        size_gib: planned.source.size_gib,
        volume_type: planned.source.volume_type.clone(),
        iops: planned.iops,
        throughput: planned.throughput,
        snapshot_id: planned.source.snapshot_id.clone(),
        created_at: call.now,
        state: VolumeState::Creating,
        fault: None,
        attachment: Some(Attachment {
            instance_id: instance_id.clone(),
            device_name: planned.device_name.clone(),
            attach_time: call.now,
            delete_on_termination: planned.source.delete_on_termination,
        }),
        tags: plan.volume_tags.clone(),
        encrypted: planned.source.encrypted,
        kms_key_id: planned.kms_key_id.clone(),
        boot: planned.boot.clone(),
        auto_enable_io: false,
        modification: None,
        modified_at: Vec::new(),
    }
}

/// The primary interface of each instance; all of all are made in one commit, or none.
async fn make_interfaces(
    api: &Api,
    call: &Call,
    plan: &Plan,
    ids: &[Ids],
) -> Result<(Network, Vec<NetworkInterface>), Error> {
    let account = &call.caller.account;
    // What an earlier try of the same call has made has its address already.
    let there = api.stores.networks.load(account).await?.interfaces;
    let all = ids.iter().flat_map(|(_, interface_ids, _)| plan.interfaces.iter().zip(interface_ids));
    let is_public = |planned: &PlannedInterface| matches!(planned.source, Source::New { public: true, .. });
    let wanting = all.filter(|(planned, id)| is_public(planned) && !there.contains_key(*id)).map(|(_, id)| id);
    let wanting: Vec<&NetworkInterfaceId> = wanting.collect();
    let owners: Vec<&str> = wanting.iter().map(|id| id.as_str()).collect();
    let claimed = public::claim_free(api, account, &owners, call.now).await?;
    let public: BTreeMap<&NetworkInterfaceId, Ipv4Addr> = wanting.into_iter().zip(claimed).collect();
    let made = api.stores.networks.change(account, |network| {
        let mut primary = Vec::with_capacity(ids.len());
        for (instance_id, interface_ids, _) in ids {
            let mut of_instance =
                plan.interfaces.iter().zip(interface_ids).map(|(planned, drawn)| {
                    put_in(network, call, instance_id, planned, drawn, public.get(drawn).copied())
                });
            let first = of_instance.next().ok_or_else(|| Error::Fault("a launch without an interface".into()))??;
            for further in of_instance {
                further?;
            }
            primary.push(first);
        }
        Ok(primary)
    });
    made.await
}

/// Makes one interface, or takes the one that is there, and attaches it. What an earlier try of the same call has made stays.
fn put_in(
    network: &mut Network,
    call: &Call,
    instance_id: &InstanceId,
    planned: &PlannedInterface,
    drawn: &NetworkInterfaceId,
    public: Option<Ipv4Addr>,
) -> Result<NetworkInterface, Error> {
    let id = match &planned.source {
        Source::Existing(id) => id,
        Source::New { wanted, .. } => {
            if !network.interfaces.contains_key(drawn) {
                make(network, drawn, wanted, call.now)?;
                network.get_mut::<InterfaceRecord>(drawn)?.public_ip = public;
            }
            drawn
        }
    };
    let interface = network.get_mut::<InterfaceRecord>(id)?;
    let attachment = match &interface.attachment {
        Some(other) if other.instance_id == *instance_id => other.clone(),
        _ if interface.is_in_use() => return Err(in_use(interface)),
        _ => InterfaceAttachment {
            attachment_id: AttachmentId::from_random(random::draw()?),
            instance_id: instance_id.clone(),
            device_index: planned.device_index,
            delete_on_termination: planned.delete_on_termination,
            attached_at: call.now,
        },
    };
    interface.attachment = Some(attachment.clone());
    Ok(NetworkInterface {
        interface_id: interface.interface_id.clone(),
        attachment_id: attachment.attachment_id,
        vpc_id: interface.vpc_id.clone(),
        subnet_id: interface.subnet_id.clone(),
        private_ip: interface.private_ip,
        mac: interface.mac.clone(),
    })
}

/// Takes back what a failed launch has made; what cannot be taken back now, the sweeper takes later.
async fn undo(api: &Api, call: &Call, ids: &[Ids]) {
    let undone = async {
        let mut unmade: Vec<&Ids> = Vec::new();
        for of_one in ids {
            // An instance that was made terminates; it owns its volumes, its address and its room.
            let ended = api.stores.instances.modify(key(&call.caller.account, &of_one.0), |instance| {
                if instance.state.may_become(InstanceState::ShuttingDown) {
                    instance.enter(InstanceState::ShuttingDown, call.now);
                }
                Ok::<_, Error>(())
            });
            if ended.await?.is_none() {
                unmade.push(of_one);
            }
        }
        for volume in unmade.iter().flat_map(|(_, _, volumes)| volumes) {
            let marked = api.stores.volumes.modify(key(&call.caller.account, volume), |volume| {
                volume.attachment = None;
                volume.state = VolumeState::Deleting;
                Ok::<_, Error>(())
            });
            marked.await?;
        }
        let released = api.stores.networks.change(&call.caller.account, |network| {
            unmade.iter().for_each(|(id, _, _)| network.release_instance(id));
            Ok(())
        });
        released.await?;
        let owners: BTreeSet<&str> =
            unmade.iter().flat_map(|(_, interfaces, _)| interfaces).map(|interface| interface.as_str()).collect();
        for record in api.stores.public_addresses.range("").await? {
            if owners.contains(record.value.owner.as_str())
                && let Some(claimed) = Claimed::of_key(&record.key)
            {
                public::release(api, &record.value.owner, claimed).await?;
            }
        }
        let unmade: Vec<InstanceId> = unmade.into_iter().map(|(id, _, _)| id.clone()).collect();
        for node in api.stores.nodes.range("").await? {
            placement::release(api, &node.value.node_id, &unmade).await?;
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = undone.await {
        tracing::warn!(%error, "a failed launch is left to the sweeper");
    }
}
