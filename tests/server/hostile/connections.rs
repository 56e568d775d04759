//! HTTP connections that take all they can get and give nothing back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::bystanders::Bystanders;
use crate::support::http::{connect_from, request_over};
use crate::support::{PATIENCE, TestServer, Ws, eventually};

const HEAD_TIMEOUT_MS: (&str, &str) = ("LIVEROOM__SERVER__HEAD_TIMEOUT_MS", "2000");
const MANY_COMMANDS: (&str, &str) = ("LIVEROOM__LIMITS__COMMANDS_PER_S", "10000");
const MANY_COMMANDS_OF_A_USER: (&str, &str) = ("LIVEROOM__LIMITS__USER_COMMANDS_PER_S", "10000");

/// Sixteen connections, eight of them for one address.
const FEW_CONNECTIONS: [(&str, &str); 3] = [
    ("LIVEROOM__LIMITS__HTTP_CONNECTIONS", "16"),
    ("LIVEROOM__LIMITS__HTTP_CONNECTIONS_PER_ADDRESS", "8"),
    ("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", "8"),
];

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// Comments on a page of history, each of 200 bytes.
const COMMENTS: usize = 100;

fn connect(server: &TestServer) -> TcpStream {
    connect_from(1, server.port())
}

/// A connection on which the first request was answered.
fn connect_idle(server: &TestServer) -> BufReader<TcpStream> {
    let mut stream = BufReader::new(connect(server));
    assert_eq!(health_over(&mut stream), 200);
    stream
}

fn health_over(stream: &mut BufReader<TcpStream>) -> u16 {
    stream
        .get_mut()
        .write_all(HEALTH)
        .expect("the connection is open");
    read_answer(stream).0
}

/// Opens a session that polls, where there is room for its connection; the path of its polls.
fn open_session(server: &TestServer) -> Option<String> {
    let opened = server.get(POLLING).text();
    let sid = opened.split("\"sid\":\"").nth(1)?.split('"').next()?;
    Some(format!("{POLLING}&sid={sid}"))
}

/// Begins a poll, which hangs until there is something to say; `None` where there is no room for
/// it.
fn hanging_poll(server: &TestServer, path: &str) -> Option<TcpStream> {
    let mut stream = connect(server);
    // The server says that it goes on when it begins to serve the request.
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    let mut interim = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).expect("an answer comes");
    interim.starts_with(b"HTTP/1.1 100 ").then_some(stream)
}

/// Reads one answer, of the headers only what says how long its body is.
fn read_answer(stream: &mut BufReader<TcpStream>) -> (u16, Vec<u8>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("an answer comes");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_ascii_lowercase()),
        }
    }
    let status = lines
        .first()
        .and_then(|line| line.get(9..12)?.parse().ok())
        .expect("a status line");
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the body comes whole");
    (status, body)
}

/// Whether the server has closed its side, by an end or a reset.
fn is_closed(stream: &TcpStream) -> bool {
    stream
        .set_nonblocking(true)
        .expect("a socket can be set so");
    let peeked = stream.peek(&mut [0]);
    stream
        .set_nonblocking(false)
        .expect("a socket can be set so");
    match peeked {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// A request for the longest page of a live's history that there is.
fn history_request(server: &TestServer) -> Vec<u8> {
    let streamer = server.user("historian");
    let live_id = server.live(&streamer);
    let mut streaming = Ws::connect(server, &streamer);
    streaming.join(live_id);
    for at in 0..COMMENTS {
        let text = format!("{at} {}", "x".repeat(190));
        streaming.send("comment", json!({"live_id": live_id, "data": text}));
        streaming.event_where("comment", |comment| comment["content"] == json!(text));
    }
    let page = format!("/api/live/{live_id}/history?limit={COMMENTS}");
    eventually("all comments are in the history", || {
        (server.get(&page).body.len() > COMMENTS * 190).then_some(())
    });
    format!("GET {page} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}

/// Memory of the server's own, in KiB.
fn resident_kib(server: &TestServer) -> usize {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .expect("a line of it");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

/// How many connections the server reset because their client read nothing.
fn stalled(server: &TestServer) -> usize {
    let counts = server.logged("stalled=").into_iter().map(|line| {
        let (_, count) = line.split_once("stalled=").expect("it was searched for");
        count
            .split_whitespace()
            .next()
            .and_then(|count| count.parse::<usize>().ok())
            .expect("a number")
    });
    counts.sum()
}

#[test]
fn answers_that_nobody_reads_cost_little_and_are_cut() {
    let server = TestServer::start(&[
        MANY_COMMANDS,
        MANY_COMMANDS_OF_A_USER,
        ("LIVEROOM__SERVER__STALL_TIMEOUT_MS", "5000"),
    ]);
    let request = history_request(&server);
    let mut bystanders = Bystanders::meet(&server, &server.user("bystander"));
    let before_kib = resident_kib(&server);
    // 400 answers are 12 MB; the kernel holds less than one for both sides together.
    let pipelined = request.repeat(400);
    let mut attackers: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = connect(&server);
            stream
                .write_all(&pipelined)
                .expect("the requests are less than the kernel holds");
            stream
        })
        .collect();
    let (mut most_kib, attackers_count) = (0, attackers.len());
    eventually("the server resets all of them", || {
        bystanders.assert_unharmed(&server, "unread answers");
        most_kib = most_kib.max(resident_kib(&server));
        // A reset is a pending error, which is seen without reading anything.
        attackers.retain(|stream| stream.take_error().expect("a socket has a state").is_none());
        attackers.is_empty().then_some(())
    });
    let each_kib = most_kib.saturating_sub(before_kib) / attackers_count;
    assert!(each_kib < 256, "each unread connection took {each_kib} KiB");
    eventually("the log counts all of them", || {
        (stalled(&server) == attackers_count).then_some(())
    });
}

#[test]
fn pipelined_requests_are_all_answered_to_a_slow_reader() {
    let server = TestServer::start(&[MANY_COMMANDS, MANY_COMMANDS_OF_A_USER]);
    let request = history_request(&server);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // So the server's answers wait for this client again and again, however fast it reads.
    socket
        .set_recv_buffer_size(4 << 10)
        .expect("a buffer can be small");
    socket
        .connect(&SocketAddr::from(([127, 0, 0, 1], server.port())).into())
        .expect("the server accepts");
    let mut stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit can be set");
    let requests = 40;
    stream
        .write_all(&request.repeat(requests))
        .expect("the requests are less than the kernel holds");
    stream
        .shutdown(Shutdown::Write)
        .expect("the connection lives");
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).expect("an end, no reset");
    let heads = answers
        .windows(13)
        .filter(|window| window == b"HTTP/1.1 200 ")
        .count();
    assert_eq!(heads, requests, "each pipelined request has its answer");
    assert_eq!(stalled(&server), 0);
}

#[test]
fn connections_that_send_no_request_are_closed() {
    let server = TestServer::start(&[HEAD_TIMEOUT_MS]);
    let mut bystanders = Bystanders::meet(&server, &server.user("bystander"));
    let silent: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    let slow: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(&HEALTH[..20]).expect("the server reads");
            stream
        })
        .collect();
    let mut second_head = connect_idle(&server);
    second_head
        .get_mut()
        .write_all(&HEALTH[..20])
        .expect("the server reads");
    bystanders.assert_unharmed(&server, "slow heads");
    for mut stream in silent.into_iter().chain(slow) {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an end");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    let mut rest = Vec::new();
    second_head.read_to_end(&mut rest).expect("an end");
    assert!(rest.is_empty(), "half a request has no answer");
    bystanders.assert_unharmed(&server, "slow heads");
}

#[test]
fn an_address_whose_connections_are_all_served_gets_503_and_others_do_not() {
    let server = TestServer::start(&FEW_CONNECTIONS);
    let paths: Vec<String> = (0..8)
        .map(|_| open_session(&server).expect("there is room"))
        .collect();
    // The connections that opened the sessions may still be closing.
    let _hanging: Vec<TcpStream> = paths
        .iter()
        .map(|path| eventually("a poll is served", || hanging_poll(&server, path)))
        .collect();
    let refused = server.get("/healthz");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    let other = connect_from(2, server.port());
    assert_eq!(
        request_over(other, "GET", "/healthz", &[], &[]).status,
        200,
        "another address"
    );
}

#[test]
fn an_idle_connection_is_closed_for_a_new_one() {
    let server = TestServer::start(&FEW_CONNECTIONS);
    let mut idle: Vec<BufReader<TcpStream>> = (0..8).map(|_| connect_idle(&server)).collect();
    // They must have been idle for a second.
    eventually("a new connection is served", || {
        (server.get("/healthz").status == 200).then_some(())
    });
    eventually("the longest idle one is closed", || {
        is_closed(idle[0].get_ref()).then_some(())
    });
    for stream in &mut idle[1..] {
        assert_eq!(health_over(stream), 200, "the others go on");
    }
}

#[test]
fn a_full_http_side_leaves_sessions_alone() {
    let server = TestServer::start(&FEW_CONNECTIONS);
    let mut bystanders = Bystanders::meet(&server, &server.user("bystander"));
    let _silent: Vec<TcpStream> = (0..200).map(|_| connect_from(2, server.port())).collect();
    for _ in 0..20 {
        bystanders.assert_unharmed(&server, "silent connections");
    }
}

#[test]
fn an_idle_connection_is_kept_for_keep_alive_ms() {
    // Longer than the 5 s after which actix-http closes it unless told otherwise.
    let server = TestServer::start(&[("LIVEROOM__SERVER__KEEP_ALIVE_MS", "6000")]);
    let began = Instant::now();
    let mut stream = connect_idle(&server);
    assert_eq!(stream.read(&mut [0]).expect("an end, no reset"), 0);
    // A busy machine closes it later, never sooner.
    assert!(
        began.elapsed() >= Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let server = TestServer::start(&[]);
    let login = r#"{"username":"a","password":"b"}"#;
    let login = format!(
        "POST /api/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{login}",
        login.len()
    );
    for request in [HEALTH, login.as_bytes(), &HEALTH.repeat(3)] {
        let mut stream = connect(&server);
        stream.write_all(request).expect("the server reads");
        stream
            .shutdown(Shutdown::Write)
            .expect("the connection lives");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("an answer and an end");
        let heads = answer.matches("HTTP/1.1 ").count();
        assert_eq!(
            heads,
            String::from_utf8_lossy(request).matches("HTTP/1.1").count(),
            "{answer}"
        );
    }
}

#[test]
fn a_hanging_poll_ends_with_its_client() {
    let server = TestServer::start(&[]);
    let path = open_session(&server).expect("there is room");
    let mut stream = hanging_poll(&server, &path).expect("there is room");
    stream
        .shutdown(Shutdown::Write)
        .expect("the connection lives");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an end");
    assert!(
        answer.starts_with("HTTP/1.1 400 "),
        "it did not wait for the next ping: {answer}"
    );
    // As in engine.io, where a poll that is broken off ends its transport.
    let after = request_over(connect(&server), "POST", &path, &[], b"40");
    assert_eq!(after.status, 400, "{}", after.text());
}

#[test]
fn a_server_with_few_descriptors_stays_reachable() {
    let server = TestServer::start_with_files_max(400, &[]);
    let mut bystanders = Bystanders::meet(&server, &server.user("bystander"));
    let mut silent = Vec::new();
    // All of them together are more than there are descriptors.
    for _ in 0..5 {
        silent.extend((0..150).map(|_| connect_from(2, server.port())));
        bystanders.assert_unharmed(&server, "silent connections");
    }
    assert!(server.logged("Too many open files").is_empty());
}
