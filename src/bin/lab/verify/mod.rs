//! Whether the promises held: commands, answers, what every member received, and what the
//! books say, held against each other once the run is over.

mod holds;
mod moderation;
mod modes;
mod money;
mod receipts;

use std::collections::BTreeSet;

use crate::commands::Fate;
use crate::driver::Driver;
use crate::judge;
use crate::lane::Lane;
use crate::online::Online;
use crate::outcome::{Check, Percentiles, RoomOutcome, Totals};
use crate::room_log::Content;
use crate::script::Script;
use crate::setup::Setup;

/// The checks of a run.
pub struct Verdict {
    pub checks: Vec<Check>,
    pub objectives: Vec<Check>,
    pub rooms: Vec<RoomOutcome>,
    pub totals: Totals,
    pub latency: Percentiles,
    pub ack_latency: Percentiles,
}

/// Judges a run that is over; the server is still there to show its books.
pub fn verdict(
    driver: &mut Driver,
    setup: &Setup,
    script: &Script,
    duration_s: f64,
    errand_faults: &[String],
) -> Verdict {
    let receipts = receipts::check(driver, script.objective.loss.unwrap_or_default());
    money::check(driver, setup);
    moderation::check(driver, setup);
    modes::check(driver);
    holds::check(driver);
    check_entrances(driver);
    check_answers(driver);
    check_presence(driver);
    check_refusals(driver, script, errand_faults);

    let accepted = |is_gift: bool| {
        let kind = |it: &crate::commands::CommandKind| match it {
            crate::commands::CommandKind::Comment => !is_gift,
            crate::commands::CommandKind::Gift { .. } => is_gift,
            _ => false,
        };
        driver
            .commands
            .iter()
            .filter(|(_, it)| kind(&it.kind) && matches!(it.fate, Fate::Accepted { .. }))
            .count() as u64
    };
    let comments_sampled_out = driver
        .commands
        .iter()
        .filter(|(_, it)| it.fate == Fate::SampledOut)
        .count() as u64;
    let (stats, rooms) = (&driver.stats, rooms_of(driver, setup));
    let totals = Totals {
        connections: stats.connections,
        connect_failures: stats.connect_failures,
        joins: stats.joins,
        comments_sent: stats.comments_sent,
        comments_acked: accepted(false),
        comments_sampled_out,
        gifts_sent: stats.gifts_sent,
        gifts_acked: accepted(true),
        deliveries: stats.deliveries,
        deliveries_per_s: stats.deliveries as f64 / duration_s.max(1e-9),
        bytes_received: stats.bytes,
        expected_deliveries: receipts.expected(),
        lost_deliveries: receipts.lost(),
        lanes: Lane::ALL
            .map(|lane| {
                (
                    lane.name().to_owned(),
                    receipts.lanes[lane as usize].clone(),
                )
            })
            .into(),
        missed_by_slow: receipts.missed_by_slow,
    };
    let latency = stats.latency.percentiles();
    let moderated = moderation::Counts::of(driver);
    Verdict {
        checks: driver.offences.verdicts(|check| {
            moderated
                .words(check)
                .unwrap_or_else(|| passed(check, &totals, &receipts, rooms.len()))
        }),
        objectives: objectives(script, driver, &latency, &totals, &receipts),
        ack_latency: stats.ack_latency.percentiles(),
        latency,
        totals,
        rooms,
    }
}

/// The counts of a check that passed.
fn passed(check: &str, totals: &Totals, receipts: &receipts::Receipts, rooms: usize) -> String {
    match check {
        judge::CONNECTED => format!("{} connections, {} joins", totals.connections, totals.joins),
        judge::ANSWERED => format!(
            "{} comments and gifts",
            totals.comments_sent + totals.gifts_sent
        ),
        judge::COMMENT_LOST => format!(
            "{} acked comments, heard by all that were there",
            totals.comments_acked
        ),
        judge::GIFT_LOST => format!(
            "{} acked gifts, heard by all that were there",
            totals.gifts_acked
        ),
        judge::SAMPLED => format!("{} comments sampled out", totals.comments_sampled_out),
        judge::GAPS => format!(
            "{} of {} deliveries missing",
            receipts.lost(),
            receipts.expected()
        ),
        judge::DUPLICATED | judge::ORDER => format!(
            "{} deliveries, each compared with the others'",
            totals.deliveries
        ),
        judge::ISOLATED => format!("{rooms} rooms"),
        judge::MONEY => format!("{} acked gifts in the books", totals.gifts_acked),
        _ => "as it should be".to_owned(),
    }
}

fn check_entrances(driver: &mut Driver) {
    for index in 0..driver.members.len() {
        if !driver.members[index].has_been_in {
            driver.offences.add(judge::CONNECTED, || {
                format!("member {index} never got into its room")
            });
        }
        if driver.members[index].is_upgrading() {
            driver.offences.add(judge::CONNECTED, || {
                format!("member {index} was never upgraded to a WebSocket")
            });
        }
    }
}

fn check_answers(driver: &mut Driver) {
    for (number, command) in driver.commands.iter() {
        if command.fate == Fate::Pending {
            let (kind, member) = (command.kind, command.member);
            driver.offences.add(judge::ANSWERED, || {
                format!("command {number} of member {member} has no answer: {kind:?}")
            });
        }
    }
}

fn check_presence(driver: &mut Driver) {
    for room in 0..driver.rooms.len() {
        let truth = driver.users_online(room);
        let misled: Vec<(usize, Online)> = driver.misled(room).collect();
        for (member, online) in misled {
            driver.offences.add(judge::PRESENCE, || {
                format!("member {member} believes: {online}; in truth: {truth}")
            });
        }
    }
}

fn check_refusals(driver: &mut Driver, script: &Script, errand_faults: &[String]) {
    let mut expected: BTreeSet<&str> = script
        .script
        .expected_refusals
        .iter()
        .map(String::as_str)
        .collect();
    if script.rooms.iter().any(|room| room.ends()) {
        expected.insert("live_ended");
    }
    // Whether somebody asked for them is judged beside.
    if script.rooms.iter().any(|room| room.moderation().is_some()) {
        expected.extend(["muted", "banned", "frozen"]);
        expected.extend(["slow_mode", "followers_only", "gifters_only"]);
        // Two decide about one held comment, or its author was banned meanwhile.
        expected.extend(["already_reviewed", "author_barred"]);
    }
    for (code, count) in &driver.refusals {
        if !expected.contains(code.as_str()) {
            driver
                .offences
                .add(judge::REFUSALS, || format!("{code} ×{count}"));
        }
    }
    for fault in errand_faults {
        driver.offences.add(judge::REFUSALS, || fault.clone());
    }
}

fn rooms_of(driver: &Driver, setup: &Setup) -> Vec<RoomOutcome> {
    let outcome = |(room, site): (&crate::driver::Room, &crate::setup::RoomSite)| {
        let mut outcome = RoomOutcome {
            name: site.name.clone(),
            live_id: site.live_id,
            members_peak: room.joined_peak as u64,
            first_offset: room.log.base() + 1,
            last_offset: room.log.last(),
            deliveries: room.deliveries,
            ..RoomOutcome::default()
        };
        for (_, event) in room.log.iter() {
            match &event.content {
                Content::Comment { .. } => outcome.comments += 1,
                Content::Gift { coins, .. } => {
                    outcome.gifts += 1;
                    outcome.coins = outcome.coins.saturating_add(*coins);
                }
                Content::Removed { .. } | Content::Modes(_) | Content::Other => {}
            }
        }
        outcome
    };
    driver.rooms.iter().zip(&setup.rooms).map(outcome).collect()
}

fn objectives(
    script: &Script,
    driver: &Driver,
    latency: &Percentiles,
    totals: &Totals,
    receipts: &receipts::Receipts,
) -> Vec<Check> {
    let wanted = &script.objective;
    let at_most = |name: &str, found: f64, bound: Option<f64>| {
        bound.map(|bound| Check {
            name: name.to_owned(),
            // Without a single latency there is nothing that could meet an objective on it.
            passed: found <= bound && latency.count > 0,
            detail: format!("{found:.2}, wanted at most {bound}"),
        })
    };
    let latencies = [
        at_most("p50_ms", latency.p50, wanted.p50_ms),
        at_most("p99_ms", latency.p99, wanted.p99_ms),
        at_most("p999_ms", latency.p999, wanted.p999_ms),
    ];
    let rate = wanted.deliveries_per_s.map(|bound| Check {
        name: "deliveries_per_s".to_owned(),
        passed: totals.deliveries_per_s >= bound,
        detail: format!("{:.0}, wanted at least {bound}", totals.deliveries_per_s),
    });
    let losses = wanted.loss.into_iter().flat_map(|allowed| {
        Lane::ALL.map(|lane| {
            let found = &receipts.lanes[lane as usize];
            Check {
                name: format!("loss_{}", lane.name()),
                passed: found.loss() <= allowed.of(lane),
                detail: format!(
                    "{:.6}, {} of {}, wanted at most {}",
                    found.loss(),
                    found.lost,
                    found.expected,
                    allowed.of(lane)
                ),
            }
        })
    });
    let cut = wanted.stopped_readers_cut.then(|| {
        let stopped = || {
            driver
                .members
                .iter()
                .filter(|member| member.is_stopped_reader)
        };
        let (cut, all) = (
            stopped().filter(|member| member.was_cut).count(),
            stopped().count(),
        );
        Check {
            name: "stopped_readers_cut".to_owned(),
            passed: cut == all,
            detail: format!("{cut} of {all}"),
        }
    });
    latencies
        .into_iter()
        .flatten()
        .chain(rate)
        .chain(losses)
        .chain(cut)
        .collect()
}
