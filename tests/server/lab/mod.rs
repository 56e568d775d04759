//! The load lab judges rightly: an honest server passes, and one that breaks a promise fails by the
//! check that is named after it.
//!
//! The broken servers are the real one behind a proxy that spoils its frames.

mod foreign;
mod proxy;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{ADMIN_TOKEN, TestServer};
use proxy::{Fault, Proxy};
use serde_json::Value;

/// Two rooms of plain members, since the proxy spoils plain frames; short, since there are many.
const SCRIPT: &str = r#"
[script]
name = "judged"
seed = 7
duration = "2s"
settle = "3s"

[[room]]
name = "room"
count = 2
members = { plain = 4 }
users = 3
comments = { rate = 10 }
gifts = { rate = 4, catalogue = [1, 10], balance = 100000 }
"#;

fn server() -> TestServer {
    TestServer::start(&[
        ("LIVEROOM__LIMITS__COMMENT_BURST", "1000"),
        ("LIVEROOM__LIMITS__COMMENTS_PER_30S", "1000"),
        ("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "500"),
    ])
}

/// Runs a script against a port and returns what was found out.
fn run(script: &Path, port: u16, folder: &Path) -> (Output, Value) {
    run_with(script, port, folder, &[])
}

fn run_with(script: &Path, port: u16, folder: &Path, more: &[&str]) -> (Output, Value) {
    let json = folder.join("out.json");
    let html = folder.join("out.html");
    let output = Command::new(env!("CARGO_BIN_EXE_liveroom-lab"))
        .arg("run")
        .arg(script)
        .args([
            "--url",
            &format!("http://127.0.0.1:{port}"),
            "--admin-token",
            ADMIN_TOKEN,
            "--quiet",
        ])
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(&html)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("the lab runs");
    let text = std::fs::read_to_string(&json).unwrap_or_else(|_| panic!("no outcome: {output:?}"));
    assert!(std::fs::read_to_string(&html).is_ok_and(|page| page.contains("</html>")));
    (
        output,
        serde_json::from_str(&text).expect("the outcome is JSON"),
    )
}

fn failed_checks(outcome: &Value) -> Vec<String> {
    let lists = ["checks", "objectives"]
        .into_iter()
        .filter_map(|list| outcome[list].as_array());
    let failed = lists.flatten().filter(|check| check["passed"] == false);
    failed
        .map(|check| {
            format!(
                "{}: {}",
                check["name"].as_str().unwrap_or("?"),
                check["detail"]
            )
        })
        .collect()
}

#[test]
fn a_room_above_its_cap_keeps_all_promises() {
    let server = TestServer::start(&[
        ("LIVEROOM__LIMITS__CROWD_EVENTS_PER_S", "4"),
        ("LIVEROOM__LIMITS__COMMENT_BURST", "1000"),
        ("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "500"),
    ]);
    let script = server.dir().join("judged.toml");
    std::fs::write(&script, SCRIPT).expect("the folder is ours");
    let (_, outcome) = run(&script, server.port(), server.dir());
    assert_eq!(failed_checks(&outcome), Vec::<String>::new());
    let totals = &outcome["totals"];
    let [sent, acked, sampled_out] = ["comments_sent", "comments_acked", "comments_sampled_out"]
        .map(|count| totals[count].as_u64().unwrap_or(0));
    assert!(
        sampled_out > 0 && acked > 0 && sent == acked + sampled_out,
        "{totals}"
    );
}

/// One room that some flood, again of plain members.
const RAID_SCRIPT: &str = r#"
[script]
name = "raided"
seed = 7
duration = "4s"
settle = "3s"
expected_refusals = ["rate_limited"]

[[room]]
name = "room"
members = { plain = 12 }
users = 10
comments = { rate = 10 }
moderation = { moderators = 1, flooders = 6, flood_per_s = 10, mute_per_s = 3, ban_per_s = 1, delete_per_s = 3 }
"#;

/// Runs [`SCRIPT`] against a server spoiled by `fault`: the named checks must fail.
fn caught_by(fault: Fault, checks: &[&str]) {
    caught_in(SCRIPT, fault, checks);
}

fn caught_in(script_text: &str, fault: Fault, checks: &[&str]) {
    let server = server();
    let proxy = Proxy::start(server.port(), fault);
    let script = server.dir().join("judged.toml");
    std::fs::write(&script, script_text).expect("the folder is ours");
    let (output, outcome) = run(&script, proxy.port(), server.dir());
    let failed = failed_checks(&outcome);
    assert!(proxy.has_struck(), "the proxy spoiled nothing: {outcome}");
    assert_eq!(output.status.code(), Some(1), "{failed:?}");
    for check in checks {
        assert!(
            failed.iter().any(|it| it.starts_with(check)),
            "{check} is not among {failed:?}"
        );
    }
}

#[test]
fn smoke_script_passes() {
    let server = server();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/smoke.toml");
    let (output, outcome) = run(&script, server.port(), server.dir());
    assert_eq!(failed_checks(&outcome), Vec::<String>::new());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(outcome["server"]["version"], env!("CARGO_PKG_VERSION"));
    for count in ["comments_acked", "gifts_acked", "deliveries", "joins"] {
        assert!(
            outcome["totals"][count].as_u64() > Some(0),
            "{count}: {}",
            outcome["totals"]
        );
    }
    server.assert_books_balance();
}

#[test]
fn an_untouched_proxy_changes_no_verdict() {
    let server = server();
    let proxy = Proxy::start(server.port(), Fault::None);
    let script = server.dir().join("judged.toml");
    // An act may take as long as it does on a busy machine.
    let raid = RAID_SCRIPT.replace("flooders = 6", "flooders = 6, reach = \"3s\"");
    for script_text in [SCRIPT, &raid.replace("\"4s\"", "\"6s\"")] {
        std::fs::write(&script, script_text).expect("the folder is ours");
        let (_, outcome) = run(&script, proxy.port(), server.dir());
        assert_eq!(failed_checks(&outcome), Vec::<String>::new());
    }
}

#[test]
fn reordered_events_are_caught() {
    caught_by(Fault::Reorder, &["same_order_for_all"]);
}

#[test]
fn lost_events_are_caught() {
    caught_by(
        Fault::Drop,
        &["no_acked_comment_lost", "offsets_without_gaps"],
    );
}

/// Sixty members that a server takes from three addresses, twenty from each.
const CROWDED_SCRIPT: &str = r#"
[script]
name = "crowded"
duration = "2s"
settle = "3s"
per_address = 20

[[room]]
name = "room"
members = { plain = 40, socketio_v4 = 20 }
users = 12
ramp = "1s"
comments = { rate = 10 }
"#;

#[test]
fn members_come_from_as_many_addresses_as_it_takes() {
    let server = TestServer::start(&[("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", "20")]);
    let script = server.dir().join("crowded.toml");
    std::fs::write(&script, CROWDED_SCRIPT).expect("the folder is ours");
    let (_, outcome) = run(&script, server.port(), server.dir());
    assert_eq!(failed_checks(&outcome), Vec::<String>::new());
    assert_eq!(outcome["totals"]["connections"], 60);

    // From two addresses a third of them does not get in.
    std::fs::write(
        &script,
        CROWDED_SCRIPT.replace("per_address = 20", "per_address = 30"),
    )
    .expect("the folder is ours");
    let (_, outcome) = run(&script, server.port(), server.dir());
    assert!(
        outcome["refusals"]["http_503"].as_u64() >= Some(20),
        "{outcome}"
    );
}

#[test]
fn tokens_that_were_kept_are_used_again() {
    // As operators have it by default: few logins from one address.
    let server = TestServer::start(&[("LIVEROOM__LIMITS__LOGINS_PER_MIN", "5")]);
    let script = server.dir().join("judged.toml");
    std::fs::write(
        &script,
        SCRIPT
            .replace("users = 3", "users = 15")
            .replace("plain = 4", "plain = 15"),
    )
    .expect("the folder is ours");
    let accounts = server.dir().join("accounts.json");
    let tokens = || {
        let (_, outcome) = run_with(
            &script,
            server.port(),
            server.dir(),
            &["--accounts", &accounts.to_string_lossy()],
        );
        assert_eq!(failed_checks(&outcome), Vec::<String>::new());
        std::fs::read_to_string(&accounts).expect("tokens are kept")
    };
    let first = tokens();
    assert_eq!(
        first.matches("\"token\"").count(),
        16,
        "fifteen users and the streamer: {first}"
    );
    // A login would have made new ones.
    assert_eq!(tokens(), first);
}

#[test]
fn a_script_says_how_much_of_the_crowd_may_be_lost_but_not_of_the_streamer() {
    let server = server();
    let allowing = format!("{SCRIPT}\n[objective]\nloss = {{ crowd = 0.5 }}\n");
    let streamer = allowing.replace("rate = 10", "rate = 10, senders = \"streamer\"");
    for (script_text, lane, failures) in [
        (allowing, "crowd", &[][..]),
        (streamer, "voice", &["offsets", "loss_voice"]),
    ] {
        let proxy = Proxy::start(server.port(), Fault::Drop);
        let script = server.dir().join("lossy.toml");
        std::fs::write(&script, script_text).expect("the folder is ours");
        let (_, outcome) = run(&script, proxy.port(), server.dir());
        assert!(proxy.has_struck(), "{outcome}");
        assert_eq!(outcome["totals"]["lanes"][lane]["lost"], 1, "{outcome}");
        let failed = failed_checks(&outcome);
        assert_eq!(failed.is_empty(), failures.is_empty(), "{failed:?}");
        assert!(
            failures
                .iter()
                .all(|name| failed.iter().any(|it| it.starts_with(name))),
            "{failed:?}"
        );
    }
}

#[test]
fn a_lost_gift_is_caught() {
    caught_by(Fault::DropGift, &["no_acked_gift_lost"]);
}

#[test]
fn repeated_events_are_caught() {
    caught_by(Fault::Repeat, &["nothing_duplicated"]);
}

#[test]
fn a_wrong_online_count_is_caught() {
    caught_by(Fault::Miscount, &["presence_converges"]);
}

#[test]
fn a_false_receipt_is_caught() {
    caught_by(Fault::FalseReceipt, &["sampled_out_shown_to_nobody_else"]);
}

#[test]
fn a_comment_that_is_shown_though_its_sender_was_refused_is_caught() {
    caught_by(
        Fault::FalseRefusal,
        &["muted_users_say_nothing", "acts_have_their_effect_alone"],
    );
}

#[test]
fn a_comment_that_is_shown_though_its_sender_was_answered_that_it_is_held_is_caught() {
    caught_in(
        RAID_SCRIPT,
        Fault::FalseHold,
        &[
            "held_comments_wait_for_their_approval",
            "acts_have_their_effect_alone",
        ],
    );
}

#[test]
fn a_muted_user_that_is_not_notified_is_caught() {
    caught_in(RAID_SCRIPT, Fault::DropMuted, &["muted_users_say_nothing"]);
}

#[test]
fn a_banned_user_that_stays_in_is_caught() {
    caught_in(RAID_SCRIPT, Fault::DropKicked, &["banned_users_are_out"]);
}

#[test]
fn a_comment_that_was_taken_down_and_comes_again_is_caught() {
    caught_in(
        RAID_SCRIPT,
        Fault::Resurrect,
        &["nothing_removed_comes_again"],
    );
}

#[test]
fn a_removal_that_is_not_delivered_is_caught() {
    caught_in(
        RAID_SCRIPT,
        Fault::DropRemoved,
        &["acts_have_their_effect_alone"],
    );
}

#[test]
fn wrong_money_is_caught() {
    caught_by(Fault::WrongPrice, &["gift_money_exact"]);
}

#[test]
fn events_of_another_room_are_caught() {
    caught_by(Fault::Leak, &["nobody_hears_another_room"]);
}

#[test]
fn an_answer_that_never_comes_is_caught() {
    caught_by(Fault::DropAnswer, &["every_command_answered_once"]);
}

/// For a server that is not ours and has neither answers nor offsets.
const FOREIGN_SCRIPT: &str = r#"
[script]
name = "foreign"
duration = "1s"
settle = "1s"

[target.templates]
path = "/rooms/{live_id}"
join = "hello from {member}"
comment = '{"say":"{text}"}'

[[room]]
name = "room"
count = 2
members = { plain = 4 }
comments = { rate = 20, text = "escapes" }
"#;

#[test]
fn a_server_of_another_kind_is_driven_by_templates() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let script = folder.path().join("foreign.toml");
    std::fs::write(&script, FOREIGN_SCRIPT).expect("the folder is ours");
    let (output, outcome) = run(
        &script,
        foreign::start(foreign::Manner::Honest),
        folder.path(),
    );
    assert_eq!(failed_checks(&outcome), Vec::<String>::new());
    assert!(output.status.success(), "{output:?}");
    assert!(
        outcome["latency"]["count"].as_u64() > Some(0),
        "{}",
        outcome["totals"]
    );

    // It cuts nobody, and the script wants stopped readers cut.
    let with_stopped =
        format!("{FOREIGN_SCRIPT}stopped_readers = 1\n[objective]\nstopped_readers_cut = true\n");
    std::fs::write(&script, with_stopped).expect("the folder is ours");
    let (_, outcome) = run(
        &script,
        foreign::start(foreign::Manner::Honest),
        folder.path(),
    );
    assert_eq!(failed_checks(&outcome), ["stopped_readers_cut: \"0 of 2\""]);

    std::fs::write(&script, FOREIGN_SCRIPT).expect("the folder is ours");
    let (output, outcome) = run(
        &script,
        foreign::start(foreign::Manner::Forgetful),
        folder.path(),
    );
    assert_eq!(output.status.code(), Some(1));
    let failed = failed_checks(&outcome);
    assert!(
        failed
            .iter()
            .any(|it| it.starts_with("offsets_without_gaps")),
        "{failed:?}"
    );
}

#[test]
fn a_closed_loop_waits_until_everybody_has_heard() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let script = folder.path().join("closed.toml");
    // Who is in when a comment is sent is not known of a server that does not answer joins.
    let phases = "[[phase]]\nname = \"join\"\nduration = \"500ms\"\ncomments = 0\n\
                  [[phase]]\nname = \"talk\"\nduration = \"1s\"\n";
    let closed = FOREIGN_SCRIPT
        .replace("rate = 20", "in_flight = 3")
        .replace("duration = \"1s\"\n", "")
        + phases;
    std::fs::write(&script, closed).expect("the folder is ours");
    let (_, outcome) = run(
        &script,
        foreign::start(foreign::Manner::Silent),
        folder.path(),
    );
    assert_eq!(
        outcome["totals"]["comments_sent"], 6,
        "three in each of two rooms: {outcome}"
    );

    let (output, outcome) = run(
        &script,
        foreign::start(foreign::Manner::Honest),
        folder.path(),
    );
    assert_eq!(failed_checks(&outcome), Vec::<String>::new());
    assert!(output.status.success(), "{output:?}");
    assert!(
        outcome["totals"]["comments_sent"].as_u64() > Some(6),
        "{}",
        outcome["totals"]
    );
    assert_eq!(outcome["totals"]["lost_deliveries"], 0);
}

#[test]
fn a_wrong_script_is_refused_with_its_line() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let script = folder.path().join("wrong.toml");
    std::fs::write(&script, "[script]\nname = \"x\"\nduration = \"soon\"\n")
        .expect("the folder is ours");
    let output = Command::new(env!("CARGO_BIN_EXE_liveroom-lab"))
        .arg("run")
        .arg(&script)
        .output()
        .expect("it runs");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(
        words.contains("wrong.toml:3:") && words.contains("a time of at most a day"),
        "{words}"
    );
}
