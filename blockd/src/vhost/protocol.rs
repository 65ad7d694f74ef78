//! What the frontend may say over the socket (vhost-user specification), applied to the device.

use super::config_space::{self, WRITEBACK_OFFSET};
use super::device::Device;
use super::inflight::Inflight;
use super::ring::{MAX_QUEUE_SIZE, RingAddresses};
use crate::engine::Engine;
use crate::memory::{GuestMemory, MAX_REGIONS, RegionInfo};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::ops::Range;
use vhost::VhostUserMemoryRegionBase;
use vhost::vhost_user::message::*;
use vhost::vhost_user::{Error, Result, VhostUserBackendReqHandler};

/// The device, shared by the message handler and the loop around it on one thread.
#[allow(missing_debug_implementations)]
pub struct Session<E: Engine>(pub RefCell<Device<E>>);

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::ReqHandlerError(io::Error::other(error))
}

impl<E: Engine> Session<E> {
    /// Change queue `index`; an index beyond the device's queues is an error of the frontend.
    fn queue<R>(&self, index: u32, change: impl FnOnce(&mut Device<E>, usize) -> R) -> Result<R> {
        let mut device = self.0.borrow_mut();
        let index = index as usize;
        if index >= device.queues.len() {
            return Err(Error::InvalidParam);
        }
        Ok(change(&mut device, index))
    }
}

fn region_info(region: &VhostUserMemoryRegion) -> RegionInfo {
    RegionInfo {
        guest_base: region.guest_phys_addr,
        user_base: region.user_addr,
        size_bytes: region.memory_size,
        file_offset: region.mmap_offset,
    }
}

/// `offset..offset + len` as a range of the configuration space, if it lies within.
fn config_range(space: &[u8], offset: u32, len: usize) -> Result<Range<usize>> {
    let start = offset as usize;
    match start.checked_add(len) {
        Some(end) if end <= space.len() => Ok(start..end),
        _ => Err(Error::InvalidParam),
    }
}

impl<E: Engine> VhostUserBackendReqHandler for Session<E> {
    fn set_owner(&self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&self) -> Result<()> {
        self.reset_device()
    }

    fn reset_device(&self) -> Result<()> {
        let mut device = self.0.borrow_mut();
        for index in 0..device.queues.len() {
            device.stop_queue(index);
        }
        device.features = 0;
        device.writeback = true;
        Ok(())
    }

    fn get_features(&self) -> Result<u64> {
        Ok(config_space::device_features(self.0.borrow().config.read_only))
    }

    fn set_features(&self, features: u64) -> Result<()> {
        let mut device = self.0.borrow_mut();
        if features & !config_space::device_features(device.config.read_only) != 0 {
            return Err(Error::FeatureMismatch);
        }
        device.features = features;
        // Without the protocol there is no SET_VRING_ENABLE: rings run as soon as they have a kick.
        if features & VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits() == 0 {
            device.queues.iter_mut().for_each(|queue| queue.enabled = true);
        }
        Ok(())
    }

    fn set_mem_table(
        &self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy: Option<bool>,
    ) -> Result<Option<Vec<VhostUserMemoryRegionBase>>> {
        let mut memory = GuestMemory::default();
        for (region, file) in regions.iter().zip(files) {
            memory = memory.with_region(region_info(region), file).map_err(failed)?;
        }
        self.0.borrow_mut().set_memory(memory);
        Ok(None)
    }

    fn get_max_mem_slots(&self) -> Result<u64> {
        Ok(MAX_REGIONS as u64)
    }

    fn add_mem_region(
        &self,
        region: &VhostUserSingleMemoryRegion,
        file: File,
        _postcopy: Option<bool>,
    ) -> Result<Option<VhostUserMemoryRegionBase>> {
        let mut device = self.0.borrow_mut();
        device.memory = device.memory.with_region(region_info(region), file).map_err(failed)?;
        Ok(None)
    }

    fn remove_mem_region(&self, region: &VhostUserSingleMemoryRegion) -> Result<()> {
        let mut device = self.0.borrow_mut();
        let memory = device.memory.without_region(region.guest_phys_addr).map_err(failed)?;
        device.set_memory(memory);
        Ok(())
    }

    fn set_vring_num(&self, index: u32, num: u32) -> Result<()> {
        let size = u16::try_from(num).ok().filter(|n| n.is_power_of_two() && *n <= MAX_QUEUE_SIZE);
        let size = size.ok_or(Error::InvalidParam)?;
        self.queue(index, |device, index| device.queues[index].size = size)
    }

    fn set_vring_addr(
        &self,
        index: u32,
        _flags: VhostUserVringAddrFlags,
        descriptors: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        let addresses = RingAddresses { descriptors, available, used };
        self.queue(index, |device, index| device.queues[index].addresses = addresses)
    }

    fn set_vring_base(&self, index: u32, base: u32) -> Result<()> {
        let base = u16::try_from(base).map_err(|_| Error::InvalidParam)?;
        self.queue(index, |device, index| device.queues[index].base = base)
    }

    fn get_vring_base(&self, index: u32) -> Result<VhostUserVringState> {
        let base = self.queue(index, |device, index| device.stop_queue(index))?;
        Ok(VhostUserVringState::new(index, u32::from(base)))
    }

    fn set_vring_kick(&self, index: u8, fd: Option<File>) -> Result<()> {
        self.queue(u32::from(index), |device, index| {
            device.set_kick(index, fd);
            device.start_queue(index);
        })
    }

    fn set_vring_call(&self, index: u8, fd: Option<File>) -> Result<()> {
        self.queue(u32::from(index), |device, index| {
            let queue = &mut device.queues[index];
            queue.call = fd;
            // Answers given before there was anyone to tell: a signal too many does no harm.
            if queue.running.is_some() {
                queue.signal();
            }
        })
    }

    fn set_vring_err(&self, index: u8, fd: Option<File>) -> Result<()> {
        self.queue(u32::from(index), |device, index| device.queues[index].error = fd)
    }

    fn set_vring_enable(&self, index: u32, enable: bool) -> Result<()> {
        self.queue(index, |device, index| {
            device.queues[index].enabled = enable;
            device.start_queue(index);
        })
    }

    fn get_protocol_features(&self) -> Result<VhostUserProtocolFeatures> {
        Ok(config_space::protocol_features())
    }

    fn set_protocol_features(&self, features: u64) -> Result<()> {
        if features & !config_space::protocol_features().bits() == 0 { Ok(()) } else { Err(Error::FeatureMismatch) }
    }

    fn get_queue_num(&self) -> Result<u64> {
        Ok(self.0.borrow().queues.len() as u64)
    }

    fn get_config(&self, offset: u32, size: u32, _flags: VhostUserConfigFlags) -> Result<Vec<u8>> {
        let space = self.0.borrow().config_space();
        Ok(space[config_range(&space, offset, size as usize)?].to_vec())
    }

    fn set_config(&self, offset: u32, bytes: &[u8], _flags: VhostUserConfigFlags) -> Result<()> {
        // Frontends may write back the whole space: only the one writable field is looked at.
        let mut device = self.0.borrow_mut();
        let range = config_range(&device.config_space(), offset, bytes.len())?;
        if let Some(at) = (WRITEBACK_OFFSET as usize).checked_sub(range.start)
            && let Some(writeback) = bytes.get(at)
        {
            device.writeback = *writeback != 0;
        }
        Ok(())
    }

    fn get_inflight_fd(&self, inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        let (queues, size) = (inflight.num_queues, inflight.queue_size);
        let (file, bytes) = Inflight::create(queues, size).map_err(failed)?;
        Ok((VhostUserInflight::new(bytes, 0, queues, size), file))
    }

    fn set_inflight_fd(&self, inflight: &VhostUserInflight, file: File) -> Result<()> {
        let region =
            Inflight::map(file, inflight.mmap_offset, inflight.mmap_size, inflight.num_queues, inflight.queue_size);
        self.0.borrow_mut().inflight = Some(region.map_err(failed)?);
        Ok(())
    }

    fn set_gpu_socket(&self, _gpu_backend: vhost::vhost_user::GpuBackend) -> Result<()> {
        Err(Error::InvalidOperation("a disk has no display"))
    }

    fn get_shared_object(&self, _uuid: VhostUserSharedMsg) -> Result<File> {
        Err(Error::InactiveOperation(VhostUserProtocolFeatures::SHARED_OBJECT))
    }

    fn set_device_state_fd(
        &self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _fd: File,
    ) -> Result<Option<File>> {
        Err(Error::InvalidOperation("migration of device state is not offered"))
    }

    fn check_device_state(&self) -> Result<()> {
        Err(Error::InvalidOperation("migration of device state is not offered"))
    }

    fn get_shmem_config(&self) -> Result<VhostUserShMemConfig> {
        Err(Error::InactiveOperation(VhostUserProtocolFeatures::SHMEM))
    }

    fn set_log_base(&self, _log: &VhostUserLog, _file: File) -> Result<()> {
        Err(Error::InactiveOperation(VhostUserProtocolFeatures::LOG_SHMFD))
    }
}
