//! Two runs side by side, as ratios of the second to the first.

use std::collections::BTreeSet;

use super::format::{UNKNOWN, bytes, figure, known, percent, ratio, times, whole};
use super::{all_checks, beside_floor, verdict};
use crate::outcome::{LaneTotals, Machine, Outcome};

/// Ratios nearer to 1 than this are not called better or worse: two runs of one server differ by
/// as much.
const NOISE: f64 = 0.05;

enum Better {
    Lower,
    Higher,
    /// It depends on the script, not on the server.
    Neither,
}

/// One comparable number of a run.
struct Metric {
    name: &'static str,
    better: Better,
    form: fn(f64) -> String,
    value: fn(&Outcome) -> Option<f64>,
}

const METRICS: &[Metric] = &[
    metric("send to receipt, p50 ms", Better::Lower, figure, |run| {
        latency(run, run.latency.p50)
    }),
    metric("send to receipt, p90 ms", Better::Lower, figure, |run| {
        latency(run, run.latency.p90)
    }),
    metric("send to receipt, p99 ms", Better::Lower, figure, |run| {
        latency(run, run.latency.p99)
    }),
    metric("send to receipt, p99.9 ms", Better::Lower, figure, |run| {
        latency(run, run.latency.p999)
    }),
    metric("send to receipt, max ms", Better::Lower, figure, |run| {
        latency(run, run.latency.max)
    }),
    metric("send to answer, p50 ms", Better::Lower, figure, |run| {
        answer(run, run.ack_latency.p50)
    }),
    metric("send to answer, p99 ms", Better::Lower, figure, |run| {
        answer(run, run.ack_latency.p99)
    }),
    metric("send to answer, max ms", Better::Lower, figure, |run| {
        answer(run, run.ack_latency.max)
    }),
    metric("deliveries/s", Better::Higher, figure, |run| {
        Some(run.totals.deliveries_per_s)
    }),
    metric("deliveries", Better::Neither, whole, |run| {
        Some(run.totals.deliveries as f64)
    }),
    metric("lost deliveries", Better::Lower, whole, |run| {
        Some(run.totals.lost_deliveries as f64)
    }),
    metric("lost of the crowd", Better::Lower, percent, |run| {
        lane_loss(run, "crowd")
    }),
    metric("lost of voice", Better::Lower, percent, |run| {
        lane_loss(run, "voice")
    }),
    metric("lost of money", Better::Lower, percent, |run| {
        lane_loss(run, "money")
    }),
    metric("connections", Better::Neither, whole, |run| {
        Some(run.totals.connections as f64)
    }),
    metric("failed connections", Better::Lower, whole, |run| {
        Some(run.totals.connect_failures as f64)
    }),
    metric("comments acked", Better::Neither, whole, |run| {
        Some(run.totals.comments_acked as f64)
    }),
    metric("comments sampled out", Better::Neither, whole, |run| {
        Some(run.totals.comments_sampled_out as f64)
    }),
    metric("gifts acked", Better::Neither, whole, |run| {
        Some(run.totals.gifts_acked as f64)
    }),
    metric("bytes received", Better::Neither, bytes, |run| {
        Some(run.totals.bytes_received as f64)
    }),
    metric("server CPU, s", Better::Lower, figure, |run| {
        run.server.cpu_s
    }),
    metric("server CPU, µs/delivery", Better::Lower, figure, |run| {
        run.server.cpu_us_per_delivery
    }),
    metric("server memory, peak", Better::Lower, bytes, |run| {
        run.server.rss_peak_bytes.map(|peak| peak as f64)
    }),
    metric("server memory/connection", Better::Lower, bytes, |run| {
        run.server.rss_bytes_per_connection
    }),
    metric("server context switches", Better::Lower, whole, |run| {
        run.server.context_switches.map(|n| n as f64)
    }),
];

/// These hold between machines, too.
const METRICS_BESIDE_FLOOR: &[Metric] = &[
    metric("CPU ÷ floor, 1 a send", Better::Lower, times, |run| {
        beside_floor::at(run, 1)?.cpu
    }),
    metric("CPU ÷ floor, 10 a send", Better::Lower, times, |run| {
        beside_floor::at(run, 10)?.cpu
    }),
    metric("CPU ÷ floor, 50 a send", Better::Lower, times, |run| {
        beside_floor::at(run, 50)?.cpu
    }),
    metric("rate ÷ floor, 1 a send", Better::Higher, times, |run| {
        beside_floor::at(run, 1)?.rate
    }),
    metric("p99 ÷ floor, 1 a send", Better::Lower, times, |run| {
        beside_floor::at(run, 1)?.p99
    }),
];

const fn metric(
    name: &'static str,
    better: Better,
    form: fn(f64) -> String,
    value: fn(&Outcome) -> Option<f64>,
) -> Metric {
    Metric {
        name,
        better,
        form,
        value,
    }
}

fn latency(run: &Outcome, value: f64) -> Option<f64> {
    (run.latency.count > 0).then_some(value)
}

fn lane_loss(run: &Outcome, lane: &str) -> Option<f64> {
    run.totals
        .lanes
        .get(lane)
        .filter(|totals| totals.expected > 0)
        .map(LaneTotals::loss)
}

fn answer(run: &Outcome, value: f64) -> Option<f64> {
    (run.ack_latency.count > 0).then_some(value)
}

/// The differences of two runs, `b` as a multiple of `a`; says first whether they are significant.
pub fn compare(a: &Outcome, b: &Outcome) -> String {
    let mut text = format!("A  {}\nB  {}\n", head(a), head(b));
    let differences = differences(a, b);
    if !differences.is_empty() {
        text += "\nnot comparable as they are:\n";
        text.extend(
            differences
                .iter()
                .map(|difference| format!("  {difference}\n")),
        );
        if a.floor.is_some() && b.floor.is_some() {
            text += "  only the figures beside the floor hold between machines\n";
        }
    }
    text += &format!(
        "\n{}",
        row("", ["A".to_owned(), "B".to_owned(), "B ÷ A".to_owned()], "")
    );
    for metric in METRICS.iter().chain(METRICS_BESIDE_FLOOR) {
        text += &compared(metric, (metric.value)(a), (metric.value)(b));
    }
    let codes: BTreeSet<&String> = a.refusals.keys().chain(b.refusals.keys()).collect();
    for code in codes {
        let times = |run: &Outcome| run.refusals.get(code).copied().unwrap_or(0) as f64;
        let name = format!("refused: {code}");
        text += &row(
            &name,
            [
                whole(times(a)),
                whole(times(b)),
                known(ratio(times(b), times(a)), self::times),
            ],
            "",
        );
    }
    text + &changed_verdicts(a, b)
}

fn head(run: &Outcome) -> String {
    let Outcome {
        script_path,
        started_at,
        lab_version,
        seed,
        ..
    } = run;
    let server = run
        .server
        .version
        .as_ref()
        .map_or_else(String::new, |version| format!(", server {version}"));
    format!(
        "{script_path}, seed {seed}, {started_at}, lab {lab_version}{server}: {}",
        verdict(run)
    )
}

/// Why a ratio may say more about the circumstances than about the servers.
fn differences(a: &Outcome, b: &Outcome) -> Vec<String> {
    let machine = |it: &Machine| {
        format!(
            "{}, {} cores, {}",
            it.cpu,
            it.cores,
            bytes(it.memory_bytes as f64)
        )
    };
    let other =
        |what: &str, a: String, b: String| (a != b).then(|| format!("another {what}: {a} | {b}"));
    let script = (a.script_text != b.script_text).then(|| {
        format!(
            "another script: {} | {} (by content)",
            a.script_path, b.script_path
        )
    });
    [
        other("machine", machine(&a.machine), machine(&b.machine)),
        other("kernel", a.machine.kernel.clone(), b.machine.kernel.clone()),
        script,
        other("seed", a.seed.to_string(), b.seed.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Nothing if neither run knows it.
fn compared(metric: &Metric, a: Option<f64>, b: Option<f64>) -> String {
    if a.is_none() && b.is_none() {
        return String::new();
    }
    let quotient = a.zip(b).and_then(|(a, b)| ratio(b, a));
    let remark = match (&metric.better, quotient) {
        (Better::Neither, _) | (_, None) => "",
        (_, Some(quotient)) if (quotient - 1.0).abs() < NOISE => "",
        (Better::Lower, Some(quotient)) => {
            if quotient < 1.0 {
                "better"
            } else {
                "worse"
            }
        }
        (Better::Higher, Some(quotient)) => {
            if quotient > 1.0 {
                "better"
            } else {
                "worse"
            }
        }
    };
    row(
        metric.name,
        [
            known(a, metric.form),
            known(b, metric.form),
            known(quotient, times),
        ],
        remark,
    )
}

fn row(name: &str, [a, b, quotient]: [String; 3], remark: &str) -> String {
    let line = format!("{name:28}{a:>14}{b:>14}{quotient:>12}  {remark}");
    format!("{}\n", line.trim_end())
}

/// The promises and objectives that one run kept and the other did not.
fn changed_verdicts(a: &Outcome, b: &Outcome) -> String {
    let names: BTreeSet<&String> = all_checks(a)
        .chain(all_checks(b))
        .map(|check| &check.name)
        .collect();
    let word =
        |run: &Outcome, name: &String| match all_checks(run).find(|check| check.name == *name) {
            Some(check) if check.passed => "kept",
            Some(_) => "broken",
            None => UNKNOWN,
        };
    let changed: Vec<_> = names
        .into_iter()
        .filter(|name| word(a, name) != word(b, name))
        .collect();
    let lines = changed
        .iter()
        .map(|name| format!("  {name}: {} in A, {} in B\n", word(a, name), word(b, name)));
    if changed.is_empty() {
        String::new()
    } else {
        format!("\nverdicts that differ:\n{}", lines.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// The words of the line that starts with `name`, after it.
    fn words(text: &str, name: &str) -> Vec<String> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn ratios_are_b_over_a_and_say_which_way_is_good() {
        let (a, mut b) = (sample::outcome(), sample::outcome());
        b.latency.p99 = a.latency.p99 * 2.0;
        b.totals.deliveries_per_s = a.totals.deliveries_per_s * 1.5;
        b.totals.deliveries = a.totals.deliveries / 2;
        b.server.cpu_us_per_delivery = Some(1.82);
        let text = compare(&a, &b);
        assert_eq!(
            words(&text, "send to receipt, p99 ms"),
            ["18.4", "36.8", "2.00×", "worse"]
        );
        assert_eq!(
            words(&text, "deliveries/s"),
            ["129,227", "193,841", "1.50×", "better"]
        );
        assert_eq!(words(&text, "deliveries  ")[2..], ["0.500×"]);
        assert_eq!(
            words(&text, "server CPU, µs/delivery"),
            ["1.84", "1.82", "0.989×"]
        );
        assert_eq!(
            words(&text, "rate ÷ floor, 1 a send"),
            ["0.142×", "0.213×", "1.50×", "better"]
        );
        assert!(
            !text.contains("not comparable") && !text.contains("verdicts"),
            "{text}"
        );
    }

    #[test]
    fn what_cannot_be_divided_has_no_ratio() {
        let (mut a, mut b) = (sample::outcome(), sample::outcome());
        b.totals.lost_deliveries = 7;
        a.server.cpu_s = None;
        a.floor = None;
        b.floor = None;
        let text = compare(&a, &b);
        assert_eq!(words(&text, "lost deliveries"), ["0", "7", "–"]);
        assert_eq!(words(&text, "server CPU, s"), ["–", "21.4", "–"]);
        assert!(!text.contains("floor"));
    }

    #[test]
    fn runs_of_another_machine_or_script_are_said_not_to_be_comparable() {
        let (a, mut b) = (sample::outcome(), sample::outcome());
        b.machine.cores = 64;
        b.script_text.push_str("# louder\n");
        b.seed = 43;
        let text = compare(&a, &b);
        for part in [
            "not comparable",
            "another machine",
            "64 cores",
            "another script",
            "another seed: 42 | 43",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }

    #[test]
    fn verdicts_that_differ_are_named() {
        let (a, mut b) = (sample::outcome(), sample::outcome());
        b.checks[0].passed = false;
        b.objectives.pop();
        let text = compare(&a, &b);
        assert!(text.contains("verdicts that differ:\n"), "{text}");
        assert!(
            text.contains("  no_acked_comment_lost: kept in A, broken in B\n"),
            "{text}"
        );
        assert!(
            text.contains("  deliveries_per_s: broken in A, – in B\n"),
            "{text}"
        );
    }

    #[test]
    fn columns_are_aligned() {
        let text = compare(&sample::outcome(), &sample::outcome());
        let rows: Vec<_> = text.lines().skip(3).collect();
        assert!(rows.len() > 20);
        assert!(
            rows.iter()
                .all(|row| row.chars().count() == 28 + 14 + 14 + 12),
            "{text}"
        );
    }
}
