//! FTP's control channel (RFC 959, RFC 2428): where the data connection will go to, and the address in its place if that is
//! translated.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// A message that announces a data connection is shorter.
const MESSAGE_MAX: usize = 256;

/// What a message announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Where the side that sends it will listen; none if it says "where I am" (EPSV).
    pub address: Option<u128>,
    pub port: u16,
    /// The address in the message.
    pub place: Range<usize>,
    /// As `1,2,3,4`.
    commas: bool,
}

impl Announcement {
    /// The address as this message writes it.
    pub fn text(&self, address: u128, v6: bool) -> String {
        if v6 {
            return Ipv6Addr::from(address).to_string();
        }
        let text = Ipv4Addr::from(address as u32).to_string();
        if self.commas { text.replace('.', ",") } else { text }
    }
}

/// What a segment of the client's (or, `reply`, of the server's) announces, if it is one that does.
pub(crate) fn announcement(payload: &[u8], reply: bool, v6: bool) -> Option<Announcement> {
    let message = payload.get(..payload.len().min(MESSAGE_MAX))?;
    let end = message.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let line = std::str::from_utf8(&message[..end]).ok()?;
    let verb = line.get(..4)?;
    match (reply, verb) {
        (false, _) if verb.eq_ignore_ascii_case("PORT") && !v6 => six_numbers(line, 4),
        (false, _) if verb.eq_ignore_ascii_case("EPRT") => extended(line, v6),
        (true, "227 ") if !v6 => six_numbers(line, 4),
        (true, "229 ") => extended_passive(line),
        _ => None,
    }
}

/// `h1,h2,h3,h4,p1,p2`, from the first digit on.
fn six_numbers(line: &str, from: usize) -> Option<Announcement> {
    let start = from + line.get(from..)?.find(|c: char| c.is_ascii_digit())?;
    let rest = line.get(start..)?;
    let stop = rest.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(rest.len());
    let list = rest.get(..stop)?;
    let numbers: Vec<u8> = list.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [a, b, c, d, upper, lower] = numbers.try_into().ok()?;
    let (comma, _) = list.match_indices(',').nth(3)?;
    Some(Announcement {
        address: Some(u32::from_be_bytes([a, b, c, d]).into()),
        port: u16::from_be_bytes([upper, lower]),
        place: start..start + comma,
        commas: true,
    })
}

/// `EPRT |1|132.235.1.2|6275|`, with any delimiter.
fn extended(line: &str, v6: bool) -> Option<Announcement> {
    let start = 4 + line.get(4..)?.find(|c: char| c != ' ')?;
    let delimiter = line.get(start..)?.chars().next().filter(char::is_ascii_graphic)?;
    let mut parts = line.get(start + 1..)?.split(delimiter);
    let (family, address, port) = (parts.next()?, parts.next()?, parts.next()?);
    let parsed = match (family, v6) {
        ("1", false) => u32::from(address.parse::<Ipv4Addr>().ok()?).into(),
        ("2", true) => address.parse::<Ipv6Addr>().ok()?.into(),
        _ => return None,
    };
    let place = start + 1 + family.len() + 1;
    Some(Announcement {
        address: Some(parsed),
        port: port.parse().ok()?,
        place: place..place + address.len(),
        commas: false,
    })
}

/// `229 Entering Extended Passive Mode (|||6446|)`.
fn extended_passive(line: &str) -> Option<Announcement> {
    let inner = line.get(line.find('(')? + 1..)?;
    let delimiter = inner.chars().next().filter(char::is_ascii_graphic)?;
    let mut parts = inner.split(delimiter);
    let (_, "", "", port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?) else { return None };
    Some(Announcement { address: None, port: port.parse().ok()?, place: 0..0, commas: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str, reply: bool, v6: bool) -> Option<(Option<u128>, u16, String)> {
        let announcement = announcement(text.as_bytes(), reply, v6)?;
        Some((announcement.address, announcement.port, text[announcement.place].to_owned()))
    }

    #[test]
    fn announcements_of_all_four_kinds() {
        let v4 = Some(0x0a01_0203);
        assert_eq!(found("PORT 10,1,2,3,4,5\r\n", false, false), Some((v4, 1029, "10,1,2,3".into())));
        assert_eq!(found("port 10,1,2,3,4,5\r\n", false, false), Some((v4, 1029, "10,1,2,3".into())));
        let passive = "227 Entering Passive Mode (10,1,2,3,4,5).\r\n";
        assert_eq!(found(passive, true, false), Some((v4, 1029, "10,1,2,3".into())));
        assert_eq!(found("EPRT |1|10.1.2.3|99|\r\n", false, false), Some((v4, 99, "10.1.2.3".into())));
        assert_eq!(
            found("EPRT |2|fd00::1|99|\r\n", false, true),
            Some((Some((0xfd << 120) + 1), 99, "fd00::1".into()))
        );
        assert_eq!(found("229 Extended Passive (|||6446|)\r\n", true, true), Some((None, 6446, String::new())));
    }

    #[test]
    fn what_is_not_one_is_not_taken_for_one() {
        for text in [
            "PORT 10,1,2,3,4\r\n",
            "PORT 10,1,2,3,4,256\r\n",
            "PORT 10,1,2,3,4,5",
            "USER x\r\n",
            "PORT\r\n",
            "\r\n",
            "",
        ] {
            assert_eq!(found(text, false, false), None, "{text:?}");
        }
        // The server does not say PORT, nor the client 227.
        assert_eq!(found("PORT 10,1,2,3,4,5\r\n", true, false), None);
        assert_eq!(found("227 (10,1,2,3,4,5)\r\n", false, false), None);
        assert_eq!(found("EPRT |2|fd00::1|99|\r\n", false, false), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>, verb in proptest::sample::select(vec!["PORT ", "EPRT ", "227 ", "229 ", ""]), reply: bool, v6: bool) {
            let payload = [verb.as_bytes(), &bytes, b"\r\n"].concat();
            if let Some(announcement) = announcement(&payload, reply, v6) {
                prop_assert!(announcement.place.end <= payload.len());
            }
        }
    }
}
