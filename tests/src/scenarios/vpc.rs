//! A network from its VPC to its last address, and a guest in it; then everything goes, in the wrong order first.

use super::guest::{Guest, READY};
use crate::aws::{Aws, list_at, text_at};
use crate::harness::Cloud;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_secs(2);
const REFRESH_TIMEOUT: Duration = Duration::from_secs(60);

/// What the guest finds of its network: by DHCP, and by asking the metadata service.
const LOOK_AROUND: &str = r#"#!/bin/sh
ip -4 addr show eth0 | sed -n 's/^ *inet \([^ ]*\).*/vpc: address \1/p'
ip route | sed -n 's/^default via \([^ ]*\).*/vpc: router \1/p'
printf '#!/bin/sh\n[ "$1" = bound ] && echo "vpc: domain $domain" >/dev/console\n' >/tmp/lease
chmod +x /tmp/lease
udhcpc -i eth0 -n -q -f -t 5 -O domain -s /tmp/lease >/dev/null 2>&1
look() { wget -q -O - "http://169.254.169.254/latest/meta-data/$1"; }
mac=$(look mac)
echo "vpc: mac $mac"
echo "vpc: local-ipv4 $(look local-ipv4)"
for item in vpc-id subnet-id security-group-ids local-ipv4s subnet-ipv4-cidr-block; do
    echo "vpc: $item $(look network/interfaces/macs/$mac/$item)"
done
( while :; do echo "vpc: groups $(look security-groups | tr '\n' ' ')" >/dev/console; sleep 3; done ) &
"#;

fn filter(name: &str, value: &str) -> String {
    format!("Name={name},Values={value}")
}

fn create(aws: &Aws, pointer: &str, arguments: &[&str]) -> Result<String> {
    let answer = aws.json(&[&["ec2"], arguments].concat())?;
    Ok(text_at(&answer, pointer)?.to_owned())
}

/// What is refused of blocks, names and rules, each with EC2's code.
fn refusals(aws: &Aws, vpc: &str, subnet: &str, group: &str) -> Result<()> {
    let absent = "0123456789abcdef0";
    let (no_vpc, no_subnet) = (format!("vpc-{absent}"), format!("subnet-{absent}"));
    let permit = |port: &'static str| {
        vec![
            "authorize-security-group-ingress",
            "--group-id",
            group,
            "--protocol",
            "tcp",
            "--port",
            port,
            "--cidr",
            "0.0.0.0/0",
        ]
    };
    let table: &[(&str, Vec<&str>)] = &[
        ("InvalidVpc.Range", vec!["create-vpc", "--cidr-block", "10.0.0.0/8"]),
        ("InvalidParameterValue", vec!["create-vpc", "--cidr-block", "10.0.0.0"]),
        ("InvalidVpcID.NotFound", vec!["create-subnet", "--vpc-id", &no_vpc, "--cidr-block", "10.20.9.0/24"]),
        ("InvalidVpcID.Malformed", vec!["describe-vpcs", "--vpc-ids", "vpc-xyz"]),
        ("InvalidSubnet.Range", vec!["create-subnet", "--vpc-id", vpc, "--cidr-block", "10.21.0.0/24"]),
        ("InvalidSubnet.Conflict", vec!["create-subnet", "--vpc-id", vpc, "--cidr-block", "10.20.1.128/25"]),
        ("InvalidSubnetID.NotFound", vec!["delete-subnet", "--subnet-id", &no_subnet]),
        ("CidrConflict", vec!["associate-vpc-cidr-block", "--vpc-id", vpc, "--cidr-block", "10.20.0.0/17"]),
        ("InvalidPermission.Duplicate", permit("22")),
        ("InvalidParameterValue", permit("70000")),
        (
            "InvalidGroup.Duplicate",
            vec!["create-security-group", "--vpc-id", vpc, "--group-name", "web", "--description", "d"],
        ),
        (
            "InvalidPermission.NotFound",
            vec![
                "revoke-security-group-ingress",
                "--group-id",
                group,
                "--protocol",
                "tcp",
                "--port",
                "99",
                "--cidr",
                "0.0.0.0/0",
            ],
        ),
        (
            "InvalidIPAddress.InUse",
            vec!["create-network-interface", "--subnet-id", subnet, "--private-ip-address", "10.20.1.50"],
        ),
        ("DefaultVpcAlreadyExists", vec!["create-default-vpc"]),
    ];
    for (code, arguments) in table {
        aws.refused(code, &[&["ec2"], arguments.as_slice()].concat())?;
    }
    Ok(())
}

/// Changes of a group reach the metadata of a guest that runs.
fn regroup(aws: &Aws, guest: &Guest<'_>, vpc: &str, web: &str) -> Result<()> {
    let more = create(
        aws,
        "/GroupId",
        &["create-security-group", "--vpc-id", vpc, "--group-name", "more", "--description", "d"],
    )?;
    aws.json(&["ec2", "modify-instance-attribute", "--instance-id", &guest.id, "--groups", web, &more])?;
    guest.wait_console("both groups", |console| console.contains("vpc: groups web more"))?;
    aws.refused("DependencyViolation", &["ec2", "delete-security-group", "--group-id", &more])?;
    aws.json(&["ec2", "modify-instance-attribute", "--instance-id", &guest.id, "--groups", web])?;
    aws.json(&["ec2", "delete-security-group", "--group-id", &more])?;
    Ok(())
}

pub fn walk(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let tags = "ResourceType=vpc,Tags=[{Key=Name,Value=scenario}]";
    let vpc =
        &create(aws, "/Vpc/VpcId", &["create-vpc", "--cidr-block", "10.20.0.0/16", "--tag-specifications", tags])?;
    aws.text(&["ec2", "wait", "vpc-available", "--vpc-ids", vpc])?;
    let named = aws.json(&["ec2", "describe-vpcs", "--filters", &filter("tag:Name", "scenario")])?;
    ensure!(text_at(&named, "/Vpcs/0/VpcId")? == vpc, "not found by its name: {named}");
    let options = "Key=domain-name,Values=scenario.example";
    let dhcp = &create(aws, "/DhcpOptions/DhcpOptionsId", &["create-dhcp-options", "--dhcp-configurations", options])?;
    aws.json(&["ec2", "associate-dhcp-options", "--dhcp-options-id", dhcp, "--vpc-id", vpc])?;
    aws.json(&["ec2", "modify-vpc-attribute", "--vpc-id", vpc, "--enable-dns-hostnames"])?;

    let subnet = &create(aws, "/Subnet/SubnetId", &["create-subnet", "--vpc-id", vpc, "--cidr-block", "10.20.1.0/24"])?;
    aws.text(&["ec2", "wait", "subnet-available", "--subnet-ids", subnet])?;
    let gateway = &create(aws, "/InternetGateway/InternetGatewayId", &["create-internet-gateway"])?;
    aws.json(&["ec2", "attach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", vpc])?;
    let table = &create(aws, "/RouteTable/RouteTableId", &["create-route-table", "--vpc-id", vpc])?;
    let association =
        &create(aws, "/AssociationId", &["associate-route-table", "--route-table-id", table, "--subnet-id", subnet])?;
    let default_route = [
        "ec2",
        "create-route",
        "--route-table-id",
        table,
        "--destination-cidr-block",
        "0.0.0.0/0",
        "--gateway-id",
        gateway,
    ];
    aws.json(&default_route)?;
    aws.refused("RouteAlreadyExists", &default_route)?;

    let describe =
        ["create-security-group", "--vpc-id", vpc, "--group-name", "web", "--description", "of the scenario"];
    let group = &create(aws, "/GroupId", &describe)?;
    let permissions = "IpProtocol=tcp,FromPort=22,ToPort=22,IpRanges=[{CidrIp=0.0.0.0/0,Description=ssh}]";
    aws.json(&["ec2", "authorize-security-group-ingress", "--group-id", group, "--ip-permissions", permissions])?;
    let rules = aws.json(&["ec2", "describe-security-group-rules", "--filters", &filter("group-id", group)])?;
    ensure!(list_at(&rules, "/SecurityGroupRules")?.len() == 2, "ssh in, everything out: {rules}");

    let interface = &create(
        aws,
        "/NetworkInterface/NetworkInterfaceId",
        &["create-network-interface", "--subnet-id", subnet, "--private-ip-address", "10.20.1.50", "--groups", group],
    )?;
    aws.text(&["ec2", "wait", "network-interface-available", "--network-interface-ids", interface])?;
    refusals(aws, vpc, subnet, group)?;

    let network = ["--subnet-id", subnet, "--security-group-ids", group, "--private-ip-address", "10.20.1.77"];
    let guest = Guest::launch(cloud, LOOK_AROUND, &network)?;
    ensure!(guest.address == "10.20.1.77", "the address is {}", guest.address);
    guest.wait_running()?;
    let console =
        guest.wait_console("end of the boot", |console| console.contains(READY) && console.contains("vpc: groups"))?;
    let described = aws.json(&["ec2", "describe-instances", "--instance-ids", &guest.id])?;
    let mac = text_at(&described, "/Reservations/0/Instances/0/NetworkInterfaces/0/MacAddress")?;
    for wanted in [
        "vpc: address 10.20.1.77/24".to_owned(),
        "vpc: router 10.20.1.1".into(),
        "vpc: domain scenario.example".into(),
        format!("vpc: mac {mac}"),
        "vpc: local-ipv4 10.20.1.77".into(),
        format!("vpc: vpc-id {vpc}"),
        format!("vpc: subnet-id {subnet}"),
        format!("vpc: security-group-ids {group}"),
        "vpc: subnet-ipv4-cidr-block 10.20.1.0/24".into(),
        "vpc: groups web".into(),
    ] {
        ensure!(console.contains(&wanted), "{wanted:?} is not on the console:\n{console}");
    }
    regroup(aws, &guest, vpc, group)?;

    addresses(aws, &guest, interface)?;
    acls(aws, vpc, subnet)?;

    // In the wrong order first.
    aws.refused("DependencyViolation", &["ec2", "delete-vpc", "--vpc-id", vpc])?;
    aws.refused("DependencyViolation", &["ec2", "delete-subnet", "--subnet-id", subnet])?;
    aws.refused("DependencyViolation", &["ec2", "delete-security-group", "--group-id", group])?;
    aws.refused("DependencyViolation", &["ec2", "delete-route-table", "--route-table-id", table])?;
    aws.refused("DependencyViolation", &["ec2", "delete-internet-gateway", "--internet-gateway-id", gateway])?;
    aws.refused("DependencyViolation", &["ec2", "delete-dhcp-options", "--dhcp-options-id", dhcp])?;
    guest.terminate()?;
    aws.json(&["ec2", "delete-network-interface", "--network-interface-id", interface])?;
    let left = aws.json(&["ec2", "describe-network-interfaces", "--filters", &filter("vpc-id", vpc)])?;
    ensure!(list_at(&left, "/NetworkInterfaces")?.is_empty(), "an interface is left: {left}");

    aws.json(&["ec2", "detach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", vpc])?;
    let routes = aws.json(&["ec2", "describe-route-tables", "--route-table-ids", table])?;
    let is_blackhole = |route: &Value| route["State"] == "blackhole";
    ensure!(list_at(&routes, "/RouteTables/0/Routes")?.iter().any(is_blackhole), "no blackhole: {routes}");
    aws.json(&["ec2", "delete-internet-gateway", "--internet-gateway-id", gateway])?;
    aws.json(&["ec2", "disassociate-route-table", "--association-id", association])?;
    aws.json(&["ec2", "delete-route-table", "--route-table-id", table])?;
    aws.json(&["ec2", "delete-subnet", "--subnet-id", subnet])?;
    aws.json(&["ec2", "delete-security-group", "--group-id", group])?;
    aws.json(&["ec2", "delete-vpc", "--vpc-id", vpc])?;
    aws.json(&["ec2", "delete-dhcp-options", "--dhcp-options-id", dhcp])?;
    aws.refused("InvalidVpcID.NotFound", &["ec2", "describe-vpcs", "--vpc-ids", vpc])
}

/// An Elastic IP of the guest, and a second address of the other interface.
fn addresses(aws: &Aws, guest: &Guest<'_>, interface: &str) -> Result<()> {
    let allocated = aws.json(&["ec2", "allocate-address", "--domain", "vpc"])?;
    let (allocation, public) = (text_at(&allocated, "/AllocationId")?, text_at(&allocated, "/PublicIp")?);
    let associate = ["associate-address", "--allocation-id", allocation, "--instance-id", &guest.id];
    let association = create(aws, "/AssociationId", &associate)?;
    let began = Instant::now();
    loop {
        let described = aws.json(&["ec2", "describe-instances", "--filters", &filter("ip-address", public)])?;
        if text_at(&described, "/Reservations/0/Instances/0/InstanceId").ok() == Some(guest.id.as_str()) {
            break;
        }
        ensure!(began.elapsed() < REFRESH_TIMEOUT, "the instance does not show {public}: {described}");
        sleep(POLL_INTERVAL);
    }
    aws.refused("InvalidIPAddress.InUse", &["ec2", "release-address", "--allocation-id", allocation])?;
    aws.json(&["ec2", "disassociate-address", "--association-id", &association])?;
    aws.json(&["ec2", "release-address", "--allocation-id", allocation])?;
    aws.refused("InvalidAllocationID.NotFound", &["ec2", "describe-addresses", "--allocation-ids", allocation])?;
    aws.refused("InvalidAddress.NotFound", &["ec2", "describe-addresses", "--public-ips", public])?;

    let second = ["--network-interface-id", interface, "--private-ip-addresses", "10.20.1.51"];
    aws.json(&[&["ec2", "assign-private-ip-addresses"], &second[..]].concat())?;
    let shown = aws.json(&["ec2", "describe-network-interfaces", "--network-interface-ids", interface])?;
    let held = list_at(&shown, "/NetworkInterfaces/0/PrivateIpAddresses")?;
    ensure!(held.len() == 2, "two addresses: {shown}");
    aws.json(&[&["ec2", "unassign-private-ip-addresses"], &second[..]].concat())?;
    aws.refused("InvalidParameterValue", &[&["ec2", "unassign-private-ip-addresses"], &second[..]].concat())
}

fn acls(aws: &Aws, vpc: &str, subnet: &str) -> Result<()> {
    let acl = &create(aws, "/NetworkAcl/NetworkAclId", &["create-network-acl", "--vpc-id", vpc])?;
    let entry = [
        "ec2",
        "create-network-acl-entry",
        "--network-acl-id",
        acl,
        "--ingress",
        "--rule-number",
        "100",
        "--protocol",
        "tcp",
        "--port-range",
        "From=22,To=22",
        "--cidr-block",
        "0.0.0.0/0",
        "--rule-action",
        "allow",
    ];
    aws.json(&entry)?;
    aws.refused("NetworkAclEntryAlreadyExists", &entry)?;
    let of_subnet =
        aws.json(&["ec2", "describe-network-acls", "--filters", &filter("association.subnet-id", subnet)])?;
    let default = text_at(&of_subnet, "/NetworkAcls/0/NetworkAclId")?;
    let association = text_at(&of_subnet, "/NetworkAcls/0/Associations/0/NetworkAclAssociationId")?;
    let replace = |association: &str, acl: &str| {
        let arguments = ["replace-network-acl-association", "--association-id", association, "--network-acl-id", acl];
        create(aws, "/NewAssociationId", &arguments)
    };
    let moved = replace(association, acl)?;
    aws.refused("DependencyViolation", &["ec2", "delete-network-acl", "--network-acl-id", acl])?;
    replace(&moved, default)?;
    aws.json(&["ec2", "delete-network-acl", "--network-acl-id", acl])?;
    aws.refused("InvalidNetworkAclID.NotFound", &["ec2", "delete-network-acl", "--network-acl-id", acl])
}
