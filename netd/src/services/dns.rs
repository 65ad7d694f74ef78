//! DNS (RFC 1035): names of segments that know each other's, and a bounded way on for others when an upstream resolver is configured.

use super::interface::Client;
use super::names::{Names, Unknown};
use hive_packet::{be16, build, put};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

const HEADER_BYTES: usize = 12;
/// EC2's resolver answers names of instances with this TTL.
const TTL_S: u32 = 60;
/// Longest upstream answer: what fits an unfragmented jumbo frame. Longer ones come truncated.
const MAX_ANSWER_BYTES: usize = 4096;
/// Queries waiting for the upstream, in all and of one interface.
const MAX_PENDING: usize = 1024;
const MAX_PENDING_PER_INTERFACE: usize = 32;
/// A query not answered for this long is forgotten; clients ask again after 5 s.
const PENDING_MS: u64 = 5_000;

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const CLASS_IN: u16 = 1;

const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_AUTHORITATIVE: u16 = 0x0400;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
const FLAG_RECURSION_AVAILABLE: u16 = 0x0080;
const OPCODE_MASK: u16 = 0x7800;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NameError = 3,
    NotImplemented = 4,
}

/// From the address that was asked to the one that asks.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    V4 { resolver: Ipv4Addr, address: Ipv4Addr },
    V6 { resolver: Ipv6Addr, address: Ipv6Addr },
}

impl Way {
    fn send(self, client: &Client, port: u16, message: &[u8]) {
        client.send(&match self {
            Self::V4 { resolver, address } => build::udp(resolver, address, 53, port, message),
            Self::V6 { resolver, address } => build::v6::udp(resolver, address, 53, port, message),
        });
    }
}

/// Who asks, and where.
#[derive(Debug)]
pub struct Query<'a> {
    pub client: &'a Client,
    pub way: Way,
    pub port: u16,
}

/// The one question of a message.
#[derive(Debug, PartialEq, Eq)]
struct Question<'a> {
    /// Lower case, without the last dot.
    name: String,
    kind: u16,
    class: u16,
    /// As it stands in the message.
    bytes: &'a [u8],
}

impl<'a> Question<'a> {
    /// Parses the question behind the header. Compressed names do not occur there.
    fn parse(message: &'a [u8]) -> Option<Self> {
        let mut at = HEADER_BYTES;
        let mut name = String::new();
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = message.get(at..at + length).filter(|_| length <= 63)?;
            if !label.iter().all(|c| c.is_ascii_graphic() && *c != b'.') || name.len() + length > 254 {
                return None;
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|c| char::from(c.to_ascii_lowercase())));
            at += length;
        }
        let (kind, class) = (be16(message, at)?, be16(message, at + 2)?);
        Some(Self { name, kind, class, bytes: &message[HEADER_BYTES..at + 4] })
    }
}

/// What is said to a question.
enum Answer {
    /// Type and data of a record.
    Record(u16, Vec<u8>),
    /// The name exists, without a record of the type.
    Empty,
    NoSuchName,
    /// The upstream's to say; without one, this.
    Upstream(Code),
}

fn find(question: &Question<'_>, client: &Client, names: &Names) -> Answer {
    let port = client.interface.port();
    let (kind, data) = match question.name.strip_suffix(".in-addr.arpa") {
        Some(digits) => {
            let Ok(reversed) = digits.parse::<Ipv4Addr>() else { return Answer::Upstream(Code::ServerFailure) };
            let [a, b, c, d] = reversed.octets();
            match names.name_of(&port.segment, Ipv4Addr::new(d, c, b, a)) {
                Ok(name) => (TYPE_PTR, encode_name(name)),
                Err(Unknown::Nobody) => return Answer::NoSuchName,
                Err(Unknown::Domain | Unknown::Foreign) => return Answer::Upstream(Code::ServerFailure),
            }
        }
        None => match names.address_of(&port.segment, &question.name) {
            Ok(address) => (TYPE_A, address.octets().to_vec()),
            // The domain may be a public one as well, of which others know more.
            Err(Unknown::Domain) => return Answer::Upstream(Code::NoError),
            Err(Unknown::Nobody) => return Answer::Upstream(Code::NameError),
            Err(Unknown::Foreign) => return Answer::Upstream(Code::ServerFailure),
        },
    };
    if question.kind == kind { Answer::Record(kind, data) } else { Answer::Empty }
}

pub(super) fn encode_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        // Names were checked to have labels of at most 63 bytes.
        bytes.push(label.len().min(63) as u8);
        bytes.extend(label.bytes().take(63));
    }
    bytes.push(0);
    bytes
}

/// Answers a query, or passes it on; false when it is none.
pub fn answer(
    query: &Query<'_>,
    names: &Names,
    forwarder: Option<&mut Forwarder>,
    message: &[u8],
    now_ms: u64,
) -> bool {
    let (Some(id), Some(flags), Some(questions)) = (be16(message, 0), be16(message, 2), be16(message, 4)) else {
        return false;
    };
    if flags & FLAG_RESPONSE != 0 {
        return false;
    }
    let reply = |code: Code, question: &[u8], record: Option<(u16, &[u8])>, authoritative: bool| {
        let reply = response(id, flags, code, question, record, authoritative);
        query.way.send(query.client, query.port, &reply);
        true
    };
    if flags & OPCODE_MASK != 0 {
        return reply(Code::NotImplemented, &[], None, false);
    }
    let Some(question) = Question::parse(message).filter(|_| questions == 1) else {
        return reply(Code::FormatError, &[], None, false);
    };
    let answer = match question.class {
        CLASS_IN => find(&question, query.client, names),
        _ => Answer::Upstream(Code::ServerFailure),
    };
    match (answer, forwarder) {
        (Answer::Record(kind, data), _) => reply(Code::NoError, question.bytes, Some((kind, &data)), true),
        (Answer::Empty, _) => reply(Code::NoError, question.bytes, None, true),
        (Answer::NoSuchName, _) => reply(Code::NameError, question.bytes, None, true),
        (Answer::Upstream(code), None) => reply(code, question.bytes, None, code != Code::ServerFailure),
        (Answer::Upstream(_), Some(forwarder)) => {
            forwarder.ask(query, message, now_ms) || reply(Code::ServerFailure, question.bytes, None, false)
        }
    }
}

fn response(
    id: u16,
    flags: u16,
    code: Code,
    question: &[u8],
    record: Option<(u16, &[u8])>,
    authoritative: bool,
) -> Vec<u8> {
    let mut set = FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | (flags & FLAG_RECURSION_DESIRED) | code as u16;
    if authoritative {
        set |= FLAG_AUTHORITATIVE;
    }
    let mut message = Vec::new();
    for field in [id, set, u16::from(!question.is_empty()), u16::from(record.is_some()), 0, 0] {
        message.extend_from_slice(&field.to_be_bytes());
    }
    message.extend_from_slice(question);
    if let Some((kind, data)) = record {
        // The record's name is a pointer to the question's (4.1.4).
        message.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message.extend_from_slice(&TTL_S.to_be_bytes());
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}

#[derive(Debug)]
struct Pending {
    client: Client,
    way: Way,
    port: u16,
    id: u16,
    question: Vec<u8>,
    asked_ms: u64,
}

/// Queries on their way to the upstream resolver.
#[derive(Debug)]
pub struct Forwarder {
    socket: UdpSocket,
    pending: HashMap<u16, Pending>,
}

impl AsRawFd for Forwarder {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Forwarder {
    pub fn connect(upstream: SocketAddrV4) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(upstream)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, pending: HashMap::new() })
    }

    /// Passes a query on under an identifier of its own; false when there is no room or no way.
    fn ask(&mut self, query: &Query<'_>, message: &[u8], now_ms: u64) -> bool {
        self.pending.retain(|_, pending| now_ms.saturating_sub(pending.asked_ms) < PENDING_MS);
        let number = query.client.interface.number;
        let of_interface = self.pending.values().filter(|pending| pending.client.interface.number == number).count();
        if self.pending.len() >= MAX_PENDING || of_interface >= MAX_PENDING_PER_INTERFACE {
            return false;
        }
        // Unpredictable, so that an off-path answer does not fit (RFC 5452).
        let mut random = [0; 2];
        let Some(question) = Question::parse(message) else { return false };
        let (Some(id), Ok(())) = (be16(message, 0), getrandom::fill(&mut random)) else { return false };
        let upstream_id = u16::from_ne_bytes(random);
        if self.pending.contains_key(&upstream_id) {
            return false;
        }
        let mut forwarded = message.to_vec();
        put(&mut forwarded, 0, &upstream_id.to_be_bytes());
        if self.socket.send(&forwarded).is_err() {
            return false;
        }
        let pending = Pending {
            client: query.client.clone(),
            way: query.way,
            port: query.port,
            id,
            question: question.bytes.to_vec(),
            asked_ms: now_ms,
        };
        self.pending.insert(upstream_id, pending);
        true
    }

    /// Takes the upstream's answers back to who asked.
    pub fn receive(&mut self, now_ms: u64) {
        let mut buffer = [0; MAX_ANSWER_BYTES];
        // At most one answer a query that waits, so that a chatty upstream does not hold the thread.
        for _ in 0..MAX_PENDING {
            let Ok(length) = self.socket.recv(&mut buffer) else { return };
            let message = &mut buffer[..length];
            let Some(id) = be16(message, 0) else { continue };
            let fits = self.pending.get(&id).is_some_and(|pending| {
                message.get(HEADER_BYTES..).is_some_and(|rest| rest.starts_with(&pending.question))
            });
            if !fits {
                continue;
            }
            let Some(pending) = self.pending.remove(&id) else { continue };
            if now_ms.saturating_sub(pending.asked_ms) < PENDING_MS {
                put(message, 0, &pending.id.to_be_bytes());
                pending.way.send(&pending.client, pending.port, message);
            }
        }
    }

    /// Forgets what an interface asked.
    pub fn forget(&mut self, number: u64) {
        self.pending.retain(|_, pending| pending.client.interface.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_parse_and_loops_do_not() {
        let mut message = vec![0; HEADER_BYTES];
        message.extend_from_slice(b"\x03WWW\x07example\x03com\x00\x00\x01\x00\x01");
        let question = Question::parse(&message).unwrap();
        assert_eq!((question.name.as_str(), question.kind, question.class), ("www.example.com", TYPE_A, CLASS_IN));
        assert_eq!(encode_name("www.example.com"), b"\x03www\x07example\x03com\x00");
        message[HEADER_BYTES] = 0xc0;
        assert_eq!(Question::parse(&message), None);
    }

    proptest! {
        #[test]
        fn hostile_messages_never_panic(message in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(question) = Question::parse(&message) {
                prop_assert!(question.name.len() <= 255);
            }
        }
    }
}
