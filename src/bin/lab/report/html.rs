//! One self-contained page about a run: verdict and key figures first, then the charts, then all
//! that was counted, then what it takes to repeat it.

use super::beside_floor::{self, beside_floor};
use super::chart::{Chart, Line, Scale};
use super::format::{
    bytes, count, escape, figure, known, micros, millis, per_second, percent, seconds, short,
    times, whole,
};
use super::summary::comments;
use super::{all_checks, has_several_phases, page, passed, timeline, verdict};
use crate::outcome::{Check, LaneTotals, Outcome, Percentiles, Point};

const STYLE: &str = include_str!("page.css");

/// The page carries text from scripts and servers: should any of it ever get through as markup, it
/// still may not run or fetch anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Broken promises and objectives that are named beside the verdict; the tables have them all.
const BROKEN_NAMED_MAX: usize = 6;

/// Rooms that are listed; of more, the first.
const ROOMS_MAX: usize = 200;

const BYTES_PER_MIB: f64 = (1 << 20) as f64;

/// The report as one HTML file, with no script and nothing to load.
pub fn html(outcome: &Outcome) -> String {
    let title = title(outcome);
    let parts = [
        header(outcome, &title),
        "<main>".to_owned(),
        format!(r#"<dl class="tiles">{}</dl>"#, tiles(outcome)),
        format!(r#"<div class="charts">{}</div>"#, charts(&outcome.series)),
        page::card("Promises", &checks(&outcome.checks)),
        page::card("Objectives of the script", &checks(&outcome.objectives)),
        page::card("Latency", &latency(outcome)),
        page::card("Phases", &phases(outcome)),
        page::card("Loss by lane", &lanes(outcome)),
        page::card("Beside the floor", &floor(outcome)),
        format!(
            r#"<div class="pair">{}{}</div>"#,
            page::card("Traffic", &traffic(outcome)),
            page::card("Server", &server(outcome))
        ),
        page::card("Refusals and closes", &refusals(outcome)),
        page::card("Rooms", &rooms(outcome)),
        page::card("To repeat it", &origin(outcome)),
        "</main>".to_owned(),
        format!(
            "<footer>Written by liveroom-lab {}.</footer>",
            escape(&outcome.lab_version)
        ),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <title>{}</title><style>\n{STYLE}</style></head>\n<body>{}</body></html>\n",
        escape(&format!("{title} · liveroom-lab")),
        parts.join("\n")
    )
}

/// The script's file name without its ending, as words.
fn title(outcome: &Outcome) -> String {
    let file = outcome.script_path.rsplit('/').next().unwrap_or_default();
    file.trim_end_matches(".toml").replace('_', " ")
}

fn header(outcome: &Outcome, title: &str) -> String {
    let facts = [
        outcome.started_at.clone(),
        seconds(outcome.duration_s),
        outcome.server.url.clone(),
        format!("seed {}", outcome.seed),
    ];
    let broken: String = all_checks(outcome)
        .filter(|check| !check.passed)
        .take(BROKEN_NAMED_MAX)
        .map(|check| format!("<code>{}</code>", escape(&check.name)))
        .collect();
    format!(
        r#"<header><p class="kicker">{}</p><h1>{}</h1><div class="verdict">{}<span>{}</span>{broken}</div></header>"#,
        escape(&facts.join(" · ")),
        escape(title),
        page::mark(passed(outcome), "passed", "failed"),
        escape(&verdict(outcome)),
    )
}

fn tiles(outcome: &Outcome) -> String {
    let (totals, server, latency) = (&outcome.totals, &outcome.server, &outcome.latency);
    let one_a_send = beside_floor::at(outcome, 1);
    let of_floor = |ratio: Option<f64>| ratio.map(|ratio| format!("{} the floor", times(ratio)));
    let members_peak = outcome
        .series
        .iter()
        .map(|point| point.members)
        .max()
        .unwrap_or(totals.joins);
    let beside = format!(
        "p50 {}, p99.9 {}",
        figure(latency.p50),
        figure(latency.p999)
    );
    let cpu_beside = one_a_send.and_then(|ratios| of_floor(ratios.cpu));
    [
        page::tile("Send to receipt, p99", &millis(latency.p99), &beside),
        page::tile(
            "Deliveries",
            &per_second(totals.deliveries_per_s),
            &format!("{} in all", count(totals.deliveries)),
        ),
        page::tile(
            "Lost",
            &count(totals.lost_deliveries),
            &format!("of {}", count(totals.expected_deliveries)),
        ),
        page::tile(
            "Members",
            &count(members_peak),
            &format!("in {}", rooms_in_words(outcome)),
        ),
        page::tile(
            "CPU per delivery",
            &known(server.cpu_us_per_delivery, micros),
            &cpu_beside
                .unwrap_or_else(|| format!("{} of CPU in all", known(server.cpu_s, seconds))),
        ),
        page::tile(
            "Memory per connection",
            &known(server.rss_bytes_per_connection, bytes),
            &format!(
                "{} at the peak",
                known(server.rss_peak_bytes.map(|peak| peak as f64), bytes)
            ),
        ),
    ]
    .concat()
}

fn rooms_in_words(outcome: &Outcome) -> String {
    match outcome.rooms.len() {
        1 => "1 room".to_owned(),
        rooms => format!("{} rooms", count(rooms as u64)),
    }
}

fn charts(series: &[Point]) -> String {
    let points = timeline::condensed(series);
    let at_s: Vec<f64> = points.iter().map(|point| point.at_s).collect();
    let phases = timeline::phases(&points);
    let line = |name, class, value: &dyn Fn(&Point) -> Option<f64>| {
        Line::new(name, class, points.iter().map(value))
    };
    let chart = |title, label, exact, lines| Chart {
        title,
        scale: Scale::Linear,
        label,
        exact,
        at_s: &at_s,
        lines,
        phases: &phases,
    };
    let percentiles = vec![
        line("p50", "first", &|point| latency_seen(point, point.p50_ms)),
        line("p99", "second", &|point| latency_seen(point, point.p99_ms)),
        line("max", "third", &|point| latency_seen(point, point.max_ms)),
    ];
    let memory_mib = |point: &Point| {
        point
            .server_rss_bytes
            .map(|bytes| bytes as f64 / BYTES_PER_MIB)
    };
    [
        Chart {
            scale: Scale::Log,
            ..chart(
                "Send to receipt, ms (log scale)",
                short,
                figure,
                percentiles,
            )
        },
        chart(
            "Deliveries per second",
            short,
            whole,
            vec![line("", "first", &|point| Some(point.deliveries_per_s))],
        ),
        chart(
            "Commands sent per second",
            short,
            figure,
            vec![line("", "fourth", &|point| Some(point.sent_per_s))],
        ),
        chart(
            "Members",
            short,
            whole,
            vec![line("", "second", &|point| Some(point.members as f64))],
        ),
        chart(
            "Server CPU, % of one core",
            short,
            figure,
            vec![line("", "third", &|point| point.server_cpu_percent)],
        ),
        chart(
            "Server memory, MiB",
            short,
            figure,
            vec![line("", "second", &memory_mib)],
        ),
    ]
    .iter()
    .map(Chart::figure)
    .collect()
}

/// A second in which nothing was received has no latency, rather than one of zero.
fn latency_seen(point: &Point, latency_ms: f64) -> Option<f64> {
    (point.max_ms > 0.0).then_some(latency_ms)
}

fn checks(checks: &[Check]) -> String {
    if checks.is_empty() {
        return String::new();
    }
    let row = |check: &Check| {
        let mark = page::mark(check.passed, "kept", "broken");
        format!(
            "<tr><td>{mark}</td><td><code>{}</code></td><td>{}</td></tr>",
            escape(&check.name),
            escape(&check.detail)
        )
    };
    // Broken promises come first: the reader looks for them.
    let (kept, broken): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(|check| check.passed);
    let rows: String = broken.into_iter().chain(kept).map(row).collect();
    format!(r#"<table class="checks"><tbody>{rows}</tbody></table>"#)
}

fn latency(outcome: &Outcome) -> String {
    let row = |name: &str, it: &Percentiles| {
        let [min, p50, p90, p99, p999, max] =
            [it.min, it.p50, it.p90, it.p99, it.p999, it.max].map(figure);
        [
            name.to_owned(),
            count(it.count),
            min,
            p50,
            p90,
            p99,
            p999,
            max,
        ]
    };
    let rows = [
        row("send to receipt by others", &outcome.latency),
        row(
            "send to the answer of one's own command",
            &outcome.ack_latency,
        ),
    ];
    page::note(
        "Milliseconds, counted from the moment the script meant to send: a stall of the server is not hidden.",
    ) + &page::numbers(
        ["", "samples", "min", "p50", "p90", "p99", "p99.9", "max"],
        &rows,
    )
}

fn lanes(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    let share = |lane: &LaneTotals| known((lane.expected > 0).then(|| lane.loss()), percent);
    let rows: Vec<_> = totals
        .lanes
        .iter()
        .map(|(name, lane)| {
            [
                name.clone(),
                count(lane.expected),
                count(lane.lost),
                share(lane),
            ]
        })
        .collect();
    let text = format!(
        "The crowd is viewers' comments, voice the streamer's, money gifts and changes of state. Slow and stopped \
         readers missed {} of the crowd, as they may.",
        count(totals.missed_by_slow)
    );
    let table = page::numbers(["lane", "expected deliveries", "lost", "lost share"], &rows);
    if table.is_empty() {
        table
    } else {
        page::note(&text) + &table
    }
}

fn phases(outcome: &Outcome) -> String {
    if !has_several_phases(outcome) {
        return String::new();
    }
    let rows: Vec<_> = outcome
        .phases
        .iter()
        .map(|phase| {
            let latency = |ms: f64| known((phase.latency.count > 0).then_some(ms), figure);
            [
                phase.name.clone(),
                figure(phase.to_s - phase.from_s),
                count(phase.joins),
                count(phase.comments_sent),
                figure(phase.deliveries_per_s),
                latency(phase.latency.p50),
                latency(phase.latency.p99),
                known(phase.server_cpu_s, figure),
                known(phase.server_cpu_us_per_delivery, figure),
            ]
        })
        .collect();
    let headings = [
        "phase",
        "seconds",
        "joins",
        "comments",
        "deliveries/s",
        "p50 ms",
        "p99 ms",
        "CPU s",
        "CPU µs a delivery",
    ];
    page::numbers(headings, &rows)
}

fn floor(outcome: &Outcome) -> String {
    let Some(floor) = &outcome.floor else {
        return String::new();
    };
    let rows: Vec<_> = beside_floor(outcome)
        .iter()
        .map(|ratios| {
            [
                count(ratios.floor.comments_per_send),
                figure(ratios.floor.deliveries_per_s),
                figure(ratios.floor.cpu_us_per_delivery),
                figure(ratios.floor.p99_ms),
                known(ratios.rate, times),
                known(ratios.cpu, times),
                known(ratios.p99, times),
            ]
        })
        .collect();
    let text = format!(
        "What a bare epoll writer needs on this machine to give ready-made frames of {} bytes to {} sockets, \
         and this run as a multiple of it.",
        count(floor.frame_bytes),
        count(floor.sockets)
    );
    let headings = [
        "comments per send",
        "floor, deliveries/s",
        "floor, CPU µs each",
        "floor, p99 ms",
        "rate ÷ floor",
        "CPU ÷ floor",
        "p99 ÷ floor",
    ];
    page::note(&text) + &page::numbers(headings, &rows)
}

fn traffic(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    page::facts(&[
        (
            "connections",
            format!(
                "{}, {} failed",
                count(totals.connections),
                count(totals.connect_failures)
            ),
        ),
        ("joins", count(totals.joins)),
        ("comments", comments(totals)),
        (
            "gifts",
            format!(
                "{} sent, {} acked",
                count(totals.gifts_sent),
                count(totals.gifts_acked)
            ),
        ),
        ("deliveries", count(totals.deliveries)),
        ("received", bytes(totals.bytes_received as f64)),
    ])
}

fn server(outcome: &Outcome) -> String {
    let server = &outcome.server;
    let memory = |number: Option<u64>| known(number.map(|number| number as f64), bytes);
    let switches =
        |number: u64| per_second(number as f64 / outcome.duration_s.max(f64::MIN_POSITIVE));
    page::facts(&[
        (
            "version",
            server
                .version
                .clone()
                .unwrap_or_else(|| "not reported".to_owned()),
        ),
        ("CPU", known(server.cpu_s, seconds)),
        (
            "CPU per delivery",
            known(server.cpu_us_per_delivery, micros),
        ),
        (
            "memory",
            format!(
                "{} before, {} at the peak",
                memory(server.rss_start_bytes),
                memory(server.rss_peak_bytes)
            ),
        ),
        (
            "memory per connection",
            known(server.rss_bytes_per_connection, bytes),
        ),
        (
            "context switches",
            server
                .context_switches
                .map_or_else(|| known(None, figure), switches),
        ),
    ])
}

fn refusals(outcome: &Outcome) -> String {
    let rows: Vec<_> = outcome
        .refusals
        .iter()
        .map(|(code, times)| [code.clone(), count(*times)])
        .collect();
    page::numbers(["code", "times"], &rows)
}

fn rooms(outcome: &Outcome) -> String {
    let rows: Vec<_> = outcome
        .rooms
        .iter()
        .take(ROOMS_MAX)
        .map(|room| {
            [
                room.name.clone(),
                room.live_id.to_string(),
                count(room.members_peak),
                count(room.comments),
                count(room.gifts),
                u64::try_from(room.coins).map_or_else(|_| room.coins.to_string(), count),
                format!("{}…{}", room.first_offset, room.last_offset),
                count(room.deliveries),
            ]
        })
        .collect();
    let more = match outcome.rooms.len().saturating_sub(ROOMS_MAX) {
        0 => String::new(),
        more => page::note(&format!(
            "The first {ROOMS_MAX}; {} more are in the JSON file.",
            count(more as u64)
        )),
    };
    let headings = [
        "room",
        "live",
        "members, peak",
        "comments",
        "gifts",
        "coins",
        "offsets",
        "deliveries",
    ];
    more + &page::numbers(headings, &rows)
}

fn origin(outcome: &Outcome) -> String {
    let machine = &outcome.machine;
    let cores = format!(
        "{}, {} cores, {}",
        machine.cpu,
        machine.cores,
        bytes(machine.memory_bytes as f64)
    );
    let facts = [
        ("command", outcome.command.join(" ")),
        ("script", outcome.script_path.clone()),
        ("seed", outcome.seed.to_string()),
        ("machine", cores),
        ("kernel", machine.kernel.clone()),
        ("lab", outcome.lab_version.clone()),
    ];
    page::facts(&facts) + &page::folded("The script", &outcome.script_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_has_all_parts_and_needs_nothing_else() {
        let page = html(&sample::outcome());
        for part in [
            "one big room",
            "offsets_without_gaps",
            "Beside the floor",
            "main hall",
            "rate_limited",
            "[[room]]",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<svg").count(), 6);
        for foreign in [
            "<script",
            "http://www",
            "https://",
            "url(",
            "@import",
            "src=\"",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    }

    #[test]
    fn no_text_of_a_run_becomes_markup() {
        let evil = "</pre><script>alert('x')</script>\"";
        let mut outcome = sample::outcome();
        outcome.command.push(evil.to_owned());
        outcome.script_text = evil.to_owned();
        outcome.script_path = evil.to_owned();
        outcome.lab_version = evil.to_owned();
        outcome.started_at = evil.to_owned();
        outcome.server.url = evil.to_owned();
        outcome.server.version = Some(evil.to_owned());
        outcome.machine.cpu = evil.to_owned();
        outcome.machine.kernel = evil.to_owned();
        outcome.rooms[0].name = evil.to_owned();
        outcome.checks[0].name = evil.to_owned();
        outcome.checks[0].detail = evil.to_owned();
        outcome.refusals.insert(evil.to_owned(), 1);
        for point in &mut outcome.series {
            point.phase = evil.to_owned();
        }
        let page = html(&outcome);
        assert!(!page.contains("<script") && !page.contains("alert('x')"));
        assert!(page.matches("&lt;script&gt;").count() >= 12);
    }

    #[test]
    fn a_run_of_which_little_is_known_still_has_a_page() {
        let mut outcome = sample::outcome();
        outcome.series.clear();
        outcome.rooms.clear();
        outcome.refusals.clear();
        outcome.objectives.clear();
        outcome.floor = None;
        outcome.server = Default::default();
        outcome.duration_s = 0.0;
        let page = html(&outcome);
        assert!(
            !page.contains("<svg") && !page.contains("Beside the floor") && !page.contains("NaN")
        );
        assert!(page.contains(">✓ passed<"));
    }

    #[test]
    fn what_is_broken_comes_first() {
        let mut outcome = sample::outcome();
        outcome.checks[4].passed = false;
        let page = html(&outcome);
        let at = |text: &str| page.find(text).expect("it is on the page");
        assert!(at("<td><code>gift_money_exact") < at("<td><code>no_acked_comment_lost"));
        assert!(at("<code>gift_money_exact</code>") < at("class=\"tiles\""));
        assert!(page.contains(">✗ failed<") && page.contains("5 of 6 promises"));
    }
}
