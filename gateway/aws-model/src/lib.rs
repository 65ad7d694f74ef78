//! Schema tables of every operation of ebs, ec2, iam, s3 and sts, generated from botocore's models by hive-codegen, and the types
//! through which the gateway's generic interpreters read them.

#![forbid(unsafe_code)]

mod ebs;
mod ec2;
mod iam;
mod s3;
mod sts;
pub mod table;

pub use ebs::SCHEMA as EBS;
pub use ec2::SCHEMA as EC2;
pub use iam::SCHEMA as IAM;
pub use s3::SCHEMA as S3;
pub use sts::SCHEMA as STS;
pub use table::{Kind, Location, MemberRef, Operation, OperationRef, Protocol, Schema, ShapeRef, TimestampFormat};

/// Schemas of the services that the gateway speaks, by the service name in a credential scope.
pub static SERVICES: [&Schema; 5] = [&EBS, &EC2, &IAM, &S3, &STS];

/// The schema of a service by its name in a credential scope.
pub fn service(name: &str) -> Option<&'static Schema> {
    SERVICES.into_iter().find(|schema| schema.service == name)
}

#[cfg(test)]
mod tests;
