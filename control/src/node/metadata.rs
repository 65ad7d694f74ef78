//! What the metadata service tells an instance, as leaves below `/latest/`.

use crate::api::Place;
use crate::store::{InstanceRecord, SubnetRecord};
use hive_netd_api::MetadataService;
use serde_json::json;
use std::collections::BTreeMap;

/// `ip-172-31-0-4`
pub fn hostname(instance: &InstanceRecord) -> String {
    format!("ip-{}", instance.network.private_ip.to_string().replace('.', "-"))
}

/// EC2's: `ec2.internal` in us-east-1, `<region>.compute.internal` elsewhere.
pub fn domain(region: &str) -> String {
    crate::api::dns_domain(region)
}

pub fn compile(instance: &InstanceRecord, subnet: &SubnetRecord, place: &Place) -> MetadataService {
    let network = &instance.network;
    let full_name = format!("{}.{}", hostname(instance), domain(&place.region));
    let ip = network.private_ip.to_string();
    let group_names: Vec<&str> = network.groups.iter().map(|group| group.name.as_str()).collect();
    let group_ids: Vec<&str> = network.groups.iter().map(|group| group.group_id.as_str()).collect();
    let cidr = format!("{}/{}", subnet.network, subnet.prefix_len);

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
    put("mac", network.mac.clone());
    put("placement/availability-zone", instance.zone.clone());
    put("placement/availability-zone-id", place.zone_id());
    put("placement/region", place.region.clone());
    put("profile", "default-hvm".into());
    put("reservation-id", instance.reservation_id.to_string());
    put("security-groups", group_names.join("\n"));
    put("services/domain", "amazonaws.com".into());
    put("services/partition", "aws".into());
    put("block-device-mapping/ami", "xvda".into());
    put("block-device-mapping/root", instance.root_device_name.clone());
    for (name, text) in [
        ("device-number", "0".into()),
        ("interface-id", network.interface_id.to_string()),
        ("local-hostname", full_name),
        ("local-ipv4s", ip.clone()),
        ("mac", network.mac.clone()),
        ("owner-id", instance.account.to_string()),
        ("security-group-ids", group_ids.join("\n")),
        ("security-groups", group_names.join("\n")),
        ("subnet-id", network.subnet_id.to_string()),
        ("subnet-ipv4-cidr-block", cidr),
        ("vpc-id", network.vpc_id.to_string()),
    ] {
        put(&format!("network/interfaces/macs/{}/{name}", network.mac), text);
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
        tree,
        user_data: instance.user_data.clone(),
    }
}
