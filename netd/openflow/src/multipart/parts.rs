//! Replies cut into messages of at most 65535 bytes, between entries.

use super::FlowStats;
use crate::header::MESSAGE_BYTES_MAX;
use crate::kind::{Kind, set_more};
use crate::wire::Put;
use crate::{Context, EncodeError};

/// Writes one multipart message, in as many parts as it takes.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    kind: Kind,
    xid: u32,
    context: &'a Context,
    out: &'a mut Vec<u8>,
    /// Where the current part begins, and its entries.
    start: usize,
    body: usize,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(kind: Kind, xid: u32, context: &'a Context, out: &'a mut Vec<u8>) -> Result<Self, EncodeError> {
        let start = out.len();
        kind.encode(context.version, xid, out).ok_or(EncodeError::NotInVersion)?;
        let body = out.len();
        Ok(Self { kind, xid, context, out, start, body })
    }

    /// Add an entry. One that fits in no message is left out.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>, &Context)) -> Result<(), EncodeError> {
        let entry = self.out.len();
        write(self.out, self.context);
        if self.out.len() - self.start <= MESSAGE_BYTES_MAX {
            return Ok(());
        }
        if self.out.len() - entry + (self.body - self.start) > MESSAGE_BYTES_MAX {
            self.out.truncate(entry);
            return Err(EncodeError::TooLong);
        }
        let moved = self.out.split_off(entry);
        self.out.set_length(self.start, 2);
        set_more(self.out, self.start);
        self.start = self.out.len();
        self.kind.encode(self.context.version, self.xid, self.out).ok_or(EncodeError::NotInVersion)?;
        self.body = self.out.len();
        self.out.put(&moved);
        Ok(())
    }

    pub(crate) fn finish(self) {
        self.out.set_length(self.start, 2);
    }
}

/// Writes the reply to a flow request flow by flow, so that not all of them need be gathered first.
#[derive(Debug)]
pub struct FlowStatsWriter<'a> {
    parts: Parts<'a>,
    nicira: bool,
}

impl<'a> FlowStatsWriter<'a> {
    /// Appends to `out`. `nicira`: as the request had it.
    ///
    /// # Errors
    /// NXST_FLOW is of OpenFlow 1.0 only.
    pub fn new(xid: u32, nicira: bool, context: &'a Context, out: &'a mut Vec<u8>) -> Result<Self, EncodeError> {
        let kind = if nicira { Kind::NxFlowReply } else { Kind::FlowReply };
        Ok(Self { parts: Parts::new(kind, xid, context, out)?, nicira })
    }

    /// # Errors
    /// The flow fits in no message; it is left out.
    pub fn push(&mut self, flow: &FlowStats) -> Result<(), EncodeError> {
        let nicira = self.nicira;
        self.parts.push(|out, context| flow.encode(out, nicira, context))
    }

    /// Without this the last part has no length.
    pub fn finish(self) {
        self.parts.finish();
    }
}
