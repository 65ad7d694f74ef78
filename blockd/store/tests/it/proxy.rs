//! A proxy between the client and objectd that does to a request whatever it is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Answered with this status and code; the server never hears of it.
    Refused(u16, &'static str),
    /// Carried out by the server, answered with a 500.
    AnswerReplaced,
    /// Never answered, not carried out.
    Hang,
    /// Carried out, never answered.
    HangAfter,
    /// Half of it reaches the server, then both sides are reset.
    RequestCut,
    /// Half of the answer arrives, then a reset.
    AnswerReset,
    /// Half of the answer arrives, then an orderly end.
    AnswerCut,
    /// The answer has half of its body, and says so in its length.
    AnswerShortened,
    /// The answer comes in small pieces, this long in all.
    Slow(Duration),
    /// The answer is not HTTP.
    Garbage,
}

/// A request as the proxy sees it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub is_conditional: bool,
    pub has_range: bool,
}

pub struct Proxy {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Position after the first occurrence.
fn after(data: &[u8], pattern: &[u8]) -> Option<usize> {
    data.windows(pattern.len()).position(|window| window == pattern).map(|at| at + pattern.len())
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Sends `request`, which asks to close the connection, and reads the answer to its end.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses early closes before it has read everything.
    drop(stream.write_all(request).await);
    drop(stream.read_to_end(&mut answer).await);
    answer
}

async fn read_request(stream: &mut TcpStream) -> Option<(Request, Vec<u8>)> {
    let mut data = Vec::new();
    let head_len = loop {
        match after(&data, b"\r\n\r\n") {
            Some(len) => break len,
            None if stream.read_buf(&mut data).await.ok()? == 0 => return None,
            None => {}
        }
    };
    let head = String::from_utf8(data[..head_len].to_vec()).unwrap();
    let body_len: usize = header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
    while data.len() < head_len + body_len {
        if stream.read_buf(&mut data).await.ok()? == 0 {
            return None;
        }
    }
    let mut line = head.split(' ');
    let request = Request {
        method: line.next().unwrap().to_owned(),
        is_conditional: header(&head, "if-match").or(header(&head, "if-none-match")).is_some(),
        has_range: header(&head, "range").is_some(),
    };
    // Not among the signed headers.
    let mut forwarded = data[..head_len - 2].to_vec();
    forwarded.extend_from_slice(b"connection: close\r\n\r\n");
    forwarded.extend_from_slice(&data[head_len..]);
    Some((request, forwarded))
}

fn reset(stream: TcpStream) {
    drop(stream.set_zero_linger());
    drop(stream);
}

fn plain(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
    let len = body.len();
    format!("HTTP/1.1 {status} Injected\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

/// Half of the body, and a length that fits.
fn shortened(answer: &[u8]) -> Vec<u8> {
    let body = after(answer, b"\r\n\r\n").unwrap();
    let half = (answer.len() - body) / 2;
    let head = std::str::from_utf8(&answer[..body - 4]).unwrap();
    let mut out = String::new();
    for line in head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length:")) {
        out += &format!("{line}\r\n");
    }
    let mut out = format!("{out}content-length: {half}\r\n\r\n").into_bytes();
    out.extend_from_slice(&answer[body..body + half]);
    out
}

async fn serve(mut stream: TcpStream, upstream: SocketAddr, decide: Arc<dyn Fn(&Request) -> Fault + Send + Sync>) {
    let Some((request, forwarded)) = read_request(&mut stream).await else { return };
    let fault = decide(&request);
    match fault {
        Fault::Refused(status, code) => {
            drop(stream.write_all(&plain(status, code)).await);
            return;
        }
        Fault::Garbage => {
            drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await);
            return;
        }
        Fault::RequestCut => {
            let mut half = TcpStream::connect(upstream).await.unwrap();
            drop(half.write_all(&forwarded[..forwarded.len() / 2]).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
            reset(half);
            return reset(stream);
        }
        Fault::Hang => {
            // Until the client has had enough.
            drop(stream.read_u8().await);
            return;
        }
        _ => {}
    }
    let answer = exchange(upstream, &forwarded).await;
    match fault {
        Fault::AnswerReplaced => drop(stream.write_all(&plain(500, "InternalError")).await),
        Fault::HangAfter => drop(stream.read_u8().await),
        Fault::AnswerReset => {
            drop(stream.write_all(&answer[..answer.len() / 2]).await);
            tokio::time::sleep(Duration::from_millis(2)).await;
            reset(stream);
        }
        Fault::AnswerCut => drop(stream.write_all(&answer[..answer.len() / 2]).await),
        Fault::AnswerShortened => drop(stream.write_all(&shortened(&answer)).await),
        Fault::Slow(total) => {
            const PIECES: usize = 20;
            for piece in answer.chunks(answer.len().div_ceil(PIECES).max(1)) {
                if stream.write_all(piece).await.is_err() {
                    return;
                }
                tokio::time::sleep(total / PIECES as u32).await;
            }
        }
        _ => drop(stream.write_all(&answer).await),
    }
}

impl Proxy {
    /// Asks `decide` about every request.
    pub async fn start(upstream: SocketAddr, decide: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let decide = Arc::new(decide);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, upstream, decide.clone()));
            }
        });
        Self { address, task }
    }
}
