//! What VPC objects do to packets: groups, ACLs, routes, an Elastic IP and a NAT gateway, seen by guests and by the node, which is the
//! outside; and what their flow log tells of it.

use super::guest::{Guest, READY};
use crate::aws::{Aws, text_at};
use crate::harness::Cloud;
use anyhow::{Result, ensure};
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
/// hive-minimal answers a TCP connection to this port with the instance's id.
const IDENTITY_PORT: &str = "7";

/// Asks its neighbour again and again, and holds a connection to the outside.
fn inside(neighbour: &str) -> String {
    let (address, port) = OUTSIDE;
    format!(
        "#!/bin/sh\n( while :; do answer=$(nc -w 3 {neighbour} {IDENTITY_PORT} </dev/null); echo \"neighbour: ${{answer:-silent}}\" >/dev/console; sleep 3; done ) &\n\
         ( while :; do sleep 20 | nc {address} {port}; done ) >/dev/null 2>&1 &\n"
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
        let vpc = create(aws, "/Vpc/VpcId", &["create-vpc", "--cidr-block", "10.30.0.0/16"])?;
        let subnet =
            |cidr| create(aws, "/Subnet/SubnetId", &["create-subnet", "--vpc-id", vpc.as_str(), "--cidr-block", cidr]);
        let (public, private) = (subnet("10.30.1.0/24")?, subnet("10.30.2.0/24")?);
        let gateway = create(aws, "/InternetGateway/InternetGatewayId", &["create-internet-gateway"])?;
        aws.json(&["ec2", "attach-internet-gateway", "--internet-gateway-id", &gateway, "--vpc-id", &vpc])?;
        let allocated = aws.json(&["ec2", "allocate-address", "--domain", "vpc"])?;
        let nat = (text_at(&allocated, "/AllocationId")?.to_owned(), text_at(&allocated, "/PublicIp")?.to_owned());
        let made = ["create-nat-gateway", "--subnet-id", &public, "--allocation-id", &nat.0];
        let nat_gateway = create(aws, "/NatGateway/NatGatewayId", &made)?;
        for (subnet, option, target) in
            [(&public, "--gateway-id", &gateway), (&private, "--nat-gateway-id", &nat_gateway)]
        {
            let table = create(aws, "/RouteTable/RouteTableId", &["create-route-table", "--vpc-id", &vpc])?;
            aws.json(&["ec2", "associate-route-table", "--route-table-id", &table, "--subnet-id", subnet])?;
            let all = ["--destination-cidr-block", "0.0.0.0/0", option, target];
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

pub fn packets(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let net = Net::create(aws)?;
    aws.text(&["s3", "mb", &format!("s3://{LOG_BUCKET}")])?;
    let bucket = format!("arn:aws:s3:::{LOG_BUCKET}");
    let log = ["create-flow-logs", "--resource-type", "VPC", "--resource-ids", &net.vpc, "--traffic-type", "ALL"];
    let to = ["--log-destination-type", "s3", "--log-destination", &bucket, "--max-aggregation-interval", "60"];
    let log = create(aws, "/FlowLogIds/0", &[&log[..], &to].concat())?;
    let (web, app) = (net.group("web")?, net.group("app")?);
    let server = Guest::launch(cloud, "#!/bin/sh\n", &["--subnet-id", &net.public, "--security-group-ids", &web])?;
    let place = ["--subnet-id", &net.private, "--security-group-ids", &app];
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
