//! The `aws-chunked` body (S3, "Transferring payload in multiple chunks"): `SIZE[;chunk-signature=HEX]\r\n DATA \r\n`
//! repeated, a chunk of size 0, then trailing headers if they were announced.

use crate::{Payload, Scope, key::SigningKey, stamp};
use bytes::{Buf, Bytes};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::sign::EMPTY_SHA256;

/// Room for sixteen hex digits, the signature attribute and the line end; longer is no chunk header.
const MAX_HEADER_BYTES: usize = 128;
/// Room for a few checksums and the trailer's signature.
const MAX_TRAILER_BYTES: usize = 4096;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Signs the chunks of one body; every signature covers the one before, the first the request's own.
#[derive(Clone, Debug)]
pub struct ChunkSigner {
    key: SigningKey,
    scope: Scope,
    signed_at: Timestamp,
    previous: [u8; 32],
}

impl ChunkSigner {
    pub(crate) fn new(key: SigningKey, scope: Scope, signed_at: Timestamp, seed: [u8; 32]) -> Self {
        Self { key, scope, signed_at, previous: seed }
    }

    /// The signature of the next chunk, whose data has the digest `data_sha256`.
    pub fn sign_chunk(&mut self, data_sha256: [u8; 32]) -> [u8; 32] {
        let digests = format!("{}\n{}", hex::encode(EMPTY_SHA256), hex::encode(data_sha256));
        self.advance("PAYLOAD", &digests)
    }

    /// The signature of the trailer: every header as `name:value\n`, in the order sent.
    pub fn sign_trailer(&mut self, canonical_trailer: &[u8]) -> [u8; 32] {
        self.advance("TRAILER", &hex::encode(Sha256::digest(canonical_trailer)))
    }

    fn advance(&mut self, kind: &str, digests: &str) -> [u8; 32] {
        let message = format!(
            "AWS4-HMAC-SHA256-{kind}\n{}\n{}\n{}\n{digests}",
            stamp::format(self.signed_at),
            self.scope,
            hex::encode(self.previous)
        );
        self.previous = self.key.sign(message.as_bytes());
        self.previous
    }
}

/// Why a chunked body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("malformed chunk: {0}")]
    Malformed(&'static str),
    #[error("chunk signature does not match")]
    SignatureMismatch,
    #[error("the decoded body is longer than the announced {0} bytes")]
    TooLong(u64),
    #[error("the body ended after {decoded} of {expected} decoded bytes")]
    Incomplete { decoded: u64, expected: u64 },
    #[error("announced trailer {0} is missing")]
    TrailerMissing(String),
    #[error("trailer {0} was not announced")]
    TrailerUnannounced(String),
}

#[derive(Debug)]
enum State {
    /// Collecting a chunk header line.
    Header,
    /// Inside a chunk's data; `left` bytes of it are to come.
    Data { left: u64, signature: Option<[u8; 32]> },
    /// The line end after a chunk's data; so many of its two bytes were seen.
    DataEnd(usize),
    /// After the chunk of size 0: everything that comes is trailer.
    Trailer,
    /// A fault was found: the body is no good, whatever follows.
    Refused,
}

/// Takes the body apart as it arrives. Data is handed on before its chunk's signature is complete: whoever stores it
/// commits only after [`ChunkDecoder::finish`].
#[derive(Debug)]
pub struct ChunkDecoder {
    signer: Option<ChunkSigner>,
    announced: Vec<String>,
    expected: u64,
    decoded: u64,
    state: State,
    /// The incomplete header line or the trailer so far; bounded by the two constants above.
    line: Vec<u8>,
    hash: Sha256,
}

impl ChunkDecoder {
    /// A decoder for a body of `decoded_length` bytes (`x-amz-decoded-content-length`) with the trailing headers
    /// `announced` (`x-amz-trailer`, lower case).
    ///
    /// `signer` comes from the verified request: with it every chunk, and the trailer if any is announced, must be
    /// signed.
    pub fn new(signer: Option<ChunkSigner>, announced: Vec<String>, decoded_length: u64) -> Self {
        Self {
            signer,
            announced,
            expected: decoded_length,
            decoded: 0,
            state: State::Header,
            line: Vec::new(),
            hash: Sha256::new(),
        }
    }

    /// Consumes `input` up to the end of the next run of data and returns that run; `None` when `input` is used up.
    ///
    /// # Errors
    /// Every [`ChunkError`] but the ones about the end; after one the body is refused for good.
    pub fn push(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        let outcome = self.advance(input);
        if outcome.is_err() {
            self.state = State::Refused;
        }
        outcome
    }

    fn advance(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        while !input.is_empty() {
            match &mut self.state {
                State::Header => {
                    let end = input.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
                    let piece = input.split_to(end.unwrap_or(input.len()));
                    if self.line.len() + piece.len() > MAX_HEADER_BYTES {
                        return Err(ChunkError::Malformed("the header line is too long"));
                    }
                    self.line.extend_from_slice(&piece);
                    if end.is_some() {
                        self.begin_chunk()?;
                    }
                }
                State::Data { left, signature } => {
                    let length = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                    let data = input.split_to(length);
                    *left -= length as u64;
                    let ended = (*left == 0).then_some(*signature);
                    if self.signer.is_some() {
                        self.hash.update(&data);
                    }
                    if let Some(signature) = ended {
                        self.check_chunk(signature)?;
                        self.state = State::DataEnd(0);
                    }
                    return Ok(Some(data));
                }
                State::DataEnd(seen) => {
                    if Some(&input.get_u8()) != b"\r\n".get(*seen) {
                        return Err(ChunkError::Malformed("a chunk is longer than its size"));
                    }
                    *seen += 1;
                    if *seen == 2 {
                        self.state = State::Header;
                    }
                }
                State::Trailer => {
                    if self.line.len() + input.len() > MAX_TRAILER_BYTES {
                        return Err(ChunkError::Malformed("the trailer is too long"));
                    }
                    self.line.extend_from_slice(input);
                    input.clear();
                }
                State::Refused => return Err(ChunkError::Malformed("the body was refused before")),
            }
        }
        Ok(None)
    }

    fn begin_chunk(&mut self) -> Result<(), ChunkError> {
        let line = std::mem::take(&mut self.line);
        let (size, signature) = parse_header(&line).ok_or(ChunkError::Malformed("bad header line"))?;
        if self.signer.is_some() && signature.is_none() {
            return Err(ChunkError::Malformed("the chunk is not signed"));
        }
        self.decoded = self
            .decoded
            .checked_add(size)
            .filter(|sum| *sum <= self.expected)
            .ok_or(ChunkError::TooLong(self.expected))?;
        self.state = if size == 0 {
            self.check_chunk(signature)?;
            State::Trailer
        } else {
            State::Data { left: size, signature }
        };
        Ok(())
    }

    fn check_chunk(&mut self, signature: Option<[u8; 32]>) -> Result<(), ChunkError> {
        let Some(signer) = &mut self.signer else { return Ok(()) };
        let expected = signer.sign_chunk(self.hash.finalize_reset().into());
        match signature {
            Some(signature) if bool::from(signature.ct_eq(&expected)) => Ok(()),
            _ => Err(ChunkError::SignatureMismatch),
        }
    }

    /// Call at the end of the input: checks that the body is whole and returns the trailing headers, names in lower
    /// case, values trimmed.
    ///
    /// # Errors
    /// [`ChunkError::Incomplete`], the two about trailers, [`ChunkError::SignatureMismatch`] of the trailer.
    pub fn finish(mut self) -> Result<Vec<(String, String)>, ChunkError> {
        if !matches!(self.state, State::Trailer) || self.decoded != self.expected {
            return Err(ChunkError::Incomplete { decoded: self.decoded, expected: self.expected });
        }
        let text = std::str::from_utf8(&self.line).map_err(|_| ChunkError::Malformed("the trailer is not UTF-8"))?;
        let mut trailers = Vec::new();
        let mut canonical = String::new();
        let mut signature = None;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (name, value) = line.split_once(':').ok_or(ChunkError::Malformed("a trailer has no colon"))?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            if name == TRAILER_SIGNATURE {
                signature = Some(value);
            } else if self.announced.contains(&name) && trailers.iter().all(|(other, _)| *other != name) {
                canonical.extend([&name, ":", &value, "\n"]);
                trailers.push((name, value));
            } else {
                return Err(ChunkError::TrailerUnannounced(name));
            }
        }
        if let Some(missing) = self.announced.iter().find(|name| trailers.iter().all(|(found, _)| found != *name)) {
            return Err(ChunkError::TrailerMissing(missing.clone()));
        }
        if let Some(signer) = self.signer.as_mut().filter(|_| !self.announced.is_empty()) {
            let expected = signer.sign_trailer(canonical.as_bytes());
            let mut given = [0; 32];
            let read = signature.is_some_and(|text| hex::decode_to_slice(text, &mut given).is_ok());
            if !read || !bool::from(given.ct_eq(&expected)) {
                return Err(ChunkError::SignatureMismatch);
            }
        }
        Ok(trailers)
    }
}

/// `SIZE[;chunk-signature=HEX]\r\n`
fn parse_header(line: &[u8]) -> Option<(u64, Option<[u8; 32]>)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let (size, signature) = match line.split_once(';') {
        None => (line, None),
        Some((size, attribute)) => {
            let mut signature = [0; 32];
            hex::decode_to_slice(attribute.strip_prefix("chunk-signature=")?, &mut signature).ok()?;
            (size, Some(signature))
        }
    };
    if size.is_empty() || size.len() > 16 || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some((u64::from_str_radix(size, 16).ok()?, signature))
}

/// Frames `data` in chunks of `chunk_bytes` with the trailing headers `trailers`: what [`ChunkDecoder`] takes apart.
/// `signer` must be given exactly when `payload` is one of the signed modes.
pub fn encode(
    payload: Payload,
    mut signer: Option<ChunkSigner>,
    data: &[u8],
    chunk_bytes: usize,
    trailers: &[(&str, &str)],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 256);
    for chunk in data.chunks(chunk_bytes.max(1)).chain([&[][..]]) {
        out.extend_from_slice(format!("{:x}", chunk.len()).as_bytes());
        if let Some(signer) = &mut signer {
            let signature = signer.sign_chunk(Sha256::digest(chunk).into());
            out.extend_from_slice(format!(";chunk-signature={}", hex::encode(signature)).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(chunk);
        if !chunk.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
    }
    if payload.has_trailer() {
        let canonical: String = trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        out.extend_from_slice(canonical.replace('\n', "\r\n").as_bytes());
        if let Some(signer) = &mut signer {
            let signature = hex::encode(signer.sign_trailer(canonical.as_bytes()));
            out.extend_from_slice(format!("{TRAILER_SIGNATURE}:{signature}\r\n").as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use proptest::prelude::*;

    fn signer(seed: &str) -> ChunkSigner {
        let scope = Scope { date: "20130524".into(), region: "us-east-1".into(), service: "s3".into() };
        let key = SigningKey::derive(&Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &scope);
        let mut bytes = [0; 32];
        hex::decode_to_slice(seed, &mut bytes).unwrap();
        ChunkSigner::new(key, scope, stamp::parse("20130524T000000Z").unwrap(), bytes)
    }

    type Decoded = (Vec<u8>, Vec<(String, String)>);

    fn decode(mut decoder: ChunkDecoder, body: &[u8], piece: usize) -> Result<Decoded, ChunkError> {
        let mut data = Vec::new();
        for piece in body.chunks(piece) {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(run) = decoder.push(&mut input)? {
                data.extend_from_slice(&run);
            }
        }
        Ok((data, decoder.finish()?))
    }

    const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    const TRAILER_SEED: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

    /// S3 documentation, "Transferring payload in multiple chunks (chunked upload)": 65 KiB of `a`.
    #[test]
    fn documented_chunked_upload() {
        let data = vec![b'a'; 66_560];
        let body = encode(Payload::SignedChunks, Some(signer(SEED)), &data, 65_536, &[]);
        let text = String::from_utf8_lossy(&body);
        for header in [
            "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n",
            "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n",
            "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n",
        ] {
            assert!(text.contains(header), "{header}");
        }
        assert_eq!(body.len(), 66_824);
        for piece in [1, 7, 4096, body.len()] {
            let decoder = ChunkDecoder::new(Some(signer(SEED)), vec![], 66_560);
            assert_eq!(decode(decoder, &body, piece).unwrap().0, data);
        }
        let decoder = ChunkDecoder::new(Some(signer(TRAILER_SEED)), vec![], 66_560);
        assert_eq!(decode(decoder, &body, 4096), Err(ChunkError::SignatureMismatch));
    }

    /// S3 documentation, "Signature calculations: including trailing headers".
    #[test]
    fn documented_trailer() {
        let data = vec![b'a'; 66_560];
        let trailers = [("x-amz-checksum-crc32c", "sOO8/Q==")];
        let body = encode(Payload::SignedChunksWithTrailer, Some(signer(TRAILER_SEED)), &data, 65_536, &trailers);
        let signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
        assert!(String::from_utf8_lossy(&body).contains(&format!("x-amz-trailer-signature:{signature}\r\n")));
        let announced = || vec!["x-amz-checksum-crc32c".to_owned()];
        let run = |body: &[u8]| decode(ChunkDecoder::new(Some(signer(TRAILER_SEED)), announced(), 66_560), body, 1000);
        assert_eq!(run(&body).unwrap().1, [("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())]);
        let forged = String::from_utf8(body.clone()).unwrap().replace("sOO8/Q==", "AAAAAA==");
        assert_eq!(run(forged.as_bytes()), Err(ChunkError::SignatureMismatch));
        let stripped = String::from_utf8(body).unwrap().replace(signature, "");
        assert_eq!(run(stripped.as_bytes()), Err(ChunkError::SignatureMismatch));
    }

    #[test]
    fn unsigned_chunks_and_what_is_refused() {
        let announced = || vec!["x-amz-checksum-crc32".to_owned()];
        let run = |body: &str, length| decode(ChunkDecoder::new(None, announced(), length), body.as_bytes(), 3);
        let good = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
        let (data, trailers) = run(good, 5).unwrap();
        assert_eq!((data.as_slice(), trailers[0].1.as_str()), (&b"hello"[..], "NhCmhg=="));
        assert_eq!(run(good, 4), Err(ChunkError::TooLong(4)));
        assert_eq!(run(good, 6), Err(ChunkError::Incomplete { decoded: 5, expected: 6 }));
        assert_eq!(run("5\r\nhel", 5), Err(ChunkError::Incomplete { decoded: 5, expected: 5 }));
        assert_eq!(run("", 0), Err(ChunkError::Incomplete { decoded: 0, expected: 0 }));
        assert!(matches!(run("5\r\nhello0\r\n\r\n", 5), Err(ChunkError::Malformed(_))));
        assert!(matches!(run("5\nhello\r\n", 5), Err(ChunkError::Malformed(_))));
        assert!(matches!(run("-5\r\nhello\r\n", 5), Err(ChunkError::Malformed(_))));
        assert!(matches!(run("ffffffffffffffff\r\n", 5), Err(ChunkError::TooLong(5))));
        assert!(matches!(run(&"0".repeat(200), 5), Err(ChunkError::Malformed(_))));
        assert_eq!(run("0\r\n\r\n", 0), Err(ChunkError::TrailerMissing("x-amz-checksum-crc32".into())));
        assert_eq!(run("0\r\nx-other:1\r\n\r\n", 0), Err(ChunkError::TrailerUnannounced("x-other".into())));
    }

    #[test]
    fn a_refused_body_stays_refused() {
        let mut decoder = ChunkDecoder::new(None, vec![], 1);
        assert!(decoder.push(&mut Bytes::from_static(b"zz\r\n")).is_err());
        assert!(decoder.push(&mut Bytes::from_static(b"1\r\na\r\n0\r\n\r\n")).is_err());
        assert!(decoder.finish().is_err());
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(data: Vec<u8>, chunk in 1usize..80, piece in 1usize..80, signed: bool) {
            let payload = if signed { Payload::SignedChunks } else { Payload::UnsignedChunksWithTrailer };
            let chain = signed.then(|| signer(SEED));
            let body = encode(payload, chain.clone(), &data, chunk, &[]);
            let decoder = ChunkDecoder::new(chain, vec![], data.len() as u64);
            prop_assert_eq!(decode(decoder, &body, piece).unwrap().0, data);
        }

        #[test]
        fn garbage_is_refused_not_fatal(body: Vec<u8>, piece in 1usize..80, length in 0u64..100) {
            let _ = decode(ChunkDecoder::new(None, vec![], length), &body, piece);
            let _ = decode(ChunkDecoder::new(Some(signer(SEED)), vec![], length), &body, piece);
        }

        #[test]
        fn a_flipped_bit_is_noticed(data in proptest::collection::vec(any::<u8>(), 1..60), at: prop::sample::Index, bit in 0u8..8) {
            let mut body = encode(Payload::SignedChunks, Some(signer(SEED)), &data, 16, &[]);
            let at = at.index(body.len() - 2); // the last line end says nothing
            body[at] ^= 1 << bit;
            if let Ok((decoded, _)) = decode(ChunkDecoder::new(Some(signer(SEED)), vec![], data.len() as u64), &body, 9) {
                // Only the case of hex digits may change without changing the meaning.
                prop_assert_eq!(decoded, data);
            }
        }
    }
}
