//! The ports of an instance's interfaces in netd, one segment a subnet.

use super::backend::BackendError;
use super::volume::StepError;
use super::{Node, lock, metadata};
use crate::error::Error;
use crate::store::{InstanceRecord, InterfaceRecord, Network, SubnetRecord};
use hive_netd_api as netd;
use std::path::PathBuf;

pub const MTU: u16 = 1500;
/// The router's MAC on every segment; segments do not meet.
const GATEWAY_MAC: &str = "02:00:00:00:00:01";

/// An interface's port as netd is to serve it.
fn port(
    node: &Node,
    network: &Network,
    instance: &InstanceRecord,
    interface: &InterfaceRecord,
    subnet: &SubnetRecord,
) -> netd::Port {
    netd::Port {
        port_id: interface.interface_id.to_string(),
        segment_id: subnet.subnet_id.to_string(),
        mac: interface.mac.clone(),
        ipv4: interface.private_ip,
        queue_pairs: 1,
        hostname: metadata::hostname(interface.private_ip),
        metadata: metadata::compile(instance, network, &node.place),
        number: None,
    }
}

async fn put_segment(node: &Node, network: &Network, subnet: &SubnetRecord) -> Result<(), StepError> {
    let segment = netd::Segment {
        segment_id: subnet.subnet_id.to_string(),
        network: subnet.cidr.network(),
        prefix_len: subnet.cidr.prefix_len(),
        gateway: subnet.router(),
        dns: subnet.dns(),
        gateway_mac: GATEWAY_MAC.into(),
        mtu: MTU,
        domain_name: metadata::domain(network, subnet, &node.place.region),
        uplink: true,
    };
    match node.netd.put_segment(segment.clone()).await {
        // Another subnet's machines have these addresses on the host's side: of those that overlap one is reached from there.
        Err(BackendError::Netd { kind: netd::ErrorKind::InUse, .. }) => {
            node.netd.put_segment(netd::Segment { uplink: false, ..segment }).await?;
        }
        put => put?,
    }
    Ok(())
}

/// Prepares all ports of an instance, the primary one first: interface and socket of each. None when a subnet of them is gone.
pub async fn prepare(
    node: &Node,
    network: &Network,
    instance: &InstanceRecord,
) -> Result<Option<Vec<(InterfaceRecord, PathBuf)>>, StepError> {
    let mut prepared = Vec::new();
    for interface in network.interfaces_of(&instance.instance_id) {
        let Some(subnet) = network.subnets.get(&interface.subnet_id) else { return Ok(None) };
        put_segment(node, network, subnet).await?;
        let port = port(node, network, instance, interface, subnet);
        lock(&node.told).insert(port.port_id.clone(), port.clone());
        prepared.push((interface.clone(), node.netd.put_port(port).await?));
    }
    Ok(Some(prepared).filter(|prepared| !prepared.is_empty()))
}

/// Tells netd what has changed of a running machine's ports: groups, public addresses.
pub async fn refresh(node: &Node, instance: &InstanceRecord) -> Result<(), StepError> {
    let view = node.view();
    let Some(network) = view.networks.get(&instance.account) else { return Ok(()) };
    for interface in network.interfaces_of(&instance.instance_id) {
        let Some(subnet) = network.subnets.get(&interface.subnet_id) else { continue };
        let port = port(node, network, instance, interface, subnet);
        if lock(&node.told).get(&port.port_id) == Some(&port) {
            continue;
        }
        node.netd.put_port(port.clone()).await?;
        lock(&node.told).insert(port.port_id.clone(), port);
    }
    Ok(())
}

/// Takes the ports of a machine that has ended out of netd.
pub async fn remove(node: &Node, instance: &InstanceRecord) -> Result<(), StepError> {
    let view = node.view();
    let network = view.networks.get(&instance.account);
    let attached = network.map(|network| network.interfaces_of(&instance.instance_id)).unwrap_or_default();
    let attached = attached.into_iter().map(|interface| interface.interface_id.to_string());
    for id in attached.chain([instance.network.interface_id.to_string()]) {
        node.netd.delete_port(&id).await?;
        lock(&node.told).remove(&id);
    }
    Ok(())
}

/// Takes segments of subnets that are gone out of netd. One with ports on it stays for now.
pub async fn sweep_segments(node: &Node, is_there: impl Fn(&str) -> bool) -> Result<(), Error> {
    let listed = node.netd.segments().await.map_err(|e| Error::Fault(format!("cannot list segments: {e}")))?;
    for segment in listed.into_iter().filter(|id| id.starts_with("subnet-") && !is_there(id)) {
        if let Err(error) = node.netd.delete_segment(&segment).await {
            tracing::debug!(segment, %error, "a segment stays");
        }
    }
    Ok(())
}
