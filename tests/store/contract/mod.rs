//! What every store must do: one suite, run on SQLite and on PostgreSQL.

mod actions;
mod api_tokens;
mod changes;
mod comments;
mod follows;
mod gifts;
mod held_comments;
mod held_meanwhile;
mod lives;
mod managers;
mod modes;
mod names;
mod pages;
mod pins;
mod reports;
mod standings;
mod term_lists;
mod users;

use std::sync::Arc;

use crate::support::database::{Database, NOW, contract, open, order, profile, request};
use actions::{
    a_refused_attempt_leaves_a_row_and_its_request_id_usable,
    a_repeated_action_has_one_effect_and_the_same_answer,
    a_request_id_names_one_action_of_its_actor_and_kind,
    an_action_is_pending_until_the_log_of_its_room_has_its_entry,
    an_action_leaves_a_row_that_says_who_did_what_to_whom_and_what_it_changed,
    nobody_changes_a_row_of_the_audit, retries_at_the_same_time_have_one_effect,
};
use api_tokens::{
    an_api_token_is_found_by_its_digest_until_it_is_revoked,
    the_last_use_of_an_api_token_is_written_once_a_minute,
    there_are_so_many_api_tokens_and_no_more,
};
use changes::{
    a_change_that_commits_late_is_in_the_feed_all_the_same,
    a_number_of_a_node_comes_round_after_all_others_and_not_while_it_is_kept,
    every_change_that_nodes_must_learn_is_in_the_feed_once,
    too_many_changes_and_old_ones_are_said_to_be_missed,
};
use comments::{
    a_comment_is_stored_once_and_strangers_comments_are_refused,
    a_comment_shown_later_stands_where_it_was_shown,
    a_comment_that_two_stores_keep_at_once_is_kept_once, a_page_of_comments_costs_its_own_length,
    a_removed_comment_is_gone_for_good_but_its_request_id_stays_used,
    an_id_that_another_comment_has_is_refused_and_the_rest_is_kept,
    comments_come_in_pages_newest_first,
    comments_of_the_version_before_keep_their_order_and_it_finds_its_way,
    recent_comments_are_found_without_reading_older_ones,
    recent_comments_are_the_newest_with_a_request_id,
};
use follows::{
    a_page_of_follows_has_the_newest_first, a_repeated_follow_keeps_its_time_and_counts_once,
    follows_are_bounded_and_of_users_that_there_are, follows_of_one_moment_are_all_counted,
};
use gifts::{
    a_change_of_a_gift_happens_once_per_request_id_and_is_in_the_audit,
    a_gift_costs_what_its_giver_was_shown_or_is_refused, a_gift_moves_its_price_from_giver_to_live,
    a_grant_happens_once_per_request_id,
    a_refused_gift_moves_nothing_and_keeps_its_request_id_usable,
    a_retried_gift_has_one_effect_and_the_first_receipt, the_catalogue_reads_back_as_written,
    the_gift_of_a_giver_who_is_barred_is_found_if_it_was_committed_before,
    two_stores_on_one_database_keep_the_books_exact,
};
use held_comments::{
    a_comment_is_held_once_per_request_and_strangers_and_ended_lives_hold_none,
    a_decision_is_pending_until_the_log_has_it,
    a_held_comment_is_decided_once_and_stands_where_it_was_shown,
    a_room_that_opens_reads_what_was_held_with_a_request_id,
    an_author_who_may_not_speak_any_more_is_not_shown,
    so_many_comments_wait_in_a_room_and_so_many_of_one_user, two_moderators_at_once_decide_once,
    what_nobody_decides_expires_and_what_is_delayed_is_shown,
    what_two_nodes_find_due_is_decided_by_one,
};
use held_meanwhile::{
    a_comment_that_is_taken_down_before_its_log_has_it_is_denied_there,
    a_frozen_room_shows_no_comment_that_was_held_of_its_viewers,
    a_room_that_missed_entries_reads_kicks_held_comments_the_pin_and_reports,
    a_row_that_cannot_be_read_keeps_nobody_from_the_others,
    a_shadow_given_in_the_delay_shows_the_comment_to_nobody_and_notifies_nobody,
    a_store_that_nodes_share_says_its_time,
    an_approved_comment_that_is_taken_down_before_its_log_has_it_is_denied_there,
    taking_the_last_comments_of_a_user_down_denies_those_that_wait,
    those_of_all_lives_that_are_due_first_come_first,
    what_is_due_in_a_room_is_decided_in_one_go_each_by_what_holds_for_its_author,
};
use liveroom::domain::*;
use liveroom::storage::{StoreError, StoreOptions, StoredToken, Write, WriteOutcome};
use lives::{
    a_live_is_changed_until_it_ends, a_view_counts_once_for_ever, lives_come_in_pages_in_id_order,
};
use managers::{
    a_link_sets_the_password_of_its_manager_once, a_manager_is_known_where_it_logged_in,
    a_session_ends_idle_in_all_or_when_a_manager_has_too_many,
    the_last_administrator_stays_whoever_dismisses_it,
    what_changes_a_manager_ends_its_sessions_and_no_others,
};
use modes::{
    a_live_starts_with_the_modes_that_its_streamer_set_last,
    a_repeated_change_of_modes_has_one_effect_and_the_first_answer,
    changes_of_modes_at_the_same_time_are_each_counted_and_none_is_lost,
    facts_of_users_say_whom_they_follow_and_what_they_gave_in_this_live,
    modes_of_a_live_are_changed_one_by_one_and_counted,
    the_shield_comes_off_and_leaves_what_was_set_before,
};
use names::{
    names_from_before_stay_valid_and_keep_their_look_alikes_out,
    of_names_that_look_alike_one_is_given_out,
    of_registrations_at_the_same_time_the_database_takes_one,
};
use pages::{
    a_comment_that_its_author_took_down_names_the_author,
    comments_of_a_user_come_in_pages_over_all_lives, givers_of_a_live_are_listed_by_what_they_gave,
    operators_see_removed_comments_among_the_others_and_who_removed_them,
    sanctions_of_a_user_are_those_in_force_in_all_scopes,
    the_books_of_a_user_and_of_a_live_come_in_pages,
    users_are_found_by_the_beginning_of_their_name_in_any_case,
};
use pins::{
    a_pin_goes_with_its_comment_by_whatever_takes_that_down,
    a_pin_replaces_the_one_before_and_says_by_which_action,
    a_repeated_pin_is_the_first_and_not_undone_by_what_came_between,
    pins_and_removals_of_one_moment_leave_nothing_pinned_that_is_down,
};
use reports::{
    a_comment_leaves_the_queue_when_it_is_taken_down_or_dismissed,
    a_repeated_report_is_the_first_and_pending_as_that,
    a_user_reports_a_comment_once_and_the_queue_says_who_and_how_many,
    reports_are_bounded_for_a_live_a_comment_and_a_user,
    the_queue_of_all_lives_has_the_newest_of_each_first,
};
use standings::{
    a_ban_leaves_comments_or_takes_the_whole_live_down_as_it_says,
    a_ban_takes_recent_comments_down_in_lots_and_they_can_be_shown_again,
    a_mute_over_a_ban_is_refused_and_a_ban_dismisses_a_moderator,
    a_page_of_sanctions_has_the_newest_first,
    a_repeated_act_has_one_effect_and_its_control_says_what_is_now,
    an_account_says_whether_something_may_hold_against_it_on_the_site,
    lifting_fills_columns_and_leaves_what_the_actor_may_not_lift,
    the_newest_sanction_of_a_scope_and_kind_counts_until_it_expires,
    there_are_so_many_moderators_and_sanctions_and_no_more,
};
use term_lists::{
    a_list_of_terms_is_replaced_whole_and_its_version_grows,
    the_longest_list_of_terms_reads_back_and_the_audit_has_its_digest,
};
use users::{
    a_password_is_replaced_if_it_is_the_one_that_was_compared,
    a_profile_changes_as_far_as_it_is_said, a_token_replaces_the_one_before_and_is_cleared,
    a_user_is_disabled_and_enabled, a_username_is_taken_once,
    the_newest_networks_of_a_users_logins_are_remembered,
};

contract! {
    a_link_sets_the_password_of_its_manager_once,
    the_last_administrator_stays_whoever_dismisses_it,
    what_changes_a_manager_ends_its_sessions_and_no_others,
    a_session_ends_idle_in_all_or_when_a_manager_has_too_many,
    a_manager_is_known_where_it_logged_in,
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
    a_profile_changes_as_far_as_it_is_said,
    a_password_is_replaced_if_it_is_the_one_that_was_compared,
    a_live_is_changed_until_it_ends,
    lives_come_in_pages_in_id_order,
    the_catalogue_reads_back_as_written,
    a_gift_moves_its_price_from_giver_to_live,
    a_refused_gift_moves_nothing_and_keeps_its_request_id_usable,
    a_gift_costs_what_its_giver_was_shown_or_is_refused,
    a_change_of_a_gift_happens_once_per_request_id_and_is_in_the_audit,
    a_retried_gift_has_one_effect_and_the_first_receipt,
    a_comment_that_its_author_took_down_names_the_author,
    comments_of_a_user_come_in_pages_over_all_lives,
    givers_of_a_live_are_listed_by_what_they_gave,
    operators_see_removed_comments_among_the_others_and_who_removed_them,
    sanctions_of_a_user_are_those_in_force_in_all_scopes,
    the_books_of_a_user_and_of_a_live_come_in_pages,
    the_gift_of_a_giver_who_is_barred_is_found_if_it_was_committed_before,
    users_are_found_by_the_beginning_of_their_name_in_any_case,
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
    modes_of_a_live_are_changed_one_by_one_and_counted,
    a_live_starts_with_the_modes_that_its_streamer_set_last,
    the_shield_comes_off_and_leaves_what_was_set_before,
    a_repeated_change_of_modes_has_one_effect_and_the_first_answer,
    changes_of_modes_at_the_same_time_are_each_counted_and_none_is_lost,
    facts_of_users_say_whom_they_follow_and_what_they_gave_in_this_live,
    the_newest_sanction_of_a_scope_and_kind_counts_until_it_expires,
    lifting_fills_columns_and_leaves_what_the_actor_may_not_lift,
    a_mute_over_a_ban_is_refused_and_a_ban_dismisses_a_moderator,
    there_are_so_many_moderators_and_sanctions_and_no_more,
    a_repeated_act_has_one_effect_and_its_control_says_what_is_now,
    a_page_of_sanctions_has_the_newest_first,
    an_account_says_whether_something_may_hold_against_it_on_the_site,
    a_ban_takes_recent_comments_down_in_lots_and_they_can_be_shown_again,
    a_ban_leaves_comments_or_takes_the_whole_live_down_as_it_says,
    a_pin_replaces_the_one_before_and_says_by_which_action,
    a_pin_goes_with_its_comment_by_whatever_takes_that_down,
    a_repeated_pin_is_the_first_and_not_undone_by_what_came_between,
    pins_and_removals_of_one_moment_leave_nothing_pinned_that_is_down,
    a_user_reports_a_comment_once_and_the_queue_says_who_and_how_many,
    a_comment_leaves_the_queue_when_it_is_taken_down_or_dismissed,
    a_repeated_report_is_the_first_and_pending_as_that,
    reports_are_bounded_for_a_live_a_comment_and_a_user,
    the_queue_of_all_lives_has_the_newest_of_each_first,
    a_repeated_follow_keeps_its_time_and_counts_once,
    follows_are_bounded_and_of_users_that_there_are,
    a_page_of_follows_has_the_newest_first,
    follows_of_one_moment_are_all_counted,
    a_list_of_terms_is_replaced_whole_and_its_version_grows,
    the_longest_list_of_terms_reads_back_and_the_audit_has_its_digest,
    a_comment_is_held_once_per_request_and_strangers_and_ended_lives_hold_none,
    so_many_comments_wait_in_a_room_and_so_many_of_one_user,
    a_held_comment_is_decided_once_and_stands_where_it_was_shown,
    two_moderators_at_once_decide_once,
    a_decision_is_pending_until_the_log_has_it,
    what_nobody_decides_expires_and_what_is_delayed_is_shown,
    a_comment_that_is_taken_down_before_its_log_has_it_is_denied_there,
    an_approved_comment_that_is_taken_down_before_its_log_has_it_is_denied_there,
    a_frozen_room_shows_no_comment_that_was_held_of_its_viewers,
    taking_the_last_comments_of_a_user_down_denies_those_that_wait,
    those_of_all_lives_that_are_due_first_come_first,
    a_shadow_given_in_the_delay_shows_the_comment_to_nobody_and_notifies_nobody,
    what_two_nodes_find_due_is_decided_by_one,
    a_room_that_missed_entries_reads_kicks_held_comments_the_pin_and_reports,
    a_row_that_cannot_be_read_keeps_nobody_from_the_others,
    a_store_that_nodes_share_says_its_time,
    what_is_due_in_a_room_is_decided_in_one_go_each_by_what_holds_for_its_author,
    an_author_who_may_not_speak_any_more_is_not_shown,
    a_room_that_opens_reads_what_was_held_with_a_request_id,
    an_api_token_is_found_by_its_digest_until_it_is_revoked,
    the_last_use_of_an_api_token_is_written_once_a_minute,
    there_are_so_many_api_tokens_and_no_more,
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

async fn writes_of_a_batch_take_effect_in_order(db: Database) {
    let (alice, bob) = (db.user("alice", 5).await.id, db.user("bob", 10).await.id);
    let (live, seven, three) = (
        db.live(alice, "k").await,
        db.gift(7).await,
        db.gift(3).await,
    );
    let gift = |giver, gift, id: &str| Write::Gift(Arc::new(order(live, giver, gift, 1, id)));
    let outcomes = db
        .commit(vec![
            gift(bob, &seven, "1"),
            Write::View {
                live_id: live,
                user_id: bob,
            },
            gift(bob, &seven, "2"),
            gift(alice, &three, "1"),
            gift(bob, &three, "3"),
            gift(bob, &three, "1"),
        ])
        .await;
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            WriteOutcome::Gift(Ok(receipt)) => {
                Ok((receipt.giver_coin.get(), receipt.live_coin.get()))
            }
            WriteOutcome::Gift(Err(refusal)) => Err(Some(*refusal)),
            _ => Err(None),
        })
        .collect();
    let insufficient = Err(Some(GiftRefusal::CoinsInsufficient));
    assert_eq!(
        told,
        [
            Ok((3, 7)),
            Err(None),
            insufficient,
            Ok((2, 10)),
            Ok((0, 13)),
            Err(Some(GiftRefusal::Conflict))
        ]
    );
    assert_eq!(outcomes[1], WriteOutcome::View(Some(1)));
    assert_eq!(db.commit(Vec::new()).await, []);
    db.assert_books_balance().await;
}

fn comment(
    id: i64,
    live_id: LiveId,
    author: UserId,
    text: &str,
    request_id: Option<&str>,
) -> Comment {
    Comment {
        id: CommentId::new(id).unwrap(),
        live_id,
        author: profile(author),
        text: CommentText::parse(text, 200).unwrap(),
        request_id: request_id.map(request),
        at: NOW.plus_ms(id),
    }
}

async fn openers_at_the_same_time_migrate_once(db: Database) {
    // The fixture has migrated this one: begin again.
    let url = if db.is_sqlite() {
        db.url.replace("liveroom.db", "other.db")
    } else {
        db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .unwrap();
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
    db.store
        .set_token(bob, Some("digest".into()), NOW)
        .await
        .unwrap();
    let row = db.store.live(live).await.unwrap();
    let before = db.store.audit().await.unwrap();

    let reopened = open(&db.url).await.unwrap();
    db.store = reopened;
    assert_eq!(db.store.user(alice.id).await.unwrap(), Some(alice));
    assert_eq!(
        db.store.token(bob).await.unwrap(),
        Some(StoredToken {
            digest: Some("digest".into()),
            at: NOW
        })
    );
    assert_eq!(db.store.live(live).await.unwrap(), row);
    assert_eq!(
        db.give(order(live, bob, &rose, 2, "g")).await,
        Ok(GiftReceipt {
            duplicate: true,
            ..receipt
        })
    );
    assert_eq!(db.store.audit().await.unwrap(), before);
}

async fn a_call_nobody_waits_for_is_done_all_the_same(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 20).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    drop(
        db.store
            .commit_skip_locked(vec![Write::Gift(Arc::new(order(live, bob, &rose, 1, "g")))]),
    );
    // SQLite has one writer, PostgreSQL locks the giver: the retry comes after it or recognises it.
    db.give(order(live, bob, &rose, 1, "g")).await.unwrap();
    assert_eq!(db.coin(bob).await, 13);
}

async fn a_store_that_cannot_write_says_so_and_recovers(mut db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 20).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    if db.is_sqlite() {
        use diesel::Connection;
        use diesel::connection::SimpleConnection;
        let path = db.url.trim_start_matches("sqlite://");
        let mut other = diesel::sqlite::SqliteConnection::establish(path).unwrap();
        let impatient = StoreOptions {
            wait_ms: 50,
            ..StoreOptions::default()
        };
        db.store = liveroom::storage::open(&db.url, impatient).await.unwrap();
        other.batch_execute("BEGIN IMMEDIATE").unwrap();
        let refused = db
            .store
            .commit_skip_locked(vec![Write::Gift(Arc::new(order(live, bob, &rose, 1, "g")))])
            .await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        assert!(matches!(
            db.store.ping().await,
            Err(StoreError::Unavailable(_))
        ));
        assert_eq!(db.coin(bob).await, 20, "reading goes on");
        other.batch_execute("ROLLBACK").unwrap();
    } else {
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
             AND datname = current_database()",
        )
        .unwrap();
    }
    assert!(
        !db.give(order(live, bob, &rose, 1, "g"))
            .await
            .unwrap()
            .duplicate
    );
    db.assert_books_balance().await;
}

async fn text_that_postgresql_cannot_keep_is_refused_everywhere(db: Database) {
    let created = db
        .store
        .create_user("nul\0".into(), None, "h".into(), NOW)
        .await;
    assert!(matches!(created, Err(StoreError::Fault(_))), "{created:?}");
    assert!(
        db.store
            .credentials("nul\0".into())
            .await
            .unwrap()
            .is_none()
    );
    let alice = db.user("alice", 0).await.id;
    assert!(
        db.store
            .create_live(alice, "nul\0".into(), "c".into(), "k".into(), NOW)
            .await
            .is_err()
    );
}

#[test]
fn a_url_of_no_known_kind_is_a_fault_that_does_not_repeat_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = runtime
        .block_on(open("mysql://root:secret@localhost/x"))
        .err()
        .unwrap();
    assert!(
        matches!(error, StoreError::Fault(_)) && !error.to_string().contains("secret"),
        "{error}"
    );
}
