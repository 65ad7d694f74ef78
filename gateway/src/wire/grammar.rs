//! Rules of EC2 that are in no model: the grammar of ids, and of user data. One table; codes as in EC2's list of errors.

use crate::wire::Fault;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

/// Largest user data before base64.
const MAX_USER_DATA_BYTES: usize = 16 * 1024;

/// Members that hold one id or a list of ids, by their names without a plural `s`; prefix of the id; code of a malformed one.
const IDS: [(&str, &str, &str); 9] = [
    ("InstanceId", "i", "InvalidInstanceID.Malformed"),
    ("ImageId", "ami", "InvalidAMIID.Malformed"),
    ("VolumeId", "vol", "InvalidVolumeID.Malformed"),
    ("SnapshotId", "snap", "InvalidSnapshotID.Malformed"),
    ("VpcId", "vpc", "InvalidVpcID.Malformed"),
    ("SubnetId", "subnet", "InvalidSubnetID.Malformed"),
    ("SecurityGroupId", "sg", "InvalidGroupId.Malformed"),
    ("GroupId", "sg", "InvalidGroupId.Malformed"),
    ("NetworkInterfaceId", "eni", "InvalidNetworkInterfaceId.Malformed"),
];

/// Operations whose `Resources` may be ids of any kind.
const TAGGING: [&str; 2] = ["CreateTags", "DeleteTags"];

/// Operations whose `UserData` is base64, given as a text or as `{"Value": text}`.
const USER_DATA: [&str; 2] = ["RunInstances", "ModifyInstanceAttribute"];

/// # Errors
/// `Invalid...Malformed`, `InvalidID` or `InvalidParameterValue` for the first member that breaks a rule.
pub fn check(operation: &str, members: &Map<String, Value>) -> Result<(), Fault> {
    if TAGGING.contains(&operation) {
        texts(members.get("Resources")).try_for_each(any_id)?;
    }
    if USER_DATA.contains(&operation) {
        members.get("UserData").map_or(Ok(()), user_data)?;
    }
    ids(members)
}

fn ids(members: &Map<String, Value>) -> Result<(), Fault> {
    for (name, value) in members {
        let singular = name.strip_suffix('s').unwrap_or(name);
        if let Some((_, prefix, code)) = IDS.iter().find(|(member, ..)| *member == singular) {
            texts(Some(value)).try_for_each(|id| one_id(id, prefix, code))?;
        }
        match value {
            Value::Object(nested) => ids(nested)?,
            Value::Array(items) => items.iter().filter_map(Value::as_object).try_for_each(ids)?,
            _ => {}
        }
    }
    Ok(())
}

/// The text, or the texts of the list.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let items = match value {
        Some(Value::Array(items)) => items.as_slice(),
        other => other.map_or(&[][..], std::slice::from_ref),
    };
    items.iter().filter_map(Value::as_str)
}

fn one_id(id: &str, prefix: &str, code: &'static str) -> Result<(), Fault> {
    let digits = id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    if digits.is_some_and(are_digits) {
        return Ok(());
    }
    Err(Fault::new(code, 400, format!("Invalid id: \"{id}\" (expecting \"{prefix}-...\")")))
}

fn any_id(id: &str) -> Result<(), Fault> {
    let is_prefix = |prefix: &str| !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    match id.rsplit_once('-') {
        Some((prefix, digits)) if is_prefix(prefix) && are_digits(digits) => Ok(()),
        _ => Err(Fault::new("InvalidID", 400, format!("The ID '{id}' is not valid"))),
    }
}

fn are_digits(digits: &str) -> bool {
    matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn user_data(value: &Value) -> Result<(), Fault> {
    let Some(text) = value.as_str().or_else(|| value.get("Value")?.as_str()) else { return Ok(()) };
    let refused = |reason: &str| Err(Fault::new("InvalidParameterValue", 400, reason));
    match BASE64_STANDARD.decode(text) {
        Err(_) => refused("Invalid BASE64 encoding of user data."),
        Ok(data) if data.len() > MAX_USER_DATA_BYTES => refused("User data is limited to 16384 bytes"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code(operation: &str, members: Value) -> Option<String> {
        let Value::Object(members) = members else { panic!("an object is needed") };
        check(operation, &members).err().map(|fault| fault.code.into_owned())
    }

    #[test]
    fn ids_have_one_grammar_and_many_codes() {
        for good in ["i-01234567", "i-0123456789abcdef0"] {
            assert_eq!(code("DescribeInstances", json!({"InstanceIds": [good]})), None);
        }
        for bad in ["", "i-", "foo", "i-0123456", "i-0123456G", "I-01234567", "vol-01234567", "i-0123456789abcdef01"] {
            let found = code("DescribeInstances", json!({"InstanceIds": ["i-01234567", bad]}));
            assert_eq!(found.as_deref(), Some("InvalidInstanceID.Malformed"), "{bad}");
        }
        let nested = json!({"NetworkInterfaces": [{"SubnetId": "net-1"}]});
        assert_eq!(code("RunInstances", nested).as_deref(), Some("InvalidSubnetID.Malformed"));
        let groups = json!({"GroupIds": ["default"]});
        assert_eq!(code("DescribeSecurityGroups", groups).as_deref(), Some("InvalidGroupId.Malformed"));
    }

    #[test]
    fn tags_go_on_ids_of_any_kind() {
        assert_eq!(code("CreateTags", json!({"Resources": ["eni-attach-01234567", "i-01234567"]})), None);
        assert_eq!(code("DeleteTags", json!({"Resources": ["nonsense"]})).as_deref(), Some("InvalidID"));
    }

    #[test]
    fn user_data_is_base64_of_at_most_16_kib() {
        let of = |len| BASE64_STANDARD.encode(vec![b'x'; len]);
        assert_eq!(code("RunInstances", json!({"UserData": of(MAX_USER_DATA_BYTES)})), None);
        for bad in [json!(of(MAX_USER_DATA_BYTES + 1)), json!("?"), json!({"Value": "?"})] {
            let found = code("RunInstances", json!({"UserData": bad}));
            assert_eq!(found.as_deref(), Some("InvalidParameterValue"));
        }
    }
}
