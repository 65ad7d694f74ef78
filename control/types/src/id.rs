//! Typed ids. `i-0123456789abcdef0` and its kin: a prefix and 17 (older: 8) lower-case hexadecimal digits.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The text is not an id of this kind; AWS answers `Invalid<Kind>ID.Malformed`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid id: \"{text}\" (expecting \"{prefix}-...\")")]
pub struct MalformedId {
    pub prefix: &'static str,
    pub text: String,
}

fn is_resource_id(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

macro_rules! resource_id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// The id whose 17 digits are the low 68 bits of `random`.
            pub fn from_random(random: u128) -> Self {
                Self(format!("{}-{:017x}", $prefix, random & ((1 << 68) - 1)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = MalformedId;
            fn from_str(text: &str) -> Result<Self, MalformedId> {
                if is_resource_id($prefix, text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(MalformedId { prefix: $prefix, text: text.to_owned() })
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = MalformedId;
            fn try_from(text: String) -> Result<Self, MalformedId> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

resource_id! {
    InstanceId = "i";
    ReservationId = "r";
    VolumeId = "vol";
    ImageId = "ami";
    SnapshotId = "snap";
    KeyPairId = "key";
    VpcId = "vpc";
    SubnetId = "subnet";
    SecurityGroupId = "sg";
    NetworkInterfaceId = "eni";
    AttachmentId = "eni-attach";
    CidrAssociationId = "vpc-cidr-assoc";
    SubnetCidrAssociationId = "subnet-cidr-assoc";
    SecurityGroupRuleId = "sgr";
    PrefixListId = "pl";
    InternetGatewayId = "igw";
    EgressOnlyGatewayId = "eigw";
    RouteTableId = "rtb";
    RouteTableAssociationId = "rtbassoc";
    NatGatewayId = "nat";
    AllocationId = "eipalloc";
    AddressAssociationId = "eipassoc";
    NetworkAclId = "acl";
    NetworkAclAssociationId = "aclassoc";
    DhcpOptionsId = "dopt";
    FlowLogId = "fl";
}

/// A twelve-digit AWS account number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an account id: twelve digits")]
pub struct BadAccountId(pub String);

impl AccountId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountId {
    type Error = BadAccountId;
    fn try_from(text: String) -> Result<Self, BadAccountId> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text))
        } else {
            Err(BadAccountId(text))
        }
    }
}

impl FromStr for AccountId {
    type Err = BadAccountId;
    fn from_str(text: &str) -> Result<Self, BadAccountId> {
        text.to_owned().try_into()
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> String {
        id.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_both_lengths_and_nothing_else() {
        assert!("i-0123456789abcdef0".parse::<InstanceId>().is_ok());
        assert!("i-01234567".parse::<InstanceId>().is_ok());
        for bad in ["i-0123456789abcdef", "i-0123456789ABCDEF0", "vol-01234567", "i01234567", "", "i-", "i-0123456é"] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_drawn_id_is_one() {
        let id = VolumeId::from_random(u128::MAX);
        assert_eq!(id.as_str(), "vol-fffffffffffffffff");
        assert_eq!(id.as_str().parse::<VolumeId>().as_ref(), Ok(&id));
    }
}
