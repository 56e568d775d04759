//! The slow-member policy, and what goes straight to a socket.

use super::*;

const LIMITS: OutboxLimits = OutboxLimits {
    packets_max: 8,
    bytes_max: 4_096,
};

fn drain(outbox: &Outbox) -> Vec<String> {
    let mut packets = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok(())) = outbox.poll_drain(&mut cx, DrainLimits::ALL, &mut packets) {}
    let payloads = packets.iter().filter_map(Packet::payload);
    payloads
        .map(|payload| String::from_utf8(payload.to_vec()).unwrap())
        .collect()
}

#[test]
fn crowd_packets_give_way_oldest_first() {
    let outbox = Outbox::new(LIMITS);
    for n in 0..6 {
        assert_eq!(
            outbox.push(Packet::text(&n.to_string(), Priority::Droppable)),
            Pushed::Queued
        );
    }
    assert_eq!(
        outbox.push(Packet::text("6", Priority::Droppable)),
        Pushed::Full
    );
    assert_eq!(
        outbox.push(Packet::text("gift", Priority::Critical)),
        Pushed::Full
    );
    assert_eq!(drain(&outbox), ["1", "2", "3", "4", "5", "6", "gift"]);
    assert_eq!(outbox.full_for(), None);
}

#[test]
fn the_last_quarter_is_kept_for_what_must_not_be_dropped() {
    let outbox = Outbox::new(LIMITS);
    for _ in 0..8 {
        outbox.push(Packet::text("gift", Priority::Critical));
    }
    assert_eq!(outbox.closed(), None);
    assert_eq!(
        outbox.push(Packet::text("comment", Priority::Droppable)),
        Pushed::Full
    );
    assert_eq!(outbox.closed(), None, "a dropped comment ends nobody");
    outbox.push(Packet::text("one more gift", Priority::Critical));
    assert_eq!(
        outbox.closed(),
        Some(Disconnect::Slow),
        "a gift that cannot be kept ends the session"
    );
    assert_eq!(
        outbox.push(Packet::text("late", Priority::Critical)),
        Pushed::Closed
    );
}

#[test]
fn bytes_are_bounded_too() {
    let outbox = Outbox::new(LIMITS);
    outbox.push(Packet::text(&"a".repeat(2_000), Priority::Droppable));
    outbox.push(Packet::text(&"b".repeat(2_000), Priority::Droppable));
    let (packets, bytes) = outbox.queued();
    assert_eq!(packets, 1);
    assert!(bytes <= LIMITS.bytes_max);
    assert!(outbox.full_for().is_some());
}

#[test]
fn a_portion_is_bounded_in_packets_and_bytes_but_never_empty() {
    let outbox = Outbox::new(LIMITS);
    for text in ["a", "b", "c", "large", "d"] {
        outbox.push(Packet::text(text, Priority::Droppable));
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut portions = Vec::new();
    for _ in 0..4 {
        let mut packets = Vec::new();
        let limits = DrainLimits {
            packets_max: 2,
            bytes_max: 6,
        };
        assert_eq!(
            outbox.poll_drain(&mut cx, limits, &mut packets),
            Poll::Ready(Ok(()))
        );
        portions.push(packets.len());
    }
    assert_eq!(portions, [2, 1, 1, 1]);
}

#[test]
fn what_was_queued_before_the_close_is_still_drained() {
    let outbox = Outbox::new(LIMITS);
    outbox.push(Packet::text("bye", Priority::Critical));
    outbox.close(Disconnect::Kicked);
    outbox.close(Disconnect::Fault);
    assert_eq!(drain(&outbox), ["bye"]);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(
        outbox.poll_drain(&mut cx, DrainLimits::ALL, &mut Vec::new()),
        Poll::Ready(Err(Disconnect::Kicked))
    );
}

fn run(texts: &[(&str, DropPolicy)]) -> Run {
    let packets: Vec<Packet> = texts
        .iter()
        .map(|(text, drop_policy)| Packet::text(text, *drop_policy))
        .collect();
    Run::of(&packets).unwrap()
}

const DROPPABLE: DropPolicy = DropPolicy {
    priority: Priority::Droppable,
    state: None,
};
const CRITICAL: DropPolicy = DropPolicy {
    priority: Priority::Critical,
    state: None,
};
const STATE: DropPolicy = state(7, Superseded::Removed);
/// One that reports a change as well.
const REPORT: DropPolicy = state(7, Superseded::Delivered);

const fn state(key: u64, superseded: Superseded) -> DropPolicy {
    DropPolicy {
        priority: Priority::Droppable,
        state: Some(KeyedState {
            key: StateKey(key),
            superseded,
        }),
    }
}

#[test]
fn a_run_is_one_entry_and_loses_single_events() {
    let outbox = Outbox::new(LIMITS);
    let long = "x".repeat(1_000);
    assert_eq!(
        outbox.push_run(&run(&[
            (&long, DROPPABLE),
            ("gift", CRITICAL),
            ("late", DROPPABLE)
        ])),
        Pushed::Queued
    );
    assert_eq!(outbox.queued().0, 1);
    let last = "y".repeat(2_060);
    assert_eq!(
        outbox.push(Packet::text(&last, Priority::Droppable)),
        Pushed::Full
    );
    assert_eq!(drain(&outbox), ["gift", "late", &last]);
}

#[test]
fn a_run_that_is_too_much_by_itself_keeps_its_latest() {
    let outbox = Outbox::new(LIMITS);
    let text = "x".repeat(1_000);
    let texts = ["1", "2", "3", "4", "5"].map(|n| format!("{n}{text}"));
    let events: Vec<(&str, DropPolicy)> = texts
        .iter()
        .map(|text| (text.as_str(), DROPPABLE))
        .collect();
    assert_eq!(outbox.push_run(&run(&events)), Pushed::Full);
    assert_eq!(drain(&outbox), texts[2..]);
}

#[test]
fn a_state_takes_the_place_of_an_earlier_one() {
    let outbox = Outbox::new(LIMITS);
    outbox.push_run(&run(&[
        ("a", DROPPABLE),
        ("one online", STATE),
        ("b", DROPPABLE),
    ]));
    outbox.push(Packet::text("other room", state(8, Superseded::Removed)));
    outbox.push(Packet::text("two online", STATE));
    assert_eq!(drain(&outbox), ["a", "b", "other room", "two online"]);
}

#[test]
fn states_that_report_a_change_are_all_delivered_while_there_is_room() {
    let outbox = Outbox::new(LIMITS);
    outbox.push(Packet::text("alice joined", REPORT));
    outbox.push_run(&run(&[
        ("bob joined", REPORT),
        ("hello", DROPPABLE),
        ("carol joined", REPORT),
    ]));
    assert_eq!(
        drain(&outbox),
        ["alice joined", "bob joined", "hello", "carol joined"]
    );
}

#[test]
fn superseded_states_give_way_with_the_events_of_the_crowd_and_the_latest_after_them() {
    let outbox = Outbox::new(LIMITS);
    outbox.push(Packet::text("gift", Priority::Critical));
    for n in 0..4 {
        outbox.push_run(&run(&[
            (&format!("{n} joined"), REPORT),
            (&format!("comment {n}"), DROPPABLE),
        ]));
    }
    for n in 4..12 {
        outbox.push(Packet::text(&format!("comment {n}"), Priority::Droppable));
    }
    assert_eq!(
        drain(&outbox),
        [
            "gift",
            "3 joined",
            "comment 8",
            "comment 9",
            "comment 10",
            "comment 11"
        ]
    );
}

#[test]
fn a_state_outlives_the_events_of_the_crowd() {
    let outbox = Outbox::new(LIMITS);
    outbox.push(Packet::text("two online", STATE));
    for n in 0..20 {
        outbox.push(Packet::text(&n.to_string(), Priority::Droppable));
    }
    assert_eq!(drain(&outbox)[0], "two online");
}

async fn sockets() -> (Arc<TcpStream>, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    server.writable().await.unwrap();
    (Arc::new(server), client)
}

#[actix_web::test]
async fn a_push_reaches_a_socket_that_keeps_up_by_itself() {
    let (server, mut client) = sockets().await;
    let outbox = Outbox::new(LIMITS);
    outbox.attach_socket(server, Bytes::new());
    assert_eq!(
        outbox.push(Packet::text("a", Priority::Droppable)),
        Pushed::Queued
    );
    assert_eq!(
        outbox.push_run(&run(&[("b", DROPPABLE), ("c", DROPPABLE)])),
        Pushed::Queued
    );
    assert_eq!(outbox.queued(), (0, 0));
    let mut received = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut received)
        .await
        .unwrap();
    assert_eq!(&received, b"\x81\x01a\x81\x01b\x81\x01c");
}

#[actix_web::test]
async fn a_stopped_reader_costs_its_bound_and_receives_whole_frames_in_order_when_it_reads_on() {
    const BOUND: OutboxLimits = OutboxLimits {
        packets_max: 64,
        bytes_max: 64 << 10,
    };
    let (server, mut client) = sockets().await;
    socket2::SockRef::from(&*server)
        .set_send_buffer_size(4_096)
        .unwrap();
    let outbox = Outbox::new(BOUND);
    outbox.attach_socket(server, Bytes::from_static(b"head"));
    let filler = "x".repeat(997);
    let mut pushed = 0;
    while outbox.full_for().is_none() {
        let (one, other) = (
            format!("{pushed:04}{filler}"),
            format!("{:04}{filler}", pushed + 1),
        );
        outbox.push_run(&run(&[(&one, DROPPABLE), (&other, DROPPABLE)]));
        pushed += 2;
        let (items, bytes) = outbox.queued();
        assert!(items <= BOUND.packets_max && bytes <= BOUND.bytes_max);
    }
    outbox.close(Disconnect::Kicked);

    let mut received = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut client, &mut received);
    let writing = async {
        let end = std::future::poll_fn(|cx| outbox.poll_flush(cx)).await;
        outbox.kill_socket();
        outbox.detach_socket();
        end
    };
    let (read, end) = futures_util::future::join(reading, writing).await;
    read.unwrap();
    assert_eq!(end, FlushEnd::Closed(Disconnect::Kicked));
    let frames = received.strip_prefix(b"head").unwrap().chunks(1_001 + 4);
    let numbers: Vec<usize> = frames
        .map(|frame| std::str::from_utf8(&frame[4..8]).unwrap().parse().unwrap())
        .collect();
    assert!(
        numbers.is_sorted() && numbers.last() == Some(&(pushed - 1)),
        "{numbers:?}"
    );
    let dropped: Vec<usize> = (0..pushed)
        .filter(|number| !numbers.contains(number))
        .collect();
    let (first, last) = (dropped[0], dropped[dropped.len() - 1]);
    assert_eq!(
        dropped,
        (first..=last).collect::<Vec<_>>(),
        "the oldest that waited are dropped, and no others"
    );
}
