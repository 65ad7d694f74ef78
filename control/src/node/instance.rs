//! Brings one instance a step closer to what its record says. Steps are short and may be repeated at any time: whatever happened
//! in between is found again, not remembered.

use super::backend::BackendError;
use super::machine::{Found, MachineDir, ProcessRecord};
use super::network::MTU_BYTES;
use super::volume::StepError;
use super::{Node, imaging};
use crate::error::Error;
use crate::instance_types;
use crate::store::{Disk, InstanceRecord, InstanceState, Network, Shutdown, StateReason, VolumeRecord, VolumeState};
use hive_blockd_api as blockd;
use hive_vmm_api as vmm;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::Duration;

/// A started machine answers on its socket within this time, or counts as failed; generous, for emulated nodes.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Between looks at a machine that starts or stops.
pub const POLL: Duration = Duration::from_millis(100);
const BUTTON_INTERVAL: Duration = Duration::from_secs(2);
/// From the request to stop at once to `kill -9`.
const KILL_AFTER: Duration = Duration::from_secs(10);
/// How long a terminated instance stays in sight, about as long as at EC2.
const KEEP_TERMINATED: Duration = Duration::from_secs(3600);
/// Queues of one disk; more than a few virtual CPUs share them well.
const MAX_DISK_QUEUES: u16 = 4;

/// What a step leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until something changes.
    Done,
    /// The record has changed: look again at once.
    Changed,
    /// Look again after this time.
    Again(Duration),
}

/// `fresh`: the record was read from the bus just now, not from the local copy.
pub async fn reconcile(node: &Node, instance: &InstanceRecord, fresh: bool) -> Result<Step, StepError> {
    let machine = MachineDir::new(&node.config.run_dir, instance.instance_id.as_str());
    let found = machine.find()?;
    // A copy of the record may be of before: snapshots are taken on the truth alone.
    if let Some(imaging) = instance.imaging.as_ref().filter(|_| fresh) {
        // An instance that ends before its image is made leaves none: the reconciler of snapshots fails them.
        let is_kept =
            matches!(instance.state, InstanceState::Running | InstanceState::Stopping | InstanceState::Stopped);
        if is_kept && let Some(step) = imaging::step(node, instance, imaging, &machine, &found).await? {
            return Ok(step);
        }
    }
    match (instance.state, found) {
        (InstanceState::Pending, Found::Alive(process)) => watch_start(node, instance, &machine, &process).await,
        (InstanceState::Pending, Found::Ended { launch, report }) if launch == instance.launch_time => {
            let message = report.map_or("the machine ended without a word".into(), |report| report.message);
            fail_start(node, instance, &message).await
        }
        (InstanceState::Pending, _) | (InstanceState::Running, Found::Nothing) => start(node, instance, &machine).await,
        (InstanceState::Running, Found::Alive(process)) => {
            node.watch_end(&process);
            reboot(node, instance, &machine).await
        }
        (InstanceState::Running, Found::Ended { report, .. }) => ended_by_itself(node, instance, report).await,
        (InstanceState::Stopping | InstanceState::ShuttingDown, Found::Alive(process)) => {
            stop(node, instance, &machine, &process).await
        }
        (InstanceState::Stopping, _) => finish_stop(node, instance, instance.state_reason.clone()).await,
        (InstanceState::ShuttingDown, _) => finish_termination(node, instance, &machine).await,
        (InstanceState::Stopped, Found::Alive(process)) => {
            process.kill()?;
            Ok(Step::Again(POLL))
        }
        (InstanceState::Stopped, _) => Ok(Step::Done),
        (InstanceState::Terminated, _) if fresh => forget(node, instance).await,
        (InstanceState::Terminated, _) => Ok(Step::Done),
    }
}

pub fn since(at: Timestamp) -> Duration {
    // A clock that was set back counts as no time.
    Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default()
}

/// Prepares port and volumes, and starts the machine.
pub async fn start(node: &Node, instance: &InstanceRecord, machine: &MachineDir) -> Result<Step, StepError> {
    let view = node.view();
    // Of an account that is not seeded yet.
    let Some(network) = view.networks.get(&instance.account).filter(|network| **network != Network::default()) else {
        return Ok(Step::Again(POLL));
    };
    let Some(instance_type) = instance_types::find(&instance.instance_type) else {
        return fail_start(node, instance, "its instance type is not known here").await;
    };
    let prepared = async {
        let interfaces = network.interfaces_of(&instance.instance_id);
        // The tables are there before the first frame.
        node.switch.prepare(node, &interfaces).await?;
        let queues = MAX_DISK_QUEUES.min(instance_type.vcpus.into());
        let mut disks = Vec::with_capacity(instance.disks.len());
        for disk in in_order(&instance.disks, &instance.root_device_name) {
            let volume = view.volumes.iter().find(|volume| volume.volume_id == disk.volume_id);
            let socket = prepare_volume(node, disk, volume, queues).await?;
            disks.push((disk.volume_id.to_string(), socket));
        }
        Ok((interfaces, disks, queues))
    };
    let (interfaces, disks, queues) = match prepared.await {
        Ok(prepared) => prepared,
        Err(StepError::Backend(error)) if error.is_final() => {
            return fail_start(node, instance, &error.to_string()).await;
        }
        Err(error) => return Err(error),
    };
    if interfaces.is_empty() {
        return fail_start(node, instance, "its interface is gone").await;
    }
    let boot = node.images_dir().join(&instance.boot.directory);
    let config = vmm::VmConfig {
        vm_id: instance.instance_id.to_string(),
        vcpus: instance_type.vcpus,
        memory_size_bytes: instance_type.memory_bytes(),
        boot: vmm::BootSource {
            kernel: boot.join(hive_images::KERNEL_FILE),
            initrd: Some(boot.join(hive_images::INITRD_FILE)),
            cmdline: instance.boot.cmdline.clone(),
        },
        disks: disks
            .into_iter()
            .map(|(id, socket)| vmm::DiskConfig { id, socket, queues, queue_size: 256, read_only: false })
            .collect(),
        nets: interfaces
            .into_iter()
            .map(|interface| vmm::NetConfig {
                id: interface.interface_id.to_string(),
                socket: node.switch.port_socket(interface.interface_id.as_str()),
                mac: interface.mac.clone(),
                queue_pairs: 1,
                queue_size: 256,
                mtu: Some(MTU_BYTES),
            })
            .collect(),
        smbios: smbios(instance),
        console: vmm::ConsoleConfig {
            log: machine.console_log(),
            log_size_bytes: 256 << 10,
            socket: machine.console_socket(),
        },
        api_socket: machine.api_socket(),
        exit_report: machine.exit_report(),
        backend_timeout_ms: 10_000,
    };
    machine.spawn(&node.config.vmm, &config, instance.launch_time, &node.wake)?;
    tracing::info!(instance = %instance.instance_id, "machine started");
    Ok(Step::Again(POLL))
}

async fn prepare_volume(
    node: &Node,
    disk: &Disk,
    volume: Option<&VolumeRecord>,
    queues: u16,
) -> Result<PathBuf, StepError> {
    let id = disk.volume_id.as_str();
    if let Some(volume) = volume.filter(|volume| volume.state == VolumeState::Creating) {
        match node.blockd.create_volume(volume).await {
            // It has been made meanwhile, and modified since this copy of its record was read.
            Err(BackendError::Blockd { kind: blockd::ErrorKind::Exists, .. }) => {}
            made => made?,
        }
    }
    Ok(node.blockd.attach_volume(id, queues).await?)
}

/// The root volume first, which the guest sees as its first disk; then by device name.
fn in_order<'a>(disks: &'a [Disk], root: &str) -> Vec<&'a Disk> {
    let mut disks: Vec<&Disk> = disks.iter().collect();
    disks.sort_by(|a, b| (a.device_name != root, &a.device_name).cmp(&(b.device_name != root, &b.device_name)));
    disks
}

/// EC2's identity: cloud-init knows an instance by the vendor, and by a UUID that begins with `ec2`.
fn smbios(instance: &InstanceRecord) -> vmm::Smbios {
    let digest = hex::encode(Sha256::digest(instance.instance_id.as_str()));
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    let uuid = format!("ec2{}-{}-4{}-8{}-{}", part(3, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32));
    vmm::Smbios {
        serial: uuid.clone(),
        uuid,
        vendor: "Amazon EC2".into(),
        product: instance.instance_type.clone(),
        version: "1.0".into(),
        asset_tag: instance.instance_id.to_string(),
    }
}

/// `running` as soon as the machine answers.
async fn watch_start(
    node: &Node,
    instance: &InstanceRecord,
    machine: &MachineDir,
    process: &ProcessRecord,
) -> Result<Step, StepError> {
    if process.launch != instance.launch_time {
        // Of an earlier launch, whose end was not noticed.
        process.kill()?;
        return Ok(Step::Again(POLL));
    }
    match machine.ask(&vmm::Request::Describe).await {
        Ok(vmm::Reply::Describe(_)) => {
            node.watch_end(process);
            change(node, instance, |instance| {
                instance.enter(InstanceState::Running, Timestamp::now());
                instance.has_run = true;
            })
            .await
        }
        _ if machine.started_ago() > START_TIMEOUT => {
            process.kill()?;
            fail_start(node, instance, "the machine does not answer").await
        }
        _ => Ok(Step::Again(POLL)),
    }
}

/// Edits the record if its state is still the one that was acted upon.
pub async fn change(
    node: &Node,
    instance: &InstanceRecord,
    edit: impl Fn(&mut InstanceRecord),
) -> Result<Step, StepError> {
    let expected = instance.state;
    let changed = node.stores.instances.modify(instance.key(), |instance| {
        let is_current = instance.state == expected;
        if is_current {
            edit(instance);
            debug_assert!(instance.state == expected || expected.may_become(instance.state));
        }
        Ok::<_, Error>(is_current)
    });
    if let Some((after, true)) = changed.await?
        && after.state != expected
    {
        tracing::info!(instance = %instance.instance_id, from = expected.name(), to = after.state.name(), "state");
    }
    Ok(Step::Changed)
}

/// An instance that never ran terminates; one that has data of its own stops.
async fn fail_start(node: &Node, instance: &InstanceRecord, message: &str) -> Result<Step, StepError> {
    tracing::warn!(instance = %instance.instance_id, message, "cannot start");
    let reason = Some(StateReason {
        code: "Server.InternalError".into(),
        message: format!("Server.InternalError: Internal error on launch ({message})"),
    });
    if instance.state == InstanceState::Running || instance.has_run {
        return finish_stop(node, instance, reason).await;
    }
    change(node, instance, |instance| {
        instance.enter(InstanceState::ShuttingDown, Timestamp::now());
        instance.state_reason.clone_from(&reason);
        instance.transition_reason = "Server.InternalError".into();
    })
    .await
}

/// The guest powered itself off, or its machine died.
async fn ended_by_itself(
    node: &Node,
    instance: &InstanceRecord,
    report: Option<vmm::ExitReport>,
) -> Result<Step, StepError> {
    let by_guest = report.as_ref().is_some_and(|report| report.reason == vmm::ExitReason::GuestPowerOff);
    let reason = if by_guest {
        StateReason {
            code: "Client.InstanceInitiatedShutdown".into(),
            message: "Client.InstanceInitiatedShutdown: Instance initiated shutdown".into(),
        }
    } else {
        let message = report.map_or("the machine's process was killed".into(), |report| report.message);
        StateReason {
            code: "Server.InternalError".into(),
            message: format!("Server.InternalError: the machine ended: {message}"),
        }
    };
    tracing::info!(instance = %instance.instance_id, reason = reason.message, "machine ended");
    if by_guest && instance.shutdown_behavior == Shutdown::Terminate {
        return change(node, instance, |instance| {
            instance.enter(InstanceState::ShuttingDown, Timestamp::now());
            instance.state_reason = Some(reason.clone());
        })
        .await;
    }
    finish_stop(node, instance, Some(reason)).await
}

/// Reboots that were asked for, and not carried out yet, are one reset.
async fn reboot(node: &Node, instance: &InstanceRecord, machine: &MachineDir) -> Result<Step, StepError> {
    if instance.reboots_done >= instance.reboots_wanted {
        return Ok(Step::Done);
    }
    machine.ask(&vmm::Request::Reset).await?;
    let done = instance.reboots_wanted;
    tracing::info!(instance = %instance.instance_id, "reset");
    change(node, instance, |instance| instance.reboots_done = instance.reboots_done.max(done)).await
}

/// Asks the guest to power off; after its grace stops the machine; after that kills it.
async fn stop(
    node: &Node,
    instance: &InstanceRecord,
    machine: &MachineDir,
    process: &ProcessRecord,
) -> Result<Step, StepError> {
    let grace = match (instance.force_stop, instance.state) {
        (true, _) => Duration::ZERO,
        (false, InstanceState::ShuttingDown) => Duration::from_millis(node.config.terminate_grace_ms),
        (false, _) => Duration::from_millis(node.config.stop_grace_ms),
    };
    power_off(node, instance, machine, process, since(instance.state_since), grace).await
}

/// `waited`: since the first press of the button.
pub async fn power_off(
    node: &Node,
    instance: &InstanceRecord,
    machine: &MachineDir,
    process: &ProcessRecord,
    waited: Duration,
    grace: Duration,
) -> Result<Step, StepError> {
    node.watch_end(process);
    if waited >= grace + KILL_AFTER {
        process.kill()?;
        return Ok(Step::Again(POLL));
    }
    // The button is pressed again and again: a guest that still boots does not notice the first time.
    let (request, again) = match grace.checked_sub(waited) {
        Some(left) => (vmm::Request::PowerButton, left.clamp(POLL, BUTTON_INTERVAL)),
        None => (vmm::Request::Stop, POLL),
    };
    if let Err(error) = machine.ask(&request).await {
        tracing::debug!(instance = %instance.instance_id, %error, "the machine does not take a request");
    }
    Ok(Step::Again(again))
}

pub async fn detach_all(node: &Node, instance: &InstanceRecord) -> Result<(), StepError> {
    for disk in &instance.disks {
        node.blockd.detach_volume(disk.volume_id.as_str()).await?;
    }
    Ok(())
}

/// Nothing runs any more: closes the volumes, gives back the room, and then says so.
async fn finish_stop(node: &Node, instance: &InstanceRecord, reason: Option<StateReason>) -> Result<Step, StepError> {
    detach_all(node, instance).await?;
    node.release_room(instance).await?;
    change(node, instance, |instance| {
        instance.enter(InstanceState::Stopped, Timestamp::now());
        instance.state_reason.clone_from(&reason);
        instance.force_stop = false;
    })
    .await
}

/// Gives back all that the instance had, each thing by its own record, and then says so.
async fn finish_termination(node: &Node, instance: &InstanceRecord, machine: &MachineDir) -> Result<Step, StepError> {
    detach_all(node, instance).await?;
    for disk in &instance.disks {
        let key = crate::store::key(&instance.account, &disk.volume_id);
        let freed = node.stores.volumes.modify(&key, |volume| {
            let attached = volume.attachment.as_ref();
            if attached.is_some_and(|attachment| attachment.instance_id == instance.instance_id) {
                volume.attachment = None;
                if disk.delete_on_termination {
                    volume.state = VolumeState::Deleting;
                }
            }
            Ok::<_, Error>(())
        });
        freed.await?;
    }
    let released = node.stores.networks.change(&instance.account, |network| {
        network.release_instance(&instance.instance_id);
        Ok(())
    });
    released.await?;
    node.release_room(instance).await?;
    machine.remove()?;
    change(node, instance, |instance| {
        instance.enter(InstanceState::Terminated, Timestamp::now());
        instance.disks.clear();
    })
    .await
}

async fn forget(node: &Node, instance: &InstanceRecord) -> Result<Step, StepError> {
    if since(instance.state_since) < KEEP_TERMINATED {
        return Ok(Step::Done);
    }
    let ended = |instance: &InstanceRecord| Ok::<_, Error>(instance.state == InstanceState::Terminated);
    node.stores.instances.delete_if(instance.key(), ended).await?;
    Ok(Step::Done)
}
