//! Instances.

pub mod attribute;
pub mod describe;
mod interfaces;
pub mod lifecycle;
pub mod placement;
mod plan;
pub mod run;
pub mod types;
mod view;

pub use plan::override_source;
pub(crate) use view::dns_domain;

use super::{Api, Call};
use crate::error::{Error, invalid, not_found};
use crate::instance_types::{self, InstanceType};
use crate::store::{InstanceRecord, key};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_types::error::Resource;
use hive_types::id::InstanceId;

/// EC2's limit of user data, decoded.
pub const MAX_USER_DATA_BYTES: usize = 16 << 10;

/// The caller's own.
pub async fn find(api: &Api, call: &Call, id: &InstanceId) -> Result<InstanceRecord, Error> {
    let found = api.stores.instances.get(&key(&call.caller.account, id)).await?;
    Ok(found.ok_or_else(|| not_found(Resource::Instance, id))?.value)
}

pub fn find_type(name: &str) -> Result<&'static InstanceType, Error> {
    instance_types::find(name)
        .ok_or_else(|| invalid("InstanceType", name, format!("The instance type '{name}' is not offered here.")))
}

/// Checks base64 user data; empty counts as none.
fn check_user_data(user_data: Option<String>) -> Result<Option<String>, Error> {
    let Some(text) = user_data.filter(|text| !text.is_empty()) else { return Ok(None) };
    let decoded =
        STANDARD.decode(&text).map_err(|_| invalid("UserData", "", "Invalid BASE64 encoding of user data."))?;
    if decoded.len() > MAX_USER_DATA_BYTES {
        return Err(invalid("UserData", "", format!("User data is limited to {MAX_USER_DATA_BYTES} bytes")));
    }
    Ok(Some(text).filter(|_| !decoded.is_empty()))
}
