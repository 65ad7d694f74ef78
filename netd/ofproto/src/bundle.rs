//! Bundles of one connection: messages kept until they are committed together (OFPT_BUNDLE_*).

use hive_openflow::{BundleControl, BundleControlKind, BundleFlags, ErrorCode};
use std::collections::BTreeMap;

/// Bundles that one connection may have open.
pub const BUNDLES_MAX: usize = 16;
/// Bytes of messages in all bundles of one connection: a million rules of a hundred bytes and more.
pub const BUNDLE_BYTES_MAX: usize = 256 << 20;
/// The same of all connections of a bridge.
pub const BUNDLE_BYTES_TOTAL_MAX: usize = 1 << 30;

#[derive(Debug)]
struct Bundle {
    flags: BundleFlags,
    closed: bool,
    /// Each an OFPT_BUNDLE_ADD_MESSAGE.
    messages: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Bundles {
    bundles: BTreeMap<u32, Bundle>,
    bytes: usize,
}

impl Bundles {
    fn remove(&mut self, id: u32) -> Option<Bundle> {
        let bundle = self.bundles.remove(&id)?;
        self.bytes -= bundle.messages.iter().map(Vec::len).sum::<usize>();
        Some(bundle)
    }

    /// Of all messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Follows a request. Of a commit: the messages to apply.
    pub fn control(&mut self, control: &BundleControl) -> Result<Option<Vec<Vec<u8>>>, ErrorCode> {
        let BundleControl { bundle: id, kind, flags } = *control;
        let known = self.bundles.get(&id).map(|bundle| (bundle.closed, bundle.flags));
        match (kind, known) {
            (BundleControlKind::OpenRequest, Some(_)) => {
                self.remove(id);
                Err(ErrorCode::BundleBadId)
            }
            (BundleControlKind::OpenRequest, None) => {
                self.open(id, flags)?;
                Ok(None)
            }
            (_, None) if control.reply().is_some() => Err(ErrorCode::BundleBadId),
            (BundleControlKind::CloseRequest, Some((closed, opened_with))) => {
                if closed || opened_with != flags {
                    self.remove(id);
                    return Err(if closed { ErrorCode::BundleBundleClosed } else { ErrorCode::BundleBadFlags });
                }
                if let Some(bundle) = self.bundles.get_mut(&id) {
                    bundle.closed = true;
                }
                Ok(None)
            }
            (BundleControlKind::CommitRequest, Some((_, opened_with))) => {
                let bundle = self.remove(id);
                if opened_with != flags {
                    return Err(ErrorCode::BundleBadFlags);
                }
                Ok(bundle.map(|bundle| bundle.messages))
            }
            (BundleControlKind::DiscardRequest, Some(_)) => {
                self.remove(id);
                Ok(None)
            }
            _ => Err(ErrorCode::BundleBadType),
        }
    }

    fn open(&mut self, id: u32, flags: BundleFlags) -> Result<(), ErrorCode> {
        if self.bundles.len() >= BUNDLES_MAX {
            return Err(ErrorCode::BundleOutOfBundles);
        }
        self.bundles.insert(id, Bundle { flags, closed: false, messages: Vec::new() });
        Ok(())
    }

    /// Whether a message of so many bytes may be added, as far as its bundle is concerned; one that is not there is opened.
    pub fn prepare(&mut self, id: u32, flags: BundleFlags, size_bytes: usize) -> Result<(), ErrorCode> {
        if self.bytes + size_bytes > BUNDLE_BYTES_MAX {
            return Err(ErrorCode::BundleMsgTooMany);
        }
        let Some(bundle) = self.bundles.get(&id) else { return self.open(id, flags) };
        let error = if bundle.closed {
            ErrorCode::BundleBundleClosed
        } else if bundle.flags != flags {
            ErrorCode::BundleBadFlags
        } else {
            return Ok(());
        };
        self.remove(id);
        Err(error)
    }

    /// Keeps an OFPT_BUNDLE_ADD_MESSAGE, whole: that is what a refusal returns.
    pub fn add(&mut self, id: u32, bytes: &[u8]) {
        if let Some(bundle) = self.bundles.get_mut(&id) {
            self.bytes += bytes.len();
            bundle.messages.push(bytes.to_vec());
        }
    }
}
