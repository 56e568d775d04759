//! The packets of one batch that a member receives, and their order.

use std::task::{Context as TaskContext, Poll, Waker};

use super::*;
use crate::domain::{CommentId, Epoch, RoomEvent, Sequenced};
use crate::outbox::{DrainLimits, OutboxLimits};

const LIVE: LiveId = LiveId::FIRST;
const LIMITS: OutboxLimits = OutboxLimits {
    packets_max: 100,
    bytes_max: 100_000,
};

fn hub() -> Hub {
    Hub {
        rooms: HashMap::new(),
        slow: HashMap::new(),
        slow_after: Duration::from_secs(5),
    }
}

fn outlet(session: u64, codec: Codec) -> Arc<Outlet> {
    let socket_id = format!("s{session}").into();
    Arc::new(Outlet {
        session: SessionId(session),
        socket_id,
        codec,
        outbox: Outbox::new(LIMITS),
    })
}

fn event(offset: u64) -> Arc<Encoded> {
    let comment_id = CommentId::new(1).unwrap();
    let event = RoomEvent::Removed {
        live_id: LIVE,
        comment_id,
    };
    Arc::new(Encoded::event(
        Sequenced {
            epoch: Epoch::from("e"),
            offset,
            event,
        },
        Priority::Critical,
    ))
}

fn answer(outlet: &Arc<Outlet>, text: &str) -> HubItem {
    HubItem::One(outlet.clone(), Packet::text(text, Priority::Critical))
}

/// Passes a batch of `events_count` events through the hub.
fn pass(hub: &mut Hub, events_count: u64, items: Vec<(usize, HubItem)>) {
    let gathered = Arc::new(Gathered::new((1..=events_count).map(event).collect(), None));
    hub.take(HubBatch {
        live_id: LIVE,
        gathered,
        items,
        drops: Arc::default(),
    });
}

/// The packets queued for the member: answers as they are, events as their offset.
fn received(outlet: &Outlet) -> Vec<String> {
    let mut packets = Vec::new();
    let mut cx = TaskContext::from_waker(Waker::noop());
    while let Poll::Ready(Ok(())) =
        outlet
            .outbox
            .poll_drain(&mut cx, DrainLimits::ALL, &mut packets)
    {}
    let text = |packet: &Packet| String::from_utf8(packet.payload().unwrap().to_vec()).unwrap();
    let offset = |text: String| match text.split_once("\"offset\":") {
        Some((_, rest)) => rest.chars().take_while(char::is_ascii_digit).collect(),
        None => text,
    };
    packets.iter().map(text).map(offset).collect()
}

#[test]
fn every_member_receives_all_events_and_then_its_answers() {
    let mut hub = hub();
    let members = [
        outlet(1, Codec::PlainJson),
        outlet(2, Codec::Eio4),
        outlet(3, Codec::Eio3),
    ];
    pass(
        &mut hub,
        0,
        members
            .iter()
            .map(|member| (0, HubItem::Attach(member.clone())))
            .collect(),
    );
    pass(
        &mut hub,
        3,
        vec![
            (0, answer(&members[0], "early")),
            (1, answer(&members[1], "late")),
            (3, answer(&members[1], "last")),
        ],
    );
    assert_eq!(received(&members[0]), ["early", "1", "2", "3"]);
    assert_eq!(received(&members[1]), ["1", "2", "3", "late", "last"]);
    assert_eq!(received(&members[2]), ["1", "2", "3"]);
}

#[test]
fn a_member_that_joins_within_a_batch_receives_nothing_from_before() {
    let mut hub = hub();
    let (old, new) = (outlet(1, Codec::PlainJson), outlet(2, Codec::PlainJson));
    pass(&mut hub, 0, vec![(0, HubItem::Attach(old.clone()))]);
    let items = vec![
        (2, HubItem::Attach(new.clone())),
        (2, answer(&new, "joined")),
        (2, HubItem::Shared(new.clone(), event(9))),
        (4, answer(&new, "commented")),
    ];
    pass(&mut hub, 4, items);
    assert_eq!(received(&old), ["1", "2", "3", "4"]);
    assert_eq!(received(&new), ["joined", "9", "3", "4", "commented"]);
}

#[test]
fn a_member_that_leaves_within_a_batch_receives_nothing_from_after() {
    let mut hub = hub();
    let (stays, leaves, visits) = (
        outlet(1, Codec::PlainJson),
        outlet(2, Codec::PlainJson),
        outlet(3, Codec::PlainJson),
    );
    pass(
        &mut hub,
        0,
        vec![
            (0, HubItem::Attach(stays.clone())),
            (0, HubItem::Attach(leaves.clone())),
        ],
    );
    let items = vec![
        (1, HubItem::Attach(visits.clone())),
        (2, HubItem::Detach(leaves.session)),
        (2, answer(&leaves, "left")),
        (3, HubItem::Detach(visits.session)),
        (3, answer(&visits, "left")),
    ];
    pass(&mut hub, 4, items);
    assert_eq!(received(&leaves), ["1", "2", "left"]);
    assert_eq!(received(&visits), ["2", "3", "left"]);
    pass(&mut hub, 1, Vec::new());
    assert_eq!(received(&stays), ["1", "2", "3", "4", "1"]);
    assert_eq!(
        (received(&leaves), received(&visits)),
        (Vec::new(), Vec::new())
    );
}

#[test]
fn strangers_are_answered_and_the_dead_are_forgotten() {
    let mut hub = hub();
    let (stranger, dead) = (outlet(1, Codec::PlainJson), outlet(2, Codec::PlainJson));
    pass(
        &mut hub,
        0,
        vec![
            (0, HubItem::Attach(dead.clone())),
            (0, answer(&stranger, "not_in_room")),
        ],
    );
    assert_eq!(received(&stranger), ["not_in_room"]);
    dead.outbox.close(Disconnect::ByClient);
    pass(&mut hub, 1, Vec::new());
    assert!(hub.rooms.is_empty());
}
