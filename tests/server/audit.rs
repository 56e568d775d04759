//! The audit as operators read it, and its chain, against a running server.

use std::collections::BTreeMap;

use crate::support::{TestServer, eventually, http};
use serde_json::{Value, json};

/// All entries that a query finds, the newest first, two a page.
fn entries(server: &TestServer, query: &str) -> Vec<Value> {
    let (mut entries, mut before) = (Vec::new(), String::new());
    loop {
        let path = format!("/admin/audit?limit=2&{query}{before}");
        let page = server.admin_get(&path).ok();
        let found = page["entries"].as_array().expect("entries");
        assert!(found.len() <= 2, "{page}");
        entries.extend(found.iter().cloned());
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return entries,
        }
    }
}

/// A server on which a user was given coins and disabled twice, once in vain.
fn server_with_acts() -> (TestServer, i64) {
    let server = TestServer::start(&[]);
    let alice = server.rich_user("alice1", 100);
    let path = format!("/admin/users/{}", alice.id);
    for (status, reason) in [(0, "=1+1\u{1b}[31m"), (1, "two\r\nlines, \"quoted\"")] {
        let body = json!({"status": status, "reason": reason, "request_id": format!("r{status}")});
        server.admin_post(&path, &body).ok();
    }
    let unknown = server.admin_post("/admin/users/404", &json!({"status": 0}));
    assert_eq!(unknown.status, 404);
    (server, alice.id)
}

#[test]
fn operators_read_the_audit_by_each_of_its_columns() {
    let (server, alice) = server_with_acts();
    let all = entries(&server, "");
    let actions: Vec<_> = all.iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(
        actions,
        ["disable_user", "enable_user", "disable_user", "grant"]
    );
    let disabled = &all[2];
    assert_eq!(
        (&disabled["actor"], &disabled["target"], &disabled["result"]),
        (
            &json!({"kind": "operator", "id": 0}),
            &json!({"user_id": alice}),
            &json!("ok")
        )
    );
    assert_eq!(
        (
            &disabled["before"],
            &disabled["after"],
            &disabled["address"]
        ),
        (
            &json!({"enabled": true}),
            &json!({"enabled": false}),
            &json!("127.0.0.1")
        )
    );
    for (query, count) in [
        ("actor=operator:0".to_owned(), 4),
        ("actor=operator".to_owned(), 4),
        ("actor=user".to_owned(), 0),
        ("role=operator".to_owned(), 4),
        ("action=grant".to_owned(), 1),
        (format!("target={alice}"), 3),
        ("live_id=1".to_owned(), 0),
        ("request_id=r1".to_owned(), 1),
        ("result=user_not_found".to_owned(), 1),
        ("result=ok&action=disable_user".to_owned(), 1),
        ("address=127.0.0.1".to_owned(), 4),
        ("address=10.0.0.1".to_owned(), 0),
        ("from=1".to_owned(), 4),
        ("to=1".to_owned(), 0),
    ] {
        let found = entries(&server, &query);
        assert_eq!(found.len(), count, "{query}: {found:?}");
    }
}

#[test]
fn a_file_of_the_audit_has_all_rows_and_no_formulas() {
    let (server, _) = server_with_acts();
    let csv = server.admin_get("/admin/audit/export?format=csv");
    assert_eq!(csv.status, 200, "{}", csv.text());
    assert_eq!(
        csv.header("content-disposition"),
        Some("attachment; filename=\"audit.csv\"")
    );
    let text = csv.text();
    assert!(text.starts_with("id,at_ms,at,actor_kind,"), "{text}");
    assert!(text.contains("\"'=1+1\\x1b[31m\""), "{text}");
    assert!(text.contains("\"two\r\nlines, \"\"quoted\"\"\""), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");

    let lines = server.admin_get("/admin/audit/export?format=jsonl&action=disable_user");
    let rows: Vec<Value> = lines
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[1]["reason"],
        json!("=1+1\u{1b}[31m"),
        "texts as they are"
    );
    assert_eq!(rows[1]["after"], json!({"enabled": false}));
}

#[test]
fn absurd_filters_are_refused_with_what_is_expected() {
    let server = TestServer::start(&[]);
    let long = "x".repeat(65);
    for (query, expected) in [
        ("limit=0", "limit must be"),
        ("limit=101", "limit must be"),
        ("before=x", "before must be"),
        ("before=1", "before must be"),
        ("actor=root", "actor must be"),
        ("actor=user:", "actor must be"),
        ("actor=user:x", "actor must be"),
        ("target=-1", "target must be"),
        ("live_id=x", "live_id must be"),
        ("address=localhost", "address must be"),
        ("from=yesterday", "from must be"),
        ("from=2&to=1", "from must be before to"),
        ("to=-1", "to must be"),
        (&format!("action={long}"), "action must be"),
        ("action=", "action must be"),
        ("action=%00", "action must be"),
        ("unknown=1", "parameters are"),
        ("limit=1&limit=2", "parameters are"),
        ("format=csv", "format goes with"),
    ] {
        let answer = server.admin_get(&format!("/admin/audit?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(
            answer.text().contains(expected),
            "{query}: {}",
            answer.text()
        );
    }
    for query in ["", "format=xls", "format=csv&limit=1"] {
        let answer = server.admin_get(&format!("/admin/audit/export?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
}

#[test]
fn a_request_that_is_refused_for_its_form_is_a_row() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice1");
    let path = format!("/admin/users/{}", alice.id);
    let long = json!({"status": 0, "reason": "x".repeat(10_000)});
    let refused = server.admin_post(&path, &long);
    assert_eq!(refused.status, 422);
    assert!(
        refused.text().contains("reason must be"),
        "{}",
        refused.text()
    );
    let coins = json!({"delta": 1, "request_id": "r", "reason": "x".repeat(10_000)});
    assert_eq!(
        server.admin_post(&format!("{path}/coins"), &coins).status,
        422
    );
    let found = entries(&server, "result=bad_request");
    let actions: Vec<_> = found.iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(
        actions,
        ["POST /admin/users/{id}/coins", "POST /admin/users/{id}"]
    );
    assert_eq!(server.balance(&alice), 0);
}

/// Strangers cause them, so they are counted: in memory, and in the audit as one row a minute.
#[test]
fn wrong_tokens_are_counted_and_the_count_outlives_a_restart() {
    let mut server = TestServer::start(&[]);
    for _ in 0..7 {
        let wrong = [("authorization", "Bearer guess")];
        let answer = http::request(server.port(), "GET", "/admin/nodes", &wrong, None);
        assert_eq!(answer.status, 401);
    }
    assert_eq!(entries(&server, "action=use_token"), [] as [Value; 0]);
    server.signal("TERM");
    server.wait_for_exit();
    server.restart();
    let found = entries(&server, "action=use_token&result=token_wrong");
    assert!(
        (1..=2).contains(&found.len()),
        "one row for each minute: {found:?}"
    );
    let counted: i64 = found
        .iter()
        .filter_map(|entry| entry["arguments"]["count"].as_i64())
        .sum();
    assert_eq!(counted, 7, "{found:?}");
    assert_eq!(found[0]["address"], json!("127.0.0.1"));
}

/// What `liveroom audit` prints: its exit status, the fields of the line about seals, and all of it.
fn run_audit(
    server: &TestServer,
    args: &[&str],
) -> (Option<i32>, BTreeMap<String, String>, String) {
    let audit = server.run(&[&["audit"], args].concat());
    let printed = String::from_utf8_lossy(&audit.stdout).into_owned();
    let fields = printed
        .lines()
        .filter(|line| line.starts_with("seals="))
        .flat_map(|line| line.split(' '))
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    (audit.status.code(), fields, printed)
}

#[test]
fn a_server_that_is_killed_goes_on_sealing_and_tampering_is_found() {
    let mut server = TestServer::start(&[("RUST_LOG", "info")]);
    let alice = server.rich_user("alice1", 100);
    for round in 0..3 {
        for act in 0..20 {
            let status = json!({"status": act % 2});
            server
                .admin_post(&format!("/admin/users/{}", alice.id), &status)
                .ok();
        }
        if round < 2 {
            server.kill();
            server.restart();
        }
    }
    let fields = eventually("all rows are sealed", || {
        let (code, fields, printed) = run_audit(&server, &[]);
        assert_eq!(code, Some(0), "{printed}");
        (fields["unsealed_rows"] == "0").then_some(fields)
    });
    assert_eq!(fields["sealed_rows"], "61", "{fields:?}");
    let logged = eventually("the head is logged", || {
        server.logged("audit sealed: head=").pop()
    });
    let head = logged
        .split_once("head=")
        .map(|(_, head)| head.trim().to_owned())
        .expect("a head");
    let (code, _, printed) = run_audit(&server, &["--head", &head]);
    assert_eq!(code, Some(0), "{printed}");

    server.kill();
    let tamper = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('DROP TRIGGER audit_no_update'); \
                  c.execute(\"UPDATE audit SET reason = 'x' WHERE id = 9\"); c.commit()";
    let python = std::process::Command::new("python3")
        .args(["-c", tamper])
        .arg(server.database())
        .status();
    assert!(
        python.is_ok_and(|status| status.success()),
        "python3 is among the tools tests need"
    );
    let (code, _, printed) = run_audit(&server, &[]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("audit_row_changed: audit 9"), "{printed}");
    let forged = head.replacen(':', ":0", 1);
    let (code, _, printed) = run_audit(&server, &["--head", &forged]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains("THE LOGGED HEAD IS NOT CONFIRMED"),
        "{printed}"
    );
}
