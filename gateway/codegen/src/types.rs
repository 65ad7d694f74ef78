//! The typed structs of hive-aws-types.

use crate::model::{Kind, Model, Reference};
use crate::naming::{field_ident, pascal_case, summary};
use crate::source::Allowed;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The gateway evaluates it once for all operations; no handler sees it.
const GATEWAY_MEMBER: &str = "DryRun";
/// Module of structs that operations of several files use.
const COMMON: &str = "common";

pub fn render(models: &BTreeMap<&str, Model>, allowed: &Allowed) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut listed =
        String::from("//! The operations that have types here, and a handler in hived.\n\nuse crate::OperationId;\n\n");
    listed.push_str("/// Sorted by service and name.\npub const OPERATIONS: &[OperationId] = &[\n");
    for (service, families) in allowed {
        let model = models.get(service.as_str()).with_context(|| format!("operations.toml: no service {service}"))?;
        render_service(service, model, families, &mut files).with_context(|| format!("typing {service}"))?;
        let names: BTreeSet<&String> = families.values().flatten().collect();
        for name in names {
            writeln!(listed, "OperationId {{ service: {service:?}, name: {name:?} }},")?;
        }
    }
    listed.push_str("];\n");
    files.insert("operations.rs".into(), listed);
    Ok(files)
}

fn render_service(
    service: &str,
    model: &Model,
    families: &BTreeMap<String, Vec<String>>,
    files: &mut BTreeMap<String, String>,
) -> Result<()> {
    let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (family, operations) in families {
        for name in operations {
            let operation = model.operations.get(name).with_context(|| format!("no operation {name}"))?;
            for shape in [&operation.input, &operation.output].into_iter().flatten() {
                visit(model, &shape.shape, family, &mut users)?;
            }
        }
    }
    let mut modules: BTreeMap<&str, String> = BTreeMap::new();
    for (family, operations) in families {
        let text = modules.entry(family).or_default();
        for name in operations {
            if users.contains_key(name.as_str()) {
                bail!("{name} is both an operation and a structure");
            }
            write_operation(text, service, model, name)?;
        }
    }
    for (shape, families) in &users {
        let module = match families.first() {
            Some(family) if families.len() == 1 => family,
            _ => COMMON,
        };
        write_struct(modules.entry(module).or_default(), model, shape)?;
    }
    let mut root = format!("//! Types of {service}, API version {}.\n\n", model.metadata.api_version);
    for module in modules.keys() {
        writeln!(root, "mod {module};")?;
    }
    for module in modules.keys() {
        writeln!(root, "pub use {module}::*;")?;
    }
    files.insert(format!("{service}.rs"), root);
    for (module, body) in modules {
        let mut uses = String::from("use serde::{Deserialize, Serialize};\n");
        if body.contains("Operation for") {
            uses.insert_str(0, "use crate::{Members, Operation};\n");
        }
        if users.values().any(|families| families.len() > 1 && families.contains(module)) {
            uses.insert_str(0, "use super::common::*;\n");
        }
        files.insert(format!("{service}/{module}.rs"), format!("{uses}\n{body}"));
    }
    Ok(())
}

/// Notes that `family` uses the structures reachable from `shape`.
fn visit<'a>(
    model: &'a Model,
    shape: &'a str,
    family: &'a str,
    users: &mut BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> Result<()> {
    let definition = model.shapes.get(shape).with_context(|| format!("no shape {shape}"))?;
    if definition.kind == Kind::Structure && !users.entry(shape).or_default().insert(family) {
        return Ok(());
    }
    definition.references().try_for_each(|reference| visit(model, &reference.shape, family, users))
}

fn write_operation(text: &mut String, service: &str, model: &Model, name: &str) -> Result<()> {
    let operation = model.operations.get(name).with_context(|| format!("no operation {name}"))?;
    let input = operation.input.as_ref().map_or("crate::Empty", |shape| &shape.shape);
    let output = operation.output.as_ref().map_or("crate::Empty", |shape| &shape.shape);
    writeln!(text, "/// {}", summary(&operation.documentation))?;
    writeln!(text, "#[derive(Clone, Copy, Debug)]\npub struct {name};\n")?;
    writeln!(text, "impl Operation for {name} {{\ntype Input = {input};\ntype Output = {output};")?;
    writeln!(text, "const SERVICE: &'static str = {service:?};\nconst NAME: &'static str = {name:?};\n")?;
    writeln!(text, "fn decode(members: Members) -> serde_json::Result<{input}> {{\ncrate::decode(members)\n}}\n")?;
    writeln!(text, "fn encode(output: &{output}) -> serde_json::Result<Members> {{\ncrate::encode(output)\n}}\n}}\n")?;
    Ok(())
}

fn write_struct(text: &mut String, model: &Model, name: &str) -> Result<()> {
    let shape = model.shapes.get(name).with_context(|| format!("no shape {name}"))?;
    writeln!(text, "#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]")?;
    writeln!(text, "#[serde(rename_all = \"PascalCase\", default)]\npub struct {name} {{")?;
    for (member, reference) in shape.members.iter().filter(|(member, _)| *member != GATEWAY_MEMBER) {
        let typed = rust_type(model, reference)?;
        let optional = !matches!(model.shapes[&reference.shape].kind, Kind::List | Kind::Map);
        let ident = field_ident(member);
        let plain = ident.trim_start_matches("r#");
        let mut attributes = Vec::new();
        if pascal_case(plain) != *member {
            attributes.push(format!("rename = {member:?}"));
        }
        let empty = if optional { "Option::is_none" } else { "Vec::is_empty" };
        attributes.push(format!("skip_serializing_if = {empty:?}"));
        writeln!(text, "#[serde({})]", attributes.join(", "))?;
        let typed = if optional { format!("Option<{typed}>") } else { typed };
        writeln!(text, "pub {ident}: {typed},")?;
    }
    text.push_str("}\n\n");
    Ok(())
}

fn rust_type(model: &Model, reference: &Reference) -> Result<String> {
    let shape = model.shapes.get(&reference.shape).with_context(|| format!("no shape {}", reference.shape))?;
    Ok(match shape.kind {
        Kind::Structure => reference.shape.clone(),
        Kind::List => format!("Vec<{}>", rust_type(model, shape.member.as_ref().context("list without member")?)?),
        Kind::Map => bail!("{}: no typed operation has a map yet", reference.shape),
        Kind::String | Kind::Blob | Kind::Timestamp => "String".into(),
        Kind::Integer => "i32".into(),
        Kind::Long => "i64".into(),
        Kind::Float => "f32".into(),
        Kind::Double => "f64".into(),
        Kind::Boolean => "bool".into(),
    })
}
