//! Bundles: OFPT_BUNDLE_* of OpenFlow 1.4, and the foundation's extension to 1.3.

use crate::header::{HEADER_BYTES, Header};
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, Message};

/// OFPBF_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BundleFlags(pub u16);

impl BundleFlags {
    pub const ATOMIC: Self = Self(1 << 0);
    pub const ORDERED: Self = Self(1 << 1);
}

/// OFPBCT_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleControlKind {
    OpenRequest,
    OpenReply,
    CloseRequest,
    CloseReply,
    CommitRequest,
    CommitReply,
    DiscardRequest,
    DiscardReply,
}

const KINDS: [BundleControlKind; 8] = [
    BundleControlKind::OpenRequest,
    BundleControlKind::OpenReply,
    BundleControlKind::CloseRequest,
    BundleControlKind::CloseReply,
    BundleControlKind::CommitRequest,
    BundleControlKind::CommitReply,
    BundleControlKind::DiscardRequest,
    BundleControlKind::DiscardReply,
];

/// OFPT_BUNDLE_CONTROL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleControl {
    pub bundle: u32,
    pub kind: BundleControlKind,
    pub flags: BundleFlags,
}

impl BundleControl {
    /// The answer that all went well; `None` if this is no request.
    pub fn reply(&self) -> Option<Self> {
        let kind = match self.kind {
            BundleControlKind::OpenRequest => BundleControlKind::OpenReply,
            BundleControlKind::CloseRequest => BundleControlKind::CloseReply,
            BundleControlKind::CommitRequest => BundleControlKind::CommitReply,
            BundleControlKind::DiscardRequest => BundleControlKind::DiscardReply,
            _ => return None,
        };
        Some(Self { bundle: self.bundle, kind, flags: BundleFlags::default() })
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let (bundle, kind, flags) = (reader.u32()?, reader.u16()?, BundleFlags(reader.u16()?));
        let kind = *KINDS.get(usize::from(kind)).ok_or(ErrorCode::BundleBadType)?;
        Ok(Self { bundle, kind, flags })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.bundle);
        out.u16(self.kind as u16);
        out.u16(self.flags.0);
    }
}

/// OFPT_BUNDLE_ADD_MESSAGE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    pub bundle: u32,
    pub flags: BundleFlags,
    /// A whole message with the same xid, for [`crate::decode`]. Kept as bytes, because an error that its content meets is answered
    /// with them, when the bundle is committed or at once.
    pub message: Vec<u8>,
}

impl BundleAdd {
    /// Reads the outer message, and so much of the inner one that its kind is known.
    pub(crate) fn decode(reader: &mut Reader<'_>, outer: &Header, context: &Context) -> Result<Self, ErrorCode> {
        let bundle = reader.u32()?;
        reader.skip(2)?;
        let flags = BundleFlags(reader.u16()?);
        let rest = reader.take_all();
        if rest.len() < HEADER_BYTES {
            return Err(ErrorCode::BundleMsgBadLen);
        }
        let inner = Header::decode(rest)?;
        if inner.version != outer.version {
            return Err(ErrorCode::BundleBadVersion);
        }
        let length = usize::from(inner.length);
        let message = rest.get(..length).filter(|_| length >= HEADER_BYTES).ok_or(ErrorCode::BundleMsgBadLen)?;
        if inner.xid != outer.xid {
            return Err(ErrorCode::BundleMsgBadXid);
        }
        match Message::is_bundlable(message, context) {
            Ok(true) => Ok(Self { bundle, flags, message: message.to_vec() }),
            _ => Err(ErrorCode::BundleMsgUnsup),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.bundle);
        out.u16(0);
        out.u16(self.flags.0);
        out.put(&self.message);
    }
}
