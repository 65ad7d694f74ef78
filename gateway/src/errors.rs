//! What a handler's [`ApiError`] becomes on the wire: the one table of codes and statuses.

use crate::wire::Fault;
use hive_types::error::{ApiError, BlockFault, NetworkFault, Resource};

/// Most of EC2's codes are composed of these per resource; the spelling differs by resource and is EC2's own.
struct Codes {
    not_found: &'static str,
    malformed: &'static str,
    duplicate: &'static str,
    in_use: &'static str,
    unavailable: &'static str,
    limit_exceeded: &'static str,
}

fn codes(resource: Resource) -> Codes {
    let row = |not_found, malformed, duplicate, in_use, unavailable, limit_exceeded| Codes {
        not_found,
        malformed,
        duplicate,
        in_use,
        unavailable,
        limit_exceeded,
    };
    const NO_CODE: &str = "InvalidParameterValue";
    const CONFLICT: &str = "DependencyViolation";
    const STATE: &str = "IncorrectState";
    const LIMIT: &str = "ResourceLimitExceeded";
    match resource {
        Resource::Instance => row(
            "InvalidInstanceID.NotFound",
            "InvalidInstanceID.Malformed",
            NO_CODE,
            CONFLICT,
            "IncorrectInstanceState",
            "InstanceLimitExceeded",
        ),
        Resource::Image => row(
            "InvalidAMIID.NotFound",
            "InvalidAMIID.Malformed",
            "InvalidAMIName.Duplicate",
            "InvalidAMIID.InUse",
            "InvalidAMIID.Unavailable",
            LIMIT,
        ),
        Resource::Volume => row(
            "InvalidVolume.NotFound",
            "InvalidVolumeID.Malformed",
            "InvalidVolumeID.Duplicate",
            "VolumeInUse",
            "InvalidVolume.ZoneMismatch",
            "VolumeLimitExceeded",
        ),
        Resource::Snapshot => row(
            "InvalidSnapshot.NotFound",
            "InvalidSnapshotID.Malformed",
            NO_CODE,
            "InvalidSnapshot.InUse",
            STATE,
            "SnapshotLimitExceeded",
        ),
        Resource::KeyPair => row(
            "InvalidKeyPair.NotFound",
            "InvalidKeyPair.Format",
            "InvalidKeyPair.Duplicate",
            CONFLICT,
            STATE,
            "KeyPairLimitExceeded",
        ),
        Resource::Vpc => {
            row("InvalidVpcID.NotFound", "InvalidVpcID.Malformed", NO_CODE, CONFLICT, STATE, "VpcLimitExceeded")
        }
        Resource::Subnet => row(
            "InvalidSubnetID.NotFound",
            "InvalidSubnetID.Malformed",
            "InvalidSubnet.Conflict",
            CONFLICT,
            STATE,
            "SubnetLimitExceeded",
        ),
        Resource::SecurityGroup => row(
            "InvalidGroup.NotFound",
            "InvalidGroupId.Malformed",
            "InvalidGroup.Duplicate",
            CONFLICT,
            STATE,
            "SecurityGroupLimitExceeded",
        ),
        Resource::NetworkInterface => row(
            "InvalidNetworkInterfaceID.NotFound",
            "InvalidNetworkInterfaceId.Malformed",
            NO_CODE,
            "InvalidNetworkInterface.InUse",
            STATE,
            "NetworkInterfaceLimitExceeded",
        ),
        Resource::InstanceType => {
            row("InvalidInstanceType", "InvalidInstanceType", NO_CODE, CONFLICT, "Unsupported", LIMIT)
        }
        Resource::VolumeModification => row(
            "InvalidVolumeModification.NotFound",
            NO_CODE,
            NO_CODE,
            STATE,
            "IncorrectModificationState",
            "VolumeModificationRateExceeded",
        ),
        Resource::User => row("InvalidUserID.NotFound", "InvalidUserID.Malformed", NO_CODE, CONFLICT, STATE, LIMIT),
        Resource::CidrAssociation => row(
            "InvalidVpcCidrBlockAssociationID.NotFound",
            "InvalidVpcCidrBlockAssociationIdError.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "CidrBlockLimitExceeded",
        ),
        Resource::SubnetCidrAssociation => row(
            "InvalidSubnetCidrBlockAssociationID.NotFound",
            "InvalidSubnetCidrBlockAssociationId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "SubnetCidrBlockLimitExceeded",
        ),
        Resource::SecurityGroupRule => row(
            "InvalidSecurityGroupRuleId.NotFound",
            "InvalidSecurityGroupRuleId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "RulesPerSecurityGroupLimitExceeded",
        ),
        Resource::PrefixList => row(
            "InvalidPrefixListID.NotFound",
            "InvalidPrefixListId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "PrefixListLimitExceeded",
        ),
        Resource::InternetGateway => row(
            "InvalidInternetGatewayID.NotFound",
            "InvalidInternetGatewayId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "InternetGatewayLimitExceeded",
        ),
        Resource::EgressOnlyGateway => row(
            "InvalidEgressOnlyInternetGatewayId.NotFound",
            "InvalidEgressOnlyInternetGatewayId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "EgressOnlyInternetGatewayLimitExceeded",
        ),
        Resource::Gateway => {
            row("InvalidGatewayID.NotFound", "InvalidGatewayID.Malformed", NO_CODE, CONFLICT, STATE, LIMIT)
        }
        Resource::RouteTable => row(
            "InvalidRouteTableID.NotFound",
            "InvalidRouteTableId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "RouteTableLimitExceeded",
        ),
        Resource::Route => {
            row("InvalidRoute.NotFound", "InvalidRoute.Malformed", NO_CODE, CONFLICT, STATE, "RouteLimitExceeded")
        }
        Resource::Association => {
            row("InvalidAssociationID.NotFound", "InvalidAssociationId.Malformed", NO_CODE, CONFLICT, STATE, LIMIT)
        }
        Resource::NatGateway => {
            row("NatGatewayNotFound", "NatGatewayMalformed", NO_CODE, CONFLICT, STATE, "NatGatewayLimitExceeded")
        }
        Resource::Allocation => row(
            "InvalidAllocationID.NotFound",
            "InvalidAllocationId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "AddressLimitExceeded",
        ),
        Resource::Address => {
            row("InvalidAddress.NotFound", "InvalidAddress.Malformed", NO_CODE, CONFLICT, STATE, "AddressLimitExceeded")
        }
        Resource::Attachment => row(
            "InvalidAttachmentID.NotFound",
            "InvalidAttachmentId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "AttachmentLimitExceeded",
        ),
        Resource::NetworkAcl => row(
            "InvalidNetworkAclID.NotFound",
            "InvalidNetworkAclId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "NetworkAclLimitExceeded",
        ),
        Resource::NetworkAclAssociation => row(
            "InvalidAssociationID.NotFound",
            "InvalidNetworkAclAssociationId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            LIMIT,
        ),
        Resource::NetworkAclEntry => row(
            "InvalidNetworkAclEntry.NotFound",
            NO_CODE,
            "NetworkAclEntryAlreadyExists",
            CONFLICT,
            STATE,
            "NetworkAclEntryLimitExceeded",
        ),
        Resource::DhcpOptions => row(
            "InvalidDhcpOptionID.NotFound",
            "InvalidDhcpOptionsId.Malformed",
            NO_CODE,
            CONFLICT,
            STATE,
            "DhcpOptionsLimitExceeded",
        ),
        Resource::FlowLog => row(
            "InvalidFlowLogId.NotFound",
            "InvalidFlowLogId.Malformed",
            "FlowLogAlreadyExists",
            CONFLICT,
            STATE,
            "FlowLogsLimitExceeded",
        ),
        Resource::Region | Resource::AvailabilityZone => {
            row("InvalidParameterValue", "InvalidParameterValue", NO_CODE, CONFLICT, STATE, LIMIT)
        }
    }
}

fn network_code(fault: NetworkFault) -> &'static str {
    match fault {
        NetworkFault::VpcRange => "InvalidVpc.Range",
        NetworkFault::SubnetRange => "InvalidSubnet.Range",
        NetworkFault::SubnetConflict => "InvalidSubnet.Conflict",
        NetworkFault::CidrConflict => "CidrConflict",
        NetworkFault::DefaultVpcExists => "DefaultVpcAlreadyExists",
        NetworkFault::DefaultVpcAbsent => "DefaultVpcDoesNotExist",
        NetworkFault::DefaultSubnetExists => "DefaultSubnetAlreadyExistsInAvailabilityZone",
        NetworkFault::CannotDelete => "CannotDelete",
        NetworkFault::RuleExists => "InvalidPermission.Duplicate",
        NetworkFault::RuleAbsent => "InvalidPermission.NotFound",
        NetworkFault::RuleMalformed => "InvalidPermission.Malformed",
        NetworkFault::TooManyRules => "RulesPerSecurityGroupLimitExceeded",
        NetworkFault::TooManyGroups => "SecurityGroupsPerInterfaceLimitExceeded",
        NetworkFault::PrefixListVersion => "PrefixListVersionMismatch",
        NetworkFault::PrefixListFull => "PrefixListMaxEntriesExceeded",
        NetworkFault::PrefixListInUse => "PrefixListInUse",
        NetworkFault::AlreadyAssociated => "Resource.AlreadyAssociated",
        NetworkFault::NotAttached => "Gateway.NotAttached",
        NetworkFault::RouteExists => "RouteAlreadyExists",
        NetworkFault::AddressInUse => "InvalidIPAddress.InUse",
        NetworkFault::SubnetFull => "InsufficientFreeAddressesInSubnet",
        NetworkFault::TooManyAddresses => "PrivateIpAddressLimitExceeded",
        NetworkFault::NoPublicAddresses => "InsufficientAddressCapacity",
        NetworkFault::PublicAddressInUse => "InvalidIPAddress.InUse",
        NetworkFault::AclEntryExists => "NetworkAclEntryAlreadyExists",
        NetworkFault::TooManyAclEntries => "NetworkAclEntryLimitExceeded",
    }
}

/// The fault of a handler's error; `service` decides the two names of faults that are nobody's request's.
pub fn fault(error: &ApiError, service: &str) -> Fault {
    if service == "ebs" {
        return block_fault(error);
    }
    let (code, status) = match error {
        ApiError::NotFound { resource, .. } => (codes(*resource).not_found, 400),
        ApiError::Malformed { resource, .. } => (codes(*resource).malformed, 400),
        ApiError::Duplicate { resource, .. } => (codes(*resource).duplicate, 400),
        ApiError::InUse { resource, .. } => (codes(*resource).in_use, 400),
        ApiError::Unavailable { resource, .. } => (codes(*resource).unavailable, 400),
        ApiError::LimitExceeded { resource, .. } => (codes(*resource).limit_exceeded, 400),
        ApiError::MissingParameter { .. } => ("MissingParameter", 400),
        ApiError::InvalidParameterValue { .. } => ("InvalidParameterValue", 400),
        ApiError::InvalidParameterCombination { .. } => ("InvalidParameterCombination", 400),
        ApiError::IncorrectInstanceState { .. } => ("IncorrectInstanceState", 400),
        ApiError::IncorrectState { .. } => ("IncorrectState", 400),
        ApiError::InsufficientInstanceCapacity { .. } => ("InsufficientInstanceCapacity", 500),
        ApiError::InvalidParameterDependency { .. } => ("InvalidParameterDependency", 400),
        // Of the EBS direct APIs alone.
        ApiError::Blocks { .. } => ("InvalidParameterValue", 400),
        ApiError::Network { fault, .. } => (network_code(*fault), 400),
        ApiError::IdempotentParameterMismatch => ("IdempotentParameterMismatch", 400),
        ApiError::OperationNotPermitted { .. } => ("OperationNotPermitted", 400),
        ApiError::UnsupportedOperation { .. } => ("UnsupportedOperation", 400),
        ApiError::DependencyViolation { .. } => ("DependencyViolation", 400),
        ApiError::ServiceUnavailable { .. } => ("ServiceUnavailable", 503),
        ApiError::Internal => (if service == "ec2" { "InternalError" } else { "InternalFailure" }, 500),
    };
    Fault::new(code, status, error.to_string())
}

/// The EBS direct APIs have few codes, and a reason in each of most.
fn block_fault(error: &ApiError) -> Fault {
    let invalid = |reason| ("ValidationException", 400, Some(reason));
    let (code, status, reason) = match error {
        ApiError::NotFound { .. } => ("ResourceNotFoundException", 404, Some("SNAPSHOT_NOT_FOUND")),
        ApiError::Blocks { fault, .. } => invalid(match fault {
            BlockFault::Snapshot => "INVALID_SNAPSHOT_ID",
            BlockFault::UnrelatedSnapshots => "UNRELATED_SNAPSHOTS",
            BlockFault::Block => "INVALID_BLOCK",
            BlockFault::BlockToken => "INVALID_BLOCK_TOKEN",
            BlockFault::PageToken => "INVALID_PAGE_TOKEN",
            BlockFault::VolumeSize => "INVALID_VOLUME_SIZE",
            BlockFault::Parameter => "INVALID_PARAMETER_VALUE",
            BlockFault::CustomerKey => "INVALID_CUSTOMER_KEY",
        }),
        ApiError::Malformed { .. } => invalid("INVALID_SNAPSHOT_ID"),
        ApiError::InvalidParameterValue { name, .. } if name.starts_with("Tag") => invalid("INVALID_TAG"),
        ApiError::IdempotentParameterMismatch => ("ConflictException", 409, None),
        ApiError::LimitExceeded { .. } => ("ConcurrentLimitExceededException", 400, None),
        ApiError::ServiceUnavailable { .. } => ("ServiceUnavailable", 503, None),
        ApiError::Internal => ("InternalServerException", 500, None),
        _ => invalid("INVALID_PARAMETER_VALUE"),
    };
    let fault = Fault::new(code, status, error.to_string());
    match reason {
        Some(reason) => fault.because(reason),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCES: [Resource; 33] = [
        Resource::Instance,
        Resource::Image,
        Resource::Volume,
        Resource::Snapshot,
        Resource::KeyPair,
        Resource::Vpc,
        Resource::Subnet,
        Resource::SecurityGroup,
        Resource::NetworkInterface,
        Resource::InstanceType,
        Resource::Region,
        Resource::AvailabilityZone,
        Resource::VolumeModification,
        Resource::User,
        Resource::CidrAssociation,
        Resource::SubnetCidrAssociation,
        Resource::SecurityGroupRule,
        Resource::PrefixList,
        Resource::InternetGateway,
        Resource::EgressOnlyGateway,
        Resource::Gateway,
        Resource::RouteTable,
        Resource::Route,
        Resource::Association,
        Resource::NatGateway,
        Resource::Allocation,
        Resource::Address,
        Resource::Attachment,
        Resource::NetworkAcl,
        Resource::NetworkAclAssociation,
        Resource::NetworkAclEntry,
        Resource::DhcpOptions,
        Resource::FlowLog,
    ];

    #[test]
    fn codes_that_clients_match() {
        let not_found = |resource| fault(&ApiError::NotFound { resource, id: "x".into() }, "ec2").code;
        assert_eq!(not_found(Resource::Instance), "InvalidInstanceID.NotFound");
        assert_eq!(not_found(Resource::Volume), "InvalidVolume.NotFound");
        assert_eq!(not_found(Resource::Image), "InvalidAMIID.NotFound");
        assert_eq!(not_found(Resource::SecurityGroup), "InvalidGroup.NotFound");
        let duplicate = ApiError::Duplicate { resource: Resource::KeyPair, id: "k".into() };
        assert_eq!(fault(&duplicate, "ec2").code, "InvalidKeyPair.Duplicate");
        let capacity = ApiError::InsufficientInstanceCapacity { reason: "x".into() };
        assert_eq!(
            (fault(&capacity, "ec2").code.as_ref(), fault(&capacity, "ec2").status),
            ("InsufficientInstanceCapacity", 500)
        );
        assert_eq!(fault(&ApiError::Internal, "sts").code, "InternalFailure");
        assert_eq!(fault(&ApiError::ServiceUnavailable { reason: "x".into() }, "ec2").status, 503);
    }

    #[test]
    fn codes_of_networks() {
        let of = |fault| super::fault(&ApiError::Network { fault, reason: "why".into() }, "ec2").code;
        for (fault, code) in [
            (NetworkFault::VpcRange, "InvalidVpc.Range"),
            (NetworkFault::SubnetConflict, "InvalidSubnet.Conflict"),
            (NetworkFault::RuleExists, "InvalidPermission.Duplicate"),
            (NetworkFault::RuleAbsent, "InvalidPermission.NotFound"),
            (NetworkFault::TooManyRules, "RulesPerSecurityGroupLimitExceeded"),
            (NetworkFault::AlreadyAssociated, "Resource.AlreadyAssociated"),
            (NetworkFault::NotAttached, "Gateway.NotAttached"),
            (NetworkFault::RouteExists, "RouteAlreadyExists"),
            (NetworkFault::NoPublicAddresses, "InsufficientAddressCapacity"),
            (NetworkFault::AclEntryExists, "NetworkAclEntryAlreadyExists"),
        ] {
            assert_eq!(of(fault), code);
        }
        let not_found = |resource| fault(&ApiError::NotFound { resource, id: "x".into() }, "ec2").code;
        // As Terraform and the waiters of SDKs match them.
        assert_eq!(not_found(Resource::Vpc), "InvalidVpcID.NotFound");
        assert_eq!(not_found(Resource::RouteTable), "InvalidRouteTableID.NotFound");
        assert_eq!(not_found(Resource::InternetGateway), "InvalidInternetGatewayID.NotFound");
        assert_eq!(not_found(Resource::Allocation), "InvalidAllocationID.NotFound");
        assert_eq!(not_found(Resource::NatGateway), "NatGatewayNotFound");
        assert_eq!(not_found(Resource::NetworkInterface), "InvalidNetworkInterfaceID.NotFound");
    }

    #[test]
    fn every_variant_has_a_code_a_status_and_a_text() {
        let text = || "why".to_owned();
        let plain = [
            ApiError::MissingParameter { name: text() },
            ApiError::InvalidParameterValue { name: text(), value: text(), reason: text() },
            ApiError::InvalidParameterCombination { reason: text() },
            ApiError::IncorrectInstanceState { reason: text() },
            ApiError::IncorrectState { reason: text() },
            ApiError::InsufficientInstanceCapacity { reason: text() },
            ApiError::IdempotentParameterMismatch,
            ApiError::OperationNotPermitted { reason: text() },
            ApiError::UnsupportedOperation { reason: text() },
            ApiError::DependencyViolation { reason: text() },
            ApiError::ServiceUnavailable { reason: text() },
            ApiError::InvalidParameterDependency { reason: text() },
            ApiError::Blocks { fault: BlockFault::Block, reason: text() },
            ApiError::Network { fault: NetworkFault::VpcRange, reason: text() },
            ApiError::Internal,
        ];
        let of_resources = RESOURCES.into_iter().flat_map(|resource| {
            [
                ApiError::NotFound { resource, id: text() },
                ApiError::Malformed { resource, id: text() },
                ApiError::Duplicate { resource, id: text() },
                ApiError::InUse { resource, reason: text() },
                ApiError::Unavailable { resource, reason: text() },
                ApiError::LimitExceeded { resource, reason: text() },
            ]
        });
        for error in plain.into_iter().chain(of_resources) {
            // What EBS answers is in its model.
            let of_ebs = fault(&error, "ebs");
            let modelled = hive_aws_model::EBS.error_status(&of_ebs.code);
            assert!(of_ebs.status == 503 || modelled == Some(of_ebs.status), "{of_ebs:?}");
            let fault = fault(&error, "ec2");
            assert!(fault.code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'), "{fault:?}");
            assert!((400..=503).contains(&fault.status) && !fault.message.is_empty(), "{fault:?}");
        }
    }
}
