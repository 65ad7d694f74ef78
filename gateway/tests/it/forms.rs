//! Decoding and validation against every operation of the form services.

use crate::populate;
use awsd::wire::form::{Form, MAX_SEGMENTS};
use awsd::wire::{decode, validate};
use hive_aws_model::{Kind, OperationRef, Protocol, SERVICES, ShapeRef};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn operations() -> Vec<OperationRef> {
    let forms = SERVICES.into_iter().filter(|schema| matches!(schema.protocol, Protocol::Ec2 | Protocol::Query));
    forms.flat_map(|schema| schema.operations()).collect()
}

fn decoded(operation: OperationRef, body: &str) -> Map<String, Value> {
    let form = Form::parse("", body.as_bytes()).expect("form");
    decode::decode(operation.schema, operation.input(), &form.members)
        .unwrap_or_else(|violation| panic!("{}: {violation:?}", operation.name()))
}

#[test]
fn every_operation_decodes_what_a_client_sends_for_it_and_accepts_it() {
    for operation in operations() {
        let members = populate::input(operation);
        let pairs = populate::form(operation, &members);
        let deepest = pairs.iter().map(|(name, _)| name.split('.').count()).max().unwrap_or(0);
        assert!(deepest <= MAX_SEGMENTS, "{}: {deepest} segments", operation.name());
        // More than a form may hold is another test's matter.
        if pairs.len() > awsd::wire::form::MAX_PAIRS {
            continue;
        }
        assert_eq!(decoded(operation, &populate::urlencoded(&pairs)), members, "{}", operation.name());
        assert_eq!(validate::validate(operation, &members), Ok(()), "{}", operation.name());
    }
}

/// Calls `broken` with each copy of `members` in which one rule of the model is broken, and the code that EC2 answers to it.
fn break_each(shape: ShapeRef, members: &Map<String, Value>, broken: &mut dyn FnMut(Map<String, Value>, &str)) {
    for member in shape.members().iter() {
        let Some(found) = members.get(member.name()) else { continue };
        let mut with = |value: Value, code: &str| {
            let mut copy = members.clone();
            copy.insert(member.name().to_owned(), value);
            broken(copy, code);
        };
        match (member.shape().kind(), found) {
            (Kind::Text { values, .. }, _) if !values.is_empty() => {
                with("no-such-value".into(), "InvalidParameterValue")
            }
            (Kind::Text { len: (Some(min), _), .. }, _) if min > 0 => with("".into(), "InvalidParameterValue"),
            (Kind::Text { len: (_, Some(max)), .. }, _) => {
                with("x".repeat(usize::try_from(max).expect("length") + 1).into(), "InvalidParameterValue");
            }
            (Kind::Integer((min, max)) | Kind::Long((min, max)), _) => {
                min.into_iter().for_each(|min| with((min - 1).into(), "InvalidParameterValue"));
                max.into_iter().for_each(|max| with((max + 1).into(), "InvalidParameterValue"));
            }
            (Kind::List { len: (_, Some(max)), .. }, Value::Array(items)) => {
                let count = usize::try_from(max).expect("length") + 1;
                with(items.iter().cycle().take(count).cloned().collect::<Vec<_>>().into(), "InvalidParameterValue");
            }
            (Kind::Structure(_), Value::Object(nested)) => {
                break_each(member.shape(), nested, &mut |nested, code| with(Value::Object(nested), code));
            }
            _ => {}
        }
        if member.is_required() {
            let mut copy = members.clone();
            copy.remove(member.name());
            broken(copy, "MissingParameter");
        }
    }
}

#[test]
fn every_broken_rule_of_the_model_has_its_code() {
    let mut count = 0;
    for operation in operations() {
        let Some(shape) = operation.input() else { continue };
        break_each(shape, &populate::input(operation), &mut |members, code| {
            count += 1;
            let expected = if operation.schema.service == "ec2" { code } else { "ValidationError" };
            let fault = validate::validate(operation, &members).expect_err(operation.name());
            assert_eq!((fault.code.as_ref(), fault.status), (expected, 400), "{}: {members:?}", operation.name());
        });
    }
    assert!(count > 2000, "only {count} rules were broken");
}

fn arbitrary(shape: ShapeRef, depth: usize) -> BoxedStrategy<Value> {
    match shape.kind() {
        Kind::Structure(members) => {
            let members: Vec<_> = members.iter().filter(|_| depth < 5).collect();
            let parts: Vec<_> = members
                .into_iter()
                .map(|member| {
                    (Just(member.name()), proptest::option::weighted(0.3, arbitrary(member.shape(), depth + 1)))
                })
                .collect();
            let object = |parts: Vec<(&str, Option<Value>)>| {
                parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>()
            };
            // A structure without members leaves no trace in a form.
            let filled = parts.prop_map(move |parts| Value::Object(object(parts)));
            filled.prop_filter("an empty structure", leaves_a_trace).boxed()
        }
        Kind::List { of, .. } => {
            proptest::collection::vec(arbitrary(of, depth + 1), 1..3).prop_map(Value::from).boxed()
        }
        Kind::Map { value, .. } => {
            let entries = proptest::collection::btree_map("[a-z.&=]{1,5}", arbitrary(value, depth + 1), 1..3);
            entries.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed()
        }
        Kind::Text { .. } => ".{0,12}".prop_map(Value::from).boxed(),
        Kind::Integer(_) => any::<i32>().prop_map(Value::from).boxed(),
        Kind::Long(_) => any::<i64>().prop_map(Value::from).boxed(),
        Kind::Double => any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Blob { .. } => Just(Value::from("AAEC")).boxed(),
        Kind::Timestamp(_) => Just(Value::from("2026-11-22T19:34:35Z")).boxed(),
    }
}

fn leaves_a_trace(value: &Value) -> bool {
    !matches!(value, Value::Object(members) if members.is_empty())
}

#[test]
fn random_members_survive_the_form() {
    let names =
        ["RunInstances", "CreateVolume", "DescribeInstances", "CreateTags", "RegisterImage", "ModifyInstanceAttribute"];
    let ec2 = names.map(|name| ("ec2", name));
    for (service, name) in
        ec2.into_iter().chain([("sts", "AssumeRole"), ("iam", "CreateUser"), ("iam", "SimulateCustomPolicy")])
    {
        let operation = hive_aws_model::service(service).and_then(|schema| schema.operation(name)).expect("operation");
        let shape = operation.input().expect("input");
        // Values are drawn member by member, since a whole input that leaves no trace is rare but a member's is not.
        let members: Vec<_> = shape
            .members()
            .iter()
            .map(|member| {
                (Just(member.name().to_owned()), proptest::option::weighted(0.4, member_value(member.shape())))
            })
            .collect();
        proptest!(ProptestConfig::with_cases(24), |(members in members)| {
            let members: Map<_, _> = members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let body = populate::urlencoded(&populate::form(operation, &members));
            prop_assert_eq!(decoded(operation, &body), members);
        });
    }
}

fn member_value(shape: ShapeRef) -> BoxedStrategy<Value> {
    arbitrary(shape, 1)
}

proptest! {
    #[test]
    fn hostile_names_never_panic(names in proptest::collection::vec(
        "(InstanceId|Filter|BlockDeviceMapping|TagSpecification|[A-Z]{1,3})(\\.(0|1|01|-1|99999999999|Name|Value|Ebs|Tag|Key|é|)){0,9}=[^&]{0,8}", 0..40,
    )) {
        let operation = hive_aws_model::EC2.operation("RunInstances").expect("operation");
        if let Ok(form) = Form::parse("", names.join("&").as_bytes())
            && let Ok(members) = decode::decode(operation.schema, operation.input(), &form.members)
        {
            let _ = validate::validate(operation, &members);
        }
    }
}
