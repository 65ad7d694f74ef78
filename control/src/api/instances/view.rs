//! How an instance's record looks to the API.

use super::super::filter::Filterable;
use super::super::vpc::interfaces::{dns_name, show_groups};
use super::super::{Api, iso, tags};
use crate::store::{InstanceRecord, InstanceState, InterfaceRecord, Network, Tags};
use hive_aws_types::ec2;

pub fn state(state: InstanceState) -> ec2::InstanceState {
    ec2::InstanceState { code: Some(state.code()), name: Some(state.name().into()) }
}

/// Elsewhere than in us-east-1 the domain is `<region>.compute.internal`.
pub fn dns_domain(region: &str) -> String {
    if region == "us-east-1" { "ec2.internal".into() } else { format!("{region}.compute.internal") }
}

/// Instances of one launch.
pub fn reservation(api: &Api, network: &Network, instances: &[InstanceRecord]) -> ec2::Reservation {
    let first = instances.first();
    ec2::Reservation {
        instances: instances.iter().map(|record| instance(api, network, record)).collect(),
        owner_id: first.map(|record| record.account.to_string()),
        reservation_id: first.map(|record| record.reservation_id.to_string()),
        ..Default::default()
    }
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

fn interface(api: &Api, network: &Network, record: &InterfaceRecord) -> ec2::InstanceNetworkInterface {
    let association = |ip| {
        let public_ip = network.public_ip(record, ip)?;
        let owner = match network.elastic_ip(&record.interface_id, ip) {
            Some(_) => record.account.to_string(),
            None => "amazon".into(),
        };
        Some(ec2::InstanceNetworkInterfaceAssociation {
            ip_owner_id: Some(owner),
            public_dns_name: Some(String::new()),
            public_ip: Some(public_ip.to_string()),
            ..Default::default()
        })
    };
    let address = |ip| ec2::InstancePrivateIpAddress {
        association: association(ip),
        primary: Some(ip == record.private_ip),
        private_dns_name: Some(dns_name(ip, &api.place.region)),
        private_ip_address: Some(ip.to_string()),
    };
    let ipv6 = |(at, address): (usize, &std::net::Ipv6Addr)| ec2::InstanceIpv6Address {
        ipv6_address: Some(address.to_string()),
        is_primary_ipv6: Some(record.primary_ipv6 && at == 0),
    };
    ec2::InstanceNetworkInterface {
        association: association(record.private_ip),
        attachment: record.attachment.as_ref().map(|attachment| ec2::InstanceNetworkInterfaceAttachment {
            attach_time: Some(iso(attachment.attached_at)),
            attachment_id: Some(attachment.attachment_id.to_string()),
            delete_on_termination: Some(attachment.delete_on_termination),
            device_index: Some(attachment.device_index.into()),
            network_card_index: Some(0),
            status: Some("attached".into()),
            ..Default::default()
        }),
        description: Some(record.description.clone()),
        groups: show_groups(network, record),
        interface_type: Some("interface".into()),
        ipv6_addresses: record.ipv6.iter().enumerate().map(ipv6).collect(),
        mac_address: Some(record.mac.clone()),
        network_interface_id: Some(record.interface_id.to_string()),
        owner_id: Some(record.account.to_string()),
        private_dns_name: Some(dns_name(record.private_ip, &api.place.region)),
        private_ip_address: Some(record.private_ip.to_string()),
        private_ip_addresses: record.addresses().map(address).collect(),
        source_dest_check: Some(record.source_dest_check),
        status: Some("in-use".into()),
        subnet_id: Some(record.subnet_id.to_string()),
        vpc_id: Some(record.vpc_id.to_string()),
        ..Default::default()
    }
}

pub fn instance(api: &Api, network: &Network, record: &InstanceRecord) -> ec2::Instance {
    // A terminated instance has given its network back.
    let live = record.state != InstanceState::Terminated;
    let interfaces = if live { network.interfaces_of(&record.instance_id) } else { Vec::new() };
    let primary = interfaces.first().copied();
    let own_name = dns_name(record.network.private_ip, &api.place.region);
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
        ipv6_address: primary.and_then(|i| i.ipv6.first()).map(ToString::to_string),
        key_name: record.key.as_ref().map(|key| key.name.clone()),
        launch_time: Some(iso(record.launch_time)),
        metadata_options: Some(ec2::InstanceMetadataOptionsResponse {
            http_endpoint: enabled(record.metadata.enabled),
            http_protocol_ipv6: enabled(record.metadata.ipv6),
            http_put_response_hop_limit: Some(i32::from(record.metadata.hop_limit)),
            http_tokens: Some(if record.metadata.token_required { "required" } else { "optional" }.into()),
            instance_metadata_tags: enabled(false),
            state: Some(if record.has_run { "applied" } else { "pending" }.into()),
        }),
        monitoring: Some(ec2::Monitoring { state: Some("disabled".into()), ..Default::default() }),
        network_interfaces: interfaces.iter().map(|record| interface(api, network, record)).collect(),
        placement: Some(ec2::Placement {
            availability_zone: Some(record.zone.clone()),
            availability_zone_id: Some(api.place.zone_id()),
            group_name: Some(String::new()),
            tenancy: Some("default".into()),
            ..Default::default()
        }),
        platform_details: Some("Linux/UNIX".into()),
        private_dns_name: Some(if live { own_name } else { String::new() }),
        private_ip_address: live.then(|| record.network.private_ip.to_string()),
        public_dns_name: Some(String::new()),
        public_ip_address: primary.and_then(|i| network.public_ip(i, i.private_ip)).map(|ip| ip.to_string()),
        root_device_name: Some(record.root_device_name.clone()),
        root_device_type: Some("ebs".into()),
        security_groups: primary.map(|interface| show_groups(network, interface)).unwrap_or_default(),
        source_dest_check: primary.map(|interface| interface.source_dest_check),
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

/// An instance with its network, as filters see it.
pub struct Seen<'a> {
    pub record: InstanceRecord,
    pub network: &'a Network,
}

impl Seen<'_> {
    fn interfaces(&self) -> Vec<&InterfaceRecord> {
        match self.record.state {
            InstanceState::Terminated => Vec::new(),
            _ => self.network.interfaces_of(&self.record.instance_id),
        }
    }

    /// What each of its interfaces has.
    fn of_interfaces<T: IntoIterator<Item = String>>(&self, f: impl Fn(&InterfaceRecord) -> T) -> Vec<String> {
        self.interfaces().into_iter().flat_map(f).collect()
    }

    /// What the primary one has.
    fn of_primary<T: IntoIterator<Item = String>>(&self, f: impl Fn(&InterfaceRecord) -> T) -> Vec<String> {
        self.interfaces().into_iter().take(1).flat_map(f).collect()
    }
}

impl Filterable for Seen<'_> {
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
        "ip-address",
        "ipv6-address",
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
        "metadata-options.http-protocol-ipv6",
        "metadata-options.http-tokens",
        "network-interface.association.public-ip",
        "network-interface.attachment.attachment-id",
        "network-interface.attachment.device-index",
        "network-interface.description",
        "network-interface.group-id",
        "network-interface.group-name",
        "network-interface.ipv6-addresses.ipv6-address",
        "network-interface.mac-address",
        "network-interface.network-interface-id",
        "network-interface.source-dest-check",
        "network-interface.subnet-id",
        "network-interface.vpc-id",
        "owner-id",
        "platform",
        "private-ip-address",
        "network-interface.addresses.private-ip-address",
        "reservation-id",
        "root-device-name",
        "root-device-type",
        "source-dest-check",
        "state-reason-code",
        "subnet-id",
        "tenancy",
        "virtualization-type",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let record = &self.record;
        let network = self.network;
        let disks = |f: fn(&crate::store::Disk) -> String| record.disks.iter().map(f).collect();
        let public = |i: &InterfaceRecord| network.public_ip(i, i.private_ip).map(|ip| ip.to_string());
        let one = |text: &str| vec![text.to_owned()];
        match name {
            "architecture" => one("x86_64"),
            "availability-zone" => one(&self.record.zone),
            "block-device-mapping.attach-time" => disks(|d| iso(d.attach_time)),
            "block-device-mapping.delete-on-termination" => disks(|d| d.delete_on_termination.to_string()),
            "block-device-mapping.device-name" => disks(|d| d.device_name.clone()),
            "block-device-mapping.volume-id" => disks(|d| d.volume_id.to_string()),
            "client-token" => self.record.client_token.iter().cloned().collect(),
            "group-id" | "network-interface.group-id" => {
                self.of_interfaces(|i| i.groups.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            "instance.group-id" => self.of_primary(|i| i.groups.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "group-name" | "network-interface.group-name" => {
                self.of_interfaces(|i| network.groups_of(i).into_iter().map(|group| group.name))
            }
            "instance.group-name" => self.of_primary(|i| network.groups_of(i).into_iter().map(|group| group.name)),
            "hypervisor" => one("xen"),
            "image-id" => one(self.record.image_id.as_str()),
            "instance-id" => one(self.record.instance_id.as_str()),
            "instance-state-code" => vec![self.record.state.code().to_string()],
            "instance-state-name" => one(self.record.state.name()),
            "instance-type" => one(&self.record.instance_type),
            "key-name" => self.record.key.iter().map(|key| key.name.clone()).collect(),
            "launch-index" => vec![self.record.launch_index.to_string()],
            "launch-time" => vec![iso(self.record.launch_time)],
            "metadata-options.http-endpoint" => one(if self.record.metadata.enabled { "enabled" } else { "disabled" }),
            "metadata-options.http-protocol-ipv6" => {
                one(if self.record.metadata.ipv6 { "enabled" } else { "disabled" })
            }
            "metadata-options.http-tokens" => {
                one(if self.record.metadata.token_required { "required" } else { "optional" })
            }
            "ipv6-address" | "network-interface.ipv6-addresses.ipv6-address" => {
                self.of_interfaces(|i| i.ipv6.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            "network-interface.mac-address" => self.of_interfaces(|i| [i.mac.clone()]),
            "network-interface.network-interface-id" => self.of_interfaces(|i| [i.interface_id.to_string()]),
            "network-interface.source-dest-check" => self.of_interfaces(|i| [i.source_dest_check.to_string()]),
            "source-dest-check" => self.of_primary(|i| [i.source_dest_check.to_string()]),
            "network-interface.attachment.device-index" => {
                self.of_interfaces(|i| i.attachment.as_ref().map(|a| a.device_index.to_string()))
            }
            "network-interface.attachment.attachment-id" => {
                self.of_interfaces(|i| i.attachment.as_ref().map(|a| a.attachment_id.to_string()))
            }
            "network-interface.description" => self.of_interfaces(|i| [i.description.clone()]),
            "network-interface.association.public-ip" => self.of_interfaces(public),
            "ip-address" => self.of_primary(public),
            "network-interface.subnet-id" => self.of_interfaces(|i| [i.subnet_id.to_string()]),
            "subnet-id" => self.of_primary(|i| [i.subnet_id.to_string()]),
            "network-interface.vpc-id" => self.of_interfaces(|i| [i.vpc_id.to_string()]),
            "vpc-id" => self.of_primary(|i| [i.vpc_id.to_string()]),
            "owner-id" => one(self.record.account.as_str()),
            "private-ip-address" => self.of_primary(|i| [i.private_ip.to_string()]),
            "network-interface.addresses.private-ip-address" => {
                self.of_interfaces(|i| i.addresses().map(|ip| ip.to_string()).collect::<Vec<_>>())
            }
            "reservation-id" => one(self.record.reservation_id.as_str()),
            "root-device-name" => one(&self.record.root_device_name),
            "root-device-type" => one("ebs"),
            "state-reason-code" => self.record.state_reason.iter().map(|reason| reason.code.clone()).collect(),
            "tenancy" => one("default"),
            "virtualization-type" => one("hvm"),
            // What no instance here has.
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}
