//! STS: who is calling.

use super::{Api, Call};
use crate::error::Error;
use hive_aws_types::sts::{GetCallerIdentityRequest, GetCallerIdentityResponse};
use std::sync::Arc;

pub async fn get_caller_identity(
    _api: Arc<Api>,
    call: Call,
    _input: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, Error> {
    Ok(GetCallerIdentityResponse {
        account: Some(call.caller.account.to_string()),
        arn: Some(call.caller.arn),
        user_id: Some(call.caller.user_id),
    })
}
