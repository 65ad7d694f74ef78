//! How an instance's record looks to the API.

use super::super::filter::Filterable;
use super::super::{Api, iso, tags};
use crate::store::{GroupReference, InstanceRecord, InstanceState, Tags};
use hive_aws_types::ec2;

pub fn state(state: InstanceState) -> ec2::InstanceState {
    ec2::InstanceState { code: Some(state.code()), name: Some(state.name().into()) }
}

/// `ip-172-31-0-4.ec2.internal`; elsewhere than in us-east-1 the domain is `<region>.compute.internal`.
pub fn private_dns_name(instance: &InstanceRecord, region: &str) -> String {
    format!("ip-{}.{}", instance.network.private_ip.to_string().replace('.', "-"), dns_domain(region))
}

pub fn dns_domain(region: &str) -> String {
    if region == "us-east-1" { "ec2.internal".into() } else { format!("{region}.compute.internal") }
}

/// Instances of one launch.
pub fn reservation(api: &Api, instances: &[InstanceRecord]) -> ec2::Reservation {
    let first = instances.first();
    ec2::Reservation {
        instances: instances.iter().map(|record| instance(api, record)).collect(),
        owner_id: first.map(|record| record.account.to_string()),
        reservation_id: first.map(|record| record.reservation_id.to_string()),
        ..Default::default()
    }
}

fn groups(groups: &[GroupReference]) -> Vec<ec2::GroupIdentifier> {
    let group = |g: &GroupReference| ec2::GroupIdentifier {
        group_id: Some(g.group_id.to_string()),
        group_name: Some(g.name.clone()),
    };
    groups.iter().map(group).collect()
}

pub fn block_devices(record: &InstanceRecord) -> Vec<ec2::InstanceBlockDeviceMapping> {
    let status = if record.has_run || record.state != InstanceState::Pending { "attached" } else { "attaching" };
    let disks = record.disks.iter().map(|disk| ec2::InstanceBlockDeviceMapping {
        device_name: Some(disk.device_name.clone()),
        ebs: Some(ec2::EbsInstanceBlockDevice {
            attach_time: Some(iso(disk.attach_time)),
            delete_on_termination: Some(disk.delete_on_termination),
            status: Some(status.into()),
            volume_id: Some(disk.volume_id.to_string()),
            ..Default::default()
        }),
    });
    disks.collect()
}

fn network_interface(record: &InstanceRecord, dns_name: &str) -> ec2::InstanceNetworkInterface {
    let network = &record.network;
    ec2::InstanceNetworkInterface {
        attachment: Some(ec2::InstanceNetworkInterfaceAttachment {
            attach_time: Some(iso(record.launch_time)),
            attachment_id: Some(network.attachment_id.to_string()),
            delete_on_termination: Some(true),
            device_index: Some(0),
            network_card_index: Some(0),
            status: Some("attached".into()),
            ..Default::default()
        }),
        description: Some(String::new()),
        groups: groups(&network.groups),
        interface_type: Some("interface".into()),
        mac_address: Some(network.mac.clone()),
        network_interface_id: Some(network.interface_id.to_string()),
        owner_id: Some(record.account.to_string()),
        private_dns_name: Some(dns_name.into()),
        private_ip_address: Some(network.private_ip.to_string()),
        private_ip_addresses: vec![ec2::InstancePrivateIpAddress {
            primary: Some(true),
            private_dns_name: Some(dns_name.into()),
            private_ip_address: Some(network.private_ip.to_string()),
            ..Default::default()
        }],
        source_dest_check: Some(true),
        status: Some("in-use".into()),
        subnet_id: Some(network.subnet_id.to_string()),
        vpc_id: Some(network.vpc_id.to_string()),
        ..Default::default()
    }
}

pub fn instance(api: &Api, record: &InstanceRecord) -> ec2::Instance {
    // A terminated instance has given its network back.
    let live = record.state != InstanceState::Terminated;
    let dns_name = private_dns_name(record, &api.place.region);
    let enabled = |on: bool| Some(if on { "enabled" } else { "disabled" }.to_owned());
    let vcpus = crate::instance_types::find(&record.instance_type).map(|t| i32::from(t.vcpus));
    ec2::Instance {
        ami_launch_index: Some(record.launch_index),
        architecture: Some("x86_64".into()),
        block_device_mappings: if live { block_devices(record) } else { Vec::new() },
        client_token: Some(record.client_token.clone().unwrap_or_default()),
        cpu_options: Some(ec2::CpuOptions { core_count: vcpus, threads_per_core: Some(1), ..Default::default() }),
        ebs_optimized: Some(false),
        ena_support: Some(false),
        enclave_options: Some(ec2::EnclaveOptions { enabled: Some(false) }),
        hibernation_options: Some(ec2::HibernationOptions { configured: Some(false) }),
        hypervisor: Some("xen".into()),
        image_id: Some(record.image_id.to_string()),
        instance_id: Some(record.instance_id.to_string()),
        instance_type: Some(record.instance_type.clone()),
        key_name: record.key.as_ref().map(|key| key.name.clone()),
        launch_time: Some(iso(record.launch_time)),
        metadata_options: Some(ec2::InstanceMetadataOptionsResponse {
            http_endpoint: enabled(record.metadata.enabled),
            http_protocol_ipv6: enabled(false),
            http_put_response_hop_limit: Some(i32::from(record.metadata.hop_limit)),
            http_tokens: Some(if record.metadata.token_required { "required" } else { "optional" }.into()),
            instance_metadata_tags: enabled(false),
            state: Some(if record.has_run { "applied" } else { "pending" }.into()),
        }),
        monitoring: Some(ec2::Monitoring { state: Some("disabled".into()), ..Default::default() }),
        network_interfaces: if live { vec![network_interface(record, &dns_name)] } else { Vec::new() },
        placement: Some(ec2::Placement {
            availability_zone: Some(record.zone.clone()),
            availability_zone_id: Some(api.place.zone_id()),
            group_name: Some(String::new()),
            tenancy: Some("default".into()),
            ..Default::default()
        }),
        platform_details: Some("Linux/UNIX".into()),
        private_dns_name: Some(if live { dns_name } else { String::new() }),
        private_ip_address: live.then(|| record.network.private_ip.to_string()),
        public_dns_name: Some(String::new()),
        root_device_name: Some(record.root_device_name.clone()),
        root_device_type: Some("ebs".into()),
        security_groups: if live { groups(&record.network.groups) } else { Vec::new() },
        source_dest_check: live.then_some(true),
        state: Some(state(record.state)),
        state_reason: record
            .state_reason
            .as_ref()
            .map(|reason| ec2::StateReason { code: Some(reason.code.clone()), message: Some(reason.message.clone()) }),
        state_transition_reason: Some(record.transition_reason.clone()),
        subnet_id: live.then(|| record.network.subnet_id.to_string()),
        tags: tags::to_api(&record.tags),
        usage_operation: Some("RunInstances".into()),
        virtualization_type: Some("hvm".into()),
        vpc_id: live.then(|| record.network.vpc_id.to_string()),
        ..Default::default()
    }
}

impl Filterable for InstanceRecord {
    const NAMES: &'static [&'static str] = &[
        "affinity",
        "architecture",
        "availability-zone",
        "block-device-mapping.attach-time",
        "block-device-mapping.delete-on-termination",
        "block-device-mapping.device-name",
        "block-device-mapping.volume-id",
        "client-token",
        "group-id",
        "group-name",
        "hypervisor",
        "image-id",
        "instance-id",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "instance.group-id",
        "instance.group-name",
        "key-name",
        "launch-index",
        "launch-time",
        "metadata-options.http-endpoint",
        "metadata-options.http-tokens",
        "network-interface.mac-address",
        "network-interface.network-interface-id",
        "network-interface.subnet-id",
        "network-interface.vpc-id",
        "owner-id",
        "platform",
        "private-ip-address",
        "network-interface.addresses.private-ip-address",
        "reservation-id",
        "root-device-name",
        "root-device-type",
        "state-reason-code",
        "subnet-id",
        "tenancy",
        "virtualization-type",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let disks = |f: fn(&crate::store::Disk) -> String| self.disks.iter().map(f).collect();
        let groups = |f: fn(&GroupReference) -> String| self.network.groups.iter().map(f).collect();
        let one = |text: &str| vec![text.to_owned()];
        match name {
            "architecture" => one("x86_64"),
            "availability-zone" => one(&self.zone),
            "block-device-mapping.attach-time" => disks(|d| iso(d.attach_time)),
            "block-device-mapping.delete-on-termination" => disks(|d| d.delete_on_termination.to_string()),
            "block-device-mapping.device-name" => disks(|d| d.device_name.clone()),
            "block-device-mapping.volume-id" => disks(|d| d.volume_id.to_string()),
            "client-token" => self.client_token.iter().cloned().collect(),
            "group-id" | "instance.group-id" => groups(|g| g.group_id.to_string()),
            "group-name" | "instance.group-name" => groups(|g| g.name.clone()),
            "hypervisor" => one("xen"),
            "image-id" => one(self.image_id.as_str()),
            "instance-id" => one(self.instance_id.as_str()),
            "instance-state-code" => vec![self.state.code().to_string()],
            "instance-state-name" => one(self.state.name()),
            "instance-type" => one(&self.instance_type),
            "key-name" => self.key.iter().map(|key| key.name.clone()).collect(),
            "launch-index" => vec![self.launch_index.to_string()],
            "launch-time" => vec![iso(self.launch_time)],
            "metadata-options.http-endpoint" => one(if self.metadata.enabled { "enabled" } else { "disabled" }),
            "metadata-options.http-tokens" => one(if self.metadata.token_required { "required" } else { "optional" }),
            "network-interface.mac-address" => one(&self.network.mac),
            "network-interface.network-interface-id" => one(self.network.interface_id.as_str()),
            "subnet-id" | "network-interface.subnet-id" => one(self.network.subnet_id.as_str()),
            "vpc-id" | "network-interface.vpc-id" => one(self.network.vpc_id.as_str()),
            "owner-id" => one(self.account.as_str()),
            "private-ip-address" | "network-interface.addresses.private-ip-address" => {
                vec![self.network.private_ip.to_string()]
            }
            "reservation-id" => one(self.reservation_id.as_str()),
            "root-device-name" => one(&self.root_device_name),
            "root-device-type" => one("ebs"),
            "state-reason-code" => self.state_reason.iter().map(|reason| reason.code.clone()).collect(),
            "tenancy" => one("default"),
            "virtualization-type" => one("hvm"),
            // What no instance here has.
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.tags)
    }
}
