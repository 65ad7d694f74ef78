//! The schema tables of hive-aws-model: shapes and operations of one service, names interned.

use crate::model::{Kind, Model, Reference, Shape};
use crate::naming::{location_name, query_name};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const LINE_LEN: usize = 118;

pub fn render(service: &str, model: &Model) -> Result<String> {
    let tables = Tables::new(model)?;
    let mut text = format!("//! Schema of {service}, API version {}.\n\n", model.metadata.api_version);
    text.push_str("use crate::table::{ErrorRow, Member, Operation, Protocol, Schema, Shape::*, TimestampFormat};\n");
    if model.metadata.protocol.starts_with("rest") {
        text.push_str("use crate::table::Location;\n");
    }
    text.push('\n');
    let protocol = match model.metadata.protocol.as_str() {
        "ec2" => "Ec2",
        "query" => "Query",
        "rest-xml" => "RestXml",
        "rest-json" => "RestJson",
        other => bail!("protocol {other} has no tables"),
    };
    writeln!(text, "pub static SCHEMA: Schema = Schema {{")?;
    writeln!(text, "service: {service:?},\nprotocol: Protocol::{protocol},")?;
    writeln!(text, "api_version: {:?},\nnamespace: {:?},", model.metadata.api_version, model.metadata.xml_namespace)?;
    writeln!(text, "names: NAMES,\nshapes: SHAPES,\noperations: OPERATIONS,\nerrors: ERRORS,\n}};\n")?;
    tables.write_operations(&mut text)?;
    tables.write_errors(&mut text)?;
    tables.write_shapes(&mut text)?;
    tables.write_names(&mut text)?;
    Ok(text)
}

struct Tables<'a> {
    model: &'a Model,
    names: BTreeMap<String, usize>,
    shapes: BTreeMap<&'a str, usize>,
    errors: BTreeMap<&'a str, usize>,
}

impl<'a> Tables<'a> {
    fn new(model: &'a Model) -> Result<Self> {
        let mut used = BTreeSet::new();
        for operation in model.operations.values() {
            for shape in [&operation.input, &operation.output].into_iter().flatten() {
                reach(model, &shape.shape, &mut used)?;
            }
        }
        let mut names = BTreeSet::new();
        for shape in used.iter().map(|name| &model.shapes[*name]) {
            names.extend(shape.values.iter().cloned());
            for (name, member) in &shape.members {
                let target = &model.shapes[&member.shape];
                names.insert(name.clone());
                names.insert(location_name(name, member, target).to_owned());
                names.insert(query_name(&model.metadata.protocol, name, member, target));
            }
            names.extend(element_names(shape));
        }
        let errors = model.shapes.iter().filter(|(_, shape)| shape.exception).map(|(name, _)| name.as_str());
        let tables = Self {
            model,
            names: names.into_iter().zip(0..).collect(),
            shapes: used.into_iter().zip(0..).collect(),
            errors: errors.zip(0..).collect(),
        };
        let largest = tables.names.len().max(tables.shapes.len());
        if largest > usize::from(u16::MAX) {
            bail!("{largest} names or shapes do not fit 16-bit indices");
        }
        Ok(tables)
    }

    fn shape(&self, name: &str) -> Result<usize> {
        self.shapes.get(name).copied().with_context(|| format!("no shape {name}"))
    }

    fn name(&self, name: &str) -> Result<usize> {
        self.names.get(name).copied().with_context(|| format!("no name {name}"))
    }

    fn write_operations(&self, text: &mut String) -> Result<()> {
        text.push_str("#[rustfmt::skip]\nstatic OPERATIONS: &[Operation] = &[\n");
        for (name, operation) in &self.model.operations {
            let input = self.optional_shape(operation.input.as_ref().map(|input| input.shape.as_str()))?;
            let output = self.optional_shape(operation.output.as_ref().map(|output| output.shape.as_str()))?;
            let wrapper = operation.output.as_ref().and_then(|output| output.result_wrapper.as_ref());
            let errors: Vec<usize> =
                operation.errors.iter().filter_map(|error| self.errors.get(error.shape.as_str()).copied()).collect();
            writeln!(
                text,
                "Operation {{ name: {name:?}, method: {:?}, uri: {:?}, status: {}, input: {input}, output: {output}, \
                 result_wrapper: {wrapper:?}, unsigned_payload: {}, errors: &{errors:?} }},",
                operation.http.method,
                operation.http.request_uri,
                operation.http.response_code.unwrap_or(200),
                operation.unsigned_payload
            )?;
        }
        text.push_str("];\n\n");
        Ok(())
    }

    fn optional_shape(&self, name: Option<&str>) -> Result<String> {
        name.map_or(Ok("None".into()), |name| Ok(format!("Some({})", self.shape(name)?)))
    }

    fn write_errors(&self, text: &mut String) -> Result<()> {
        text.push_str("#[rustfmt::skip]\nstatic ERRORS: &[ErrorRow] = &[\n");
        for name in self.errors.keys() {
            let default = crate::model::ErrorTrait::default();
            let error = self.model.shapes[*name].error.as_ref().unwrap_or(&default);
            let code = error.code.as_deref().unwrap_or(name);
            writeln!(text, "ErrorRow {{ code: {code:?}, status: {} }},", error.http_status_code.unwrap_or(400))?;
        }
        text.push_str("];\n\n");
        Ok(())
    }

    fn write_shapes(&self, text: &mut String) -> Result<()> {
        text.push_str("#[rustfmt::skip]\nstatic SHAPES: &[crate::table::Shape] = &[\n");
        for (name, index) in &self.shapes {
            let mut row = format!("/* {index} {name} */ ");
            self.write_shape(&mut row, &self.model.shapes[*name])?;
            wrap(text, &row);
        }
        text.push_str("];\n\n");
        Ok(())
    }

    fn write_shape(&self, row: &mut String, shape: &Shape) -> Result<()> {
        let bounds = format!("{:?}, {:?}", shape.min.map(|min| min as i64), shape.max.map(|max| max as i64));
        match shape.kind {
            Kind::Structure => {
                row.push_str("Structure(&[");
                for (name, member) in &shape.members {
                    let required = shape.required.contains(name);
                    let payload = shape.payload.as_ref() == Some(name);
                    self.write_member(row, name, member, required, payload)?;
                }
                row.push_str("]),");
            }
            Kind::List => {
                let member = shape.member.as_ref().context("list without member")?;
                let [item] = &element_names(shape)[..] else { bail!("a list has one element name") };
                let (item, of) = (self.name(item)?, self.shape(&member.shape)?);
                write!(row, "List {{ of: {of}, item: {item}, flattened: {}, len: ({bounds}) }},", shape.flattened)?;
            }
            Kind::Map => {
                let (key, value) = shape.key.as_ref().zip(shape.value.as_ref()).context("map without key or value")?;
                let [key_name, value_name] = &element_names(shape)[..] else { bail!("a map has two element names") };
                write!(
                    row,
                    "Map {{ key: {}, value: {}, key_name: {}, value_name: {}, flattened: {} }},",
                    self.shape(&key.shape)?,
                    self.shape(&value.shape)?,
                    self.name(key_name)?,
                    self.name(value_name)?,
                    shape.flattened
                )?;
            }
            Kind::String => {
                let values: Vec<usize> = shape.values.iter().map(|value| self.name(value)).collect::<Result<_>>()?;
                let pattern = shape.pattern.as_ref().filter(|pattern| can_match(pattern));
                write!(
                    row,
                    "Text {{ values: &{values:?}, len: ({bounds}), pattern: {pattern:?}, sensitive: {} }},",
                    shape.sensitive
                )?;
            }
            Kind::Integer => write!(row, "Integer({bounds}),")?,
            Kind::Long => write!(row, "Long({bounds}),")?,
            Kind::Float | Kind::Double => row.push_str("Double,"),
            Kind::Boolean => row.push_str("Boolean,"),
            Kind::Blob => write!(row, "Blob {{ sensitive: {} }},", shape.sensitive)?,
            Kind::Timestamp => {
                let format = match shape.timestamp_format.as_deref() {
                    // The default of JSON bodies, and of nothing else that is spoken here.
                    None if self.model.metadata.protocol == "rest-json" => "UnixSeconds",
                    None | Some("iso8601") => "Iso8601",
                    Some("rfc822") => "HttpDate",
                    Some("unixTimestamp") => "UnixSeconds",
                    Some(other) => bail!("timestamp format {other}"),
                };
                write!(row, "Timestamp(TimestampFormat::{format}),")?;
            }
        }
        Ok(())
    }

    fn write_member(
        &self,
        row: &mut String,
        name: &str,
        member: &Reference,
        required: bool,
        payload: bool,
    ) -> Result<()> {
        let target = &self.model.shapes[&member.shape];
        write!(
            row,
            "Member::new({}, {}, {}, {})",
            self.name(name)?,
            self.name(&query_name(&self.model.metadata.protocol, name, member, target))?,
            self.name(location_name(name, member, target))?,
            self.shape(&member.shape)?
        )?;
        let location = match member.location.as_deref() {
            None => None,
            Some("header") => Some("Header"),
            Some("headers") => Some("HeaderPrefix"),
            Some("querystring") => Some("Query"),
            Some("uri") => Some("Uri"),
            Some("statusCode") => Some("Status"),
            Some(other) => bail!("member {name} is at location {other}"),
        };
        if let Some(location) = location {
            write!(row, ".at(Location::{location})")?;
        }
        for (holds, marker) in [
            (required, "required"),
            (member.idempotency_token, "idempotency_token"),
            (member.flattened, "flattened"),
            (payload || member.streaming, "payload"),
        ] {
            if holds {
                write!(row, ".{marker}()")?;
            }
        }
        row.push_str(", ");
        Ok(())
    }

    fn write_names(&self, text: &mut String) -> Result<()> {
        text.push_str("#[rustfmt::skip]\nstatic NAMES: &[&str] = &[\n");
        let row: Vec<String> = self.names.keys().map(|name| format!("{name:?},")).collect();
        wrap(text, &row.join(" "));
        text.push_str("];\n");
        Ok(())
    }
}

/// Adds the shapes that `name` needs.
fn reach<'a>(model: &'a Model, name: &'a str, used: &mut BTreeSet<&'a str>) -> Result<()> {
    if !used.insert(name) {
        return Ok(());
    }
    let shape = model.shapes.get(name).with_context(|| format!("no shape {name}"))?;
    shape.references().try_for_each(|reference| reach(model, &reference.shape, used))
}

/// Names of a list's items or of a map's keys and values.
fn element_names(shape: &Shape) -> Vec<String> {
    let name = |reference: &Reference, default: &str| reference.location_name.as_deref().unwrap_or(default).to_owned();
    let item = shape.member.as_ref().map(|member| name(member, "member"));
    let key = shape.key.as_ref().map(|key| name(key, "key"));
    let value = shape.value.as_ref().map(|value| name(value, "value"));
    item.into_iter().chain(key).chain(value).collect()
}

/// False for the patterns of the model that no text matches, by a `^` in their middle (a placement group's ARN has one).
fn can_match(pattern: &str) -> bool {
    let before_carets = pattern.char_indices().skip(1).filter(|(_, letter)| *letter == '^');
    let mut before_carets = before_carets.filter_map(|(at, _)| pattern[..at].chars().next_back());
    before_carets.all(|letter| matches!(letter, '[' | '(' | '|' | '\\'))
}

/// Breaks a row at spaces that are outside of string literals.
fn wrap(text: &mut String, row: &str) {
    let (mut line_start, mut last_break, mut in_literal, mut escaped) = (0, None, false, false);
    for (at, letter) in row.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_literal => escaped = true,
            '"' => in_literal = !in_literal,
            ' ' if !in_literal => {
                if at - line_start > LINE_LEN
                    && let Some(end) = last_break
                {
                    text.push_str(row[line_start..end].trim_end());
                    text.push('\n');
                    line_start = end + 1;
                }
                last_break = Some(at);
            }
            _ => {}
        }
    }
    text.push_str(row[line_start..].trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_in_the_middle_matches_nothing() {
        assert!(can_match("^[^a](^b|^c)\\^d"));
        assert!(!can_match("^arn:.*/^.{1,255}$"));
    }

    #[test]
    fn rows_break_outside_of_literals() {
        let (mut text, row) = (String::new(), format!("{:?}, ", "a b").repeat(40));
        wrap(&mut text, &row);
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.matches('"').count() % 2 == 0), "{text}");
        assert_eq!(text.replace('\n', " ").trim(), row.trim());
    }
}
