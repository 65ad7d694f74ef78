//! The model's constraints on decoded members: presence, enumerations, ranges, lengths, patterns; and the grammar of ids.

use crate::wire::violation::{Rule, Violation};
use crate::wire::{Fault, grammar};
use hive_aws_model::table::Bounds;
use hive_aws_model::{Kind, OperationRef, Protocol, ShapeRef};
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Compiled size of one pattern; the model's are far smaller.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Checks the members of a call.
///
/// # Errors
/// The first rule that is broken, in the protocol's words: missing members of a structure come before wrong ones.
pub fn validate(operation: OperationRef, members: &Map<String, Value>) -> Result<(), Fault> {
    let protocol = operation.schema.protocol;
    let Some(input) = operation.input() else { return Ok(()) };
    structure(protocol, input, members, "").map_err(|violation| violation.fault(protocol))?;
    if operation.schema.service == "ec2" { grammar::check(operation.name(), members) } else { Ok(()) }
}

fn structure(protocol: Protocol, shape: ShapeRef, members: &Map<String, Value>, path: &str) -> Result<(), Violation> {
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for member in shape.members().iter().filter(|member| member.is_required()) {
        if !members.contains_key(member.name()) {
            return Err(Violation::new(at(member.query_name()), Rule::Missing));
        }
    }
    for member in shape.members().iter() {
        if let Some(found) = members.get(member.name()) {
            value(protocol, member.shape(), found, &at(member.query_name()))?;
        }
    }
    Ok(())
}

fn value(protocol: Protocol, shape: ShapeRef, found: &Value, path: &str) -> Result<(), Violation> {
    let broken = |rule| Err(Violation::new(path, rule));
    match (shape.kind(), found) {
        (Kind::Structure(_), Value::Object(members)) => structure(protocol, shape, members, path),
        (Kind::List { of, item, flattened, len }, Value::Array(items)) => {
            length(items.len(), len, || format!("{} items", items.len())).map_or(Ok(()), broken)?;
            let nested = protocol == Protocol::Query && !flattened;
            let base = if nested { format!("{path}.{item}") } else { path.to_owned() };
            (1..).zip(items).try_for_each(|(number, item)| value(protocol, of, item, &format!("{base}.{number}")))
        }
        (Kind::Text { values, len, pattern, .. }, Value::String(text)) => {
            if !values.is_empty() && !values.contains(text) {
                return broken(Rule::Enum { value: text.clone(), allowed: values.iter().collect() });
            }
            length(text.chars().count(), len, || text.clone()).map_or(Ok(()), broken)?;
            match pattern {
                Some(pattern) if !matches_pattern(pattern, text) => {
                    broken(Rule::Pattern { value: text.clone(), pattern })
                }
                _ => Ok(()),
            }
        }
        (Kind::Integer((min, max)) | Kind::Long((min, max)), Value::Number(number)) => {
            let Some(number) = number.as_i64() else { return Ok(()) };
            match (min, max) {
                (Some(bound), _) if number < bound => broken(Rule::Minimum { value: number.to_string(), bound }),
                (_, Some(bound)) if number > bound => broken(Rule::Maximum { value: number.to_string(), bound }),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn length(found: usize, (min, max): Bounds, value: impl Fn() -> String) -> Option<Rule> {
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    match (min, max) {
        (Some(bound), _) if found < bound => Some(Rule::MinimumLength { value: value(), bound }),
        (_, Some(bound)) if found > bound => Some(Rule::MaximumLength { value: value(), bound }),
        _ => None,
    }
}

/// Patterns stand for the whole text. One that looks ahead, which this engine (linear in time on hostile texts) cannot do, holds
/// for every text.
fn matches_pattern(pattern: &'static str, text: &str) -> bool {
    static COMPILED: Mutex<Option<HashMap<&'static str, Option<Regex>>>> = Mutex::new(None);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let regex = compiled.get_or_insert_default().entry(pattern).or_insert_with(|| compile(pattern)).clone();
    drop(compiled);
    regex.is_none_or(|regex| regex.is_match(text))
}

fn compile(pattern: &str) -> Option<Regex> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(MAX_PATTERN_BYTES).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_aws_model::{SERVICES, service};
    use serde_json::json;

    fn check(service_name: &str, operation: &str, members: Value) -> Result<(), Fault> {
        let operation = service(service_name).expect("service").operation(operation).expect("operation");
        let Value::Object(members) = members else { panic!("an object is needed") };
        validate(operation, &members)
    }

    fn code(outcome: Result<(), Fault>) -> String {
        outcome.expect_err("refused").code.into_owned()
    }

    #[test]
    fn rules_of_the_model() {
        assert_eq!(check("ec2", "DescribeInstances", json!({"MaxResults": 5})), Ok(()));
        let missing = check("ec2", "TerminateInstances", json!({})).expect_err("refused");
        assert_eq!(missing.message, "The request must contain the parameter InstanceId");
        let missing = check("ec2", "RunInstances", json!({"MinCount": 1})).expect_err("refused");
        assert_eq!(missing.message, "The request must contain the parameter MaxCount");
        let bad = json!({"MinCount": 1, "MaxCount": 1, "InstanceType": "x9.tiny"});
        assert_eq!(code(check("ec2", "RunInstances", bad)), "InvalidParameterValue");
        let name = |name: &str| check("iam", "CreateUser", json!({"UserName": name}));
        assert_eq!(name("ann+b=c,d.e@f-g"), Ok(()));
        for bad in ["", "a b", &"x".repeat(65)] {
            assert_eq!(code(name(bad)), "ValidationError", "{bad}");
        }
    }

    #[test]
    fn every_pattern_compiles_unless_it_looks_ahead() {
        let mut seen = 0;
        for schema in SERVICES.iter().filter(|schema| matches!(schema.protocol, Protocol::Ec2 | Protocol::Query)) {
            for member in schema.operations().filter_map(|operation| operation.input()).flat_map(|i| i.members().iter())
            {
                if let Kind::Text { pattern: Some(pattern), .. } = member.shape().kind() {
                    seen += 1;
                    let looks_ahead = pattern.contains("(?=") || pattern.contains("(?!");
                    assert_eq!(compile(pattern).is_none(), looks_ahead, "{}: {pattern}", member.name());
                }
            }
        }
        assert!(seen > 50, "{seen}");
    }
}
