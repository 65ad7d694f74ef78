//! CPUID of the guest's processors: all that KVM supports, with the topology of this machine and without nesting.

use crate::error::{Error, Result};
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::Kvm;

/// Leaf 1 ECX.
const ECX_VMX: u32 = 1 << 5;
const ECX_X2APIC: u32 = 1 << 21;
const ECX_TSC_DEADLINE: u32 = 1 << 24;
const ECX_HYPERVISOR: u32 = 1 << 31;
/// Leaf 1 EDX: the logical processor count is meaningful.
const EDX_HTT: u32 = 1 << 28;
/// Leaf 0x8000_0001 ECX.
const ECX_SVM: u32 = 1 << 2;
const ECX_TOPOLOGY_EXTENSIONS: u32 = 1 << 22;

/// What KVM can give a guest on this host.
pub fn supported(kvm: &Kvm) -> Result<CpuId> {
    kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(Error::kvm("read the CPUID that KVM supports"))
}

/// CPUID of processor `id` of `count`: each is a core of its own in one package, its APIC id its index.
pub fn for_vcpu(supported: &CpuId, id: u8, count: u8) -> Result<CpuId> {
    let mut entries: Vec<kvm_cpuid_entry2> = supported.as_slice().to_vec();
    // Leaves 0xb and 0x1f are rebuilt: KVM fills them with the host's topology.
    entries.retain(|entry| !matches!(entry.function, 0xb | 0x1f));
    for entry in &mut entries {
        adjust(entry, id, count);
    }
    if entries.iter().any(|entry| entry.function == 0 && entry.eax >= 0xb) {
        entries.extend(extended_topology(id, count));
    }
    CpuId::from_entries(&entries).map_err(|e| Error::Config(format!("{} CPUID entries: {e:?}", entries.len())))
}

fn adjust(entry: &mut kvm_cpuid_entry2, id: u8, count: u8) {
    let (id, count) = (u32::from(id), u32::from(count));
    match entry.function {
        1 => {
            entry.ebx = (entry.ebx & 0xffff) | count.next_power_of_two() << 16 | id << 24;
            entry.ecx = (entry.ecx | ECX_X2APIC | ECX_TSC_DEADLINE | ECX_HYPERVISOR) & !ECX_VMX;
            entry.edx = if count > 1 { entry.edx | EDX_HTT } else { entry.edx & !EDX_HTT };
        }
        // Caches: bits 14..25 the APIC ids that share it, bits 26..31 the cores of the package, both less one.
        4 if entry.eax & 0x1f != 0 => {
            let shared = if entry.eax >> 5 & 7 >= 3 { count.next_power_of_two() - 1 } else { 0 };
            entry.eax = (entry.eax & 0x3fff) | shared << 14 | (count.next_power_of_two() - 1) << 26;
        }
        0x8000_0001 => entry.ecx &= !ECX_SVM & !ECX_TOPOLOGY_EXTENSIONS,
        // Cores of the package less one, and the width of the core id within the APIC id.
        0x8000_0008 => {
            entry.ecx = (entry.ecx & !0xf0ff) | (count - 1) | count.next_power_of_two().trailing_zeros() << 12;
        }
        // SVM, and AMD's topology extensions that go with their bit.
        0x8000_000a | 0x8000_001d | 0x8000_001e => {
            (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
        }
        _ => {}
    }
}

/// Leaf 0xb: one thread a core, all cores in one package (Intel SDM 2A, CPUID).
fn extended_topology(id: u8, count: u8) -> [kvm_cpuid_entry2; 3] {
    const FLAG_INDEX: u32 = kvm_bindings::KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    const LEVEL_THREAD: u32 = 1 << 8;
    const LEVEL_CORE: u32 = 2 << 8;
    let core_bits = count.next_power_of_two().trailing_zeros();
    let level = |index: u32, eax: u32, ebx: u32, kind: u32| kvm_cpuid_entry2 {
        function: 0xb,
        index,
        flags: FLAG_INDEX,
        eax,
        ebx,
        ecx: index | kind,
        edx: id.into(),
        ..Default::default()
    };
    [level(0, 0, 1, LEVEL_THREAD), level(1, core_bits, count.into(), LEVEL_CORE), level(2, 0, 0, 0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(function: u32, index: u32) -> kvm_cpuid_entry2 {
        kvm_cpuid_entry2 { function, index, ..Default::default() }
    }

    fn build(id: u8, count: u8) -> CpuId {
        let leaf0 = kvm_cpuid_entry2 { eax: 0xd, ..entry(0, 0) };
        let leaf1 = kvm_cpuid_entry2 { ecx: ECX_VMX, ebx: 0x7700_0800, ..entry(1, 0) };
        let amd = kvm_cpuid_entry2 { ecx: ECX_SVM | 1, ..entry(0x8000_0001, 0) };
        let svm = kvm_cpuid_entry2 { edx: 1, ..entry(0x8000_000a, 0) };
        let host = kvm_cpuid_entry2 { edx: 77, ..entry(0xb, 0) };
        for_vcpu(&CpuId::from_entries(&[leaf0, leaf1, amd, svm, host]).unwrap(), id, count).unwrap()
    }

    fn find(cpuid: &CpuId, function: u32, index: u32) -> kvm_cpuid_entry2 {
        *cpuid.as_slice().iter().find(|e| (e.function, e.index) == (function, index)).unwrap()
    }

    #[test]
    fn apic_ids_and_counts_are_this_machines() {
        let cpuid = build(5, 6);
        let leaf1 = find(&cpuid, 1, 0);
        assert_eq!(leaf1.ebx, 0x0508_0800);
        assert_eq!(leaf1.edx & EDX_HTT, EDX_HTT);
        assert_eq!((find(&cpuid, 0xb, 0).ebx, find(&cpuid, 0xb, 0).edx), (1, 5));
        assert_eq!((find(&cpuid, 0xb, 1).eax, find(&cpuid, 0xb, 1).ebx), (3, 6));
        assert_eq!(build(0, 1).as_slice().iter().filter(|e| e.function == 0xb).count(), 3);
    }

    #[test]
    fn guests_cannot_nest() {
        let cpuid = build(0, 1);
        assert_eq!(find(&cpuid, 1, 0).ecx & ECX_VMX, 0);
        assert_eq!(find(&cpuid, 0x8000_0001, 0).ecx, 1);
        assert_eq!(find(&cpuid, 0x8000_000a, 0).edx, 0);
        assert_ne!(find(&cpuid, 1, 0).ecx & ECX_HYPERVISOR, 0);
    }
}
