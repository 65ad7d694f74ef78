//! Tokens of blocks: proof that a listing of this cloud named the block. Nothing is kept; a token is an expiry and a MAC over it,
//! the snapshot and the index, under a secret that all workers share.

use super::super::Api;
use super::refuse;
use crate::error::Error;
use crate::random;
use crate::store::{SecretRecord, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_types::error::BlockFault;
use hive_types::id::SnapshotId;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

/// Long enough for a backup that lists first and then reads 16 TiB.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Of the MAC; 128 bits cannot be guessed, and a page of 10,000 tokens stays below the bus's message size.
const MAC_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;
const SECRET: &str = "block-tokens";

pub struct Tokens {
    secret: Vec<u8>,
}

impl Tokens {
    /// Reads the secret; the first worker of a cloud draws it.
    pub async fn open(api: &Api) -> Result<Self, Error> {
        let secrets = &api.stores.secrets;
        let found = match secrets.get(SECRET).await? {
            Some(found) => found.value,
            None => {
                let secret = format!("{:032x}{:032x}", random::draw()?, random::draw()?);
                let drawn = SecretRecord { version: Version, secret };
                if secrets.create(SECRET, &drawn).await? {
                    drawn
                } else {
                    let first = secrets.get(SECRET).await?;
                    first.ok_or_else(|| Error::Fault("the secret of block tokens is gone".into()))?.value
                }
            }
        };
        let secret = hex::decode(&found.secret);
        Ok(Self { secret: secret.map_err(|_| Error::Fault("the secret of block tokens does not decode".into()))? })
    }

    fn mac(
        &self,
        snapshot: &SnapshotId,
        block_index: u32,
        expires_unix_s: [u8; EXPIRY_BYTES],
    ) -> Result<Hmac<Sha256>, Error> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.secret);
        let mut mac = mac.map_err(|_| Error::Fault("the secret of block tokens is no key".into()))?;
        mac.update(&expires_unix_s);
        mac.update(&block_index.to_be_bytes());
        // The only part without a fixed length is the last.
        mac.update(snapshot.as_str().as_bytes());
        Ok(mac)
    }

    pub fn issue(&self, snapshot: &SnapshotId, block_index: u32, expires_at: Timestamp) -> Result<String, Error> {
        let expiry = expires_at.as_second().to_be_bytes();
        let mac = self.mac(snapshot, block_index, expiry)?.finalize().into_bytes();
        let mac = mac.get(..MAC_BYTES).unwrap_or_default();
        Ok(STANDARD.encode([&expiry, mac].concat()))
    }

    /// # Errors
    /// The token was not issued for this block, or has expired.
    pub fn check(&self, token: &str, snapshot: &SnapshotId, block_index: u32, now: Timestamp) -> Result<(), Error> {
        let wrong = || refuse(BlockFault::BlockToken, "The block token is not valid, or has expired.");
        let bytes = STANDARD.decode(token).map_err(|_| wrong())?;
        let (expiry, mac) = bytes.split_first_chunk::<EXPIRY_BYTES>().ok_or_else(wrong)?;
        if mac.len() != MAC_BYTES || i64::from_be_bytes(*expiry) < now.as_second() {
            return Err(wrong());
        }
        // In constant time.
        self.mac(snapshot, block_index, *expiry)?.verify_truncated_left(mac).map_err(|_| wrong())
    }
}

/// Where the next page of a listing begins. It gives away nothing and lets nobody do more than `StartingBlockIndex` does.
pub fn page_token(next_index: u32) -> String {
    STANDARD.encode(format!("block {next_index}"))
}

pub fn page_start(token: &str) -> Result<u32, Error> {
    let text = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let start = text.as_deref().and_then(|text| text.strip_prefix("block ")).and_then(|index| index.parse().ok());
    start.ok_or_else(|| refuse(BlockFault::PageToken, "The page token is not valid."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot(n: u128) -> SnapshotId {
        SnapshotId::from_random(n)
    }

    #[test]
    fn a_token_is_for_one_block_and_one_time() {
        let tokens = Tokens { secret: vec![7; 32] };
        let now = Timestamp::UNIX_EPOCH;
        let token = tokens.issue(&snapshot(1), 5, now + LIFETIME).expect("issued");
        assert!(token.len() <= 32, "a page of them must fit");
        tokens.check(&token, &snapshot(1), 5, now).expect("valid");
        tokens.check(&token, &snapshot(1), 5, now + LIFETIME).expect("valid to the end");
        let second = SignedDuration::from_secs(1);
        assert!(tokens.check(&token, &snapshot(1), 5, now + LIFETIME + second).is_err(), "expired");
        assert!(tokens.check(&token, &snapshot(1), 6, now).is_err(), "another block");
        assert!(tokens.check(&token, &snapshot(2), 5, now).is_err(), "another snapshot");
        let others = Tokens { secret: vec![8; 32] };
        assert!(others.check(&token, &snapshot(1), 5, now).is_err(), "another cloud");
    }

    #[test]
    fn pages() {
        assert_eq!(page_start(&page_token(77)).expect("a start"), 77);
        for bad in ["", "x", "YmxvY2s=", "YmxvY2sgLTE="] {
            assert!(page_start(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Whatever is changed of a token, it is not one any more.
        #[test]
        fn no_token_is_forged(at in 0usize..24, flip in 1u8..) {
            let tokens = Tokens { secret: vec![7; 32] };
            let token = tokens.issue(&snapshot(1), 5, Timestamp::UNIX_EPOCH + LIFETIME).expect("issued");
            let mut bytes = STANDARD.decode(token).expect("base64");
            bytes[at] ^= flip;
            let forged = STANDARD.encode(bytes);
            prop_assert!(tokens.check(&forged, &snapshot(1), 5, Timestamp::UNIX_EPOCH).is_err());
        }

        #[test]
        fn hostile_tokens_are_refused(token in ".{0,80}") {
            let tokens = Tokens { secret: vec![7; 32] };
            prop_assert!(tokens.check(&token, &snapshot(1), 5, Timestamp::UNIX_EPOCH).is_err());
            let _ = page_start(&token);
        }
    }
}
