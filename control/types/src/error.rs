//! What can go wrong with an API call, as the handlers say it. The gateway alone turns a variant into AWS's code, HTTP status and
//! XML; handlers never write an AWS error code.

use serde::{Deserialize, Serialize};

/// Kinds of things that an id can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    Instance,
    Image,
    Volume,
    Snapshot,
    KeyPair,
    Vpc,
    Subnet,
    SecurityGroup,
    NetworkInterface,
    InstanceType,
    Region,
    AvailabilityZone,
    /// The latest change of a volume's size or performance.
    VolumeModification,
    /// An account, as a permission names one.
    User,
    CidrAssociation,
    SubnetCidrAssociation,
    SecurityGroupRule,
    PrefixList,
    InternetGateway,
    EgressOnlyGateway,
    /// Any gateway, as a route names it.
    Gateway,
    RouteTable,
    /// A route by its destination.
    Route,
    /// Of a subnet with a route table, or of an interface with an Elastic IP.
    Association,
    NatGateway,
    /// An Elastic IP by its allocation.
    Allocation,
    /// An Elastic IP by the address itself.
    Address,
    /// Of a network interface to an instance.
    Attachment,
    NetworkAcl,
    NetworkAclAssociation,
    NetworkAclEntry,
    DhcpOptions,
    FlowLog,
}

/// What is wrong with a request on a network, where EC2 has a code for just that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkFault {
    /// A VPC's block is of no permitted size.
    VpcRange,
    /// A subnet's block lies outside its VPC's, or is of no permitted size.
    SubnetRange,
    /// A subnet's block overlaps another subnet's.
    SubnetConflict,
    /// A VPC's block overlaps another one of its own.
    CidrConflict,
    DefaultVpcExists,
    DefaultVpcAbsent,
    DefaultSubnetExists,
    /// The default of something cannot be deleted.
    CannotDelete,
    RuleExists,
    RuleAbsent,
    RuleMalformed,
    TooManyRules,
    TooManyGroups,
    PrefixListVersion,
    PrefixListFull,
    PrefixListInUse,
    AlreadyAssociated,
    NotAttached,
    RouteExists,
    AddressInUse,
    /// No address of a subnet is free.
    SubnetFull,
    TooManyAddresses,
    NoPublicAddresses,
    PublicAddressInUse,
    AclEntryExists,
    TooManyAclEntries,
}

/// What the EBS direct APIs find wrong with a request; each is a reason of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockFault {
    Snapshot,
    UnrelatedSnapshots,
    Block,
    BlockToken,
    PageToken,
    VolumeSize,
    Parameter,
    CustomerKey,
}

/// Message texts follow AWS's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ApiError {
    /// `Invalid<Resource>.NotFound`; for key pairs and groups the name stands for the id.
    #[error("The {resource:?} '{id}' does not exist")]
    NotFound { resource: Resource, id: String },
    /// `Invalid<Resource>.Malformed`
    #[error("Invalid id: \"{id}\"")]
    Malformed { resource: Resource, id: String },
    /// `Invalid<Resource>.Duplicate`
    #[error("The {resource:?} '{id}' already exists.")]
    Duplicate { resource: Resource, id: String },
    #[error("The request must contain the parameter {name}")]
    MissingParameter { name: String },
    #[error("Value ({value}) for parameter {name} is invalid. {reason}")]
    InvalidParameterValue { name: String, value: String, reason: String },
    #[error("{reason}")]
    InvalidParameterCombination { reason: String },
    /// `IncorrectInstanceState`
    #[error("{reason}")]
    IncorrectInstanceState { reason: String },
    /// `IncorrectState` of anything but an instance.
    #[error("{reason}")]
    IncorrectState { reason: String },
    /// `VolumeInUse`, `InvalidKeyPair.InUse`, ...: it cannot go while something uses it.
    #[error("{reason}")]
    InUse { resource: Resource, reason: String },
    /// `InvalidAMIID.Unavailable`, `InvalidVolume.ZoneMismatch`... kept for what has an own code: the code's suffix is `what`.
    #[error("{reason}")]
    Unavailable { resource: Resource, reason: String },
    #[error("There is not enough capacity to fulfil the request: {reason}")]
    InsufficientInstanceCapacity { reason: String },
    #[error("{reason}")]
    LimitExceeded { resource: Resource, reason: String },
    /// A request for blocks of a snapshot that cannot be carried out as it is.
    #[error("{reason}")]
    Blocks { fault: BlockFault, reason: String },
    /// A request on a network that cannot be carried out as it is.
    #[error("{reason}")]
    Network { fault: NetworkFault, reason: String },
    /// A parameter that makes sense together with another only.
    #[error("{reason}")]
    InvalidParameterDependency { reason: String },
    /// The ClientToken was used with other parameters.
    #[error("The request uses the same client token as a previous, but non-identical request.")]
    IdempotentParameterMismatch,
    #[error("{reason}")]
    OperationNotPermitted { reason: String },
    #[error("{reason}")]
    UnsupportedOperation { reason: String },
    #[error("{reason}")]
    DependencyViolation { reason: String },
    /// A store or another part did not answer; safe to retry (503).
    #[error("The service is unavailable. Please try again shortly. ({reason})")]
    ServiceUnavailable { reason: String },
    /// A fault of ours (500); details are in the log under the request id.
    #[error("An internal error has occurred")]
    Internal,
}
