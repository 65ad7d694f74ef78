//! Bad input: the exact error code and HTTP status, and nothing half-created.

use crate::aws::{Aws, list_at, text_at};
use crate::harness::Cloud;
use crate::sigv4::{Request, Response, Signer, send};
use anyhow::{Result, bail, ensure};
use jiff::ToSpan;

const EC2_VERSION: &str = "2016-11-15";
const STS_VERSION: &str = "2011-06-15";
/// User data is limited before base64.
const MAX_USER_DATA_BYTES: usize = 16 << 10;
const MAX_QUERY_BYTES: usize = 1 << 20;

fn query(version: &str, body: &str) -> Request {
    Request { method: "POST", path: "/".into(), body: format!("Version={version}&{body}") }
}

fn expect(what: &str, response: &Response, status: u16, code: &str) -> Result<()> {
    ensure!(
        response.status == status && response.code() == Some(code),
        "{what}: expected {status} {code}, got {} {}",
        response.status,
        response.body
    );
    Ok(())
}

/// Runs all checks of a table and fails with every one that failed.
fn all(checks: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let failures: Vec<String> =
        checks.into_iter().filter_map(Result::err).map(|error| format!("  {error:#}")).collect();
    if failures.is_empty() { Ok(()) } else { bail!("{} checks failed:\n{}", failures.len(), failures.join("\n")) }
}

pub fn signatures(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let describe = query(EC2_VERSION, "Action=DescribeRegions");
    let whoami = query(STS_VERSION, "Action=GetCallerIdentity");
    let list = Request { method: "GET", path: "/".into(), body: String::new() };

    let good = Signer::of(aws, "ec2")?;
    let answer = send(aws, Some(&good), &describe)?;
    ensure!(answer.status == 200, "a true signature is taken: {} {}", answer.status, answer.body);

    type Spoil = fn(Signer) -> Signer;
    let wrong_secret: Spoil = |signer| Signer { secret_access_key: "wrong".into(), ..signer };
    let unknown_key: Spoil = |signer| Signer { access_key_id: "AKIAIOSFODNN7EXAMPLE".into(), ..signer };
    let slow_clock: Spoil = |signer| Signer { time: signer.time - 20.minutes(), ..signer };
    let fast_clock: Spoil = |signer| Signer { time: signer.time + 20.minutes(), ..signer };
    let table: &[(&str, &'static str, &Request, Spoil, u16, &str)] = &[
        ("ec2, wrong secret", "ec2", &describe, wrong_secret, 401, "AuthFailure"),
        ("ec2, unknown key", "ec2", &describe, unknown_key, 401, "AuthFailure"),
        ("ec2, slow clock", "ec2", &describe, slow_clock, 400, "RequestExpired"),
        ("sts, wrong secret", "sts", &whoami, wrong_secret, 403, "SignatureDoesNotMatch"),
        ("sts, unknown key", "sts", &whoami, unknown_key, 403, "InvalidClientTokenId"),
        ("sts, slow clock", "sts", &whoami, slow_clock, 403, "SignatureDoesNotMatch"),
        ("s3, wrong secret", "s3", &list, wrong_secret, 403, "SignatureDoesNotMatch"),
        ("s3, unknown key", "s3", &list, unknown_key, 403, "InvalidAccessKeyId"),
        ("s3, slow clock", "s3", &list, slow_clock, 403, "RequestTimeTooSkewed"),
        ("s3, fast clock", "s3", &list, fast_clock, 403, "RequestTimeTooSkewed"),
    ];
    all(table.iter().map(|(what, service, request, spoil, status, code)| {
        let signer = spoil(Signer::of(aws, service)?);
        expect(what, &send(aws, Some(&signer), request)?, *status, code)
    }))?;
    let unsigned = send(aws, None, &whoami)?;
    expect("sts, unsigned", &unsigned, 403, "MissingAuthenticationToken")
}

pub fn requests(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let image = &cloud.image;
    let run = format!("Action=RunInstances&ImageId={image}&InstanceType=t2.nano");
    let oversized = format!("Action=DescribeInstances&Filter.1.Name={}", "x".repeat(MAX_QUERY_BYTES));
    let missing_id = "i-0123456789abcdef0";
    let table: &[(&str, String, u16, &str)] = &[
        ("unknown action", "Action=MakeCoffee".into(), 400, "InvalidAction"),
        ("no handler", "Action=CreateTransitGateway".into(), 400, "UnsupportedOperation"),
        (
            "malformed instance id",
            "Action=DescribeInstances&InstanceId.1=i-xyz".into(),
            400,
            "InvalidInstanceID.Malformed",
        ),
        (
            "no such instance",
            format!("Action=DescribeInstances&InstanceId.1={missing_id}"),
            400,
            "InvalidInstanceID.NotFound",
        ),
        (
            "terminate no such instance",
            format!("Action=TerminateInstances&InstanceId.1={missing_id}"),
            400,
            "InvalidInstanceID.NotFound",
        ),
        ("malformed image id", "Action=DescribeImages&ImageId.1=ami-xyz".into(), 400, "InvalidAMIID.Malformed"),
        ("no such image", "Action=DescribeImages&ImageId.1=ami-0123456789abcdef0".into(), 400, "InvalidAMIID.NotFound"),
        ("malformed volume id", "Action=DescribeVolumes&VolumeId.1=vol-xyz".into(), 400, "InvalidVolumeID.Malformed"),
        ("no such volume", "Action=DeleteVolume&VolumeId=vol-0123456789abcdef0".into(), 400, "InvalidVolume.NotFound"),
        ("no such key pair", "Action=DescribeKeyPairs&KeyName.1=nobody".into(), 400, "InvalidKeyPair.NotFound"),
        ("missing parameter", format!("{run}&MaxCount=1"), 400, "MissingParameter"),
        ("unknown parameter", format!("{run}&MinCount=1&MaxCount=1&Colour=red"), 400, "UnknownParameter"),
        ("wrong type", format!("{run}&MinCount=one&MaxCount=1"), 400, "InvalidParameterValue"),
        ("wrong boolean", "Action=DescribeInstances&DryRun=perhaps".into(), 400, "InvalidParameterValue"),
        ("dry run", format!("{run}&MinCount=1&MaxCount=1&DryRun=true"), 412, "DryRunOperation"),
        ("oversized query", oversized, 413, "RequestEntityTooLarge"),
    ];
    let before = inventory(aws)?;
    all(table.iter().map(|(what, body, status, code)| {
        expect(what, &send(aws, Some(&Signer::of(aws, "ec2")?), &query(EC2_VERSION, body))?, *status, code)
    }))?;
    ensure!(inventory(aws)? == before, "something was created by a request that failed");
    Ok(())
}

pub fn launches(cloud: &Cloud) -> Result<()> {
    let aws = &cloud.aws;
    let launch = |image: &str, more: &[&str]| -> Vec<String> {
        let base = ["ec2", "run-instances", "--image-id", image];
        base.iter().chain(more).map(|word| (*word).to_owned()).collect()
    };
    let too_much = tempfile::NamedTempFile::new()?;
    std::fs::write(too_much.path(), vec![b'#'; MAX_USER_DATA_BYTES + 1])?;
    let user_data = format!("file://{}", too_much.path().display());
    let nano: &[&str] = &["--instance-type", "t2.nano"];
    let table: &[(&str, Vec<String>)] = &[
        ("InvalidAMIID.NotFound", launch("ami-0123456789abcdef0", nano)),
        ("InvalidAMIID.Malformed", launch("ami-xyz", nano)),
        ("InvalidParameterValue", launch(&cloud.image, &["--instance-type", "t2.colossal"])),
        ("InvalidKeyPair.NotFound", launch(&cloud.image, &["--instance-type", "t2.nano", "--key-name", "nobody"])),
        ("InvalidParameterValue", launch(&cloud.image, &["--instance-type", "t2.nano", "--user-data", &user_data])),
        // A node of a few GiB has no room for this one.
        ("InsufficientInstanceCapacity", launch(&cloud.image, &["--instance-type", "m5.4xlarge"])),
    ];
    let before = inventory(aws)?;
    all(table.iter().map(|(code, words)| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        aws.refused(code, &words)
    }))?;
    ensure!(inventory(aws)? == before, "something was created by a launch that failed");

    // The same token with the same parameters answers with the same instance; with others it is refused.
    let with_token = |count: &str| {
        let more = ["--instance-type", "t2.nano", "--client-token", "scenario-token", "--count", count];
        launch(&cloud.image, &more)
    };
    let words = with_token("1");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let first = aws.json(&words)?;
    let id = text_at(&first, "/Instances/0/InstanceId")?;
    let second = aws.json(&words)?;
    ensure!(text_at(&second, "/Instances/0/InstanceId")? == id, "the token made a second instance");
    let other = with_token("2");
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    aws.refused("IdempotentParameterMismatch", &other)?;
    aws.json(&["ec2", "terminate-instances", "--instance-ids", id])?;
    aws.text(&["ec2", "wait", "instance-terminated", "--instance-ids", id])?;
    Ok(())
}

/// How many instances and volumes there are.
fn inventory(aws: &Aws) -> Result<(usize, usize)> {
    let instances = aws.json(&["ec2", "describe-instances"])?;
    let volumes = aws.json(&["ec2", "describe-volumes"])?;
    Ok((list_at(&instances, "/Reservations")?.len(), list_at(&volumes, "/Volumes")?.len()))
}
