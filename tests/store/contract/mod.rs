//! What every store must do: one suite, run on SQLite and on PostgreSQL.

mod actions;
mod changes;
mod comments;
mod names;

use std::sync::Arc;

use crate::support::database::{Database, NOW, commit, contract, open, order, profile, request};
use actions::{
    a_refused_attempt_leaves_a_row_and_its_request_id_usable, a_repeated_action_has_one_effect_and_the_same_answer,
    a_request_id_names_one_action_of_its_actor_and_kind, an_action_is_pending_until_the_log_of_its_room_has_its_entry,
    an_action_leaves_a_row_that_says_who_did_what_to_whom_and_what_it_changed, nobody_changes_a_row_of_the_audit,
    retries_at_the_same_time_have_one_effect,
};
use changes::{
    a_change_that_commits_late_is_in_the_feed_all_the_same,
    a_number_of_a_node_comes_round_after_all_others_and_not_while_it_is_kept,
    every_change_that_nodes_must_learn_is_in_the_feed_once, too_many_changes_and_old_ones_are_said_to_be_missed,
};
use comments::{
    a_comment_shown_later_stands_where_it_was_shown, a_page_of_comments_costs_its_own_length,
    a_removed_comment_is_gone_for_good_but_its_request_id_stays_used,
    an_id_that_another_comment_has_is_refused_and_the_rest_is_kept, comments_come_in_pages_newest_first,
    comments_of_the_version_before_keep_their_order_and_it_finds_its_way,
    recent_comments_are_found_without_reading_older_ones,
};
use futures_util::future::join_all;
use liveroom::domain::*;
use liveroom::storage::{
    Change, CoinGrant, GrantOutcome, LOGIN_NETWORKS_MAX, LiveLedger, LiveState, Performed, StoreError, StoreOptions,
    StoredToken, Write, WriteOutcome,
};
use names::{
    names_from_before_stay_valid_and_keep_their_look_alikes_out, of_names_that_look_alike_one_is_given_out,
    of_registrations_at_the_same_time_the_database_takes_one,
};

contract! {
    a_username_is_taken_once,
    of_names_that_look_alike_one_is_given_out,
    of_registrations_at_the_same_time_the_database_takes_one,
    names_from_before_stay_valid_and_keep_their_look_alikes_out,
    a_user_is_disabled_and_enabled,
    a_token_replaces_the_one_before_and_is_cleared,
    every_change_that_nodes_must_learn_is_in_the_feed_once,
    a_change_that_commits_late_is_in_the_feed_all_the_same,
    too_many_changes_and_old_ones_are_said_to_be_missed,
    a_number_of_a_node_comes_round_after_all_others_and_not_while_it_is_kept,
    the_newest_networks_of_a_users_logins_are_remembered,
    a_live_is_changed_until_it_ends,
    lives_come_in_pages_in_id_order,
    the_catalogue_reads_back_as_written,
    a_gift_moves_its_price_from_giver_to_live,
    a_refused_gift_moves_nothing_and_keeps_its_request_id_usable,
    a_retried_gift_has_one_effect_and_the_first_receipt,
    writes_of_a_batch_take_effect_in_order,
    a_comment_is_stored_once_and_strangers_comments_are_refused,
    recent_comments_are_the_newest_with_a_request_id,
    comments_come_in_pages_newest_first,
    a_removed_comment_is_gone_for_good_but_its_request_id_stays_used,
    a_comment_shown_later_stands_where_it_was_shown,
    comments_of_the_version_before_keep_their_order_and_it_finds_its_way,
    an_id_that_another_comment_has_is_refused_and_the_rest_is_kept,
    a_page_of_comments_costs_its_own_length,
    recent_comments_are_found_without_reading_older_ones,
    an_action_leaves_a_row_that_says_who_did_what_to_whom_and_what_it_changed,
    a_repeated_action_has_one_effect_and_the_same_answer,
    an_action_is_pending_until_the_log_of_its_room_has_its_entry,
    a_request_id_names_one_action_of_its_actor_and_kind,
    a_refused_attempt_leaves_a_row_and_its_request_id_usable,
    retries_at_the_same_time_have_one_effect,
    nobody_changes_a_row_of_the_audit,
    a_view_counts_once_for_ever,
    a_grant_happens_once_per_request_id,
    two_stores_on_one_database_keep_the_books_exact,
    a_comment_that_two_stores_keep_at_once_is_kept_once,
    openers_at_the_same_time_migrate_once,
    everything_is_still_there_after_reopening,
    a_call_nobody_waits_for_is_done_all_the_same,
    a_store_that_cannot_write_says_so_and_recovers,
    text_that_postgresql_cannot_keep_is_refused_everywhere,
}

async fn a_username_is_taken_once(db: Database) {
    let store = &db.store;
    let nickname = Some("小花 \u{1F339}".to_owned());
    let user = store.create_user("alice".into(), nickname.clone(), "hash".into(), NOW).await.unwrap().unwrap();
    assert_eq!(
        (user.username.as_str(), &user.nickname, user.coin, user.enabled),
        ("alice", &nickname, Coins::ZERO, true)
    );
    assert_eq!((user.created_at, user.updated_at), (NOW, NOW));
    assert_eq!(store.create_user("alice".into(), None, "other".into(), NOW).await.unwrap(), None);
    assert_eq!(store.user(user.id).await.unwrap(), Some(user.clone()));
    let credentials = store.credentials("alice".into()).await.unwrap().unwrap();
    assert_eq!((credentials.user, credentials.password_hash.as_str()), (user.clone(), "hash"));
    assert!(store.credentials("Alice".into()).await.unwrap().is_none());
    assert_eq!(store.user(UserId::new(user.id.get() + 99).unwrap()).await.unwrap(), None);
    store.ping().await.unwrap();
}

async fn a_user_is_disabled_and_enabled(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let later = NOW.plus_ms(5);
    let changed = async |action| match db.act(Scope::Site, action, later).await {
        Performed::Done { change: Change::User(user), .. } => *user,
        other => panic!("no user changed: {other:?}"),
    };
    let disabled = changed(Action::DisableUser(alice)).await;
    assert_eq!((disabled.enabled, disabled.updated_at), (false, later));
    assert!(!db.store.user(alice).await.unwrap().unwrap().enabled);
    assert!(changed(Action::EnableUser(alice)).await.enabled);
    let bob = db.user("bobby", 0).await.id;
    assert!(!changed(Action::DisableUser(bob)).await.enabled);
    let among = vec![alice, bob, UserId::new(99).unwrap()];
    assert_eq!(db.store.disabled_users(among).await.unwrap(), [bob]);
    assert_eq!(db.store.disabled_users(vec![alice]).await.unwrap(), []);
    assert_eq!(db.store.disabled_users(Vec::new()).await.unwrap(), []);
    assert_eq!(db.set_enabled(UserId::new(99).unwrap(), true).await, Performed::Refused(Reject::UserNotFound));
}

async fn a_token_replaces_the_one_before_and_is_cleared(db: Database) {
    let alice = db.user("alice", 0).await.id;
    assert_eq!(db.store.token(alice).await.unwrap(), None);
    db.store.set_token(alice, Some("one".into()), NOW).await.unwrap();
    db.store.set_token(alice, Some("two".into()), NOW).await.unwrap();
    assert_eq!(db.store.token(alice).await.unwrap(), Some(StoredToken { digest: Some("two".into()), at: NOW }));
    assert_eq!(db.store.tokens_since(NOW).await.unwrap(), [alice]);
    let later = NOW.plus_ms(1);
    assert_eq!(db.store.tokens_since(later).await.unwrap(), []);
    db.store.set_token(alice, None, NOW).await.unwrap();
    db.store.set_token(alice, None, later).await.unwrap();
    assert_eq!(db.store.token(alice).await.unwrap(), Some(StoredToken { digest: None, at: later }));
    assert_eq!(db.store.tokens_since(later).await.unwrap(), [alice], "a logout is remembered");
    let [replaced, current] = [NOW, later].map(|at| StoredToken { digest: None, at });
    assert!(!db.store.remove_token(alice, replaced).await.unwrap(), "it is another one now");
    assert_eq!(db.store.token(alice).await.unwrap(), Some(current.clone()));
    assert!(db.store.remove_token(alice, current.clone()).await.unwrap());
    assert_eq!(db.store.token(alice).await.unwrap(), None);
    assert!(!db.store.remove_token(alice, current).await.unwrap());
}

async fn the_newest_networks_of_a_users_logins_are_remembered(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let last = |user, network: String| db.store.last_login_from(user, network);
    let network = |n: i64| format!("2001:db8:0:{n}::");
    let max = LOGIN_NETWORKS_MAX as i64;
    db.store.remember_login(bob, network(0), NOW).await.unwrap();
    for n in 0..max {
        db.store.remember_login(alice, network(n), NOW.plus_ms(n)).await.unwrap();
    }
    // Used again, the oldest is the newest, and the one after it goes.
    db.store.remember_login(alice, network(0), NOW.plus_ms(max)).await.unwrap();
    db.store.remember_login(alice, network(max), NOW.plus_ms(max + 1)).await.unwrap();
    assert_eq!(last(alice, network(0)).await.unwrap(), Some(NOW.plus_ms(max)));
    assert_eq!(last(alice, network(1)).await.unwrap(), None);
    for n in 2..max {
        assert_eq!(last(alice, network(n)).await.unwrap(), Some(NOW.plus_ms(n)));
    }
    assert_eq!(last(bob, network(0)).await.unwrap(), Some(NOW), "another user's");
    assert_eq!(last(bob, network(2)).await.unwrap(), None);
}

async fn a_live_is_changed_until_it_ends(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let row = db.store.create_live(alice, "标题".into(), "c.png".into(), "k".repeat(20), NOW).await.unwrap();
    assert_eq!((row.live.status, row.live.owner, row.live.look_count), (LiveStatus::Scheduled, alice, 0));
    assert_eq!(db.store.live(row.live.id).await.unwrap(), Some(row.clone()));
    let set = |live, status| db.act(Scope::Live(live), Action::SetStatus(status), NOW.plus_ms(1));
    for status in [LiveStatus::OnAir, LiveStatus::Paused, LiveStatus::Ended] {
        assert_eq!(db.store.not_ended_lives_count(alice).await.unwrap(), 1);
        let Performed::Done { change: Change::Live(changed), .. } = set(row.live.id, status).await else {
            panic!("not changed")
        };
        assert_eq!((changed.live.status, changed.updated_at), (status, NOW.plus_ms(1)));
    }
    let counts = [db.store.not_ended_lives_count(alice).await, db.store.not_ended_lives_count(bob).await];
    assert_eq!(counts.map(Result::unwrap), [0, 0]);
    let ended = db.store.live(row.live.id).await.unwrap().unwrap();
    assert_eq!(set(row.live.id, LiveStatus::OnAir).await, Performed::Refused(Reject::LiveEnded));
    assert_eq!(db.store.live(row.live.id).await.unwrap(), Some(ended));
    let unknown = LiveId::new(row.live.id.get() + 99).unwrap();
    assert_eq!(set(unknown, LiveStatus::Ended).await, Performed::Refused(Reject::LiveNotFound));
    let state = LiveState { id: row.live.id, status: LiveStatus::Ended, title: "标题".into() };
    assert_eq!(db.store.live_states(vec![unknown, row.live.id]).await.unwrap(), [state]);
    assert_eq!(db.store.live_states(Vec::new()).await.unwrap(), []);
    assert_eq!(db.store.live(unknown).await.unwrap(), None);
    assert_eq!(db.store.live_ledger(unknown).await.unwrap(), LiveLedger::default());
}

async fn lives_come_in_pages_in_id_order(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(db.live(alice, &format!("key{number}")).await);
    }
    for (page, expected) in [(1, &ids[0..2]), (3, &ids[4..5]), (4, &ids[0..0]), (u32::MAX, &ids[0..0])] {
        let rows = db.store.lives(page, 2).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.live.id).collect::<Vec<_>>(), expected);
    }
}

async fn the_catalogue_reads_back_as_written(db: Database) {
    let (rose, car) = (db.gift(7).await, db.gift(1_000).await);
    let rows = db.store.gifts().await.unwrap();
    assert_eq!(rows.iter().map(|row| &row.gift).collect::<Vec<_>>(), [&*rose, &*car]);
    assert!(db.store.create_gift("free".into(), "".into(), Coins::ZERO, NOW).await.is_err());
}

async fn a_gift_moves_its_price_from_giver_to_live(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 50).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    let receipt = db.give(order(live, bob, &rose, 3, "g1")).await.unwrap();
    assert_eq!(
        (receipt.total, receipt.giver_coin, receipt.live_coin),
        (Coins::new(21), Coins::new(29), Coins::new(21))
    );
    assert_eq!((receipt.at, receipt.duplicate), (NOW, false));
    let second = db.give(order(live, bob, &rose, 1, "g2")).await.unwrap();
    assert!(second.record_id > receipt.record_id);
    assert_eq!(db.coin(bob).await, 22);
    assert_eq!(db.store.live(live).await.unwrap().unwrap().live.coin, Coins::new(28));
    assert_eq!(db.store.live_ledger(live).await.unwrap(), LiveLedger { gifts_count: 2, coins: Coins::new(28) });
    let report = db.store.audit().await.unwrap();
    assert!(report.balanced(), "{:?}", report.faults);
    assert_eq!((report.transfers_count, report.entries_count, report.gifts_count), (3, 6, 2));
    assert_eq!((report.users_coin, report.lives_coin, report.granted_coin), (22, 28, 50));
}

async fn a_refused_gift_moves_nothing_and_keeps_its_request_id_usable(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 6).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    let scheduled = db.store.create_live(alice, "t".into(), "c".into(), "s".into(), NOW).await.unwrap().live.id;
    let unknown_gift = Arc::new(Gift { id: GiftId::new(99).unwrap(), ..(*rose).clone() });
    let free = Arc::new(Gift { price: Coins::ZERO, ..(*rose).clone() });
    let nobody = UserId::new(99).unwrap();
    let no_live = LiveId::new(99).unwrap();
    for (refusal, order) in [
        (GiftRefusal::CoinsInsufficient, order(live, bob, &rose, 1, "g")),
        (GiftRefusal::LiveEnded, order(scheduled, bob, &rose, 1, "g")),
        (GiftRefusal::LiveEnded, order(no_live, bob, &rose, 1, "g")),
        (GiftRefusal::GiftNotFound, order(live, bob, &unknown_gift, 1, "g")),
        (GiftRefusal::GiftNotFound, order(live, bob, &free, 1, "g")),
        (GiftRefusal::UserDisabled, order(live, nobody, &rose, 1, "g")),
    ] {
        assert_eq!(db.give(order).await, Err(refusal));
    }
    db.grant(bob, 8, "top-up").await;
    db.set_enabled(bob, false).await;
    assert_eq!(db.give(order(live, bob, &rose, 1, "g")).await, Err(GiftRefusal::UserDisabled));
    db.set_enabled(bob, true).await;
    assert_eq!(db.coin(bob).await, 14);
    assert!(!db.give(order(live, bob, &rose, 1, "g")).await.unwrap().duplicate);
    db.set_status(live, LiveStatus::Paused).await;
    assert!(db.give(order(live, bob, &rose, 1, "paused")).await.is_ok());
    db.set_status(live, LiveStatus::Ended).await;
    assert_eq!(db.give(order(live, bob, &rose, 1, "late")).await, Err(GiftRefusal::LiveEnded));
    assert_eq!(db.coin(bob).await, 0);
    db.assert_books_balance().await;
}

async fn a_retried_gift_has_one_effect_and_the_first_receipt(db: Database) {
    let (alice, bob) = (db.user("alice", 30).await.id, db.user("bob", 30).await.id);
    let (live, rose, car) = (db.live(alice, "k").await, db.gift(7).await, db.gift(9).await);
    let other_live = db.live(alice, "k2").await;
    // Two tabs in one batch.
    let twice = vec![Write::Gift(Arc::new(order(live, bob, &rose, 1, "g"))); 2];
    let outcomes = db.commit(twice).await;
    let [WriteOutcome::Gift(Ok(first)), WriteOutcome::Gift(Ok(second))] = outcomes[..] else { panic!("{outcomes:?}") };
    assert!(!first.duplicate);
    assert_eq!(second, GiftReceipt { duplicate: true, ..first });

    db.give(order(live, bob, &rose, 1, "between")).await.unwrap();
    let dearer = Arc::new(Gift { price: Coins::new(8), ..(*rose).clone() });
    db.set_status(live, LiveStatus::Ended).await;
    db.set_enabled(bob, false).await;
    let late = GiftOrder { at: NOW.plus_ms(9), ..order(live, bob, &dearer, 1, "g") };
    assert_eq!(db.give(late).await, Ok(GiftReceipt { duplicate: true, ..first }));
    for other in
        [order(live, bob, &rose, 2, "g"), order(live, bob, &car, 1, "g"), order(other_live, bob, &rose, 1, "g")]
    {
        assert_eq!(db.give(other).await, Err(GiftRefusal::Conflict));
    }
    // Another giver's request of the same name is another request.
    assert!(!db.give(order(other_live, alice, &rose, 1, "g")).await.unwrap().duplicate);
    assert_eq!((db.coin(bob).await, db.coin(alice).await), (16, 23));
    db.assert_books_balance().await;
}

async fn writes_of_a_batch_take_effect_in_order(db: Database) {
    let (alice, bob) = (db.user("alice", 5).await.id, db.user("bob", 10).await.id);
    let (live, seven, three) = (db.live(alice, "k").await, db.gift(7).await, db.gift(3).await);
    let gift = |giver, gift, id: &str| Write::Gift(Arc::new(order(live, giver, gift, 1, id)));
    let outcomes = db
        .commit(vec![
            gift(bob, &seven, "1"),
            Write::View { live_id: live, user_id: bob },
            gift(bob, &seven, "2"),
            gift(alice, &three, "1"),
            gift(bob, &three, "3"),
            gift(bob, &three, "1"),
        ])
        .await;
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            WriteOutcome::Gift(Ok(receipt)) => Ok((receipt.giver_coin.get(), receipt.live_coin.get())),
            WriteOutcome::Gift(Err(refusal)) => Err(Some(*refusal)),
            _ => Err(None),
        })
        .collect();
    let insufficient = Err(Some(GiftRefusal::CoinsInsufficient));
    assert_eq!(told, [Ok((3, 7)), Err(None), insufficient, Ok((2, 10)), Ok((0, 13)), Err(Some(GiftRefusal::Conflict))]);
    assert_eq!(outcomes[1], WriteOutcome::View(Some(1)));
    assert_eq!(db.commit(Vec::new()).await, []);
    db.assert_books_balance().await;
}

fn comment(id: i64, live_id: LiveId, author: UserId, text: &str, request_id: Option<&str>) -> Comment {
    Comment {
        id: CommentId::new(id).unwrap(),
        live_id,
        author: profile(author),
        text: CommentText::parse(text, 200).unwrap(),
        request_id: request_id.map(request),
        at: NOW.plus_ms(id),
    }
}

async fn a_comment_is_stored_once_and_strangers_comments_are_refused(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    let good = comment(1, live, alice, "hello 世界 \u{1F339} ' \\ %", Some("c1"));
    let outcomes = db
        .commit(
            [
                good.clone(),
                comment(2, live, UserId::new(99).unwrap(), "stranger", None),
                comment(3, LiveId::new(99).unwrap(), alice, "nowhere", None),
                good.clone(),
                comment(1, live, alice, "another one", None),
                comment(5, live, alice, "last", None),
            ]
            .map(|comment| Write::Comment(Arc::new(comment)))
            .to_vec(),
        )
        .await;
    let (ok, refused, busy) = (Ok(()), Err(CommentWriteError::Refused), Err(CommentWriteError::Busy));
    assert_eq!(outcomes, [ok, refused, refused, ok, busy, ok].map(WriteOutcome::Comment));
    let again = db.commit_one(Write::Comment(Arc::new(good.clone()))).await;
    assert_eq!(again, WriteOutcome::Comment(Ok(())));
    let kept = db.store.recent_comments(live, NOW, 10).await.unwrap();
    assert_eq!(kept.iter().map(|comment| comment.text.as_str()).collect::<Vec<_>>(), [good.text.as_str()]);
}

async fn recent_comments_are_the_newest_with_a_request_id(db: Database) {
    let user = db.store.create_user("alice".into(), Some("Ally".into()), "h".into(), NOW).await.unwrap().unwrap();
    let (live, other) = (db.live(user.id, "k").await, db.live(user.id, "k2").await);
    let batch = (1..=6).map(|id| comment(id, live, user.id, "hi", (id != 4).then_some("c")));
    let batch = batch.chain([comment(7, other, user.id, "hi", Some("c"))]);
    db.commit(batch.map(|comment| Write::Comment(Arc::new(comment))).collect()).await;
    let ids = |comments: Vec<Comment>| comments.iter().map(|comment| comment.id.get()).collect::<Vec<_>>();
    let recent = db.store.recent_comments(live, NOW.plus_ms(2), 100).await.unwrap();
    assert_eq!(recent[0].author, Arc::new(Profile { id: user.id, name: "Ally".into(), avatar: None }));
    assert_eq!((recent[0].at, recent[0].request_id.as_ref()), (NOW.plus_ms(2), Some(&request("c"))));
    assert_eq!(ids(recent), [2, 3, 5, 6]);
    assert_eq!(ids(db.store.recent_comments(live, NOW, 2).await.unwrap()), [5, 6]);
}

async fn a_view_counts_once_for_ever(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let live = db.live(alice, "k").await;
    let view = |user_id| Write::View { live_id: live, user_id };
    let nobody = UserId::new(99).unwrap();
    let nowhere = Write::View { live_id: LiveId::new(99).unwrap(), user_id: bob };
    let outcomes = db.commit(vec![view(alice), view(alice), view(bob), view(nobody), nowhere]).await;
    assert_eq!(outcomes, [Some(1), None, Some(2), None, None].map(WriteOutcome::View));
    assert_eq!(db.commit_one(view(bob)).await, WriteOutcome::View(None));
    assert_eq!(db.store.live(live).await.unwrap().unwrap().live.look_count, 2);
}

async fn a_grant_happens_once_per_request_id(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let granted = |coin, duplicate| GrantOutcome::Granted { coin: Coins::new(coin), duplicate };
    assert_eq!(db.grant(alice, 10, "a").await, granted(10, false));
    assert_eq!(db.grant(alice, -4, "b").await, granted(6, false));
    assert_eq!(db.grant(alice, 10, "a").await, granted(10, true));
    assert_eq!(db.grant(alice, 11, "a").await, GrantOutcome::Conflict);
    assert_eq!(db.grant(bob, 10, "a").await, GrantOutcome::Conflict);
    assert_eq!(db.grant(alice, -7, "c").await, GrantOutcome::CoinsInsufficient);
    assert_eq!(db.grant(alice, -6, "c").await, granted(0, false));
    assert_eq!(db.grant(UserId::new(99).unwrap(), 1, "d").await, GrantOutcome::UserNotFound);
    let nothing = CoinGrant { user_id: alice, delta: Coins::ZERO, request_id: request("e"), at: NOW };
    assert!(matches!(db.store.grant(nothing).await, Err(StoreError::Fault(_))));
    db.set_enabled(bob, false).await;
    assert_eq!(db.grant(bob, 5, "f").await, granted(5, false));
    db.assert_books_balance().await;
}

async fn two_stores_on_one_database_keep_the_books_exact(db: Database) {
    const CALLS: i64 = 30;
    let alice = db.user("alice", 10_000).await.id;
    let bob = db.user("bob", 10_000).await.id;
    let (first, second, rose) = (db.live(alice, "k").await, db.live(alice, "k2").await, db.gift(1).await);
    let stores = [db.store.clone(), open(&db.url).await.unwrap()];
    let mut commits = Vec::new();
    let mut grants = Vec::new();
    for call in 0..CALLS {
        for (number, store) in stores.iter().enumerate() {
            // Opposite orders of users and lives, to provoke a deadlock; and every second batch
            // holds a gift that the other store sends as well.
            let mut batch = vec![
                Write::Gift(Arc::new(order(first, alice, &rose, 1, &format!("a{number}-{call}")))),
                Write::Gift(Arc::new(order(second, bob, &rose, 1, &format!("both-{call}")))),
            ];
            if number == 1 {
                batch.reverse();
            }
            commits.push(commit(&**store, batch));
            let at = NOW;
            let request_id = request(&format!("both-{call}"));
            grants.push(store.grant(CoinGrant { user_id: bob, delta: Coins::new(2), request_id, at }));
        }
    }
    let (committed, granted) = tokio::join!(join_all(commits), join_all(grants));
    for outcomes in committed {
        assert!(outcomes.unwrap().iter().all(|outcome| matches!(outcome, WriteOutcome::Gift(Ok(_)))));
    }
    for outcome in granted {
        assert!(matches!(outcome.unwrap(), GrantOutcome::Granted { .. }));
    }
    assert_eq!(db.coin(alice).await, 10_000 - 2 * CALLS);
    assert_eq!(db.coin(bob).await, 10_000 - CALLS + 2 * CALLS);
    let coins = [db.store.live_ledger(first).await.unwrap(), db.store.live_ledger(second).await.unwrap()];
    assert_eq!(coins.map(|ledger| (ledger.gifts_count, ledger.coins.get())), [(2 * CALLS, 2 * CALLS), (CALLS, CALLS)]);
    db.assert_books_balance().await;
}

async fn openers_at_the_same_time_migrate_once(db: Database) {
    // The fixture has migrated this one: begin again.
    let url = if db.is_sqlite() {
        db.url.replace("liveroom.db", "other.db")
    } else {
        db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").unwrap();
        db.url.clone()
    };
    let opened = futures_util::future::join_all((0..6).map(|_| open(&url))).await;
    for store in opened {
        store.unwrap().ping().await.unwrap();
    }
}

async fn everything_is_still_there_after_reopening(mut db: Database) {
    let (alice, bob) = (db.user("alice", 0).await, db.user("bob", 20).await.id);
    let (live, rose) = (db.live(alice.id, "k").await, db.gift(7).await);
    let receipt = db.give(order(live, bob, &rose, 2, "g")).await.unwrap();
    db.store.set_token(bob, Some("digest".into()), NOW).await.unwrap();
    let row = db.store.live(live).await.unwrap();
    let before = db.store.audit().await.unwrap();

    let reopened = open(&db.url).await.unwrap();
    db.store = reopened;
    assert_eq!(db.store.user(alice.id).await.unwrap(), Some(alice));
    assert_eq!(db.store.token(bob).await.unwrap(), Some(StoredToken { digest: Some("digest".into()), at: NOW }));
    assert_eq!(db.store.live(live).await.unwrap(), row);
    assert_eq!(db.give(order(live, bob, &rose, 2, "g")).await, Ok(GiftReceipt { duplicate: true, ..receipt }));
    assert_eq!(db.store.audit().await.unwrap(), before);
}

async fn a_call_nobody_waits_for_is_done_all_the_same(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 20).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    drop(db.store.commit_skip_locked(vec![Write::Gift(Arc::new(order(live, bob, &rose, 1, "g")))]));
    // SQLite has one writer, PostgreSQL locks the giver: the retry comes after it or recognises it.
    db.give(order(live, bob, &rose, 1, "g")).await.unwrap();
    assert_eq!(db.coin(bob).await, 13);
}

/// As when a comment is sent again on another node while the first is under way.
async fn a_comment_that_two_stores_keep_at_once_is_kept_once(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    let other = liveroom::storage::open(&db.url, StoreOptions::default()).await.unwrap();
    for round in 0..50 {
        let batch: Vec<Write> = (1..=4)
            .map(|id| Write::Comment(Arc::new(comment(10 * round + id, live, alice, "hi", Some(&format!("c-{id}"))))))
            .collect();
        let (one, two) = tokio::join!(commit(&*db.store, batch.clone()), commit(&*other, batch));
        for outcomes in [one.unwrap(), two.unwrap()] {
            assert_eq!(outcomes, vec![WriteOutcome::Comment(Ok(())); 4], "round {round}");
        }
    }
    assert_eq!(db.store.comments(live, None, 1_000).await.unwrap().len(), 200);
}

async fn a_store_that_cannot_write_says_so_and_recovers(mut db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 20).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    if db.is_sqlite() {
        use diesel::Connection;
        use diesel::connection::SimpleConnection;
        let path = db.url.trim_start_matches("sqlite://");
        let mut other = diesel::sqlite::SqliteConnection::establish(path).unwrap();
        let impatient = StoreOptions { wait_ms: 50, ..StoreOptions::default() };
        db.store = liveroom::storage::open(&db.url, impatient).await.unwrap();
        other.batch_execute("BEGIN IMMEDIATE").unwrap();
        let refused = db.store.commit_skip_locked(vec![Write::Gift(Arc::new(order(live, bob, &rose, 1, "g")))]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(matches!(db.store.ping().await, Err(StoreError::Unavailable(_))));
        assert_eq!(db.coin(bob).await, 20, "reading goes on");
        other.batch_execute("ROLLBACK").unwrap();
    } else {
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
             AND datname = current_database()",
        )
        .unwrap();
    }
    assert!(!db.give(order(live, bob, &rose, 1, "g")).await.unwrap().duplicate);
    db.assert_books_balance().await;
}

async fn text_that_postgresql_cannot_keep_is_refused_everywhere(db: Database) {
    let created = db.store.create_user("nul\0".into(), None, "h".into(), NOW).await;
    assert!(matches!(created, Err(StoreError::Fault(_))), "{created:?}");
    assert!(db.store.credentials("nul\0".into()).await.unwrap().is_none());
    let alice = db.user("alice", 0).await.id;
    assert!(db.store.create_live(alice, "nul\0".into(), "c".into(), "k".into(), NOW).await.is_err());
}

#[test]
fn a_url_of_no_known_kind_is_a_fault_that_does_not_repeat_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(open("mysql://root:secret@localhost/x")).err().unwrap();
    assert!(matches!(error, StoreError::Fault(_)) && !error.to_string().contains("secret"), "{error}");
}
