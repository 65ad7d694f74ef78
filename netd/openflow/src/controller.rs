//! What a controller says about itself and what it wants to hear: roles, asynchronous messages, configuration.

use crate::property::{self, Property};
use crate::wire::{Put, Reader};
use crate::{ErrorCode, Version};

/// OFPT_SET_CONFIG, OFPT_GET_CONFIG_REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchConfig {
    pub fragments: Fragments,
    /// Bytes of a packet that missed, for the controller.
    pub miss_send_bytes: u16,
}

/// OFPC_FRAG_*: what becomes of IP fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragments {
    /// Their ports are 0.
    #[default]
    Normal,
    Drop,
    Reassemble,
    /// `ip_frag` tells them apart.
    NxMatch,
}

impl SwitchConfig {
    /// `set`: what the version does not know is refused.
    pub(crate) fn decode(reader: &mut Reader<'_>, set: bool, version: Version) -> Result<Self, ErrorCode> {
        let (flags, miss_send_bytes) = (reader.u16()?, reader.u16()?);
        // Bit 2, packets whose TTL runs out, is of versions before 1.3.
        let known = if version == Version::V1_0 { 0x7 } else { 0x3 };
        if set && flags & !known != 0 {
            return Err(ErrorCode::SwitchConfigBadFlags);
        }
        let fragments = match flags & 3 {
            0 => Fragments::Normal,
            1 => Fragments::Drop,
            2 => Fragments::Reassemble,
            _ => Fragments::NxMatch,
        };
        Ok(Self { fragments, miss_send_bytes })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u16(self.fragments as u16);
        out.u16(self.miss_send_bytes);
    }
}

/// OFPCR_ROLE_*, NX_ROLE_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Tell only; not in Nicira's form.
    NoChange,
    Equal,
    Primary,
    Secondary,
}

/// OFPT_ROLE_REQUEST and its reply, also in Nicira's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleMessage {
    pub role: Role,
    /// `None` in Nicira's form. In requests it counts for primary and secondary only.
    pub generation: Option<u64>,
}

const ROLES: [Role; 4] = [Role::NoChange, Role::Equal, Role::Primary, Role::Secondary];

impl RoleMessage {
    pub(crate) fn decode(reader: &mut Reader<'_>, nicira: bool) -> Result<Self, ErrorCode> {
        let role = reader.u32()?;
        let index = if nicira { role.checked_add(1) } else { Some(role) };
        let known = index.and_then(|index| ROLES.get(index as usize)).copied();
        let role = known.ok_or(ErrorCode::RoleRequestBadRole)?;
        if nicira {
            return Ok(Self { role, generation: None });
        }
        reader.skip(4)?;
        Ok(Self { role, generation: Some(reader.u64()?) })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let role = self.role as u32;
        match self.generation {
            None => out.u32(role.saturating_sub(1)),
            Some(generation) => {
                out.u32(role);
                out.zeros(4);
                out.u64(generation);
            }
        }
    }
}

/// OFPT_ROLE_STATUS: a controller's role was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatus {
    pub role: Role,
    /// OFPCRR_*: 0 another became primary, 1 configuration, 2 an experimenter.
    pub reason: u8,
    pub generation: u64,
}

impl RoleStatus {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let role = *ROLES.get(reader.u32()? as usize).ok_or(ErrorCode::RoleRequestBadRole)?;
        let reason = reader.u8()?;
        reader.skip(3)?;
        Ok(Self { role, reason, generation: reader.u64()? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.role as u32);
        out.u8(self.reason);
        out.zeros(3);
        out.u64(self.generation);
    }
}

/// What a switch sends of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AsyncKind {
    PacketIn,
    PortStatus,
    FlowRemoved,
    RoleStatus,
    TableStatus,
    RequestForward,
}

const ASYNC_KINDS: [AsyncKind; 6] = [
    AsyncKind::PacketIn,
    AsyncKind::PortStatus,
    AsyncKind::FlowRemoved,
    AsyncKind::RoleStatus,
    AsyncKind::TableStatus,
    AsyncKind::RequestForward,
];

impl AsyncKind {
    /// Reasons that exist, as bits.
    fn reasons(self, version: Version) -> u32 {
        let later = version >= Version::V1_4;
        match self {
            Self::PacketIn => {
                if later {
                    0x3f
                } else {
                    0x7
                }
            }
            Self::PortStatus => 0x7,
            Self::FlowRemoved => {
                if later {
                    0x3f
                } else {
                    0xf
                }
            }
            Self::RoleStatus => 0x7,
            Self::TableStatus => 0x18,
            Self::RequestForward => 0x3,
        }
    }
}

/// Which reasons of one kind are told to controllers of one kind of role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncMask {
    pub kind: AsyncKind,
    /// For secondary controllers; else for the others.
    pub secondary: bool,
    /// A bit for each reason.
    pub reasons: u32,
}

/// The form of an asynchronous configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsyncForm {
    /// OFPT_*_ASYNC.
    Standard,
    /// NXT_SET_ASYNC_CONFIG.
    Nicira,
    /// NXT_SET_ASYNC_CONFIG2: properties as in OpenFlow 1.4.
    Nicira2,
}

/// OFPT_SET_ASYNC and its like: what is not named stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncConfig {
    pub form: AsyncForm,
    pub masks: Vec<AsyncMask>,
}

impl AsyncConfig {
    fn has_properties(form: AsyncForm, version: Version) -> bool {
        form == AsyncForm::Nicira2 || form == AsyncForm::Standard && version >= Version::V1_4
    }

    /// `set`: what is not known is refused.
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        form: AsyncForm,
        set: bool,
        version: Version,
    ) -> Result<Self, ErrorCode> {
        let mut masks = Vec::new();
        if !Self::has_properties(form, version) {
            for kind in ASYNC_KINDS.into_iter().take(3) {
                for secondary in [false, true] {
                    masks.push(AsyncMask { kind, secondary, reasons: reader.u32()? });
                }
            }
            return Ok(Self { form, masks });
        }
        while !reader.is_empty() {
            let property = Property::decode_with(reader, 0xfffe)?;
            let kind = ASYNC_KINDS.get((property.kind / 2) as usize).filter(|_| property.kind < 12);
            match kind {
                Some(kind) => {
                    let reasons = property.u32()?;
                    // Nicira's message is as OpenFlow 1.4's, reasons included.
                    if set && reasons & !kind.reasons(version.max(Version::V1_4)) != 0 {
                        return Err(ErrorCode::AsyncConfigInvalid);
                    }
                    masks.push(AsyncMask { kind: *kind, secondary: property.kind % 2 == 0, reasons });
                }
                None if set => return Err(ErrorCode::AsyncConfigUnsupported),
                None => {}
            }
        }
        Ok(Self { form, masks })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        if Self::has_properties(self.form, version) {
            for AsyncMask { kind, secondary, reasons } in &self.masks {
                property::put_u32(out, 2 * *kind as u64 + u64::from(!secondary), *reasons);
            }
            return;
        }
        for kind in ASYNC_KINDS.into_iter().take(3) {
            for secondary in [false, true] {
                let meant = |mask: &&AsyncMask| mask.kind == kind && mask.secondary == secondary;
                out.u32(self.masks.iter().find(meant).map_or(0, |mask| mask.reasons & kind.reasons(version)));
            }
        }
    }
}
