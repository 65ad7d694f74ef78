//! Reads members of a wheel, which is a zip archive (APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16). The archive's hash has
//! been checked before, so this reader only has to be right, not defensive.

use anyhow::{Context, Result, bail};
use flate2::read::{DeflateDecoder, GzDecoder};
use std::io::Read;

const END_OF_DIRECTORY: &[u8] = b"PK\x05\x06";
const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";
const DIRECTORY_ENTRY_LEN: usize = 46;
const LOCAL_HEADER_LEN: usize = 30;
const STORED: usize = 0;
const DEFLATED: usize = 8;

/// The JSON of `botocore/data/<service>/<version>/service-2.json`, gzipped or plain.
pub fn service_model(wheel: &[u8], service: &str, version: &str) -> Result<Vec<u8>> {
    let path = format!("botocore/data/{service}/{version}/service-2.json");
    if let Some(plain) = member(wheel, &path)? {
        return Ok(plain);
    }
    let Some(zipped) = member(wheel, &format!("{path}.gz"))? else { bail!("the wheel has no {path}[.gz]") };
    let mut json = Vec::new();
    GzDecoder::new(zipped.as_slice()).read_to_end(&mut json).with_context(|| format!("unzipping {path}.gz"))?;
    Ok(json)
}

fn member(archive: &[u8], path: &str) -> Result<Option<Vec<u8>>> {
    let end = archive.windows(4).rposition(|at| at == END_OF_DIRECTORY).context("no end of central directory")?;
    let mut at = number(archive, end + 16, 4)?;
    for _ in 0..number(archive, end + 10, 2)? {
        if archive.get(at..at + 4) != Some(DIRECTORY_ENTRY) {
            bail!("central directory entry expected at {at}");
        }
        let (name_len, extra_len) = (number(archive, at + 28, 2)?, number(archive, at + 30, 2)?);
        let comment_len = number(archive, at + 32, 2)?;
        let name = slice(archive, at + DIRECTORY_ENTRY_LEN, name_len)?;
        if name == path.as_bytes() {
            let compressed_len = number(archive, at + 20, 4)?;
            let local = number(archive, at + 42, 4)?;
            let data = local + LOCAL_HEADER_LEN + number(archive, local + 26, 2)? + number(archive, local + 28, 2)?;
            let data = slice(archive, data, compressed_len)?;
            return match number(archive, at + 10, 2)? {
                STORED => Ok(Some(data.to_vec())),
                DEFLATED => {
                    let mut bytes = Vec::new();
                    DeflateDecoder::new(data).read_to_end(&mut bytes).with_context(|| format!("inflating {path}"))?;
                    Ok(Some(bytes))
                }
                method => bail!("{path} is compressed by method {method}"),
            };
        }
        at += DIRECTORY_ENTRY_LEN + name_len + extra_len + comment_len;
    }
    Ok(None)
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    bytes.get(at..at + len).with_context(|| format!("archive ends before {}", at + len))
}

fn number(bytes: &[u8], at: usize, len: usize) -> Result<usize> {
    Ok(slice(bytes, at, len)?.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)))
}
