//! Register state in which a processor starts.

use crate::boot::Entry;
use crate::error::{Error, Result};
use crate::layout;
use crate::memory::GuestRam;
use kvm_bindings::{Msrs, kvm_msr_entry, kvm_regs, kvm_segment};
use kvm_ioctls::VcpuFd;
use vm_memory::{Bytes, GuestAddress};

const MSR_MISC_ENABLE: u32 = 0x1a0;
const MISC_ENABLE_FAST_STRING: u64 = 1;
const MSR_MTRR_DEF_TYPE: u32 = 0x2ff;
/// MTRRs on, all memory write-back: without it Linux runs without PAT.
const MTRR_ENABLED_WRITE_BACK: u64 = 1 << 11 | 6;

const CR0_PE: u64 = 1;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME_LMA: u64 = 1 << 8 | 1 << 10;
/// Reserved bit of RFLAGS that reads as one.
const RFLAGS_RESERVED: u64 = 2;

/// Selectors of the GDT written by [`write_gdt`]; those of the Linux 64-bit protocol (`__BOOT_CS`, `__BOOT_DS`).
const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
const TASK_SELECTOR: u16 = 0x20;

/// MSRs every processor starts with.
pub fn set_msrs(vcpu: &VcpuFd) -> Result<()> {
    let entry = |index, data| kvm_msr_entry { index, data, ..Default::default() };
    let entries = [entry(MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING), entry(MSR_MTRR_DEF_TYPE, MTRR_ENABLED_WRITE_BACK)];
    let msrs = Msrs::from_entries(&entries).map_err(|e| Error::Config(format!("MSR list: {e:?}")))?;
    match vcpu.set_msrs(&msrs).map_err(Error::kvm("set MSRs"))? {
        written if written == entries.len() => Ok(()),
        written => Err(Error::Config(format!("KVM refuses MSR {:#x}", entries[written].index))),
    }
}

/// Put the first processor at the kernel's entry. The others wait for their start-up interrupt.
pub fn set_entry(vcpu: &VcpuFd, ram: &GuestRam, entry: Entry) -> Result<()> {
    let long_mode = matches!(entry, Entry::Linux64 { .. });
    let mut sregs = vcpu.get_sregs().map_err(Error::kvm("read segment registers"))?;
    let code = kvm_segment {
        limit: 0xffff_ffff,
        selector: CODE_SELECTOR,
        type_: 0xb,
        present: 1,
        s: 1,
        db: u8::from(!long_mode),
        l: u8::from(long_mode),
        g: 1,
        ..Default::default()
    };
    let data = kvm_segment { selector: DATA_SELECTOR, type_: 0x3, db: 1, l: 0, ..code };
    let task = kvm_segment { limit: 0x67, selector: TASK_SELECTOR, s: 0, db: 0, l: 0, g: 0, ..code };
    sregs.cs = code;
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = task;
    sregs.gdt.base = layout::GDT;
    sregs.gdt.limit = write_gdt(ram, [code, data, task])?;
    (sregs.idt.base, sregs.idt.limit) = (0, 0);
    sregs.cr0 = CR0_PE | CR0_ET;
    let mut regs = kvm_regs { rflags: RFLAGS_RESERVED, ..Default::default() };
    match entry {
        Entry::Pvh { address } => {
            regs.rip = address;
            regs.rbx = layout::PVH_START_INFO;
        }
        Entry::Linux64 { address } => {
            sregs.cr0 |= CR0_PG;
            sregs.cr3 = layout::PAGE_TABLES;
            sregs.cr4 |= CR4_PAE;
            sregs.efer |= EFER_LME_LMA;
            regs.rip = address;
            regs.rsi = layout::ZERO_PAGE;
        }
    }
    vcpu.set_sregs(&sregs).map_err(Error::kvm("set segment registers"))?;
    vcpu.set_regs(&regs).map_err(Error::kvm("set registers"))
}

/// Write the descriptor table the segments come from; returns its limit.
fn write_gdt(ram: &GuestRam, [code, data, task]: [kvm_segment; 3]) -> Result<u16> {
    let table = [0, 0, descriptor(&code), descriptor(&data), descriptor(&task)];
    for (index, entry) in (0..).zip(table) {
        ram.write_obj(entry, GuestAddress(layout::GDT + index * 8)).map_err(Error::guest_memory("write the GDT"))?;
    }
    Ok((table.len() * 8 - 1) as u16)
}

/// A segment of base 0 as a descriptor (Intel SDM 3A, 3.4.5).
fn descriptor(segment: &kvm_segment) -> u64 {
    let limit = u64::from(if segment.g == 1 { segment.limit >> 12 } else { segment.limit });
    let bits = u64::from(segment.type_)
        | u64::from(segment.s) << 4
        | u64::from(segment.dpl) << 5
        | u64::from(segment.present) << 7
        | u64::from(segment.l) << 13
        | u64::from(segment.db) << 14
        | u64::from(segment.g) << 15;
    (limit & 0xffff) | bits << 40 | (limit >> 16 & 0xf) << 48
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_linux_documents() {
        let flat = kvm_segment { limit: u32::MAX, type_: 0xb, present: 1, s: 1, l: 1, g: 1, ..Default::default() };
        assert_eq!(descriptor(&flat), 0x00af_9b00_0000_ffff);
        let data = kvm_segment { type_: 3, l: 0, db: 1, ..flat };
        assert_eq!(descriptor(&data), 0x00cf_9300_0000_ffff);
    }
}
