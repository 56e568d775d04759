//! The instruments of these tests: a check that never fails and a fault that is none prove nothing.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::catch_unwind;
use std::time::Duration;

use crate::support::ledger::{Event, Heard, assert_all_heard_once, assert_one_order, assert_same};
use crate::support::proxy::Proxy;
use crate::support::redis::{Keeps, Redis};

/// `a1=x` is event x at place 1 of epoch a; `|` is a break.
fn heard(who: &str, text: &str) -> Heard {
    let mut heard = Heard::by(who);
    for word in text.split_whitespace() {
        match word.split_once('=') {
            None => heard.push_break(),
            Some((place, id)) => heard.push(Event {
                id: id.to_owned(),
                epoch: place[..1].to_owned(),
                offset: place[1..].parse().expect("a number"),
            }),
        }
    }
    heard
}

fn passes(check: impl Fn(&[&Heard]), ledgers: &[&str]) -> bool {
    let ledgers: Vec<Heard> = ledgers.iter().map(|text| heard("member", text)).collect();
    let ledgers: Vec<&Heard> = ledgers.iter().collect();
    catch_unwind(std::panic::AssertUnwindSafe(|| check(&ledgers))).is_ok()
}

#[test]
fn parts_of_one_order_pass_and_nothing_else_does() {
    for good in [
        // Who comes in later hears less.
        &["a1=x a2=y a3=z", "a2=y a3=z"][..],
        // Two that were alone with x and y: each hears the other's in the new epoch.
        &["a1=o b1=x d2=y d3=z", "a1=o c1=y d1=x d3=z"],
        // What was missed beyond recovery.
        &["a1=x a2=y a3=z", "a1=x | a3=z"],
        &["a1=x b1=v b2=y b3=z", "a1=x | b3=z"],
    ] {
        assert!(passes(assert_one_order, good), "{good:?}");
    }
    for bad in [
        // A gap, at its place, at the beginning of a new epoch, and across a join that recovered.
        &["a1=x a2=y a3=z", "a1=x a3=z"][..],
        &["a1=o b1=x b2=y", "a1=o b2=y"],
        // Another order, another event at a place, another place for an event.
        &["a1=x a2=y", "a2=y a1=x"],
        &["a1=x", "a1=y"],
        &["a1=x a2=y", "a2=x"],
        // An epoch that was over.
        &["a1=x b1=y a2=z"],
    ] {
        assert!(!passes(assert_one_order, bad), "{bad:?}");
    }
    assert!(passes(assert_same, &["a1=x a2=y", "a1=x a2=y"]));
    for bad in [
        &["a1=x a3=y", "a1=x a3=y"][..],
        &["a1=x b1=y", "a1=x b1=y"],
        &["a1=x a2=y", "a1=x"],
    ] {
        assert!(!passes(assert_same, bad), "{bad:?}");
    }
    let acked = BTreeSet::from(["x".to_owned(), "y".to_owned()]);
    let all = |heard: &[&Heard]| assert_all_heard_once(heard, &acked);
    assert!(passes(all, &["a1=x b1=y"]));
    for bad in ["a1=x", "a1=x b1=y b2=x", "a1=x b1=y b2=z"] {
        assert!(!passes(all, &[bad]), "{bad}");
    }
}

/// A server that says back what it is told, until the test's process ends.
fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).expect("a way that is cut still accepts")
}

fn say(stream: &mut TcpStream, byte: u8) {
    stream
        .write_all(&[byte])
        .expect("nobody says that the way is cut");
}

/// The next byte; `None` when there is none for a while.
fn hear(stream: &mut TcpStream, patience: Duration) -> Option<u8> {
    stream
        .set_read_timeout(Some(patience))
        .expect("a time limit can be set");
    let mut byte = [0];
    stream.read_exact(&mut byte).ok().map(|()| byte[0])
}

const SOON: Duration = Duration::from_secs(10);
const A_WHILE: Duration = Duration::from_millis(100);

#[test]
fn a_cut_way_is_silent_until_it_heals() {
    let proxy = Proxy::start(echo());
    let mut stream = connect(&proxy);
    say(&mut stream, 1);
    assert_eq!(hear(&mut stream, SOON), Some(1));
    for cut in [Proxy::cut, Proxy::cut_answers] {
        cut(&proxy);
        let mut late = connect(&proxy);
        say(&mut stream, 2);
        say(&mut late, 3);
        assert_eq!(
            (hear(&mut stream, A_WHILE), hear(&mut late, A_WHILE)),
            (None, None)
        );
        proxy.heal();
        assert_eq!(
            (hear(&mut stream, SOON), hear(&mut late, SOON)),
            (Some(2), Some(3)),
            "what was held"
        );
    }
    proxy.cut();
    say(&mut stream, 4);
    proxy.heal_after_loss();
    assert_eq!(hear(&mut stream, SOON), None, "broken");
    let mut again = connect(&proxy);
    say(&mut again, 5);
    assert_eq!(hear(&mut again, SOON), Some(5));
}

#[test]
fn redis_keeps_what_it_is_to_keep() {
    for keeps in [Keeps::Saved, Keeps::Everything] {
        let mut redis = match Redis::start(keeps) {
            Ok(redis) => redis,
            Err(reason) => {
                println!("skipped: {reason}");
                return;
            }
        };
        redis.set("early", "1");
        redis.command(&["SAVE"]);
        redis.set("late", "2 words\r\n");
        assert_eq!(redis.get("late").as_deref(), Some("2 words\r\n"));
        redis.freeze();
        redis.thaw();
        redis.kill();
        redis.restart();
        let late = (keeps == Keeps::Everything).then_some("2 words\r\n");
        assert_eq!(
            (redis.get("early").as_deref(), redis.get("late").as_deref()),
            (Some("1"), late),
            "{keeps:?}"
        );
        redis.kill();
        redis.restart_empty();
        assert_eq!(
            (
                redis.command(&["KEYS", "*"]).as_deref(),
                redis.exists("early")
            ),
            (Some(""), false)
        );
    }
}
