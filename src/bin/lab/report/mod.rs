//! The reports of a run: a summary for the terminal, a page with charts, and the ratios
//! between two runs. All three are functions of outcomes, and do no I/O.

mod beside_floor;
mod chart;
mod compare;
mod format;
mod html;
mod page;
#[cfg(test)]
pub mod sample;
mod summary;
mod timeline;

pub use compare::compare;
pub use html::html;
pub use summary::summary;

use crate::outcome::{Check, LaneTotals, Outcome};

/// Whether each promise and each objective was kept.
fn passed(outcome: &Outcome) -> bool {
    all_checks(outcome).all(|check| check.passed)
}

/// Whether phases say more than the run as a whole: the time for settling is always one.
fn has_several_phases(outcome: &Outcome) -> bool {
    outcome.phases.len() > 2
}

fn all_checks(outcome: &Outcome) -> impl Iterator<Item = &Check> {
    outcome.checks.iter().chain(&outcome.objectives)
}

/// The losses of each lane in words, such as `crowd 12 of 3,400, voice 0 of 20, money 0 of 5`.
fn lanes(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    let lane = |(name, lane): (&String, &LaneTotals)| {
        format!(
            "{name} {} of {}",
            format::count(lane.lost),
            format::count(lane.expected)
        )
    };
    let mut words: Vec<String> = totals.lanes.iter().map(lane).collect();
    if totals.missed_by_slow > 0 {
        words.push(format!(
            "slow readers missed {} more of the crowd",
            format::count(totals.missed_by_slow)
        ));
    }
    words.join(", ")
}

/// The verdict in one sentence, such as `8 of 9 promises and 2 of 2 objectives kept`.
fn verdict(outcome: &Outcome) -> String {
    let kept = |checks: &[Check]| checks.iter().filter(|check| check.passed).count();
    let promises = format!(
        "{} of {} promises",
        kept(&outcome.checks),
        outcome.checks.len()
    );
    match outcome.objectives.as_slice() {
        [] => format!("{promises} kept"),
        objectives => format!(
            "{promises} and {} of {} objectives kept",
            kept(objectives),
            objectives.len()
        ),
    }
}
