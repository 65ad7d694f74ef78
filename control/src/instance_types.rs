//! The instance types on offer: virtual CPUs and memory as AWS's types of the same name have them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceType {
    pub name: &'static str,
    pub vcpus: u8,
    pub memory_mib: u32,
}

impl InstanceType {
    pub fn memory_bytes(&self) -> u64 {
        u64::from(self.memory_mib) << 20
    }

    /// Network interfaces, as AWS's types of these sizes have them.
    pub fn max_interfaces(&self) -> usize {
        match self.memory_mib {
            ..2000 => 2,
            2000..16_384 => 3,
            _ => 4,
        }
    }

    /// IPv4 addresses of one interface.
    pub fn max_addresses_per_interface(&self) -> usize {
        match self.memory_mib {
            ..2000 => 2,
            2000..4096 => 4,
            4096..8192 => 6,
            8192..16_384 => 10,
            _ => 15,
        }
    }

    /// CPU credits have no meaning here; the types that have them at AWS say so.
    pub fn is_burstable(&self) -> bool {
        self.name.starts_with('t')
    }
}

const fn of(name: &'static str, vcpus: u8, memory_mib: u32) -> InstanceType {
    InstanceType { name, vcpus, memory_mib }
}

/// What EC2 launches when no type is named.
pub const DEFAULT: &str = "m1.small";

pub const ALL: &[InstanceType] = &[
    of("c5.large", 2, 4096),
    of("c5.xlarge", 4, 8192),
    of("c5.2xlarge", 8, 16_384),
    of("c5.4xlarge", 16, 32_768),
    of("m1.small", 1, 1740),
    of("m5.large", 2, 8192),
    of("m5.xlarge", 4, 16_384),
    of("m5.2xlarge", 8, 32_768),
    of("m5.4xlarge", 16, 65_536),
    of("t2.nano", 1, 512),
    of("t2.micro", 1, 1024),
    of("t2.small", 1, 2048),
    of("t2.medium", 2, 4096),
    of("t2.large", 2, 8192),
    of("t2.xlarge", 4, 16_384),
    of("t2.2xlarge", 8, 32_768),
    of("t3.nano", 2, 512),
    of("t3.micro", 2, 1024),
    of("t3.small", 2, 2048),
    of("t3.medium", 2, 4096),
    of("t3.large", 2, 8192),
    of("t3.xlarge", 4, 16_384),
    of("t3.2xlarge", 8, 32_768),
];

pub fn find(name: &str) -> Option<&'static InstanceType> {
    ALL.iter().find(|t| t.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_one_that_the_vmm_runs() {
        for t in ALL {
            assert!(t.vcpus <= hive_vmm_api::MAX_VCPUS, "{}", t.name);
            assert_eq!(t.memory_mib % 2, 0, "{}: RAM is given in 2 MiB pages", t.name);
        }
        assert!(find(DEFAULT).is_some());
    }
}
