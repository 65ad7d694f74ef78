//! What the metadata service tells an instance, as leaves below `/latest/`.

use crate::api::{Place, dns_domain};
use crate::store::{InstanceRecord, InterfaceRecord, Network};
use hive_netd_api::MetadataService;
use hive_types::id::SecurityGroupId;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// `ip-172-31-0-4`
pub fn hostname(address: Ipv4Addr) -> String {
    format!("ip-{}", address.to_string().replace('.', "-"))
}

pub fn compile(instance: &InstanceRecord, network: &Network, place: &Place) -> MetadataService {
    let interfaces = network.interfaces_of(&instance.instance_id);
    let full_name = format!("{}.{}", hostname(instance.network.private_ip), dns_domain(&place.region));
    let ip = instance.network.private_ip.to_string();
    let names = |interface: &InterfaceRecord| -> String {
        let groups = network.groups_of(interface);
        groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join("\n")
    };

    let mut tree = BTreeMap::new();
    let mut put = |path: &str, text: String| drop(tree.insert(format!("meta-data/{path}"), text));
    put("ami-id", instance.image_id.to_string());
    put("ami-launch-index", instance.launch_index.to_string());
    put("ami-manifest-path", "(unknown)".into());
    put("hostname", full_name.clone());
    put("instance-action", "none".into());
    put("instance-id", instance.instance_id.to_string());
    put("instance-life-cycle", "on-demand".into());
    put("instance-type", instance.instance_type.clone());
    put("local-hostname", full_name.clone());
    put("local-ipv4", ip.clone());
    put("mac", instance.network.mac.clone());
    put("placement/availability-zone", instance.zone.clone());
    put("placement/availability-zone-id", place.zone_id());
    put("placement/region", place.region.clone());
    put("profile", "default-hvm".into());
    put("reservation-id", instance.reservation_id.to_string());
    if let Some(primary) = interfaces.first() {
        put("security-groups", names(primary));
        if let Some(public) = network.public_ip(primary, primary.private_ip) {
            put("public-ipv4", public.to_string());
        }
        if let Some(ipv6) = primary.ipv6.first() {
            put("ipv6", ipv6.to_string());
        }
    }
    put("services/domain", "amazonaws.com".into());
    put("services/partition", "aws".into());
    put("block-device-mapping/ami", "xvda".into());
    put("block-device-mapping/root", instance.root_device_name.clone());
    for interface in interfaces {
        let index = interface.attachment.as_ref().map_or(0, |attachment| attachment.device_index);
        let ids: Vec<&str> = interface.groups.iter().map(SecurityGroupId::as_str).collect();
        let local: Vec<String> = interface.addresses().map(|ip| ip.to_string()).collect();
        let public = interface.addresses().filter_map(|ip| network.public_ip(interface, ip));
        let public: Vec<String> = public.map(|ip| ip.to_string()).collect();
        let subnet = network.subnets.get(&interface.subnet_id);
        let subnet_ipv6 = subnet.and_then(|subnet| subnet.ipv6.as_ref()).map(|block| block.cidr.to_string());
        let subnet = subnet.map(|subnet| subnet.cidr.to_string());
        let vpc = network.vpcs.get(&interface.vpc_id);
        let blocks = vpc.into_iter().flat_map(|vpc| &vpc.blocks);
        let blocks: Vec<String> = blocks.map(|block| block.cidr.to_string()).collect();
        let ipv6_blocks = vpc.into_iter().flat_map(|vpc| &vpc.ipv6_blocks);
        let ipv6_blocks: Vec<String> = ipv6_blocks.map(|block| block.cidr.to_string()).collect();
        let ipv6: Vec<String> = interface.ipv6.iter().map(ToString::to_string).collect();
        let own_name = format!("{}.{}", hostname(interface.private_ip), dns_domain(&place.region));
        let mut put =
            |name: &str, text: String| put(&format!("network/interfaces/macs/{}/{name}", interface.mac), text);
        for (name, text) in [
            ("device-number", index.to_string()),
            ("interface-id", interface.interface_id.to_string()),
            ("local-hostname", own_name),
            ("local-ipv4s", local.join("\n")),
            ("mac", interface.mac.clone()),
            ("owner-id", instance.account.to_string()),
            ("security-group-ids", ids.join("\n")),
            ("security-groups", names(interface)),
            ("subnet-id", interface.subnet_id.to_string()),
            ("subnet-ipv4-cidr-block", subnet.unwrap_or_default()),
            ("vpc-id", interface.vpc_id.to_string()),
            ("vpc-ipv4-cidr-block", blocks.first().cloned().unwrap_or_default()),
            ("vpc-ipv4-cidr-blocks", blocks.join("\n")),
        ] {
            put(name, text);
        }
        // What there is nothing of is no leaf.
        for (name, text) in [
            ("public-ipv4s", public.join("\n")),
            ("ipv6s", ipv6.join("\n")),
            ("subnet-ipv6-cidr-blocks", subnet_ipv6.unwrap_or_default()),
            ("vpc-ipv6-cidr-blocks", ipv6_blocks.join("\n")),
        ] {
            if !text.is_empty() {
                put(name, text);
            }
        }
    }
    if let Some(key) = &instance.key {
        // A part `0=name` is listed so and found as `0`; the name is one part of a path.
        let name = key.name.replace('/', "_");
        put(&format!("public-keys/0={name}/openssh-key"), format!("{} {name}\n", key.public_key));
    }
    let document = json!({
        "accountId": instance.account,
        "architecture": "x86_64",
        "availabilityZone": instance.zone,
        "imageId": instance.image_id,
        "instanceId": instance.instance_id,
        "instanceType": instance.instance_type,
        "pendingTime": format!("{:.0}", instance.launch_time),
        "privateIp": ip,
        "region": place.region,
        "version": "2017-09-30",
    });
    tree.insert("dynamic/instance-identity/document".into(), format!("{document:#}"));
    MetadataService {
        enabled: instance.metadata.enabled,
        token_required: instance.metadata.token_required,
        hop_limit: instance.metadata.hop_limit,
        ipv6: instance.metadata.ipv6,
        tree,
        user_data: instance.user_data.clone(),
    }
}
