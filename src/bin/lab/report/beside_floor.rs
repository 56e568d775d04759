//! A run beside the floor of the same machine: the only figures of ours that mean something on
//! another machine.

use super::format::ratio;
use crate::outcome::{FloorPoint, Outcome};

/// Our figures divided by the floor's, at one number of comments per send.
pub struct BesideFloor<'a> {
    pub floor: &'a FloorPoint,
    /// CPU per delivery: 2 is twice the price of the bare writer.
    pub cpu: Option<f64>,
    /// Deliveries a second: 0.5 is half as many as the bare writer.
    pub rate: Option<f64>,
    /// 99th percentile from send to receipt.
    pub p99: Option<f64>,
}

/// One line for each point of the floor; none when the floor was not measured.
pub fn beside_floor(outcome: &Outcome) -> Vec<BesideFloor<'_>> {
    let points = outcome.floor.iter().flat_map(|floor| &floor.points);
    points
        .map(|floor| BesideFloor {
            floor,
            cpu: outcome
                .server
                .cpu_us_per_delivery
                .and_then(|cpu| ratio(cpu, floor.cpu_us_per_delivery)),
            rate: ratio(outcome.totals.deliveries_per_s, floor.deliveries_per_s),
            p99: (outcome.latency.count > 0)
                .then(|| ratio(outcome.latency.p99, floor.p99_ms))
                .flatten(),
        })
        .collect()
}

/// The ratios to the point with so many comments per send.
pub fn at(outcome: &Outcome, comments_per_send: u64) -> Option<BesideFloor<'_>> {
    beside_floor(outcome)
        .into_iter()
        .find(|ratios| ratios.floor.comments_per_send == comments_per_send)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn ratios_are_ours_over_the_floors() {
        let mut outcome = sample::outcome();
        outcome.server.cpu_us_per_delivery = Some(3.0);
        outcome.totals.deliveries_per_s = 250_000.0;
        outcome.latency.p99 = 8.0;
        let point = FloorPoint {
            comments_per_send: 10,
            deliveries_per_s: 1e6,
            cpu_us_per_delivery: 1.5,
            p99_ms: 2.0,
        };
        if let Some(floor) = &mut outcome.floor {
            floor.points = vec![point];
        }
        let ratios = at(&outcome, 10).expect("the floor has this point");
        assert_eq!(
            (ratios.cpu, ratios.rate, ratios.p99),
            (Some(2.0), Some(0.25), Some(4.0))
        );
        assert!(at(&outcome, 50).is_none());
    }

    #[test]
    fn what_was_not_measured_has_no_ratio() {
        let mut outcome = sample::outcome();
        outcome.server.cpu_us_per_delivery = None;
        outcome.latency.count = 0;
        assert!(
            beside_floor(&outcome)
                .iter()
                .all(|ratios| ratios.cpu.is_none() && ratios.p99.is_none())
        );
        outcome.floor = None;
        assert!(beside_floor(&outcome).is_empty());
    }
}
