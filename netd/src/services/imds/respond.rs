//! What the metadata service answers (EC2 User Guide, "Access instance metadata for an EC2 instance").

use super::http::{Method, Request, Response};
use super::tokens::Tokens;
use super::tree::{Found, find};
use crate::services::model::Port;

/// Dated versions that clients ask for; all serve the same tree.
const VERSIONS: [&str; 24] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2021-03-23",
    "latest",
];
const TOKEN_PATH: &str = "/latest/api/token";
const HEADER_TOKEN: &str = "x-aws-ec2-metadata-token";
const HEADER_TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Shortest and longest life of a token: one second, six hours.
const TOKEN_TTL_S: std::ops::RangeInclusive<u64> = 1..=21_600;

fn text(body: impl Into<Vec<u8>>) -> Response {
    Response { status: 200, content_type: "text/plain", body: body.into(), ..Response::default() }
}

fn error(status: u16, title: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n\t\
         \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n<html xmlns=\"http://www.w3.org/1999/xhtml\" \
         xml:lang=\"en\" lang=\"en\">\n <head>\n  <title>{status} - {title}</title>\n </head>\n <body>\n  \
         <h1>{status} - {title}</h1>\n </body>\n</html>\n"
    );
    Response { status, content_type: "text/html", body: body.into_bytes(), ..Response::default() }
}

/// Answers one request of a port's guest.
pub fn respond(port: &Port, tokens: &mut Tokens, request: &Request, now_ms: u64) -> Response {
    if let Some(status) = request.refused {
        return error(status, "Bad Request");
    }
    match request.method {
        Method::Put if request.path == TOKEN_PATH => {
            Response { hop_limit: Some(port.spec.metadata.hop_limit), ..issue_token(tokens, request, now_ms) }
        }
        Method::Get | Method::Head => get(port, tokens, request, now_ms),
        Method::Put | Method::Other => error(405, "Method Not Allowed"),
    }
}

fn issue_token(tokens: &mut Tokens, request: &Request, now_ms: u64) -> Response {
    // A proxy that forwards for somebody else must not get a token.
    if request.header("x-forwarded-for").is_some() {
        return error(403, "Forbidden");
    }
    let ttl_s = request.header(HEADER_TOKEN_TTL).and_then(|value| value.parse().ok());
    let Some(ttl_s) = ttl_s.filter(|ttl_s| TOKEN_TTL_S.contains(ttl_s)) else { return error(400, "Bad Request") };
    match tokens.issue(ttl_s, now_ms) {
        Some(token) => Response { token_ttl_s: Some(ttl_s), ..text(token) },
        None => error(500, "Internal Server Error"),
    }
}

fn get(port: &Port, tokens: &Tokens, request: &Request, now_ms: u64) -> Response {
    let token_ttl_s = match request.header(HEADER_TOKEN) {
        Some(token) => match tokens.remaining_s(token, now_ms) {
            Some(ttl_s) => Some(ttl_s),
            None => return error(401, "Unauthorized"),
        },
        None if port.spec.metadata.token_required => return error(401, "Unauthorized"),
        None => None,
    };
    let parts: Vec<&str> = request.path.split('/').filter(|part| !part.is_empty()).collect();
    let response = match parts.as_slice() {
        [] => text(VERSIONS.join("\n")),
        [version, ..] if !VERSIONS.contains(version) => error(404, "Not Found"),
        [_, "user-data"] => match &port.user_data {
            Some(data) => Response { content_type: "application/octet-stream", ..text(data.clone()) },
            None => error(404, "Not Found"),
        },
        [_, path @ ..] => match find(&port.spec.metadata.tree, path) {
            Some(Found::Leaf(leaf)) => text(leaf),
            Some(Found::Directory(listing)) => {
                // The root of a version lists user data beside the tree's directories, without slashes.
                let root = path.is_empty();
                let listing = if root { listing.replace('/', "") } else { listing };
                text(if root && port.user_data.is_some() { listing + "\nuser-data" } else { listing })
            }
            None => error(404, "Not Found"),
        },
    };
    Response { token_ttl_s, ..response }
}
