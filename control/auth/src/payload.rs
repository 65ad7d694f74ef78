/// What `x-amz-content-sha256` says of the body (S3, "Authenticating requests").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The whole body has this SHA-256; the receiver compares before it acts.
    Sha256([u8; 32]),
    /// The body is not covered by the signature.
    Unsigned,
    /// `aws-chunked`, every chunk signed in a chain.
    SignedChunks,
    /// As [`Payload::SignedChunks`], with signed trailing headers.
    SignedChunksWithTrailer,
    /// `aws-chunked` without chunk signatures, with trailing headers.
    UnsignedChunksWithTrailer,
}

const WORDS: [(Payload, &str); 4] = [
    (Payload::Unsigned, "UNSIGNED-PAYLOAD"),
    (Payload::SignedChunks, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    (Payload::SignedChunksWithTrailer, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
    (Payload::UnsignedChunksWithTrailer, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
];

impl Payload {
    /// Reads the header's value; `None` if it is neither a known word nor 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((payload, _)) = WORDS.iter().find(|(_, word)| *word == text) {
            return Some(*payload);
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(Self::Sha256(digest))
    }

    /// The header's value.
    pub fn header_value(&self) -> String {
        match self {
            Self::Sha256(digest) => hex::encode(digest),
            word => {
                WORDS.iter().find(|(payload, _)| payload == word).map(|(_, text)| *text).unwrap_or_default().to_owned()
            }
        }
    }

    /// Whether the body is framed as `aws-chunked`.
    pub fn is_chunked(&self) -> bool {
        matches!(self, Self::SignedChunks | Self::SignedChunksWithTrailer | Self::UnsignedChunksWithTrailer)
    }

    /// Whether trailing headers follow the last chunk.
    pub fn has_trailer(&self) -> bool {
        matches!(self, Self::SignedChunksWithTrailer | Self::UnsignedChunksWithTrailer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_digests_round_trip() {
        for (payload, word) in WORDS {
            assert_eq!(Payload::parse(word), Some(payload));
            assert_eq!(payload.header_value(), word);
        }
        let digest = Payload::Sha256([0xab; 32]);
        assert_eq!(Payload::parse(&digest.header_value()), Some(digest));
        assert_eq!(Payload::parse("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"), None);
        assert_eq!(Payload::parse("abcd"), None);
    }
}
