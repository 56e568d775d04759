//! The end of a run on a terminal: verdicts first, then latency, traffic, what it cost the server,
//! and how far all that is from the floor.

use super::beside_floor::beside_floor;
use super::format::{UNKNOWN, bytes, count, figure, known, micros, per_second, seconds, times};
use super::{has_several_phases, lanes, passed, verdict};
use crate::outcome::{Check, Outcome, Percentiles, Totals};

/// Plain text without colours, for people and for logs alike; ends with the overall verdict, where
/// the eye rests when the program is done.
pub fn summary(outcome: &Outcome) -> String {
    let word = if passed(outcome) { "passed" } else { "FAILED" };
    let parts = [
        head(outcome),
        checks("promises", &outcome.checks),
        checks("objectives", &outcome.objectives),
        latency(outcome),
        phases(outcome),
        traffic(outcome),
        server(outcome),
        floor(outcome),
        format!("{word}: {}\n", verdict(outcome)),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

fn head(outcome: &Outcome) -> String {
    let (script, server, seed) = (&outcome.script_path, &outcome.server.url, outcome.seed);
    format!(
        "{script} against {server}, seed {seed}, {}\n",
        seconds(outcome.duration_s)
    )
}

fn checks(title: &str, checks: &[Check]) -> String {
    let name_width = checks
        .iter()
        .map(|check| check.name.chars().count())
        .max()
        .unwrap_or(0);
    let lines = checks.iter().map(|check| {
        let word = if check.passed { "ok" } else { "FAIL" };
        // Details of several lines stay in their column.
        let detail = check
            .detail
            .replace('\n', &format!("\n{:1$}", "", name_width + 10));
        format!("  {word:4}  {:name_width$}  {detail}\n", check.name)
    });
    section(title, lines)
}

/// A title and its lines; empty without lines.
fn section(title: &str, lines: impl IntoIterator<Item = String>) -> String {
    let body: String = lines.into_iter().collect();
    if body.is_empty() {
        body
    } else {
        format!("{title}\n{body}")
    }
}

fn latency(outcome: &Outcome) -> String {
    let line = |name: &str, it: &Percentiles| {
        let numbers = match it.count {
            0 => [UNKNOWN; 6].map(str::to_owned),
            _ => [it.min, it.p50, it.p90, it.p99, it.p999, it.max].map(figure),
        };
        table_line(
            &format!("  {name}"),
            &[&[count(it.count)], numbers.as_slice()].concat(),
        )
    };
    let titles = ["samples", "min", "p50", "p90", "p99", "p99.9", "max"].map(str::to_owned);
    let lines = [
        line("send to receipt", &outcome.latency),
        line("send to answer", &outcome.ack_latency),
    ];
    table_line("latency, ms", &titles) + &lines.concat()
}

/// One line for each phase of a script that has several.
fn phases(outcome: &Outcome) -> String {
    if !has_several_phases(outcome) {
        return String::new();
    }
    let lines = outcome.phases.iter().map(|phase| {
        let latency = |ms: f64| {
            if phase.latency.count > 0 {
                figure(ms)
            } else {
                UNKNOWN.to_owned()
            }
        };
        let cells = [
            figure(phase.to_s - phase.from_s),
            count(phase.joins),
            count(phase.comments_sent),
            figure(phase.deliveries_per_s),
            latency(phase.latency.p50),
            latency(phase.latency.p99),
            known(phase.server_cpu_us_per_delivery, figure),
        ];
        table_line(&format!("  {}", phase.name), &cells)
    });
    let titles = [
        "s", "joins", "comments", "deliv./s", "p50 ms", "p99 ms", "CPU µs",
    ]
    .map(str::to_owned);
    table_line("phases", &titles) + &lines.collect::<String>()
}

/// A name and right-aligned columns.
fn table_line(name: &str, cells: &[String]) -> String {
    let columns: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
    format!("{name:22}{columns}\n")
}

/// Comments in words; of those that were sampled out only if there are any.
pub fn comments(totals: &Totals) -> String {
    let (sent, acked) = (count(totals.comments_sent), count(totals.comments_acked));
    match totals.comments_sampled_out {
        0 => format!("{sent} sent, {acked} acked"),
        sampled_out => format!(
            "{sent} sent, {acked} acked, {} sampled out",
            count(sampled_out)
        ),
    }
}

fn traffic(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    let failed = |number: u64| {
        if number > 0 {
            format!(", {} failed", count(number))
        } else {
            String::new()
        }
    };
    let mut lines = vec![
        fact(
            "connections",
            format!(
                "{}{}",
                count(totals.connections),
                failed(totals.connect_failures)
            ),
        ),
        fact("joins", count(totals.joins)),
        fact("comments", comments(totals)),
        fact(
            "gifts",
            format!(
                "{} sent, {} acked",
                count(totals.gifts_sent),
                count(totals.gifts_acked)
            ),
        ),
        fact(
            "deliveries",
            format!(
                "{}, {}",
                count(totals.deliveries),
                per_second(totals.deliveries_per_s)
            ),
        ),
        fact(
            "lost",
            format!(
                "{} of {}",
                count(totals.lost_deliveries),
                count(totals.expected_deliveries)
            ),
        ),
        fact("lost by lane", lanes(outcome)),
        fact("received", bytes(totals.bytes_received as f64)),
    ];
    if !outcome.refusals.is_empty() {
        let refusals = outcome
            .refusals
            .iter()
            .map(|(code, times)| format!("{code} {}", count(*times)));
        lines.push(fact("refusals", refusals.collect::<Vec<_>>().join(", ")));
    }
    section("traffic", lines)
}

fn fact(name: &str, value: String) -> String {
    format!("  {name:24}{value}\n")
}

fn server(outcome: &Outcome) -> String {
    let server = &outcome.server;
    // All or nothing: without the server's pid none of it is known.
    let (Some(cpu_s), Some(rss_peak_bytes)) = (server.cpu_s, server.rss_peak_bytes) else {
        return String::new();
    };
    let each = known(server.cpu_us_per_delivery, micros);
    let per_connection = known(server.rss_bytes_per_connection, bytes);
    let mut lines = vec![
        fact("cpu", format!("{}, {each} a delivery", seconds(cpu_s))),
        fact(
            "memory",
            format!(
                "{} at the peak, {per_connection} a connection",
                bytes(rss_peak_bytes as f64)
            ),
        ),
    ];
    lines.extend(
        server
            .context_switches
            .map(|switches| fact("context switches", count(switches))),
    );
    section("server", lines)
}

fn floor(outcome: &Outcome) -> String {
    let Some(floor) = &outcome.floor else {
        return String::new();
    };
    let lines = beside_floor(outcome).into_iter().map(|ratios| {
        let name = match ratios.floor.comments_per_send {
            1 => "  1 comment a send".to_owned(),
            comments => format!("  {comments} comments a send"),
        };
        let pair = |floor: f64, ratio: Option<f64>| [figure(floor), known(ratio, times)];
        let cells = [
            pair(ratios.floor.deliveries_per_s, ratios.rate),
            pair(ratios.floor.cpu_us_per_delivery, ratios.cpu),
            pair(ratios.floor.p99_ms, ratios.p99),
        ];
        table_line(&name, &cells.concat())
    });
    let titles = ["floor/s", "ours", "floor µs", "ours", "floor p99", "ours"].map(str::to_owned);
    let (sockets, frame_bytes) = (count(floor.sockets), count(floor.frame_bytes));
    let title = format!(
        "beside the floor: a bare writer, {sockets} sockets, frames of {frame_bytes} bytes"
    );
    section(
        &format!("{title}\n{}", table_line("", &titles).trim_end()),
        lines,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn verdicts_come_first_and_the_overall_one_last() {
        let text = summary(&sample::outcome());
        let at = |part: &str| {
            text.find(part)
                .unwrap_or_else(|| panic!("no {part} in\n{text}"))
        };
        assert!(at("promises\n") < at("latency, ms") && at("latency, ms") < at("traffic"));
        assert!(at("traffic") < at("server\n") && at("server\n") < at("beside the floor"));
        assert!(text.contains("  FAIL  deliveries_per_s"), "{text}");
        assert!(
            text.ends_with("FAILED: 6 of 6 promises and 1 of 2 objectives kept\n"),
            "{text}"
        );
    }

    #[test]
    fn columns_are_aligned() {
        let outcome = sample::outcome();
        for table in [
            latency(&outcome),
            phases(&outcome),
            floor(&outcome)
                .split_once('\n')
                .expect("a title")
                .1
                .to_owned(),
        ] {
            let widths: Vec<_> = table.lines().map(|line| line.chars().count()).collect();
            assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut outcome = sample::outcome();
        outcome.server = Default::default();
        outcome.floor = None;
        outcome.objectives.clear();
        outcome.refusals.clear();
        outcome.latency.count = 0;
        let text = summary(&outcome);
        for part in ["server\n", "floor", "objectives", "refusals", "NaN"] {
            assert!(!text.contains(part), "{part} in\n{text}");
        }
        assert!(text.ends_with("passed: 6 of 6 promises kept\n"));
    }
}
