//! Users online after joins, leaves and losses, here and on other nodes.

use super::*;

const GRACE_MS: i64 = 30_000;
const GRACE_ENDS: Timestamp = Timestamp(GRACE_MS);

fn join(list: &mut MemberList<()>, session: u64, user: i64) -> Arrival {
    let id = UserId::new(user).unwrap();
    let profile = Arc::new(Profile {
        id,
        name: format!("user {user}"),
        avatar: None,
    });
    let socket_id = format!("s{session}").into();
    let member = Member {
        user: id,
        socket_id,
        handle: (),
        joined_at: Timestamp(0),
    };
    list.join(SessionId(session), profile, member, false)
}

fn users(list: &MemberList<()>) -> Vec<i64> {
    list.users(usize::MAX)
        .iter()
        .map(|profile| profile.id.get())
        .collect()
}

#[test]
fn users_are_listed_newest_first_and_who_joins_again_is_the_newest() {
    let mut list = MemberList::default();
    for (session, user) in [(1, 10), (2, 20), (3, 30)] {
        assert_eq!(join(&mut list, session, user), Arrival::New);
    }
    assert_eq!(
        join(&mut list, 4, 10),
        Arrival::Again {
            renamed: false,
            moved: true
        }
    );
    assert_eq!(users(&list), [10, 30, 20]);
    assert_eq!(list.users(1).len(), 1);
    assert_eq!((list.members_count(), list.users_count()), (4, 3));
    assert_eq!(
        list.socket_ids().iter().map(|id| &**id).collect::<Vec<_>>(),
        ["s1", "s2", "s3", "s4"]
    );
}

#[test]
fn a_later_join_brings_the_newest_profile() {
    let mut list = MemberList::default();
    join(&mut list, 1, 10);
    let renamed = Arc::new(Profile {
        id: UserId::new(10).unwrap(),
        name: "new".into(),
        avatar: None,
    });
    let member = Member {
        user: renamed.id,
        socket_id: "s2".into(),
        handle: (),
        joined_at: Timestamp(0),
    };
    let arrival = list.join(SessionId(2), renamed.clone(), member, true);
    assert_eq!(
        arrival,
        Arrival::Again {
            renamed: true,
            moved: false
        }
    );
    assert_eq!(list.profile(renamed.id), Some(&renamed));
}

#[test]
fn joins_beyond_the_budget_and_returns_are_quiet_and_move_nobody() {
    let mut list = MemberList::default();
    join(&mut list, 1, 10);
    join(&mut list, 2, 20);
    let again = Arrival::Again {
        renamed: false,
        moved: true,
    };
    let arrivals: Vec<Arrival> = (0..5).map(|_| join(&mut list, 1, 10)).collect();
    assert_eq!(
        arrivals,
        [again, again, again, Arrival::QUIET, Arrival::QUIET]
    );
    assert_eq!(
        join(&mut list, 2, 20),
        again,
        "each user has a budget of its own"
    );
    assert_eq!(
        join(&mut list, 3, 10),
        Arrival::QUIET,
        "and its sessions share it"
    );
    assert_eq!(users(&list), [20, 10]);

    let profile = list.profile(UserId::new(10).unwrap()).unwrap().clone();
    let later = Timestamp(60_000);
    let member = || Member {
        user: profile.id,
        socket_id: "s4".into(),
        handle: (),
        joined_at: later,
    };
    assert_eq!(
        list.join(SessionId(4), profile.clone(), member(), true),
        Arrival::QUIET
    );
    assert_eq!(users(&list), [20, 10]);
    assert_eq!(
        list.join(SessionId(4), profile.clone(), member(), false),
        again
    );
    assert_eq!(users(&list), [10, 20]);
}

#[test]
fn a_renewal_that_changes_nothing_is_not_published_to_other_nodes() {
    let mut list = MemberList::default();
    for _ in 0..4 {
        join(&mut list, 1, 10);
    }
    assert_eq!(list.take_local_changes().len(), 1);
    assert_eq!(join(&mut list, 1, 10), Arrival::QUIET);
    assert!(list.take_local_changes().is_empty());
    join(&mut list, 2, 10);
    assert_eq!(list.take_local_changes().len(), 1, "a new socket is");
}

#[test]
fn who_joins_here_is_the_newest_also_when_the_clock_of_another_node_is_ahead() {
    let mut list = MemberList::default();
    let profile = Arc::new(Profile {
        id: UserId::new(30).unwrap(),
        name: "ahead".into(),
        avatar: None,
    });
    let user = PeerUser {
        profile,
        sockets: vec!["p".into()],
        arrived_at: Timestamp(9_000),
    };
    list.apply_remote(PeerChange::Present {
        node: NodeId(2),
        user,
    });
    join(&mut list, 1, 10);
    assert_eq!(users(&list), [10, 30]);
    let Some(PresenceChange::Online(published)) = list.take_local_changes().pop() else {
        panic!("user 1 is online")
    };
    assert_eq!(
        published.arrived_at,
        Timestamp(9_000),
        "other nodes list them in this order too"
    );
}

#[test]
fn a_member_that_joins_again_is_renewed_and_its_arrival_stays() {
    let mut list = MemberList::default();
    join(&mut list, 1, 10);
    join(&mut list, 2, 20);
    assert_eq!(
        join(&mut list, 1, 10),
        Arrival::Again {
            renamed: false,
            moved: true
        }
    );
    assert_eq!((users(&list), list.members_count()), (vec![10, 20], 2));
    let (_, gone) = list.leave(SessionId(1)).unwrap();
    assert_eq!(gone.map(|gone| gone.arrival), Some(1));
}

#[test]
fn only_the_last_lost_connection_starts_a_grace() {
    let mut list = MemberList::default();
    join(&mut list, 1, 10);
    join(&mut list, 2, 10);
    assert!(list.connection_lost(SessionId(1), GRACE_ENDS).is_some());
    assert_eq!(list.next_expiry(), None);
    assert!(list.connection_lost(SessionId(2), GRACE_ENDS).is_some());
    assert!(list.connection_lost(SessionId(2), GRACE_ENDS).is_none());
    assert_eq!(list.next_expiry(), Some(GRACE_ENDS));
    assert_eq!((list.members_count(), list.users_count()), (0, 1));
    assert!(list.expire(GRACE_ENDS.plus_ms(-1), GRACE_MS).is_empty());
    assert_eq!(list.expire(GRACE_ENDS, GRACE_MS).len(), 1);
    assert_eq!((list.users_count(), list.next_expiry()), (0, None));
}

#[test]
fn a_clock_that_is_set_back_begins_a_grace_anew_and_no_more() {
    let mut list = MemberList::default();
    for (session, user) in [(1, 10), (2, 20)] {
        join(&mut list, session, user);
        list.connection_lost(SessionId(session), Timestamp(1_000_000 + user));
    }
    assert!(list.expire(Timestamp(5), GRACE_MS).is_empty());
    assert_eq!(list.next_expiry(), Some(Timestamp(5 + GRACE_MS)));
    join(&mut list, 3, 20);
    assert_eq!(list.expire(Timestamp(5 + GRACE_MS), GRACE_MS).len(), 1);
    assert_eq!((users(&list), list.next_expiry()), (vec![20], None));
}

#[test]
fn a_user_who_comes_back_has_no_grace_left_to_expire() {
    let mut list = MemberList::default();
    join(&mut list, 1, 10);
    list.connection_lost(SessionId(1), GRACE_ENDS);
    join(&mut list, 2, 10);
    assert_eq!(list.next_expiry(), None);
    assert!(list.expire(Timestamp(i64::MAX), GRACE_MS).is_empty());
    let (_, gone) = list.leave(SessionId(2)).unwrap();
    assert_eq!(gone.map(|gone| gone.profile.id), UserId::new(10));
}

#[test]
fn nothing_is_kept_of_those_who_are_gone() {
    let mut list = MemberList::default();
    for (session, user) in [(1, 10), (2, 20), (3, 30), (4, 30)] {
        join(&mut list, session, user);
    }
    list.leave(SessionId(1));
    list.connection_lost(SessionId(2), GRACE_ENDS);
    list.connection_lost(SessionId(3), GRACE_ENDS);
    list.leave(SessionId(4));
    list.expire(GRACE_ENDS, GRACE_MS);
    assert!(list.members.is_empty() && list.online.is_empty());
    assert!(list.by_arrival.is_empty() && list.in_grace.is_empty());
}

#[test]
fn strangers_neither_leave_nor_get_lost() {
    let mut list = MemberList::<()>::default();
    assert!(list.leave(SessionId(1)).is_none());
    assert!(list.connection_lost(SessionId(1), GRACE_ENDS).is_none());
    assert_eq!(list.next_expiry(), None);
}
