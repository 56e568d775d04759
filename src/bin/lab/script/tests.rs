//! Good scripts are read as meant; wrong ones say where and what was expected.

use super::*;

const GOOD: &str = r#"
[script]
name = "good"
duration = "10s"

[[room]]
name = "small"
members = { plain = 2, socketio_v4 = 1 }
"#;

/// The fault of [`GOOD`] with `from` replaced by `to`.
fn fault_of(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    Script::parse(&GOOD.replace(from, to))
        .expect_err(to)
        .to_string()
}

#[test]
fn a_short_script_is_enough() {
    let script = Script::parse(GOOD).unwrap();
    assert_eq!(script.phases[0].duration, Duration::from_secs(10));
    assert_eq!(script.rooms[0].members_count(), 3);
    assert_eq!(script.rooms[0].users_count(), 3);
    assert!(!script.rooms[0].has_streamer());
}

#[test]
fn a_fault_names_line_key_and_what_was_expected() {
    for (from, to, line, words) in [
        ("\"10s\"", "\"10\"", ":4:", "a time of at most a day"),
        ("\"10s\"", "10", ":4:", "a time of at most a day"),
        (
            "\"10s\"",
            "\"10s\"\nper_address = 0",
            ":5:",
            "per_address: expected 1 to",
        ),
        (
            "plain = 2",
            "plane = 2",
            ":8:",
            "expected one of `plain`, `socketio_v4`, `socketio_v3`",
        ),
        ("plain = 2", "plain = -2", ":8:", "expected usize"),
        ("name = \"small\"\n", "", ":6:", "missing field `name`"),
        (
            "plain = 2, socketio_v4 = 1",
            "plain = 0",
            ":8:",
            "at least one member",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nusers = 4",
            ":9:",
            "users: expected 1 to 3",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\ncomments = { rate = -1 }",
            ":9:",
            "a number per second from 0",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\ncomments = { rate = 1, retry = 2.0 }",
            ":9:",
            "a share from 0 to 1",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\ncomments = { bytes = 9 }",
            ":9:",
            "either rate or in_flight",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\ncomments = { rate = 1, in_flight = 1 }",
            ":9:",
            "either rate",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\ncomments = { in_flight = 0 }",
            ":9:",
            "in_flight: expected 1 to",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\ngifts = { rate = 1, balance = -5 }",
            ":9:",
            "a balance from 0",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nstreamer = { end_at = \"11s\" }",
            ":9:",
            "within the duration",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { flooders = 0 }",
            ":9:",
            "at least one flooder",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { moderators = 1, flooders = 2 }",
            ":9:",
            "users besides them among the room's 3",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { flooders = 1, unmute_after = \"500ms\" }",
            ":9:",
            "unmute_after to be at least reach",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { flooders = 1, rules = [{ rule = \"slow\", from = \"2s\", until = \"2s\" }] }",
            ":9:",
            "the from of a rule before its until",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { flooders = 1, rules = [{ rule = \"calm\", from = \"1s\", until = \"2s\" }] }",
            ":9:",
            "expected one of `frozen`, `slow`",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { flooders = 1, rules = [\n{ rule = \"slow\", from = \"1s\", until = \"2s\" },\n{ rule = \"slow\", from = \"3s\", until = \"4s\" }] }",
            ":9:",
            "each rule once",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { flooders = 1, rules = [{ rule = \"gifters\", from = \"1s\", until = \"2s\" }] }",
            ":9:",
            "expected gifts in a room with the rule gifters",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { flooders = 1, rules = [{ rule = \"term\", from = \"1s\", until = \"2s\" }] }\n\
             [[room]]\nname = \"other\"\nmembers = { plain = 3 }\nmoderation = { flooders = 1, rules = [{ rule = \"term\", from = \"1s\", until = \"2s\" }] }",
            ":13:",
            "the rule term in one [[room]] alone",
        ),
        (
            "socketio_v4 = 1 }",
            "socketio_v4 = 1 }\nmoderation = { flooders = 1 }\nstreamer = { end_at = \"1s\" }",
            ":9:",
            "does not end the live",
        ),
        (
            "[[room]]",
            "[target.templates]\njoin = \"j\"\ncomment = \"c\"\n[[room]]\nmoderation = { flooders = 1 }",
            ":10:",
            "no [target.templates]",
        ),
        ("duration = \"10s\"\n", "", ":2:", "script.duration"),
        ("[[room]]", "[[room", ":6:", ""),
    ] {
        let fault = fault_of(from, to);
        assert!(
            fault.contains(line) && fault.contains(words),
            "{to}: {fault}"
        );
    }
}

#[test]
fn every_script_of_the_repository_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests/load", "tests/bench/shapes"]
        .map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let mut found = 0;
    for entry in folders.into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "toml") {
            found += 1;
            if let Err(fault) = Script::load(&path) {
                panic!("{fault}");
            }
        }
    }
    assert!(found >= 8, "{found}");
}
