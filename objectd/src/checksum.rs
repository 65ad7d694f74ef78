//! The checksums S3 knows, and MD5 for ETags.

use base64::{Engine, prelude::BASE64_STANDARD};
use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::Sha256;

/// `x-amz-checksum-algorithm`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// `x-amz-checksum-type`: of all bytes, or of the parts' checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    FullObject,
    Composite,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite].into_iter().find(|kind| kind.name() == text)
    }
}

impl Algorithm {
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As `x-amz-checksum-algorithm` writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
    }

    /// The header that carries the value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub fn from_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.header() == name)
    }

    /// The element that carries the value in XML.
    pub fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// The kind of a multipart object's checksum, unless the client asks for another.
    pub fn default_kind(self) -> Kind {
        if self == Self::Crc64Nvme { Kind::FullObject } else { Kind::Composite }
    }

    /// Whether a multipart object may have a checksum of this kind: digests cannot be combined to the whole, and
    /// CRC64NVME is defined of the whole only.
    pub fn allows(self, kind: Kind) -> bool {
        match self {
            Self::Sha1 | Self::Sha256 => kind == Kind::Composite,
            Self::Crc64Nvme => kind == Kind::FullObject,
            Self::Crc32 | Self::Crc32c => true,
        }
    }

    fn crc(self) -> Option<(CrcAlgorithm, usize)> {
        match self {
            Self::Crc32 => Some((CrcAlgorithm::Crc32IsoHdlc, 4)),
            Self::Crc32c => Some((CrcAlgorithm::Crc32Iscsi, 4)),
            Self::Crc64Nvme => Some((CrcAlgorithm::Crc64Nvme, 8)),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Whether `text` is a value of this algorithm: base64 of the right length.
    pub fn is_value(self, text: &str) -> bool {
        BASE64_STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == self.length())
    }
}

/// A checksum as it is stored and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    pub algorithm: Algorithm,
    pub kind: Kind,
    /// Base64; a composite ends in `-` and the number of parts.
    pub value: String,
}

enum Hasher {
    Crc(Crc, usize),
    Sha1(Sha1),
    Sha256(Sha256),
}

/// Computes one checksum over a stream.
pub struct Running {
    pub algorithm: Algorithm,
    hasher: Hasher,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Running {
    pub fn new(algorithm: Algorithm) -> Self {
        let hasher = match (algorithm, algorithm.crc()) {
            (_, Some((crc, length))) => Hasher::Crc(Crc::new(crc), length),
            (Algorithm::Sha1, None) => Hasher::Sha1(Sha1::new()),
            (_, None) => Hasher::Sha256(Sha256::new()),
        };
        Self { algorithm, hasher }
    }

    pub fn update(&mut self, data: &[u8]) {
        match &mut self.hasher {
            Hasher::Crc(crc, _) => crc.update(data),
            Hasher::Sha1(sha1) => sha1.update(data),
            Hasher::Sha256(sha256) => sha256.update(data),
        }
    }

    /// The value in base64.
    pub fn finish(self) -> String {
        match self.hasher {
            Hasher::Crc(crc, length) => encode_crc(crc.finalize(), length),
            Hasher::Sha1(sha1) => BASE64_STANDARD.encode(sha1.finalize()),
            Hasher::Sha256(sha256) => BASE64_STANDARD.encode(sha256.finalize()),
        }
    }
}

fn encode_crc(value: u64, length: usize) -> String {
    BASE64_STANDARD.encode(&value.to_be_bytes()[8 - length..])
}

fn decode_crc(text: &str) -> Option<u64> {
    let bytes = BASE64_STANDARD.decode(text).ok().filter(|bytes| bytes.len() <= 8)?;
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The checksum of an object from those of its parts, given with their sizes; `None` if one cannot be read.
pub fn combine(algorithm: Algorithm, kind: Kind, parts: &[(&str, u64)]) -> Option<Checksum> {
    let value = match (kind, algorithm.crc()) {
        (Kind::FullObject, None) => return None,
        (Kind::FullObject, Some((crc, length))) => {
            let mut total = crc_fast::checksum(crc, &[]);
            for (value, size_bytes) in parts {
                total = crc_fast::checksum_combine(crc, total, decode_crc(value)?, *size_bytes);
            }
            encode_crc(total, length)
        }
        (Kind::Composite, _) => {
            let mut whole = Running::new(algorithm);
            for (value, _) in parts {
                whole.update(&BASE64_STANDARD.decode(value).ok()?);
            }
            format!("{}-{}", whole.finish(), parts.len())
        }
    };
    Some(Checksum { algorithm, kind, value })
}

/// The ETag of a multipart object: the MD5 of the parts' MD5s, and their number.
pub fn multipart_etag<'a>(parts: impl ExactSizeIterator<Item = &'a str>) -> Option<String> {
    let count = parts.len();
    let mut whole = Md5::new();
    for etag in parts {
        whole.update(hex::decode(etag).ok()?);
    }
    Some(format!("{}-{count}", hex::encode(whole.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(algorithm: Algorithm, data: &[u8]) -> String {
        let mut running = Running::new(algorithm);
        running.update(data);
        running.finish()
    }

    /// The check values of the CRC catalogue for "123456789", and FIPS 180-4's for SHA.
    #[test]
    fn known_values() {
        for (algorithm, hex_value) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            let value = whole(algorithm, b"123456789");
            assert_eq!(value, BASE64_STANDARD.encode(hex::decode(hex_value).unwrap()), "{algorithm:?}");
            assert!(algorithm.is_value(&value));
        }
    }

    #[test]
    fn parts_combine_to_the_whole() {
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let values = [&b"12345"[..], b"", b"6789"].map(|part| (whole(algorithm, part), part.len() as u64));
            let parts: Vec<_> = values.iter().map(|(value, size)| (value.as_str(), *size)).collect();
            let combined = combine(algorithm, Kind::FullObject, &parts).unwrap();
            assert_eq!(combined.value, whole(algorithm, b"123456789"));
        }
        assert!(combine(Algorithm::Sha256, Kind::FullObject, &[]).is_none());
        let one = whole(Algorithm::Sha256, b"1");
        let composite = combine(Algorithm::Sha256, Kind::Composite, &[(&one, 1)]).unwrap();
        assert!(composite.value.ends_with("-1"));
    }

    #[test]
    fn multipart_etags() {
        // md5 of md5("") as bytes
        let etag = multipart_etag(["d41d8cd98f00b204e9800998ecf8427e"].into_iter());
        assert_eq!(etag.as_deref(), Some("59adb24ef3cdbe0297f05b395827453f-1"));
        assert_eq!(multipart_etag(["zz"].into_iter()), None);
    }
}
