//! What a request does wrong against the model, and how each protocol words it.

use crate::wire::Fault;
use hive_aws_model::Protocol;

/// One broken rule at one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Name of the parameter on the wire, dotted: `Filter.1.Name`.
    pub path: String,
    pub rule: Rule,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    Unknown,
    Missing,
    /// The text is not of the member's type.
    Type {
        value: String,
        expected: &'static str,
    },
    /// Not one of the enumeration.
    Enum {
        value: String,
        allowed: Vec<&'static str>,
    },
    Minimum {
        value: String,
        bound: i64,
    },
    Maximum {
        value: String,
        bound: i64,
    },
    MinimumLength {
        value: String,
        bound: i64,
    },
    MaximumLength {
        value: String,
        bound: i64,
    },
    Pattern {
        value: String,
        pattern: &'static str,
    },
    /// Own rule of an operation with an own code.
    Own(Fault),
}

/// Values are repeated in messages up to this many characters.
const MAX_SHOWN_CHARS: usize = 128;

impl Violation {
    pub fn new(path: impl Into<String>, rule: Rule) -> Self {
        Self { path: path.into(), rule }
    }

    pub fn fault(self, protocol: Protocol) -> Fault {
        match (self.rule, protocol) {
            (Rule::Own(fault), _) => fault,
            (Rule::Unknown, Protocol::Ec2) => {
                Fault::new("UnknownParameter", 400, format!("The parameter {} is not recognized", self.path))
            }
            (Rule::Missing, Protocol::Ec2) => {
                Fault::new("MissingParameter", 400, format!("The request must contain the parameter {}", self.path))
            }
            (rule, Protocol::Ec2) => {
                let value = shown(rule.value());
                let message = format!("Value ({value}) for parameter {} is invalid. {}", self.path, rule.reason());
                Fault::new("InvalidParameterValue", 400, message)
            }
            (rule @ (Rule::Unknown | Rule::Type { .. }), Protocol::RestJson) => {
                let message = format!("{} is not {}", self.path, rule.expected());
                Fault::new("ValidationException", 400, message).because("INVALID_PARAMETER_VALUE")
            }
            (Rule::Unknown, _) => Fault::new("MalformedInput", 400, format!("Unexpected parameter {}", self.path)),
            (Rule::Type { value, expected }, _) => {
                let message = format!("Value {} at {} is not {expected}", shown(&value), self.path);
                Fault::new("MalformedInput", 400, message)
            }
            (rule, protocol) => {
                let value = match rule {
                    Rule::Missing => "null".to_owned(),
                    ref rule => format!("'{}'", shown(rule.value())),
                };
                let message = format!(
                    "1 validation error detected: Value {value} at '{}' failed to satisfy constraint: {}",
                    camel(&self.path),
                    rule.constraint()
                );
                match protocol {
                    Protocol::RestJson => {
                        Fault::new("ValidationException", 400, message).because("INVALID_PARAMETER_VALUE")
                    }
                    _ => Fault::new("ValidationError", 400, message),
                }
            }
        }
    }
}

impl Rule {
    fn value(&self) -> &str {
        match self {
            Self::Unknown | Self::Missing | Self::Own(_) => "",
            Self::Type { value, .. }
            | Self::Enum { value, .. }
            | Self::Minimum { value, .. }
            | Self::Maximum { value, .. }
            | Self::MinimumLength { value, .. }
            | Self::MaximumLength { value, .. }
            | Self::Pattern { value, .. } => value,
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Type { expected, .. } => expected,
            _ => "known",
        }
    }

    /// The second sentence of ec2's message.
    fn reason(&self) -> String {
        match self {
            Self::Unknown | Self::Missing | Self::Own(_) => String::new(),
            Self::Type { expected, .. } => format!("Expecting {expected}."),
            Self::Enum { allowed, .. } => match &allowed[..] {
                few if few.len() <= 16 => format!("Valid values are: {}.", few.join(", ")),
                _ => "It is none of the valid values.".into(),
            },
            Self::Minimum { bound, .. } => format!("Expecting a value greater than or equal to {bound}."),
            Self::Maximum { bound, .. } => format!("Expecting a value less than or equal to {bound}."),
            Self::MinimumLength { bound, .. } => format!("Expecting a length of {bound} or more."),
            Self::MaximumLength { bound, .. } => format!("Expecting a length of {bound} or less."),
            Self::Pattern { pattern, .. } => format!("Expecting a value that matches {pattern}."),
        }
    }

    /// The constraint in the words of the query services.
    fn constraint(&self) -> String {
        match self {
            Self::Unknown | Self::Type { .. } | Self::Own(_) => String::new(),
            Self::Missing => "Member must not be null".into(),
            Self::Enum { allowed, .. } => format!("Member must satisfy enum value set: [{}]", allowed.join(", ")),
            Self::Minimum { bound, .. } => format!("Member must have value greater than or equal to {bound}"),
            Self::Maximum { bound, .. } => format!("Member must have value less than or equal to {bound}"),
            Self::MinimumLength { bound, .. } => format!("Member must have length greater than or equal to {bound}"),
            Self::MaximumLength { bound, .. } => format!("Member must have length less than or equal to {bound}"),
            Self::Pattern { pattern, .. } => format!("Member must satisfy regular expression pattern: {pattern}"),
        }
    }
}

fn shown(value: &str) -> String {
    value.chars().take(MAX_SHOWN_CHARS).collect()
}

/// `UserName` -> `userName`, `Tags.member.1.Key` -> `tags.1.member.key`
fn camel(path: &str) -> String {
    let lower = |segment: &str| {
        let mut letters = segment.chars();
        letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    let mut segments: Vec<String> = path.split('.').map(lower).collect();
    for at in 1..segments.len() {
        if segments[at - 1] == "member" && segments[at].bytes().all(|digit| digit.is_ascii_digit()) {
            segments.swap(at - 1, at);
        }
    }
    segments.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_ec2() {
        let missing = Violation::new("ImageId", Rule::Missing).fault(Protocol::Ec2);
        assert_eq!(missing, Fault::new("MissingParameter", 400, "The request must contain the parameter ImageId"));
        let unknown = Violation::new("Foo.1", Rule::Unknown).fault(Protocol::Ec2);
        assert_eq!(unknown, Fault::new("UnknownParameter", 400, "The parameter Foo.1 is not recognized"));
        let low = Violation::new("MaxResults", Rule::Minimum { value: "1".into(), bound: 5 }).fault(Protocol::Ec2);
        assert_eq!(low.code, "InvalidParameterValue");
        assert_eq!(
            low.message,
            "Value (1) for parameter MaxResults is invalid. Expecting a value greater than or equal to 5."
        );
    }

    #[test]
    fn sentences_of_the_query_services() {
        let missing = Violation::new("Tags.member.1.Key", Rule::Missing).fault(Protocol::Query);
        assert_eq!(missing.code, "ValidationError");
        assert_eq!(
            missing.message,
            "1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not \
             be null"
        );
    }
}
