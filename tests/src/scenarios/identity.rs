//! Who calls, and what the region consists of.

use crate::aws::{list_at, text_at};
use crate::harness::Cloud;
use anyhow::{Context, Result, ensure};

pub fn who_and_where(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let caller = aws.json(&["sts", "get-caller-identity"])?;
    let account = text_at(&caller, "/Account")?;
    ensure!(text_at(&caller, "/Arn")? == format!("arn:aws:iam::{account}:root"), "unexpected caller {caller}");

    let region = aws.variable("AWS_DEFAULT_REGION")?;
    let zones = aws.json(&["ec2", "describe-availability-zones"])?;
    let zone = text_at(&zones, "/AvailabilityZones/0/ZoneName")?;
    ensure!(zone.starts_with(region), "zone {zone} is not of region {region}");
    let regions = aws.json(&["ec2", "describe-regions"])?;
    ensure!(text_at(&regions, "/Regions/0/RegionName")? == region, "unexpected regions {regions}");

    let vpcs = aws.json(&["ec2", "describe-vpcs"])?;
    let vpc = text_at(&vpcs, "/Vpcs/0/VpcId")?;
    ensure!(vpcs.pointer("/Vpcs/0/IsDefault") == Some(&true.into()), "the VPC is not the default one: {vpcs}");
    let filter = format!("Name=vpc-id,Values={vpc}");
    let subnets = aws.json(&["ec2", "describe-subnets", "--filters", &filter])?;
    ensure!(text_at(&subnets, "/Subnets/0/AvailabilityZone")? == zone, "unexpected subnets {subnets}");
    let groups = aws.json(&["ec2", "describe-security-groups", "--filters", &filter])?;
    ensure!(text_at(&groups, "/SecurityGroups/0/GroupName")? == "default", "unexpected groups {groups}");

    let types = aws.json(&["ec2", "describe-instance-types", "--instance-types", "t2.nano"])?;
    let memory = types.pointer("/InstanceTypes/0/MemoryInfo/SizeInMiB").and_then(serde_json::Value::as_u64);
    ensure!(memory == Some(512), "t2.nano has 512 MiB at AWS: {types}");

    let images = aws.json(&["ec2", "describe-images", "--image-ids", &cloud.image])?;
    ensure!(text_at(&images, "/Images/0/State")? == "available", "the image is not available: {images}");

    // Tags come back, and filters find them.
    aws.json(&["ec2", "create-tags", "--resources", &cloud.image, "--tags", "Key=purpose,Value=tests"])?;
    let tagged = aws.json(&["ec2", "describe-images", "--filters", "Name=tag:purpose,Values=tests"])?;
    ensure!(text_at(&tagged, "/Images/0/ImageId")? == cloud.image, "the tag finds nothing: {tagged}");
    aws.json(&["ec2", "delete-tags", "--resources", &cloud.image, "--tags", "Key=purpose"])?;
    let tagged = aws.json(&["ec2", "describe-images", "--filters", "Name=tag:purpose,Values=tests"])?;
    let left = list_at(&tagged, "/Images").context("an empty answer lists no images")?;
    ensure!(left.is_empty(), "the tag is still there: {tagged}");
    Ok(())
}
