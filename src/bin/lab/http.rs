//! HTTP requests for what happens beside the load: accounts, lives, coins, proofs.
//!
//! One request per connection, blocking, bounded in time and size.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for an answer. Password hashes queue up on a small machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A server's address, from `http://host:port`.
#[derive(Debug, Clone)]
pub struct Base {
    pub address: SocketAddr,
}

/// A request that was not answered well.
#[derive(Debug)]
pub struct HttpFault {
    /// `None` if there was no answer.
    pub status: Option<u16>,
    what: String,
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for HttpFault {}

impl Base {
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: expected http://host:port"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        let with_port = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let address = with_port.to_socket_addrs().ok().and_then(|mut found| found.find(SocketAddr::is_ipv4));
        let address = address.ok_or_else(|| format!("{url}: no IPv4 address found"))?;
        Ok(Self { address })
    }

    pub fn get(&self, path: &str, header: (&str, &str)) -> Result<Value, HttpFault> {
        self.ask("GET", path, header, None)
    }

    pub fn post(&self, path: &str, header: (&str, &str), body: &Value) -> Result<Value, HttpFault> {
        self.ask("POST", path, header, Some(body))
    }

    /// The `data` of a good answer; a refusal is a fault with its text.
    fn ask(&self, method: &str, path: &str, header: (&str, &str), body: Option<&Value>) -> Result<Value, HttpFault> {
        let fault = |status, what: String| HttpFault { status, what: format!("{method} {path}: {what}") };
        let (status, text) =
            self.exchange(method, path, header, body).map_err(|error| fault(None, error.to_string()))?;
        let answer: Option<Value> = serde_json::from_slice(&text).ok();
        match (status, answer) {
            (200, Some(mut answer)) if answer["msg"] == "ok" => Ok(answer["data"].take()),
            (_, Some(answer)) => Err(fault(Some(status), format!("status {status}: {}", answer["data"]))),
            (_, None) => Err(fault(Some(status), format!("status {status}, no JSON"))),
        }
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        (name, value): (&str, &str),
        body: Option<&Value>,
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
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
    Some((status, if head.contains("transfer-encoding: chunked") { unchunk(body)? } else { body.to_vec() }))
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(rest, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
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
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{"), None);
    }

    #[test]
    fn urls_need_a_scheme_and_a_host() {
        assert_eq!(Base::parse("http://127.0.0.1:7001/").unwrap().address.port(), 7001);
        assert!(Base::parse("127.0.0.1:7001").is_err());
        assert!(Base::parse("http://").is_err());
    }
}
