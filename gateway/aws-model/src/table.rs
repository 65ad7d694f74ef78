//! Rows of the generated tables, and views of them with names and shapes resolved.

/// Wire protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Forms in, XML out; lists always flat; no result wrapper.
    Ec2,
    /// Forms in, XML out; lists as `.member.N`; result wrapper.
    Query,
    RestXml,
    /// Members in path, query, headers and a JSON body.
    RestJson,
}

/// Where a REST protocol puts a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Body,
    Header,
    /// A map whose entries are headers with this prefix.
    HeaderPrefix,
    Query,
    Uri,
    Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    Iso8601,
    HttpDate,
    UnixSeconds,
}

/// Inclusive bounds: of a number, of a text in characters, or of a list in items.
pub type Bounds = (Option<i64>, Option<i64>);

/// One service. Indices of shapes and names are 16 bits wide and only meaningful within it.
#[derive(Debug)]
pub struct Schema {
    pub service: &'static str,
    pub protocol: Protocol,
    pub api_version: &'static str,
    pub namespace: &'static str,
    pub(crate) names: &'static [&'static str],
    pub(crate) shapes: &'static [Shape],
    /// Sorted by name.
    pub(crate) operations: &'static [Operation],
    pub(crate) errors: &'static [ErrorRow],
}

/// One operation's row.
#[derive(Debug)]
pub struct Operation {
    pub name: &'static str,
    pub method: &'static str,
    /// Path and fixed query of a REST operation; `/` in the form protocols.
    pub uri: &'static str,
    /// Status of a success.
    pub status: u16,
    pub(crate) input: Option<u16>,
    pub(crate) output: Option<u16>,
    /// Element around the output in the query protocol.
    pub result_wrapper: Option<&'static str>,
    /// The signature does not cover the body; a checksum header that it covers does.
    pub unsigned_payload: bool,
    pub(crate) errors: &'static [u16],
}

/// A modelled error (ec2 models none).
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorRow {
    pub code: &'static str,
    pub status: u16,
}

#[derive(Debug)]
pub enum Shape {
    Structure(&'static [Member]),
    List { of: u16, item: u16, flattened: bool, len: Bounds },
    Map { key: u16, value: u16, key_name: u16, value_name: u16, flattened: bool },
    Text { values: &'static [u16], len: Bounds, pattern: Option<&'static str>, sensitive: bool },
    Integer(Option<i64>, Option<i64>),
    Long(Option<i64>, Option<i64>),
    Double,
    Boolean,
    Blob { sensitive: bool },
    Timestamp(TimestampFormat),
}

/// A structure member's row.
#[derive(Debug)]
pub struct Member {
    name: u16,
    query_name: u16,
    xml_name: u16,
    shape: u16,
    location: Location,
    required: bool,
    idempotency_token: bool,
    flattened: bool,
    payload: bool,
}

impl Member {
    pub(crate) const fn new(name: u16, query_name: u16, xml_name: u16, shape: u16) -> Self {
        Self {
            name,
            query_name,
            xml_name,
            shape,
            location: Location::Body,
            required: false,
            idempotency_token: false,
            flattened: false,
            payload: false,
        }
    }

    pub(crate) const fn at(self, location: Location) -> Self {
        Self { location, ..self }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(crate) const fn idempotency_token(self) -> Self {
        Self { idempotency_token: true, ..self }
    }

    pub(crate) const fn flattened(self) -> Self {
        Self { flattened: true, ..self }
    }

    pub(crate) const fn payload(self) -> Self {
        Self { payload: true, ..self }
    }
}

impl Schema {
    /// The operation of this exact name.
    pub fn operation(&'static self, name: &str) -> Option<OperationRef> {
        let at = self.operations.binary_search_by_key(&name, |row| row.name).ok()?;
        Some(OperationRef { schema: self, row: &self.operations[at] })
    }

    pub fn operations(&'static self) -> impl Iterator<Item = OperationRef> {
        self.operations.iter().map(move |row| OperationRef { schema: self, row })
    }

    /// HTTP status of a modelled error code.
    pub fn error_status(&self, code: &str) -> Option<u16> {
        self.errors.iter().find(|row| row.code == code).map(|row| row.status)
    }
}

/// An operation with its schema.
#[derive(Clone, Copy, Debug)]
pub struct OperationRef {
    pub schema: &'static Schema,
    pub row: &'static Operation,
}

impl OperationRef {
    pub fn name(self) -> &'static str {
        self.row.name
    }

    pub fn input(self) -> Option<ShapeRef> {
        self.row.input.map(|index| ShapeRef { schema: self.schema, index })
    }

    pub fn output(self) -> Option<ShapeRef> {
        self.row.output.map(|index| ShapeRef { schema: self.schema, index })
    }

    /// Errors that the model lists for this operation.
    pub fn errors(self) -> impl Iterator<Item = &'static ErrorRow> {
        self.row.errors.iter().map(move |index| &self.schema.errors[usize::from(*index)])
    }
}

/// A shape with its schema.
#[derive(Clone, Copy, Debug)]
pub struct ShapeRef {
    schema: &'static Schema,
    index: u16,
}

/// What a shape is, its parts resolved.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Structure(Members),
    List { of: ShapeRef, item: &'static str, flattened: bool, len: Bounds },
    Map { key: ShapeRef, value: ShapeRef, key_name: &'static str, value_name: &'static str, flattened: bool },
    Text { values: Values, len: Bounds, pattern: Option<&'static str>, sensitive: bool },
    Integer(Bounds),
    Long(Bounds),
    Double,
    Boolean,
    Blob { sensitive: bool },
    Timestamp(TimestampFormat),
}

impl ShapeRef {
    pub fn kind(self) -> Kind {
        let schema = self.schema;
        let shape = |index: u16| ShapeRef { schema, index };
        let name = |index: u16| schema.names[usize::from(index)];
        match &schema.shapes[usize::from(self.index)] {
            Shape::Structure(rows) => Kind::Structure(Members { schema, rows }),
            Shape::List { of, item, flattened, len } => {
                Kind::List { of: shape(*of), item: name(*item), flattened: *flattened, len: *len }
            }
            Shape::Map { key, value, key_name, value_name, flattened } => Kind::Map {
                key: shape(*key),
                value: shape(*value),
                key_name: name(*key_name),
                value_name: name(*value_name),
                flattened: *flattened,
            },
            Shape::Text { values, len, pattern, sensitive } => Kind::Text {
                values: Values { schema, indices: values },
                len: *len,
                pattern: *pattern,
                sensitive: *sensitive,
            },
            Shape::Integer(min, max) => Kind::Integer((*min, *max)),
            Shape::Long(min, max) => Kind::Long((*min, *max)),
            Shape::Double => Kind::Double,
            Shape::Boolean => Kind::Boolean,
            Shape::Blob { sensitive } => Kind::Blob { sensitive: *sensitive },
            Shape::Timestamp(format) => Kind::Timestamp(*format),
        }
    }

    /// Members, none when this is no structure.
    pub fn members(self) -> Members {
        match self.kind() {
            Kind::Structure(members) => members,
            _ => Members { schema: self.schema, rows: &[] },
        }
    }
}

/// Members of a structure, sorted by name.
#[derive(Clone, Copy, Debug)]
pub struct Members {
    schema: &'static Schema,
    rows: &'static [Member],
}

impl Members {
    pub fn iter(self) -> impl Iterator<Item = MemberRef> {
        self.rows.iter().map(move |row| MemberRef { schema: self.schema, row })
    }

    pub fn by_query_name(self, name: &str) -> Option<MemberRef> {
        self.iter().find(|member| member.query_name() == name)
    }

    pub fn by_name(self, name: &str) -> Option<MemberRef> {
        self.iter().find(|member| member.name() == name)
    }
}

/// A member with its schema.
#[derive(Clone, Copy, Debug)]
pub struct MemberRef {
    schema: &'static Schema,
    row: &'static Member,
}

impl MemberRef {
    fn text(self, index: u16) -> &'static str {
        self.schema.names[usize::from(index)]
    }

    /// Name in the model: `ImageId`.
    pub fn name(self) -> &'static str {
        self.text(self.row.name)
    }

    /// Name in a form.
    pub fn query_name(self) -> &'static str {
        self.text(self.row.query_name)
    }

    /// Name of the XML element, or of the header or query parameter.
    pub fn xml_name(self) -> &'static str {
        self.text(self.row.xml_name)
    }

    pub fn shape(self) -> ShapeRef {
        ShapeRef { schema: self.schema, index: self.row.shape }
    }

    pub fn location(self) -> Location {
        self.row.location
    }

    pub fn is_required(self) -> bool {
        self.row.required
    }

    pub fn is_idempotency_token(self) -> bool {
        self.row.idempotency_token
    }

    /// A list or map without an element around it, whatever the shape says.
    pub fn is_flattened(self) -> bool {
        self.row.flattened
    }

    /// The whole body is this member.
    pub fn is_payload(self) -> bool {
        self.row.payload
    }
}

/// Values of an enumeration; empty when any text will do.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    schema: &'static Schema,
    indices: &'static [u16],
}

impl Values {
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        self.indices.iter().map(move |index| self.schema.names[usize::from(*index)])
    }

    pub fn is_empty(self) -> bool {
        self.indices.is_empty()
    }

    pub fn contains(self, value: &str) -> bool {
        self.iter().any(|known| known == value)
    }
}
