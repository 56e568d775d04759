//! HTTP requests for what happens beside the load: accounts, lives, coins, proofs.
//!
//! One request per connection, blocking, bounded in time and size.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

/// Longest wait for an answer. Password hashes queue up on a small machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// For requests without a header of their own.
pub const NO_HEADER: (&str, &str) = ("accept", "application/json");

const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A server's address, from `http://host:port`.
#[derive(Debug, Clone)]
pub struct Base {
    pub address: SocketAddr,
    /// Where requests come from, if not from wherever the kernel likes.
    source: Option<Ipv4Addr>,
}

/// A request that was not answered well.
#[derive(Debug)]
pub struct HttpFault {
    /// `None` if there was no answer.
    pub status: Option<u16>,
    what: String,
}

impl HttpFault {
    /// Something on this machine.
    pub fn local(what: String) -> Self {
        Self { status: None, what }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for HttpFault {}

impl Base {
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("{url}: expected http://host:port"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        let with_port = if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let address = with_port
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.find(SocketAddr::is_ipv4));
        let address = address.ok_or_else(|| format!("{url}: no IPv4 address found"))?;
        Ok(Self {
            address,
            source: None,
        })
    }

    /// The same server, asked from another of this machine's loopback addresses if it is local:
    /// numbers that are near each other give different ones.
    pub fn asked_from(&self, number: usize) -> Self {
        let [host, low, high] = [
            number % 250 + 1,
            number / 250 % 250,
            number / 62_500 % 120 + 128,
        ]
        .map(|it| it as u8);
        let source = self
            .address
            .ip()
            .is_loopback()
            .then(|| Ipv4Addr::new(127, high, low, host));
        Self {
            source,
            ..self.clone()
        }
    }

    pub fn get(&self, path: &str, header: (&str, &str)) -> Result<Value, HttpFault> {
        self.ask("GET", path, header, "")
    }

    pub fn post(&self, path: &str, header: (&str, &str), body: &Value) -> Result<Value, HttpFault> {
        self.ask("POST", path, header, &body.to_string())
    }

    /// As [`Base::post`], with a body of lines.
    pub fn post_text(
        &self,
        path: &str,
        header: (&str, &str),
        lines: &str,
    ) -> Result<Value, HttpFault> {
        self.ask("POST", path, header, lines)
    }

    /// The server's version, if it is of a kind that reports it.
    pub fn version(&self) -> Option<String> {
        let (_, text) = self.exchange("GET", "/healthz", NO_HEADER, "").ok()?;
        let health: Value = serde_json::from_slice(&text).ok()?;
        health["version"].as_str().map(str::to_owned)
    }

    /// The `data` of a good answer; a refusal is a fault with its text.
    fn ask(
        &self,
        method: &str,
        path: &str,
        header: (&str, &str),
        body: &str,
    ) -> Result<Value, HttpFault> {
        let fault = |status, what: String| HttpFault {
            status,
            what: format!("{method} {path}: {what}"),
        };
        let (status, text) = self
            .exchange(method, path, header, body)
            .map_err(|error| fault(None, error.to_string()))?;
        let answer: Option<Value> = serde_json::from_slice(&text).ok();
        match (status, answer) {
            (200, Some(mut answer)) if answer["msg"] == "ok" => Ok(answer["data"].take()),
            (_, Some(answer)) => Err(fault(
                Some(status),
                format!("status {status}: {}", answer["data"]),
            )),
            (_, None) => Err(fault(Some(status), format!("status {status}, no JSON"))),
        }
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        (name, value): (&str, &str),
        body: &str,
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let socket = Socket::new(
            Domain::for_address(self.address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        socket.connect_timeout(&self.address.into(), TIMEOUT)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(TIMEOUT))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             {name}: {value}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let mut raw = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut raw)?;
        parse(&raw).ok_or_else(|| std::io::Error::other("not an HTTP answer"))
    }
}

fn parse(raw: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = memchr::memmem::find(raw, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?.to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &raw[end + 4..];
    Some((
        status,
        if head.contains("transfer-encoding: chunked") {
            unchunk(body)?
        } else {
            body.to_vec()
        },
    ))
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(rest, b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_in_chunks() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse(plain), Some((200, b"{}".to_vec())));
        let chunked = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
        assert_eq!(parse(chunked), Some((404, b"{}".to_vec())));
        assert_eq!(parse(b"HTTP/1.1 200"), None);
        assert_eq!(
            parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{"),
            None
        );
    }

    #[test]
    fn urls_need_a_scheme_and_a_host() {
        assert_eq!(
            Base::parse("http://127.0.0.1:7001/")
                .unwrap()
                .address
                .port(),
            7001
        );
        assert!(Base::parse("127.0.0.1:7001").is_err());
        let local = Base::parse("http://127.0.0.1:7001").unwrap();
        let sources =
            [0, 1, 249, 250, usize::MAX].map(|number| local.asked_from(number).source.unwrap());
        assert!(
            sources.iter().all(Ipv4Addr::is_loopback)
                && sources.windows(2).all(|pair| pair[0] != pair[1])
        );
        assert_eq!(
            Base::parse("http://192.0.2.1")
                .unwrap()
                .asked_from(1)
                .source,
            None
        );
        assert!(Base::parse("http://").is_err());
    }
}
