use crate::{Kind, Location, SERVICES, service};

#[test]
fn every_service_has_all_its_operations() {
    let counts: Vec<usize> = SERVICES.iter().map(|schema| schema.operations().count()).collect();
    assert_eq!(counts, [6, 830, 180, 116, 11]);
    for operation in SERVICES.iter().flat_map(|schema| schema.operations()) {
        assert_eq!(operation.schema.operation(operation.name()).map(|found| found.name()), Some(operation.name()));
    }
}

#[test]
fn ec2_query_names_follow_the_protocol() {
    let ec2 = service("ec2").expect("ec2");
    let run = ec2.operation("RunInstances").expect("RunInstances").input().expect("input").members();
    assert_eq!(run.by_name("SecurityGroupIds").expect("member").query_name(), "SecurityGroupId");
    assert_eq!(run.by_name("BlockDeviceMappings").expect("member").query_name(), "BlockDeviceMapping");
    assert!(run.by_name("MinCount").expect("member").is_required());
    assert!(run.by_name("ClientToken").expect("member").is_idempotency_token());
    let describe = ec2.operation("DescribeInstances").expect("DescribeInstances").output().expect("output").members();
    let reservations = describe.by_name("Reservations").expect("member");
    assert_eq!(reservations.xml_name(), "reservationSet");
    assert!(matches!(reservations.shape().kind(), Kind::List { item: "item", .. }));
}

#[test]
fn s3_members_know_their_places() {
    let put = service("s3").expect("s3").operation("PutObject").expect("PutObject");
    assert_eq!((put.row.method, put.row.uri), ("PUT", "/{Bucket}/{Key+}"));
    let members = put.input().expect("input").members();
    assert_eq!(members.by_name("Bucket").expect("member").location(), Location::Uri);
    assert_eq!(members.by_name("ContentMD5").expect("member").location(), Location::Header);
    assert_eq!(members.by_name("ContentMD5").expect("member").xml_name(), "Content-MD5");
    assert_eq!(members.by_name("Metadata").expect("member").location(), Location::HeaderPrefix);
    assert!(members.by_name("Body").expect("member").is_payload());
}

#[test]
fn modelled_errors_have_codes_and_statuses() {
    let iam = service("iam").expect("iam");
    assert_eq!(iam.error_status("NoSuchEntity"), Some(404));
    let listed: Vec<_> = iam.operation("GetUser").expect("GetUser").errors().map(|error| error.code).collect();
    assert!(listed.contains(&"NoSuchEntity"), "{listed:?}");
    assert_eq!(service("sts").expect("sts").error_status("ExpiredTokenException"), Some(400));
}
