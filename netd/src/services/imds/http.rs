//! As much HTTP/1.1 (RFC 9112) as the metadata service needs: requests with small heads, bodies skipped, connections kept alive.

/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// Longest body skipped; no request here has one.
const MAX_BODY_BYTES: usize = 16 << 10;
/// Answers not yet taken by the guest, above which no further request of its is read.
const MAX_UNSENT_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Put,
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Without query; empty when the request was malformed.
    pub path: String,
    headers: Vec<(String, String)>,
    keep_alive: bool,
    /// The status that a request which cannot be served is answered with.
    pub refused: Option<u16>,
}

impl Request {
    /// The value of a header, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn refused(status: u16) -> Self {
        Self { method: Method::Get, path: String::new(), headers: Vec::new(), keep_alive: false, refused: Some(status) }
    }

    /// Parses a head without its empty line, and the length of the body that follows.
    fn parse(head: &str) -> Option<(Self, usize)> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
            return None;
        }
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "PUT" => Method::Put,
            _ => Method::Other,
        };
        // Absolute form, as clients send to a proxy: the authority is ours whatever it says.
        let target = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        };
        let path = target.split(['?', '#']).next().filter(|path| path.starts_with('/'))?.to_owned();
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            if name.is_empty() || name.bytes().any(|c| c.is_ascii_whitespace()) {
                return None;
            }
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { method, path, headers, keep_alive: version == "HTTP/1.1", refused: None };
        if let Some(connection) = request.header("connection") {
            let connection = connection.to_ascii_lowercase();
            request.keep_alive = match connection.as_str() {
                "close" => false,
                "keep-alive" => true,
                _ => request.keep_alive,
            };
        }
        if request.header("transfer-encoding").is_some() {
            return None;
        }
        let body = match request.header("content-length") {
            None => 0,
            Some(length) => length.parse().ok().filter(|_| length.bytes().all(|c| c.is_ascii_digit()))?,
        };
        Some((request, body))
    }
}

#[derive(Debug, Default)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Remaining lifetime of the token used or issued.
    pub token_ttl_s: Option<u64>,
    /// IP TTL to answer with.
    pub hop_limit: Option<u8>,
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Payload Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Internal Server Error",
    }
}

/// Bytes of one connection on their way between socket and requests.
#[derive(Debug, Default)]
pub struct Connection {
    input: Vec<u8>,
    body_left: usize,
    output: Vec<u8>,
    closing: bool,
}

impl Connection {
    pub fn wants_input(&self) -> bool {
        !self.closing && self.output.len() < MAX_UNSENT_BYTES
    }

    /// Takes bytes from the guest; returns how many.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let skipped = self.body_left.min(bytes.len());
        self.body_left -= skipped;
        self.input.extend_from_slice(&bytes[skipped..]);
        bytes.len()
    }

    /// The next complete request.
    pub fn next_request(&mut self) -> Option<Request> {
        if self.closing || self.body_left > 0 {
            return None;
        }
        let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") else {
            return (self.input.len() > MAX_HEAD_BYTES).then(|| Request::refused(431));
        };
        let parsed = std::str::from_utf8(&self.input[..end]).ok().and_then(Request::parse);
        self.input.drain(..end + 4);
        let Some((request, body)) = parsed else { return Some(Request::refused(400)) };
        if body > MAX_BODY_BYTES {
            return Some(Request::refused(413));
        }
        let here = body.min(self.input.len());
        self.input.drain(..here);
        self.body_left = body - here;
        Some(request)
    }

    /// Queues the response to a request.
    pub fn respond(&mut self, request: &Request, response: &Response) {
        use std::fmt::Write;
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nServer: EC2ws\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            response.status,
            reason(response.status),
            response.content_type,
            response.body.len()
        );
        if let Some(ttl_s) = response.token_ttl_s {
            // Writing to a string does not fail.
            let _ = write!(head, "X-aws-ec2-metadata-token-ttl-seconds: {ttl_s}\r\n");
        }
        let _ = write!(head, "Connection: {}\r\n\r\n", if request.keep_alive { "keep-alive" } else { "close" });
        self.output.extend_from_slice(head.as_bytes());
        if request.method != Method::Head {
            self.output.extend_from_slice(&response.body);
        }
        self.closing |= !request.keep_alive;
    }

    pub fn output(&self) -> &[u8] {
        &self.output
    }

    pub fn sent(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
    }

    /// Nothing more will be read.
    pub fn closing(&self) -> bool {
        self.closing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests(bytes: &[u8], cut: usize) -> Vec<Request> {
        let mut connection = Connection::default();
        let mut requests = Vec::new();
        for part in [&bytes[..cut.min(bytes.len())], &bytes[cut.min(bytes.len())..]] {
            connection.input(part);
            while let Some(request) = connection.next_request() {
                let refused = request.refused.is_some();
                connection.respond(&request, &Response::default());
                requests.push(request);
                if refused {
                    assert!(connection.closing());
                    return requests;
                }
            }
        }
        requests
    }

    #[test]
    fn pipelined_requests_with_bodies_are_told_apart() {
        let bytes = b"PUT /latest/api/token HTTP/1.1\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabcGET http://h/x?y HTTP/1.0\r\n\r\n";
        for cut in 0..bytes.len() {
            let requests = requests(bytes, cut);
            assert_eq!(requests.len(), 2);
            assert_eq!((requests[0].method, requests[0].header("x-a")), (Method::Put, Some("b")));
            assert_eq!((requests[1].path.as_str(), requests[1].keep_alive), ("/x", false));
        }
    }

    #[test]
    fn malformed_requests_are_refused_and_end_the_connection() {
        for (bytes, status) in [
            (&b"GET / HTTP/2\r\n\r\n"[..], 400),
            (b"GET\r\n\r\n", 400),
            (b"GET x HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            (b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"PUT / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
            (&[b'a'; MAX_HEAD_BYTES + 1], 431),
        ] {
            assert_eq!(requests(bytes, 0).last().and_then(|request| request.refused), Some(status));
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            requests(&bytes, cut);
            let text: Vec<u8> = [b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat();
            requests(&text, cut);
        }
    }
}
