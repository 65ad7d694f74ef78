//! RunInstances: check everything, draw ids, take room and addresses, make the volumes' records, and last the instances': those are
//! what makes the launch true. A worker that dies before leaves claims that the node's sweeper undoes; a retry with the same
//! ClientToken finishes them.

use super::super::{Api, Call, idempotency};
use super::plan::{Plan, PlannedVolume};
use super::{find, placement, view};
use crate::error::Error;
use crate::random;
use crate::store::{
    Attachment, Disk, DrawnIds, InstanceRecord, InstanceState, NetworkInterface, Version, VolumeRecord, VolumeState,
    key,
};
use hive_aws_types::ec2::{Reservation, RunInstancesRequest};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{AttachmentId, InstanceId, NetworkInterfaceId, ReservationId, VolumeId};
use std::net::Ipv4Addr;
use std::sync::Arc;

type Ids = (InstanceId, NetworkInterfaceId, Vec<VolumeId>);

pub async fn run_instances(api: Arc<Api>, call: Call, input: RunInstancesRequest) -> Result<Reservation, Error> {
    let parameters = RunInstancesRequest { client_token: None, ..input.clone() };
    let plan = Plan::check(&api, &call, &input).await?;
    let token = input.client_token.as_deref();
    let draw = || draw_ids(plan.max, plan.volumes.len());
    let drawn = idempotency::draw(&api, &call, "RunInstances", token, &parameters, draw).await?;
    let DrawnIds::Launch { reservation_id, instances: ids } = &drawn.ids else {
        return Err(Error::Fault("a RunInstances token holds other ids".into()));
    };
    let made = already_made(&api, &call, ids).await?;
    let records = if made.is_empty() {
        match launch(&api, &call, &plan, reservation_id, ids, token).await {
            Ok(records) => records,
            Err(error) => {
                undo(&api, &call, &plan, ids).await;
                idempotency::forget(&api, &drawn).await?;
                return Err(error);
            }
        }
    } else {
        made
    };
    Ok(view::reservation(&api, &records))
}

fn draw_ids(count: usize, volumes: usize) -> Result<DrawnIds, Error> {
    let one = || -> Result<Ids, Error> {
        let volume = |_| Ok(VolumeId::from_random(random::draw()?));
        Ok((
            InstanceId::from_random(random::draw()?),
            NetworkInterfaceId::from_random(random::draw()?),
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
) -> Result<Vec<InstanceRecord>, Error> {
    let account = &call.caller.account;
    let instance_ids: Vec<InstanceId> = ids.iter().map(|(id, _, _)| id.clone()).collect();
    let (node, count) = placement::reserve(api, account, plan.instance_type, &instance_ids, plan.min, call.now).await?;
    let ids = ids.get(..count).unwrap_or(ids);
    let addresses = assign_addresses(api, call, plan, ids).await?;
    let mut records = Vec::with_capacity(ids.len());
    for (index, ((instance_id, interface_id, volume_ids), private_ip)) in ids.iter().zip(addresses).enumerate() {
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
            network: NetworkInterface {
                interface_id: interface_id.clone(),
                attachment_id: AttachmentId::from_random(random::draw()?),
                vpc_id: plan.subnet.vpc_id.clone(),
                subnet_id: plan.subnet.subnet_id.clone(),
                private_ip,
                mac: mac_of(interface_id),
                groups: plan.groups.clone(),
            },
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
    Ok(launched)
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

/// One address for each interface, or none for any.
async fn assign_addresses(api: &Api, call: &Call, plan: &Plan, ids: &[Ids]) -> Result<Vec<Ipv4Addr>, Error> {
    let assigned = api.stores.subnets.modify(plan.subnet.key(), |subnet| {
        let mut attempt = subnet.clone();
        let addresses: Option<Vec<_>> =
            ids.iter().map(|(_, interface, _)| attempt.assign(interface, plan.private_ip, call.now)).collect();
        match (addresses, plan.private_ip) {
            (Some(addresses), _) => {
                *subnet = attempt;
                Ok(addresses)
            }
            (None, Some(address)) => Err(Error::from(ApiError::InUse {
                resource: Resource::NetworkInterface,
                reason: format!("Address {address} is in use."),
            })),
            (None, None) => Err(Error::from(ApiError::LimitExceeded {
                resource: Resource::Subnet,
                reason: format!("There are not enough free addresses in subnet '{}'.", subnet.subnet_id),
            })),
        }
    });
    let (_, addresses) =
        assigned.await?.ok_or_else(|| crate::error::not_found(Resource::Subnet, &plan.subnet.subnet_id))?;
    Ok(addresses)
}

/// Takes back what a failed launch has made; what cannot be taken back now, the sweeper takes later.
async fn undo(api: &Api, call: &Call, plan: &Plan, ids: &[Ids]) {
    let undone = async {
        for (id, _, volumes) in ids {
            // An instance that was made terminates; it owns its volumes, its address and its room.
            let ended = api.stores.instances.modify(key(&call.caller.account, id), |instance| {
                if instance.state.may_become(InstanceState::ShuttingDown) {
                    instance.enter(InstanceState::ShuttingDown, call.now);
                }
                Ok::<_, Error>(())
            });
            if ended.await?.is_some() {
                continue;
            }
            for volume in volumes {
                let marked = api.stores.volumes.modify(key(&call.caller.account, volume), |volume| {
                    volume.attachment = None;
                    volume.state = VolumeState::Deleting;
                    Ok::<_, Error>(())
                });
                marked.await?;
            }
            let released = api.stores.subnets.modify(plan.subnet.key(), |subnet| {
                ids.iter().filter(|(other, _, _)| other == id).for_each(|(_, interface, _)| subnet.release(interface));
                Ok::<_, Error>(())
            });
            released.await?;
            for node in api.stores.nodes.range("").await? {
                placement::release(api, &node.value.node_id, std::slice::from_ref(id)).await?;
            }
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = undone.await {
        tracing::warn!(%error, "a failed launch is left to the sweeper");
    }
}

/// A locally administered address from the interface's id: `02` and its last 40 bits.
fn mac_of(interface: &NetworkInterfaceId) -> String {
    let digits = interface.as_str().rsplit('-').next().unwrap_or_default();
    let tail = digits.get(digits.len().saturating_sub(10)..).unwrap_or_default();
    let tail = format!("{tail:0>10}");
    let bytes: Vec<&str> = (0..5).filter_map(|i| tail.get(2 * i..2 * i + 2)).collect();
    format!("02:{}", bytes.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_local_unicast() {
        let long = "eni-0123456789abcdef0".parse().expect("an id");
        assert_eq!(mac_of(&long), "02:78:9a:bc:de:f0");
        let short = "eni-01234567".parse().expect("an id");
        assert_eq!(mac_of(&short), "02:00:01:23:45:67");
    }
}
