//! Counting, evicting, sweeping and reading.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use actix_codec::AsyncWrite;
use tokio::net::TcpListener;

use super::connection::Reading;
use super::stream::RESPONSE_BYTES_MIN;
use super::*;
use crate::config::Network;

/// Long enough to be evicted, short enough not to be overdue.
const A_WHILE_MS: u64 = 2_000;

/// Eight connections, four of one address.
fn connections() -> Arc<Connections> {
    let mut config = Config::default();
    config.limits.http_connections = 8;
    config.server.trusted_proxies = vec![Network::parse("10.0.0.0/8").unwrap()];
    Connections::new(Arc::new(config))
}

fn client(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));

/// Adds a connection that has been in `state` since the beginning.
fn add(connections: &Arc<Connections>, peer: IpAddr, state: ConnectionState) -> ConnectionGuard {
    let guard = connections.try_add(peer, 0).unwrap();
    guard.connection.set_state_at(state, 0);
    guard
}

#[test]
fn connections_are_counted_per_node_and_per_address_until_they_end() {
    let connections = connections();
    let mut guards: Vec<ConnectionGuard> = (0..4)
        .map(|_| add(&connections, client(1), ConnectionState::Serving))
        .collect();
    assert!(
        connections.try_add(client(1), 0).is_err(),
        "four of one address"
    );
    guards.extend((0..4).map(|_| add(&connections, client(2), ConnectionState::Serving)));
    assert!(
        connections.try_add(client(3), 0).is_err(),
        "eight on the node"
    );
    guards.remove(0);
    let _third = connections.try_add(client(3), 0).expect("one left");
    assert!(
        connections.try_add(client(1), 0).is_err(),
        "the node is full again"
    );
    drop((guards, _third));
    let inner = connections.lock();
    assert_eq!(
        (inner.count, inner.by_address.len()),
        (0, 0),
        "nothing is kept of connections that ended"
    );
}

#[test]
fn the_connection_that_waited_longest_for_its_client_is_evicted() {
    let connections = connections();
    let served = add(&connections, client(1), ConnectionState::Serving);
    let waiting = [
        (ConnectionState::Idle, 20),
        (ConnectionState::ReadingHead, 30),
        (ConnectionState::WriteBlocked, 10),
    ]
    .map(|(state, since_ms)| {
        let guard = add(&connections, client(1), state);
        guard.connection.set_state_at(state, since_ms);
        guard
    });
    let cut =
        || [&waiting[0], &waiting[1], &waiting[2], &served].map(|guard| guard.connection.is_cut());
    let mut newcomers = Vec::new();
    let mut add_busy = |now_ms| {
        let guard = connections.try_add(client(1), now_ms)?;
        guard
            .connection
            .set_state_at(ConnectionState::Serving, now_ms);
        newcomers.push(guard);
        Ok::<_, Full>(())
    };
    assert!(add_busy(500).is_err(), "none has waited for a second");
    for expected in [
        [false, false, true, false],
        [true, false, true, false],
        [true, true, true, false],
    ] {
        add_busy(A_WHILE_MS).expect("one is evicted");
        assert_eq!(cut(), expected);
    }
    assert!(add_busy(A_WHILE_MS).is_err(), "all others are served");
    drop(waiting);
    assert!(
        add_busy(A_WHILE_MS).is_err(),
        "evicted ones that end free no further room"
    );
}

#[test]
fn a_full_node_evicts_connections_of_any_address() {
    let connections = connections();
    let _guards: Vec<ConnectionGuard> = (0..8)
        .map(|at| {
            add(
                &connections,
                client(at / 4),
                if at == 5 {
                    ConnectionState::Idle
                } else {
                    ConnectionState::Serving
                },
            )
        })
        .collect();
    let _newcomer = connections
        .try_add(client(9), A_WHILE_MS)
        .expect("the idle one is evicted");
    assert!(
        connections.try_add(client(9), A_WHILE_MS).is_err(),
        "there is no other"
    );
    assert_eq!(connections.sweep_once(A_WHILE_MS).evicted, 1);
}

#[test]
fn a_search_that_found_none_to_evict_is_not_repeated_at_once() {
    let connections = connections();
    let guards: Vec<ConnectionGuard> = (0..8)
        .map(|at| add(&connections, client(at / 4), ConnectionState::Serving))
        .collect();
    assert!(connections.try_add(client(9), A_WHILE_MS).is_err());
    guards[0].connection.set_state(ConnectionState::Idle);
    assert!(
        connections.try_add(client(9), A_WHILE_MS + 99).is_err(),
        "no search yet"
    );
    assert!(connections.try_add(client(9), A_WHILE_MS + 100).is_ok());
}

#[test]
fn requests_through_a_proxy_count_for_the_address_of_their_client() {
    let connections = connections();
    let _guards: Vec<ConnectionGuard> = (0..8)
        .map(|_| add(&connections, PROXY, ConnectionState::Serving))
        .collect();
    assert!(
        connections.try_add(PROXY, 0).is_err(),
        "they count for the node"
    );
    let mut requests: Vec<RequestGuard> = (0..4)
        .map(|_| connections.try_request(client(1)).ok().unwrap())
        .collect();
    assert!(
        connections.try_request(client(1)).is_err(),
        "four of one address"
    );
    assert!(connections.try_request(client(2)).is_ok());
    requests.clear();
    assert!(connections.try_request(client(1)).is_ok());
    assert_eq!(
        connections.lock().by_address.len(),
        1,
        "only the proxy is left"
    );
}

#[test]
fn overdue_connections_are_cut_and_served_ones_are_not() {
    let connections = connections();
    let [idle, head, blocked, served] = [
        ConnectionState::Idle,
        ConnectionState::ReadingHead,
        ConnectionState::WriteBlocked,
        ConnectionState::Serving,
    ]
    .map(|state| add(&connections, client(1), state));
    let cut_at = |now_ms| {
        connections.sweep_once(now_ms);
        [&idle, &head, &blocked, &served].map(|guard| guard.connection.is_cut())
    };
    assert_eq!(cut_at(5_500), [false; 4], "the server answers 408 first");
    assert_eq!(cut_at(6_500), [false, true, false, false]);
    assert_eq!(cut_at(19_000), [false, true, false, false]);
    assert_eq!(cut_at(21_000), [false, true, true, false]);
    assert_eq!(cut_at(76_000), [true, true, true, false]);
    assert_eq!(cut_at(10_000_000), [true, true, true, false]);
    drop((idle, head, blocked, served));
    assert_eq!(connections.lock().count, 0);
}

#[test]
fn a_blocked_response_counts_even_while_the_next_request_is_served() {
    let connections = connections();
    let guard = add(&connections, client(1), ConnectionState::WriteBlocked);
    guard.connection.begin_request(false);
    assert_eq!(guard.connection.state().0, ConnectionState::WriteBlocked);
    guard.connection.note_flushed();
    assert_eq!(guard.connection.state().0, ConnectionState::Serving);
    guard.connection.end_request();
    assert_eq!(guard.connection.state().0, ConnectionState::Idle);
}

#[test]
fn only_a_body_is_read_while_a_request_is_served() {
    let connections = connections();
    let connection = connections
        .try_add(client(1), 0)
        .unwrap()
        .connection
        .clone();
    assert_eq!(connection.reading(), Reading::Anything);
    connection.begin_request(false);
    assert_eq!(connection.reading(), Reading::EofOnly);
    connection.end_request();
    connection.begin_request(true);
    assert_eq!(connection.reading(), Reading::Anything);
    connection.end_body();
    assert_eq!(connection.reading(), Reading::EofOnly);
    connection.end_request();
    assert_eq!(connection.reading(), Reading::Anything);
}

/// One of `connections`, and its client's side.
async fn connected(connections: &Arc<Connections>) -> (HttpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client_end = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server_end, _) = listener.accept().await.unwrap();
    (
        HttpStream::new(server_end, connections.try_add(client(1), 0).unwrap()),
        client_end,
    )
}

/// Writes one KiB; `None` where the client must read first.
async fn write(stream: &mut HttpStream) -> Option<std::io::Result<usize>> {
    poll_fn(
        |cx| match Pin::new(&mut *stream).poll_write(cx, &[0; 1 << 10]) {
            Poll::Ready(written) => Poll::Ready(Some(written)),
            Poll::Pending => Poll::Ready(None),
        },
    )
    .await
}

/// Writes until the client must read first.
async fn block(stream: &mut HttpStream) {
    while let Some(written) = write(stream).await {
        written.unwrap();
    }
    assert_eq!(stream.connection().state().0, ConnectionState::WriteBlocked);
}

#[actix_web::test]
async fn a_client_that_reads_enough_of_a_blocked_response_gets_more_time() {
    let (mut stream, mut client_end) = connected(&connections()).await;
    block(&mut stream).await;
    let marked_ms = u64::MAX >> 8;
    stream
        .connection()
        .set_state_at(ConnectionState::WriteBlocked, marked_ms);
    let (mut written, mut bytes) = (0, vec![0; 64 << 10]);
    while written < RESPONSE_BYTES_MIN {
        assert_eq!(
            stream.connection().state(),
            (ConnectionState::WriteBlocked, marked_ms),
            "after {written} bytes"
        );
        assert!(client_end.read(&mut bytes).await.unwrap() > 0);
        written += write(&mut stream).await.map_or(0, Result::unwrap);
    }
    assert_ne!(stream.connection().state().1, marked_ms);
}

#[actix_web::test]
async fn a_blocked_connection_that_is_cut_is_reset() {
    let connections = connections();
    let (mut stream, mut client_end) = connected(&connections).await;
    block(&mut stream).await;
    stream
        .connection()
        .set_state_at(ConnectionState::WriteBlocked, 0);
    assert_eq!(connections.sweep_once(A_WHILE_MS).stalled, 0, "it has time");
    assert!(write(&mut stream).await.is_none());
    connections.sweep_once(20_000);
    assert!(
        write(&mut stream)
            .await
            .is_some_and(|written| written.is_err())
    );
    drop(stream);
    let end = client_end.read_to_end(&mut Vec::new()).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
