//! Lines: AWS's default format, and those that users choose.

use super::{Action, Content, Record};
use crate::source::Direction;
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// Fields of one format: each of AWS's may be there once.
const FIELDS_MAX: usize = 64;

macro_rules! fields {
    ($($variant:ident = $name:literal, $version:literal;)*) => {
        /// What a line may have.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $($variant,)*
        }

        impl Field {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Of flow logs, in which it came.
            fn version(self) -> u8 {
                match self {
                    $(Self::$variant => $version,)*
                }
            }
        }
    };
}

fields! {
    Version = "version", 2;
    AccountId = "account-id", 2;
    InterfaceId = "interface-id", 2;
    SrcAddr = "srcaddr", 2;
    DstAddr = "dstaddr", 2;
    SrcPort = "srcport", 2;
    DstPort = "dstport", 2;
    Protocol = "protocol", 2;
    Packets = "packets", 2;
    Bytes = "bytes", 2;
    Start = "start", 2;
    End = "end", 2;
    Action = "action", 2;
    LogStatus = "log-status", 2;
    VpcId = "vpc-id", 3;
    SubnetId = "subnet-id", 3;
    InstanceId = "instance-id", 3;
    TcpFlags = "tcp-flags", 3;
    Type = "type", 3;
    PktSrcAddr = "pkt-srcaddr", 3;
    PktDstAddr = "pkt-dstaddr", 3;
    Region = "region", 4;
    AzId = "az-id", 4;
    SublocationType = "sublocation-type", 4;
    SublocationId = "sublocation-id", 4;
    PktSrcAwsService = "pkt-src-aws-service", 5;
    PktDstAwsService = "pkt-dst-aws-service", 5;
    FlowDirection = "flow-direction", 5;
    TrafficPath = "traffic-path", 5;
}

/// The default.
const VERSION_2: usize = 14;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("Unknown fields provided: {0}")]
    Unknown(String),
    #[error("a format is of fields as in ${{version}} ${{srcaddr}}, at most {FIELDS_MAX}, each once")]
    Shape,
}

/// Which fields a line has, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Field>);

impl Default for Format {
    fn default() -> Self {
        Self(Field::ALL[..VERSION_2].to_vec())
    }
}

/// As it is asked for: `${version} ${srcaddr}`.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, field) in self.0.iter().enumerate() {
            write!(f, "{}${{{}}}", if at > 0 { " " } else { "" }, field.name())?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut fields = Vec::new();
        for word in text.split_ascii_whitespace() {
            let name = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).ok_or(FormatError::Shape)?;
            let known = Field::ALL.iter().copied().find(|field| field.name() == name);
            let field = known.ok_or_else(|| FormatError::Unknown(name.chars().take(FIELDS_MAX).collect()))?;
            if fields.contains(&field) || fields.len() >= FIELDS_MAX {
                return Err(FormatError::Shape);
            }
            fields.push(field);
        }
        if fields.is_empty() { Err(FormatError::Shape) } else { Ok(Self(fields)) }
    }
}

impl Format {
    /// The first line of a file.
    pub fn header(&self) -> String {
        self.0.iter().map(|field| field.name()).collect::<Vec<_>>().join(" ")
    }

    fn version(&self) -> u8 {
        self.0.iter().map(|field| field.version()).max().unwrap_or(2)
    }
}

/// What is known of a record's interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub account: String,
    pub vpc: String,
    /// Of the VPC.
    pub cidrs: Vec<IpNet>,
    pub subnet: String,
    pub instance: Option<String>,
    pub region: String,
    pub zone_id: String,
}

/// A record as a format has it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub format: &'a Format,
    pub record: &'a Record,
    pub subject: &'a Subject,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, field) in self.format.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            self.field(*field, f)?;
        }
        Ok(())
    }
}

impl Line<'_> {
    fn field(&self, field: Field, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, record, subject } = self;
        match field {
            Field::Version => return write!(f, "{}", format.version()),
            Field::AccountId => return f.write_str(&subject.account),
            Field::InterfaceId => return write!(f, "{}", record.interface),
            Field::Start => return write!(f, "{}", record.start_s),
            Field::End => return write!(f, "{}", record.end_s),
            Field::LogStatus => {
                return f.write_str(match record.content {
                    Content::Flow { .. } => "OK",
                    Content::NoData => "NODATA",
                    Content::SkipData => "SKIPDATA",
                });
            }
            Field::VpcId => return f.write_str(&subject.vpc),
            Field::SubnetId => return f.write_str(&subject.subnet),
            Field::InstanceId => return f.write_str(subject.instance.as_deref().unwrap_or("-")),
            Field::Region => return f.write_str(&subject.region),
            Field::AzId => return f.write_str(&subject.zone_id),
            _ => {}
        }
        let Content::Flow { tuple, direction, packets, bytes, tcp_flags, action } = record.content else {
            return f.write_str("-");
        };
        match field {
            // What is translated for an interface is so outside of it: a packet has the addresses that it has there.
            Field::SrcAddr | Field::PktSrcAddr => write!(f, "{}", tuple.source),
            Field::DstAddr | Field::PktDstAddr => write!(f, "{}", tuple.destination),
            Field::SrcPort => write!(f, "{}", tuple.source_port),
            Field::DstPort => write!(f, "{}", tuple.destination_port),
            Field::Protocol => write!(f, "{}", tuple.protocol),
            Field::Packets => write!(f, "{packets}"),
            Field::Bytes => write!(f, "{bytes}"),
            Field::Action => write!(f, "{action}"),
            Field::TcpFlags => write!(f, "{tcp_flags}"),
            Field::Type => f.write_str(if tuple.source.is_ipv4() { "IPv4" } else { "IPv6" }),
            Field::FlowDirection => write!(f, "{direction}"),
            // 1: within the VPC. Whether it is a gateway or another interface that leads further is not told.
            Field::TrafficPath if direction == Direction::Egress && action == Action::Accept => {
                let within = |address: IpAddr| subject.cidrs.iter().any(|cidr| cidr.contains(&address));
                f.write_str(if within(tuple.destination) { "1" } else { "-" })
            }
            // There are no outposts, and no services of AWS to tell of.
            _ => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tuple;
    use super::*;
    use proptest::prelude::*;

    fn record() -> Record {
        let tuple = Tuple {
            source: "172.31.16.139".parse().unwrap(),
            destination: "172.31.16.21".parse().unwrap(),
            source_port: 20641,
            destination_port: 22,
            protocol: 6,
        };
        let (packets, bytes, action, direction) = (20, 4249, Action::Accept, Direction::Egress);
        Record {
            interface: "eni-1235b8ca123456789".into(),
            start_s: 1_418_530_010,
            end_s: 1_418_530_070,
            content: Content::Flow { tuple, direction, packets, bytes, tcp_flags: 3, action },
        }
    }

    fn subject() -> Subject {
        Subject {
            account: "123456789010".into(),
            vpc: "vpc-1".into(),
            cidrs: vec!["172.31.0.0/16".parse().unwrap()],
            subnet: "subnet-1".into(),
            instance: None,
            region: "us-east-2".into(),
            zone_id: "use2-az1".into(),
        }
    }

    #[test]
    fn records_are_as_aws_writes_them() {
        let (format, mut record, subject) = (Format::default(), record(), subject());
        let line = |record: &Record| Line { format: &format, record, subject: &subject }.to_string();
        // The examples of AWS's documentation.
        assert_eq!(
            line(&record),
            "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"
        );
        record.content = Content::NoData;
        (record.start_s, record.end_s) = (1_431_280_876, 1_431_280_934);
        assert_eq!(line(&record), "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA");
        assert_eq!(
            format.header(),
            "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
        );
    }

    #[test]
    fn other_formats_have_what_they_ask_for() {
        let text = "${version} ${vpc-id} ${subnet-id} ${instance-id} ${tcp-flags} ${type} ${pkt-srcaddr} ${region} ${az-id} \
                    ${sublocation-type} ${pkt-dst-aws-service} ${flow-direction} ${traffic-path}";
        let format: Format = text.parse().unwrap();
        let line = Line { format: &format, record: &record(), subject: &subject() }.to_string();
        assert_eq!(line, "5 vpc-1 subnet-1 - 3 IPv4 172.31.16.139 us-east-2 use2-az1 - - egress 1");
        let three: Format = "${tcp-flags} ${version}".parse().unwrap();
        assert_eq!(Line { format: &three, record: &record(), subject: &subject() }.to_string(), "3 3");
        for (text, error) in [
            ("${version} ${nonsense}", FormatError::Unknown("nonsense".into())),
            ("version", FormatError::Shape),
            ("", FormatError::Shape),
            ("${version} ${version}", FormatError::Shape),
            ("${version", FormatError::Shape),
        ] {
            assert_eq!(text.parse::<Format>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_format_or_none(text in "([$]\\{(version|start|tcp-flags|x)\\}[ ]?|.){0,6}") {
            if let Ok(format) = text.parse::<Format>() {
                prop_assert_eq!(format.to_string().parse::<Format>(), Ok(format));
            }
        }
    }
}
