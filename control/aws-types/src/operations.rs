// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

//! The operations that have types here, and a handler in hived.

use crate::OperationId;

/// Sorted by service and name.
pub const OPERATIONS: &[OperationId] = &[
    OperationId { service: "ec2", name: "AttachVolume" },
    OperationId { service: "ec2", name: "CreateKeyPair" },
    OperationId { service: "ec2", name: "CreateTags" },
    OperationId { service: "ec2", name: "CreateVolume" },
    OperationId { service: "ec2", name: "DeleteKeyPair" },
    OperationId { service: "ec2", name: "DeleteTags" },
    OperationId { service: "ec2", name: "DeleteVolume" },
    OperationId { service: "ec2", name: "DeregisterImage" },
    OperationId { service: "ec2", name: "DescribeAvailabilityZones" },
    OperationId { service: "ec2", name: "DescribeImages" },
    OperationId { service: "ec2", name: "DescribeInstanceAttribute" },
    OperationId { service: "ec2", name: "DescribeInstanceStatus" },
    OperationId { service: "ec2", name: "DescribeInstanceTypes" },
    OperationId { service: "ec2", name: "DescribeInstances" },
    OperationId { service: "ec2", name: "DescribeKeyPairs" },
    OperationId { service: "ec2", name: "DescribeRegions" },
    OperationId { service: "ec2", name: "DescribeSecurityGroups" },
    OperationId { service: "ec2", name: "DescribeSubnets" },
    OperationId { service: "ec2", name: "DescribeTags" },
    OperationId { service: "ec2", name: "DescribeVolumes" },
    OperationId { service: "ec2", name: "DescribeVpcs" },
    OperationId { service: "ec2", name: "DetachVolume" },
    OperationId { service: "ec2", name: "GetConsoleOutput" },
    OperationId { service: "ec2", name: "ImportKeyPair" },
    OperationId { service: "ec2", name: "ModifyInstanceAttribute" },
    OperationId { service: "ec2", name: "RebootInstances" },
    OperationId { service: "ec2", name: "RegisterImage" },
    OperationId { service: "ec2", name: "RunInstances" },
    OperationId { service: "ec2", name: "StartInstances" },
    OperationId { service: "ec2", name: "StopInstances" },
    OperationId { service: "ec2", name: "TerminateInstances" },
    OperationId { service: "sts", name: "GetCallerIdentity" },
];
