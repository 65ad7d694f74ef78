//! Calls by hand: what each kind of bad input is answered, and what happens when parts are away.

use crate::cloud::{Cloud, KEY_ID, REGION, SECRET, credential, element};
use hive_auth::sign::Signer;
use hive_types::error::{ApiError, Resource};
use hive_types::{ApiReply, ApiRequest};
use http::{Request, Response};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};
use std::net::SocketAddr;

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);
const EC2: &str = "Version=2016-11-15&Action=";
const STS: &str = "Version=2011-06-15&Action=";

fn identity(request: ApiRequest) -> ApiReply {
    let caller = request.caller;
    let output = json!({"Account": caller.account, "Arn": caller.arn, "UserId": caller.user_id});
    ApiReply::Ok(output.as_object().expect("object").clone())
}

fn outcome(response: &Response<String>) -> (u16, &str) {
    (response.status().as_u16(), element(response.body(), "Code"))
}

#[tokio::test]
async fn a_signed_call_is_answered() {
    let cloud = Cloud::start(NOBODY).await;
    let _worker = cloud.worker(identity).await;
    let answer = cloud.call("sts", &format!("{STS}GetCallerIdentity")).await;
    assert_eq!(answer.status(), 200, "{}", answer.body());
    assert_eq!(element(answer.body(), "Arn"), "arn:aws:iam::123456789012:root");
    let id = answer.headers()["x-amzn-requestid"].to_str().expect("id");
    assert_eq!(element(answer.body(), "RequestId"), id);
    assert!(answer.headers().contains_key("date"));
    assert_eq!(answer.headers()["content-type"], "text/xml;charset=UTF-8");
}

#[tokio::test]
async fn a_presigned_call_is_answered() {
    let cloud = Cloud::start(NOBODY).await;
    let _worker = cloud.worker(identity).await;
    let target = format!("/?{STS}GetCallerIdentity");
    let request = Request::get(target).header("host", cloud.address.to_string()).body(()).expect("request");
    let (mut parts, ()) = request.into_parts();
    let credential = credential(KEY_ID, SECRET);
    let signer = Signer { credential: &credential, region: REGION, service: "sts" };
    signer.presign(&mut parts, 60, Timestamp::now()).expect("signed");
    let answer = cloud.send(Request::from_parts(parts, Full::default())).await;
    assert_eq!(answer.status(), 200, "{}", answer.body());
}

#[tokio::test]
async fn bad_signatures() {
    let cloud = Cloud::start(NOBODY).await;
    let now = Timestamp::now();
    let late = now - SignedDuration::from_mins(16);
    let (ec2, sts) = (format!("{EC2}DescribeRegions"), format!("{STS}GetCallerIdentity"));
    let answer = cloud.call_signed("ec2", &ec2, KEY_ID, "wrong", now).await;
    assert_eq!(outcome(&answer), (401, "AuthFailure"));
    let answer = cloud.call_signed("ec2", &ec2, "AKIAUNKNOWN", SECRET, now).await;
    assert_eq!(outcome(&answer), (401, "AuthFailure"));
    let answer = cloud.call_signed("ec2", &ec2, KEY_ID, SECRET, late).await;
    assert_eq!(outcome(&answer), (400, "RequestExpired"));
    let answer = cloud.call_signed("sts", &sts, KEY_ID, "wrong", now).await;
    assert_eq!(outcome(&answer), (403, "SignatureDoesNotMatch"));
    let answer = cloud.call_signed("sts", &sts, "AKIAUNKNOWN", SECRET, now).await;
    assert_eq!(outcome(&answer), (403, "InvalidClientTokenId"));
    let answer = cloud.call_signed("sts", &sts, KEY_ID, SECRET, late).await;
    assert_eq!(outcome(&answer), (403, "SignatureDoesNotMatch"));
    assert!(element(answer.body(), "Message").starts_with("Signature expired: "), "{}", answer.body());
    let unsigned = Request::post(format!("/?{sts}")).header("host", "h").body(Full::default()).expect("request");
    assert_eq!(outcome(&cloud.send(unsigned).await), (403, "MissingAuthenticationToken"));
    let elsewhere = cloud.call_signed("sqs", "Action=ListQueues", KEY_ID, SECRET, now).await;
    assert_eq!(outcome(&elsewhere), (400, "UnsupportedOperation"));
}

#[tokio::test]
async fn bad_input() {
    let cloud = Cloud::start(NOBODY).await;
    let _worker = cloud.worker(|_| panic!("no worker may see bad input")).await;
    let large = format!("DescribeInstances&InstanceId.1={}", "x".repeat(1 << 20));
    let user_data = format!("RunInstances&MinCount=1&MaxCount=1&UserData={}", "A".repeat(4 * 5462));
    for (call, status, code) in [
        ("NoSuchThing", 400, "InvalidAction"),
        ("CreateTransitGateway", 400, "UnsupportedOperation"),
        ("TerminateInstances", 400, "MissingParameter"),
        ("DescribeInstances&Foo=1", 400, "UnknownParameter"),
        ("DescribeInstances&InstanceId.1=foo", 400, "InvalidInstanceID.Malformed"),
        ("DescribeVolumes&VolumeId.1=vol-1", 400, "InvalidVolumeID.Malformed"),
        ("DescribeInstances&MaxResults=many", 400, "InvalidParameterValue"),
        ("RunInstances&MinCount=1&MaxCount=1&InstanceType=x9.tiny", 400, "InvalidParameterValue"),
        ("DescribeInstances&InstanceId.1=i-01234567&InstanceId.1=i-01234567", 400, "InvalidQueryParameter"),
        ("DescribeInstances&InstanceId.1=%ff", 400, "MalformedQueryString"),
        ("StopInstances&InstanceId.1=i-01234567&DryRun=true", 412, "DryRunOperation"),
        (&large, 413, "RequestEntityTooLarge"),
        (&user_data, 400, "InvalidParameterValue"),
    ] {
        let answer = cloud.call("ec2", &format!("{EC2}{call}")).await;
        let shown: String = call.chars().take(80).collect();
        assert_eq!(outcome(&answer), (status, code), "{shown}: {}", answer.body());
        let id = answer.headers()["x-amzn-requestid"].to_str().expect("id");
        assert_eq!(element(answer.body(), "RequestID"), id, "{shown}");
    }
    let answer = cloud.call("ec2", "Action=DescribeRegions&Version=2001-01-01").await;
    assert_eq!(outcome(&answer), (400, "NoSuchVersion"));
    let answer = cloud.call("iam", "Action=CreateUser&Version=2010-05-08").await;
    assert_eq!(outcome(&answer), (400, "ValidationError"));
    let answer = cloud.call("iam", "Action=CreateUser&Version=2010-05-08&UserName=ann").await;
    assert_eq!(outcome(&answer), (400, "UnsupportedOperation"));
}

#[tokio::test]
async fn workers_errors_and_absence() {
    let mut cloud = Cloud::start(NOBODY).await;
    let call = format!("{EC2}StartInstances&InstanceId.1=i-01234567");
    assert_eq!(outcome(&cloud.call("ec2", &call).await), (503, "ServiceUnavailable"));
    let junk: Map<_, _> = [("Junk".to_owned(), json!(1))].into_iter().collect();
    let worker = cloud
        .worker(move |request| match request.action.as_str() {
            "StartInstances" => {
                ApiReply::Err(ApiError::NotFound { resource: Resource::Instance, id: "i-01234567".into() })
            }
            _ => ApiReply::Ok(junk.clone()),
        })
        .await;
    let answer = cloud.call("ec2", &call).await;
    assert_eq!(outcome(&answer), (400, "InvalidInstanceID.NotFound"));
    assert!(element(answer.body(), "Message").contains("i-01234567"));
    let answered_badly = format!("{EC2}StopInstances&InstanceId.1=i-01234567");
    assert_eq!(outcome(&cloud.call("ec2", &answered_badly).await), (500, "InternalError"));
    drop(worker);
    cloud.nats.kill();
    // The key is known still, so the answer is about the service and not about the caller.
    assert_eq!(outcome(&cloud.call("ec2", &call).await), (503, "ServiceUnavailable"));
    let dry = format!("{call}&DryRun=true");
    assert_eq!(outcome(&cloud.call("ec2", &dry).await), (412, "DryRunOperation"));
}
