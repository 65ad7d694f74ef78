//! ClientToken: the same token and parameters stand for the same things, however often and on whichever worker they arrive.

use super::{Api, Call};
use crate::error::{Error, invalid};
use crate::store::{DrawnIds, IdempotencyRecord, Version, key};
use hive_types::ApiError;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// EC2's limit: 64 ASCII characters.
const MAX_TOKEN_CHARS: usize = 64;

/// The ids to use for this call.
#[derive(Debug)]
pub struct Drawn {
    pub ids: DrawnIds,
    /// Where the token is remembered, if there is one.
    key: Option<String>,
}

/// Looks the token up, or remembers it with the ids that `draw` makes. A retry gets the first call's ids.
///
/// # Errors
/// [`ApiError::IdempotentParameterMismatch`] when the token was used with other parameters.
pub async fn draw(
    api: &Api,
    call: &Call,
    action: &str,
    token: Option<&str>,
    parameters: &impl Serialize,
    draw: impl FnOnce() -> Result<DrawnIds, Error>,
) -> Result<Drawn, Error> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(Drawn { ids: draw()?, key: None }) };
    if token.len() > MAX_TOKEN_CHARS || !token.is_ascii() {
        return Err(invalid("ClientToken", token, "Invalid ClientToken value, exceeds 64 ASCII characters"));
    }
    let parameters = serde_json::to_vec(parameters).map_err(|e| Error::Fault(format!("cannot hash a request: {e}")))?;
    let record = IdempotencyRecord {
        version: Version,
        parameters: hex::encode(Sha256::digest(parameters)),
        ids: draw()?,
        created_at: call.now,
    };
    let digest = hex::encode(Sha256::digest(token));
    let key = key(&call.caller.account, &format!("{action}.{digest}"));
    let record = if api.stores.idempotency.create(&key, &record).await? {
        record
    } else {
        let first = api.stores.idempotency.get(&key).await?.map(|found| found.value);
        // Gone meanwhile: the first call failed and let go of its token. The caller's retry will draw anew.
        let first =
            first.ok_or_else(|| ApiError::ServiceUnavailable { reason: "the first call has just failed".into() })?;
        if first.parameters != record.parameters {
            return Err(ApiError::IdempotentParameterMismatch.into());
        }
        first
    };
    Ok(Drawn { ids: record.ids, key: Some(key) })
}

/// Forgets a token whose call failed for good, so that the caller may use it again.
pub async fn forget(api: &Api, drawn: &Drawn) -> Result<(), Error> {
    if let Some(key) = &drawn.key {
        api.stores.idempotency.delete_if(key, |_| Ok::<_, Error>(true)).await?;
    }
    Ok(())
}
