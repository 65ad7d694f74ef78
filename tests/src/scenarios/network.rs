//! What VPC objects do to packets: groups, ACLs, routes, an Elastic IP and a NAT gateway, seen by guests and by the node, which is the
//! outside; and what their flow log tells of it.

use super::guest::{Guest, READY};
use crate::aws::{Aws, text_at};
use crate::harness::Cloud;
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// From a call to what it does, in the emulation.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// From a packet to its line in a bucket: an interval of a minute, and what is waited for behind it, as slow as the emulation.
const LOG_TIMEOUT: Duration = Duration::from_secs(120);
const LOG_BUCKET: &str = "vpc-packets-flow-logs";
/// The node's own address, and the port of its ssh there, which lets one take one's time.
const OUTSIDE: (&str, u16) = ("10.0.2.15", 22);
/// The same by IPv6: of the profile's pool, whose first block is the node's.
const OUTSIDE_V6: &str = "2001:db8:4800::1";
const POOL_V6: &str = "2001:db8:48";
/// hive-minimal answers a TCP connection to this port with the instance's id.
const IDENTITY_PORT: &str = "7";

/// Asks its neighbour again and again, and holds a connection to the outside.
fn inside(neighbour: &str) -> String {
    let (address, port) = OUTSIDE;
    let by_ipv6 = OUTSIDE_V6;
    format!(
        "#!/bin/sh\n( while :; do answer=$(nc -w 3 {neighbour} {IDENTITY_PORT} </dev/null); echo \"neighbour: ${{answer:-silent}}\" >/dev/console; sleep 3; done ) &\n\
         for outside in {address} {by_ipv6}; do ( while :; do sleep 20 | nc $outside {port}; sleep 1; done ) >/dev/null 2>&1 & done\n"
    )
}

fn create(aws: &Aws, pointer: &str, arguments: &[&str]) -> Result<String> {
    let answer = aws.json(&[&["ec2"], arguments].concat())?;
    Ok(text_at(&answer, pointer)?.to_owned())
}

/// What the identity service at a public address answers, asked from the node.
fn ask_public(cloud: &Cloud, address: &str) -> Result<Option<String>> {
    let script =
        format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{IDENTITY_PORT} && cat <&3' 2>/dev/null || true");
    let answer = cloud.node.ssh(&script)?;
    Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
}

fn eventually(what: &str, holds: impl FnMut() -> Result<bool>) -> Result<()> {
    within(EFFECT_TIMEOUT, what, holds)
}

fn within(timeout: Duration, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !holds()? {
        ensure!(began.elapsed() < timeout, "{what}: not after {} s", timeout.as_secs());
        sleep(POLL_INTERVAL);
    }
    println!("    {what} after {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

/// The lines of all files that a flow log has in its bucket by now.
fn log_lines(aws: &Aws) -> Result<Vec<String>> {
    let directory = tempfile::tempdir()?;
    let from = format!("s3://{LOG_BUCKET}");
    let to = directory.path().display().to_string();
    aws.text(&["s3", "cp", "--recursive", "--quiet", &from, &to])?;
    let zcat = Command::new("find").args([to.as_str(), "-name", "*.log.gz", "-exec", "zcat", "{}", "+"]).output()?;
    ensure!(zcat.status.success(), "a file of the flow log is not gzip");
    Ok(String::from_utf8(zcat.stdout)?.lines().map(str::to_owned).collect())
}

/// The last thing that the guest said of its neighbour.
fn neighbour(guest: &Guest<'_>) -> Result<Option<String>> {
    let console = guest.console()?;
    let said = console.lines().rev().find_map(|line| line.split_once("neighbour: "));
    Ok(said.map(|(_, answer)| answer.trim().to_owned()))
}

/// A VPC with a public and a private subnet.
struct Net<'a> {
    aws: &'a Aws,
    vpc: String,
    public: String,
    private: String,
    /// Allocation and address, of the NAT gateway.
    nat: (String, String),
    acl: String,
}

impl<'a> Net<'a> {
    fn create(aws: &'a Aws) -> Result<Self> {
        let block = ["create-vpc", "--cidr-block", "10.30.0.0/16", "--amazon-provided-ipv6-cidr-block"];
        let made = aws.json(&[&["ec2"], &block[..]].concat())?;
        let vpc = text_at(&made, "/Vpc/VpcId")?.to_owned();
        let block = text_at(&made, "/Vpc/Ipv6CidrBlockAssociationSet/0/Ipv6CidrBlock")?;
        let head = block.strip_suffix("00::/56").context("a block of 56 bits")?;
        ensure!(block.starts_with(POOL_V6), "{block} is of no pool");
        let subnet = |number: u8| {
            let (ipv4, ipv6) = (format!("10.30.{number}.0/24"), format!("{head}0{number}::/64"));
            let of_vpc = ["create-subnet", "--vpc-id", vpc.as_str()];
            create(
                aws,
                "/Subnet/SubnetId",
                &[&of_vpc[..], &["--cidr-block", &ipv4, "--ipv6-cidr-block", &ipv6]].concat(),
            )
        };
        let (public, private) = (subnet(1)?, subnet(2)?);
        let outwards = ["create-egress-only-internet-gateway", "--vpc-id", &vpc];
        let outwards = create(aws, "/EgressOnlyInternetGateway/EgressOnlyInternetGatewayId", &outwards)?;
        let gateway = create(aws, "/InternetGateway/InternetGatewayId", &["create-internet-gateway"])?;
        aws.json(&["ec2", "attach-internet-gateway", "--internet-gateway-id", &gateway, "--vpc-id", &vpc])?;
        let allocated = aws.json(&["ec2", "allocate-address", "--domain", "vpc"])?;
        let nat = (text_at(&allocated, "/AllocationId")?.to_owned(), text_at(&allocated, "/PublicIp")?.to_owned());
        let made = ["create-nat-gateway", "--subnet-id", &public, "--allocation-id", &nat.0];
        let nat_gateway = create(aws, "/NatGateway/NatGatewayId", &made)?;
        for (subnet, [option, target], ipv6) in [
            (&public, ["--gateway-id", &gateway], ["--gateway-id", &gateway]),
            (&private, ["--nat-gateway-id", &nat_gateway], ["--egress-only-internet-gateway-id", &outwards]),
        ] {
            let table = create(aws, "/RouteTable/RouteTableId", &["create-route-table", "--vpc-id", &vpc])?;
            aws.json(&["ec2", "associate-route-table", "--route-table-id", &table, "--subnet-id", subnet])?;
            let all = ["--destination-cidr-block", "0.0.0.0/0", option, target];
            aws.json(&[&["ec2", "create-route", "--route-table-id", &table], &all[..]].concat())?;
            let all = ["--destination-ipv6-cidr-block", "::/0", ipv6[0], ipv6[1]];
            aws.json(&[&["ec2", "create-route", "--route-table-id", &table], &all[..]].concat())?;
        }
        let of_vpc = format!("Name=vpc-id,Values={vpc}");
        let acl = create(aws, "/NetworkAcls/0/NetworkAclId", &["describe-network-acls", "--filters", &of_vpc])?;
        Ok(Self { aws, vpc, public, private, nat, acl })
    }

    fn group(&self, name: &str) -> Result<String> {
        let group = ["create-security-group", "--vpc-id", &self.vpc, "--group-name", name, "--description", "d"];
        create(self.aws, "/GroupId", &group)
    }

    /// Lets TCP to the identity service in, or no more.
    fn permit(&self, verb: &str, group: &str, peer: [&str; 2]) -> Result<()> {
        let call = format!("{verb}-security-group-ingress");
        let rule = ["ec2", &call, "--group-id", group, "--protocol", "tcp", "--port", IDENTITY_PORT, peer[0], peer[1]];
        self.aws.json(&rule).map(drop)
    }

    fn deny(&self, verb: &str) -> Result<()> {
        let call = format!("{verb}-network-acl-entry");
        let mut entry = vec!["ec2", &call, "--network-acl-id", &self.acl, "--rule-number", "50", "--ingress"];
        if verb == "create" {
            entry.extend(["--protocol", "tcp", "--port-range", "From=7,To=7", "--cidr-block", "0.0.0.0/0"]);
            entry.extend(["--rule-action", "deny"]);
        }
        self.aws.json(&entry).map(drop)
    }
}

/// The outside comes in by the internet gateway if a rule has it so; by the egress-only one only answers do.
fn by_ipv6(cloud: &Cloud, net: &Net<'_>, guests: [&Guest<'_>; 2], groups: [&str; 2]) -> Result<()> {
    let address = |guest: &Guest<'_>| -> Result<String> {
        let shown = net.aws.json(&["ec2", "describe-instances", "--instance-ids", &guest.id])?;
        let address = text_at(&shown, "/Reservations/0/Instances/0/Ipv6Address")?.to_owned();
        ensure!(guest.console()?.contains(&format!("hive-minimal: ipv6 {address}")), "{address} is not the guest's");
        Ok(address)
    };
    let [server, client] = guests;
    let (public, private) = (address(server)?, address(client)?);
    ensure!(ask_public(cloud, &public)?.is_none(), "the outside came in by IPv6 without a rule");
    let anybody = "IpProtocol=tcp,FromPort=7,ToPort=7,Ipv6Ranges=[{CidrIpv6=::/0}]";
    for group in groups {
        let call = ["ec2", "authorize-security-group-ingress", "--group-id", group, "--ip-permissions", anybody];
        net.aws.json(&call)?;
    }
    let answers = || Ok(ask_public(cloud, &public)?.as_deref() == Some(&server.id));
    eventually("the outside comes in by IPv6", answers)?;
    let seen = format!("ss -Htn state established dst [{private}]");
    eventually("the private subnet gets out by IPv6", || Ok(!cloud.node.ssh(&seen)?.trim().is_empty()))?;
    ensure!(ask_public(cloud, &private)?.is_none(), "the outside came in by an egress-only gateway");
    Ok(())
}

pub fn packets(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let net = Net::create(aws)?;
    aws.text(&["s3", "mb", &format!("s3://{LOG_BUCKET}")])?;
    let bucket = format!("arn:aws:s3:::{LOG_BUCKET}");
    let log = ["create-flow-logs", "--resource-type", "VPC", "--resource-ids", &net.vpc, "--traffic-type", "ALL"];
    let to = ["--log-destination-type", "s3", "--log-destination", &bucket, "--max-aggregation-interval", "60"];
    let log = create(aws, "/FlowLogIds/0", &[&log[..], &to].concat())?;
    let (web, app) = (net.group("web")?, net.group("app")?);
    let with_ipv6 = ["--ipv6-address-count", "1"];
    let place = ["--subnet-id", &net.public, "--security-group-ids", &web];
    let server = Guest::launch(cloud, "#!/bin/sh\n", &[&place[..], &with_ipv6].concat())?;
    let place = [&["--subnet-id", &net.private, "--security-group-ids", &app][..], &with_ipv6].concat();
    let client = Guest::launch(cloud, &inside(&server.address), &place)?;
    let allocated = aws.json(&["ec2", "allocate-address", "--domain", "vpc"])?;
    let (allocation, public) = (text_at(&allocated, "/AllocationId")?, text_at(&allocated, "/PublicIp")?);
    server.wait_running()?;
    let associate = ["associate-address", "--allocation-id", allocation, "--instance-id", &server.id];
    let association = create(aws, "/AssociationId", &associate)?;
    server.wait_console("end of the boot", |console| console.contains(READY))?;
    client.wait_console("end of the boot", |console| console.contains(READY))?;

    // Nobody may come in, though the group lets everything out.
    eventually("the neighbour asks", || Ok(neighbour(&client)?.is_some()))?;
    ensure!(neighbour(&client)?.as_deref() == Some("silent"), "a neighbour came in without a rule");
    ensure!(ask_public(cloud, public)?.is_none(), "the outside came in without a rule");

    // Members of a group, by its name; not the outside.
    net.permit("authorize", &web, ["--source-group", &app])?;
    eventually("a neighbour's group comes in", || Ok(neighbour(&client)?.as_deref() == Some(&server.id)))?;
    ensure!(ask_public(cloud, public)?.is_none(), "the outside came in by a neighbours' rule");
    net.permit("revoke", &web, ["--source-group", &app])?;
    eventually("no neighbour comes in", || Ok(neighbour(&client)?.as_deref() == Some("silent")))?;

    // The outside, by the Elastic IP.
    let anybody = ["--cidr", "0.0.0.0/0"];
    net.permit("authorize", &web, anybody)?;
    let answers = || Ok(ask_public(cloud, public)?.as_deref() == Some(&server.id));
    eventually("the outside comes in", answers)?;
    net.deny("create")?;
    eventually("an ACL shuts it out", || Ok(!answers()?))?;
    net.deny("delete")?;
    eventually("the ACL lets it in", answers)?;
    aws.json(&["ec2", "disassociate-address", "--association-id", &association])?;
    eventually("without an address nobody is there", || Ok(!answers()?))?;

    // Out by the NAT gateway, whose address is what the outside sees.
    let seen = format!("ss -Htn state established dst {}", net.nat.1);
    eventually("the private subnet gets out", || Ok(!cloud.node.ssh(&seen)?.trim().is_empty()))?;
    let bare = format!("ss -Htn dst {}", client.address);
    ensure!(cloud.node.ssh(&bare)?.trim().is_empty(), "a private address came out");

    by_ipv6(cloud, &net, [&server, &client], [&web, &app])?;

    // All of that is in the VPC's flow log: who was shut out, who came in, and who went out by the gateway.
    let (inside, outside) = (format!(" {} {} ", client.address, server.address), format!(" {} ", OUTSIDE.0));
    let is_of = |line: &str, flow: &str, port: &str, action: &str| {
        line.contains(flow) && line.contains(&format!(" {port} 6 ")) && line.ends_with(&format!(" {action} OK"))
    };
    within(LOG_TIMEOUT, "the flow log tells of all", || {
        let lines = log_lines(aws)?;
        let has = |flow: &str, port: &str, action: &str| lines.iter().any(|line| is_of(line, flow, port, action));
        Ok(has(&inside, IDENTITY_PORT, "REJECT")
            && has(&inside, IDENTITY_PORT, "ACCEPT")
            && has(&outside, "22", "ACCEPT"))
    })?;
    let shown = aws.json(&["ec2", "describe-flow-logs", "--flow-log-ids", &log])?;
    ensure!(text_at(&shown, "/FlowLogs/0/FlowLogStatus")? == "ACTIVE", "{shown}");
    ensure!(text_at(&shown, "/FlowLogs/0/DeliverLogsStatus")? == "SUCCESS", "{shown}");
    let listed = aws.text(&["s3", "ls", "--recursive", &format!("s3://{LOG_BUCKET}")])?;
    ensure!(listed.contains("/vpcflowlogs/") && listed.contains(&format!("_{log}_")), "{listed}");
    for line in log_lines(aws)?.iter().filter(|line| line.contains(&inside)).take(3) {
        println!("    {line}");
    }
    aws.json(&["ec2", "delete-flow-logs", "--flow-log-ids", &log])?;
    aws.text(&["s3", "rb", "--force", &format!("s3://{LOG_BUCKET}")])?;

    client.terminate()?;
    server.terminate()?;
    aws.json(&["ec2", "release-address", "--allocation-id", allocation]).map(drop)
}
