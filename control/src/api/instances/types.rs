//! DescribeInstanceTypes.

use super::super::filter::{Filterable, Filters};
use super::super::page::Page;
use super::super::{Api, Call};
use super::find_type;
use crate::error::Error;
use crate::instance_types::{self, InstanceType};
use crate::store::Tags;
use hive_aws_types::ec2::{
    DescribeInstanceTypesRequest, DescribeInstanceTypesResult, EbsInfo, InstanceTypeInfo, MemoryInfo, NetworkInfo,
    ProcessorInfo, VCpuInfo,
};
use std::sync::Arc;

impl Filterable for InstanceType {
    const NAMES: &'static [&'static str] = &[
        "bare-metal",
        "burstable-performance-supported",
        "current-generation",
        "free-tier-eligible",
        "hibernation-supported",
        "hypervisor",
        "instance-storage-supported",
        "instance-type",
        "memory-info.size-in-mib",
        "processor-info.supported-architecture",
        "supported-root-device-type",
        "supported-usage-class",
        "supported-virtualization-type",
        "vcpu-info.default-cores",
        "vcpu-info.default-threads-per-core",
        "vcpu-info.default-vcpus",
    ];
    const TAGGED: bool = false;

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "burstable-performance-supported" => self.is_burstable().to_string(),
            "current-generation" => is_current(self).to_string(),
            "hypervisor" => "nitro".into(),
            "instance-type" => self.name.into(),
            "memory-info.size-in-mib" => self.memory_mib.to_string(),
            "processor-info.supported-architecture" => "x86_64".into(),
            "supported-root-device-type" => "ebs".into(),
            "supported-usage-class" => "on-demand".into(),
            "supported-virtualization-type" => "hvm".into(),
            "vcpu-info.default-cores" | "vcpu-info.default-vcpus" => self.vcpus.to_string(),
            "vcpu-info.default-threads-per-core" => "1".into(),
            // Bare metal, free tier, hibernation, instance storage.
            _ => "false".into(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }
}

fn is_current(t: &InstanceType) -> bool {
    !t.name.starts_with("m1.")
}

fn describe(t: &InstanceType) -> InstanceTypeInfo {
    InstanceTypeInfo {
        auto_recovery_supported: Some(false),
        bare_metal: Some(false),
        burstable_performance_supported: Some(t.is_burstable()),
        current_generation: Some(is_current(t)),
        dedicated_hosts_supported: Some(false),
        ebs_info: Some(EbsInfo {
            ebs_optimized_support: Some("unsupported".into()),
            encryption_support: Some("supported".into()),
            nvme_support: Some("unsupported".into()),
            ..Default::default()
        }),
        free_tier_eligible: Some(false),
        hibernation_supported: Some(false),
        hypervisor: Some("nitro".into()),
        instance_storage_supported: Some(false),
        instance_type: Some(t.name.into()),
        memory_info: Some(MemoryInfo { size_in_mi_b: Some(t.memory_mib.into()) }),
        network_info: Some(NetworkInfo {
            efa_supported: Some(false),
            ena_support: Some("unsupported".into()),
            ipv4_addresses_per_interface: i32::try_from(t.max_addresses_per_interface()).ok(),
            ipv6_addresses_per_interface: i32::try_from(t.max_addresses_per_interface()).ok(),
            ipv6_supported: Some(true),
            maximum_network_cards: Some(1),
            maximum_network_interfaces: i32::try_from(t.max_interfaces()).ok(),
            ..Default::default()
        }),
        processor_info: Some(ProcessorInfo { supported_architectures: vec!["x86_64".into()], ..Default::default() }),
        supported_boot_modes: vec!["legacy-bios".into()],
        supported_root_device_types: vec!["ebs".into()],
        supported_usage_classes: vec!["on-demand".into()],
        supported_virtualization_types: vec!["hvm".into()],
        v_cpu_info: Some(VCpuInfo {
            default_cores: Some(t.vcpus.into()),
            default_threads_per_core: Some(1),
            default_v_cpus: Some(t.vcpus.into()),
            valid_cores: vec![t.vcpus.into()],
            valid_threads_per_core: vec![1],
        }),
        ..Default::default()
    }
}

pub async fn describe_instance_types(
    _api: Arc<Api>,
    _call: Call,
    input: DescribeInstanceTypesRequest,
) -> Result<DescribeInstanceTypesResult, Error> {
    let by_name = !input.instance_types.is_empty();
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=100, by_name)?;
    let filters = Filters::check::<InstanceType>(&input.filters)?;
    let mut all: Vec<InstanceType> = if by_name {
        input.instance_types.iter().map(|name| find_type(name).copied()).collect::<Result<_, _>>()?
    } else {
        instance_types::ALL.to_vec()
    };
    all.retain(|t| filters.admit(t));
    all.sort_by_key(|t| t.name);
    let (page, next_token) = page.cut(all, |t| t.name.into());
    Ok(DescribeInstanceTypesResult { instance_types: page.iter().map(describe).collect(), next_token })
}
