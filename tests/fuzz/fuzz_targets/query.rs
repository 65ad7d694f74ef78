//! A form request of the query protocols: parsed, decoded by the model, validated.
#![no_main]

use awsd::wire::{decode, form::Form, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &str, &[u8])| {
    let (choice, query, body) = input;
    let Ok(form) = Form::parse(query, body) else { return };
    for service in ["ec2", "iam", "sts"] {
        let Some(schema) = hive_aws_model::service(service) else { continue };
        let count = schema.operations().count();
        let Some(operation) = schema.operations().nth(usize::from(choice) % count) else { continue };
        if let Ok(members) = decode::decode(schema, operation.input(), &form.members) {
            let _ = validate::validate(operation, &members);
        }
    }
});
