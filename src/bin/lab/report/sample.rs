//! A run that never was, with something of everything, for the tests of the reports.

use std::collections::BTreeMap;

use crate::outcome::{
    Check, Floor, FloorPoint, LaneTotals, Machine, Outcome, Percentiles, PhaseOutcome, Point,
    RoomOutcome, ServerFacts, Totals,
};

const SECONDS: u64 = 90;

pub fn outcome() -> Outcome {
    Outcome {
        lab_version: "0.1.0".to_owned(),
        command: ["liveroom-lab", "run", "tests/load/one_big_room.toml", "--floor"].map(str::to_owned).to_vec(),
        script_path: "tests/load/one_big_room.toml".to_owned(),
        script_text: "[script]\nname = \"one big room\"\nseed = 42\n\n[[room]]\nmembers = { plain = 1_000 }\n"
            .to_owned(),
        seed: 42,
        started_at: "2026-01-31T12:00:00Z".to_owned(),
        duration_s: 90.2,
        machine: Machine {
            cpu: "Example CPU @ 2.60GHz".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "Linux 6.8.0 x86_64".to_owned(),
        },
        server: ServerFacts {
            url: "http://127.0.0.1:7001".to_owned(),
            pid: Some(4242),
            version: Some("0.1.0".to_owned()),
            cpu_s: Some(21.4),
            cpu_us_per_delivery: Some(1.84),
            rss_start_bytes: Some(18 << 20),
            rss_peak_bytes: Some(37 << 20),
            rss_bytes_per_connection: Some(19_900.0),
            context_switches: Some(48_211),
        },
        totals: Totals {
            connections: 1_000,
            connect_failures: 0,
            joins: 1_020,
            comments_sent: 11_640,
            comments_acked: 11_640,
            comments_sampled_out: 0,
            gifts_sent: 240,
            gifts_acked: 238,
            deliveries: 11_630_443,
            deliveries_per_s: 129_227.0,
            bytes_received: 1_861_000_000,
            expected_deliveries: 11_630_443,
            lost_deliveries: 0,
            lanes: [("crowd", 11_390_443), ("money", 240_000), ("voice", 0)]
                .map(|(lane, expected)| (lane.to_owned(), LaneTotals { expected, lost: 0 }))
                .into(),
            missed_by_slow: 0,
        },
        latency: Percentiles { count: 116_300, min: 0.2, p50: 3.1, p90: 7.9, p99: 18.4, p999: 41.0, max: 88.2 },
        ack_latency: Percentiles { count: 11_878, min: 0.4, p50: 4.4, p90: 9.1, p99: 21.7, p999: 44.2, max: 90.3 },
        phases: [("ramp", 0.0, 20.0), ("steady", 20.0, 55.0), ("rush", 55.0, 75.0), ("settle", 75.0, 90.2)]
            .map(|(name, from_s, to_s)| PhaseOutcome {
                name: name.to_owned(),
                from_s,
                to_s,
                joins: 250,
                comments_sent: 2_900,
                deliveries: 2_900_000,
                deliveries_per_s: 2_900_000.0 / (to_s - from_s),
                latency: Percentiles { count: 29_000, p50: 3.1, p99: 18.4, ..Percentiles::default() },
                server_cpu_s: Some(5.3),
                server_cpu_us_per_delivery: Some(1.84),
                ..PhaseOutcome::default()
            })
            .to_vec(),
        series: (0..SECONDS).map(point).collect(),
        rooms: vec![RoomOutcome {
            name: "main hall".to_owned(),
            live_id: 7,
            members_peak: 1_000,
            comments: 11_640,
            gifts: 238,
            coins: 9_520,
            first_offset: 1,
            last_offset: 11_878,
            deliveries: 11_630_443,
        }],
        checks: [
            ("no_acked_comment_lost", "11,640 acked comments, each received by every member present"),
            ("same_order_for_all", "1,000 members saw 11,878 events in one order"),
            ("offsets_without_gaps", "offsets 1 to 11,878 of live 7, none missing"),
            ("no_other_room_heard", "no event of a room that the member had not joined"),
            ("gift_money_exact", "9,520 coins given, 9,520 in the ledger, 9,520 credited"),
            ("presence_converges", "980 users online in the end, 980 announced"),
        ]
        .map(|(name, detail)| Check { name: name.to_owned(), passed: true, detail: detail.to_owned() })
        .to_vec(),
        objectives: vec![
            Check { name: "p99_ms".to_owned(), passed: true, detail: "18.4 ms, at most 50 ms wanted".to_owned() },
            Check {
                name: "deliveries_per_s".to_owned(),
                passed: false,
                detail: "129,227/s, at least 150,000/s wanted".to_owned(),
            },
        ],
        refusals: BTreeMap::from([("rate_limited".to_owned(), 12), ("coins_insufficient".to_owned(), 2)]),
        floor: Some(Floor {
            sockets: 1_000,
            frame_bytes: 150,
            points: [(1, 910_000.0, 1.04, 1.9), (10, 7_900_000.0, 0.115, 2.2), (50, 21_000_000.0, 0.034, 3.4)]
                .map(|(comments_per_send, deliveries_per_s, cpu_us_per_delivery, p99_ms)| FloorPoint {
                    comments_per_send,
                    deliveries_per_s,
                    cpu_us_per_delivery,
                    p99_ms,
                })
                .to_vec(),
        }),
    }
}

/// A ramp, a steady stretch, a rush and its end, with waves instead of chance.
fn point(second: u64) -> Point {
    let at_s = second as f64;
    let (phase, pace) = match second {
        0..20 => ("ramp", at_s / 20.0),
        20..55 => ("steady", 1.0),
        55..75 => ("rush", 2.6),
        _ => ("calm", 0.5),
    };
    let wave = 1.0 + 0.12 * (at_s * 0.9).sin() + 0.07 * (at_s * 2.3).cos();
    let p50_ms = (0.8 + 2.0 * pace) * wave;
    Point {
        at_s,
        phase: phase.to_owned(),
        members: (50 * (second + 1)).min(1_000),
        deliveries_per_s: 90_000.0 * pace * wave,
        sent_per_s: 90.0 * pace * wave,
        p50_ms,
        p99_ms: p50_ms * (4.0 + 2.0 * (at_s * 0.37).sin().abs()),
        max_ms: p50_ms * (9.0 + 14.0 * (at_s * 0.53).sin().abs()),
        server_cpu_percent: Some((8.0 + 52.0 * pace) * wave),
        server_rss_bytes: Some((18 << 20) + (19 << 20) * second.min(40) / 40),
    }
}
