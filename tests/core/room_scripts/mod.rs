//! Plays the transcripts in `tests/room_scripts/` on [`liveroom::domain::Room`]: no runtime, no
//! store, no broker, and a clock that only `wait` moves.
//!
//! A script is cases; a case is a room of its own, and blocks of commands with what they must lead
//! to, in order:
//!
//! ```text
//! # Comments and blank lines are free before a block, and between its commands.
//! == two tabs are one presence
//! alice join
//! alice.2 join
//! ---
//! attach alice
//! …
//! ```
//!
//! `UPDATE_SCRIPTS=1 cargo test --test core room_scripts` writes what happened into the scripts;
//! read the diff before keeping it.
//!
//! # Who
//! `alice` is the user alice in the session alice, `alice.2` the same user in a second session, and
//! `bob@alice` a command of the session alice that was verified for bob. `streamer` owns the live.
//!
//! # Commands
//! | command | meaning |
//! | --- | --- |
//! | `room STATUS KEY=N…` | how the room opens, before all else; status `on_air`, `scheduled`, `paused` or `ended`, keys as in `World::configure` |
//! | `seed WHO TEXT id=ID ago=30s` | a comment stored before the room opened |
//! | `with WHO…` | they join, which is not shown |
//! | `WHO join`, `leave`, `lost`, `removed`, `kicked` | `join from=N` comes from address N; by default each user has its own |
//! | `WHO becomes_another` | its session shows another user's token |
//! | `WHO comment TEXT id=ID` | `id` is the `request_id`, here and below; optional. A field that is wrong is a fault of the command, not of the script |
//! | `WHO gift NAME num=N id=ID` | `rose` costs 7, `ring` 520; any other name is not in the catalogue |
//! | `wait 1.5s`, `tick` | the clock goes on / the room looks at it |
//! | `store ok c1`, `busy`, `refused` | the store answers for a comment |
//! | `store full`, `store free` | it takes nothing, refusing at once / takes everything again |
//! | `books ok t1 record=N coin=N live=N at=S duplicate` | the books answer for a gift; all fields have defaults, see `World::settle_gift` |
//! | `books REFUSAL t1` | |
//! | `books nothing t1` | the books find no such gift, of a giver who may not give now |
//! | `order later`, `order now`, `place` | the broker is elsewhere / here again; it places the next event |
//! | `elsewhere TEXT by=WHO id=ID` | a comment from another node gets its place |
//! | `node N shows WHO clients=S,S`, `hides WHO`, `all WHO…` | another node tells who is there; `all` is all it shows |
//! | `own` | what this node tells others since it was asked last: `nodes <- …` |
//! | `gift_known rN` | another node has announced the gift before |
//! | `live STATUS TITLE`, `views N` | the live's row changed |
//! | `mute WHO 10s gifts=no reason=R`, `ban`, `shadow`; `unmute WHO`, … | the store has it, and the log its control; `ever` does not end, `quiet` at the end leaves the control out |
//! | `name WHO`, `dismiss WHO` | a moderator, likewise |
//! | `terms ACTION TERM…` | the word filter has these terms and no others |
//! | `reading` | the room reads from the store what users are and may not do |
//! | `missed kick=WHO ago=5s reports=N` | it reads what its log had: that kick, all that is held, and how many reports are open |
//! | `show members`, `ledger`, `idle`, `position` | |
//!
//! `ack=N` on a member's command asks for an answer by that number.
//!
//! # Effects
//! `attach`, `detach`: whom the room tells from now on. `store <-`, `books <-`: what it asks to be
//! kept. `order <-`: an event waiting for its place. `all <- 3 comment …`: event 3 told to all.
//! `alice <- …` and `alice ! …`: the answer to one, good or bad; `alice <- echo c1 …`: her comment,
//! shown to her alone. Comments are numbered `c1…`, gifts
//! under way `t1…` and committed gifts `r1…`.

mod script;
mod words;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use script::Script;
use world::World;

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/room_scripts");
    let entries = fs::read_dir(&folder).expect("the scripts are there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths
}

#[test]
fn rooms_do_what_the_scripts_say() {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let paths = scripts();
    assert!(!paths.is_empty(), "no scripts found");
    let mut failures = String::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&path).expect("a script is UTF-8 text");
        let script = Script::parse(&text).unwrap_or_else(|fault| panic!("{name}:{fault}"));
        let mut world = World::default();
        let played = script.play(|case_starts, command| {
            if case_starts {
                world = World::default();
            }
            world.run(command)
        });
        let played = played.unwrap_or_else(|fault| panic!("{name}:{fault}"));
        if update {
            fs::write(&path, played.text).expect("a script can be written");
        } else {
            failures.extend(
                played
                    .differences
                    .iter()
                    .map(|difference| format!("{name}:{difference}\n")),
            );
        }
    }
    assert!(
        failures.is_empty(),
        "rooms did something else (UPDATE_SCRIPTS=1 accepts it):\n\n{failures}"
    );
}
