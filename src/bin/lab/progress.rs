//! One line that shows how a run goes, for those who watch.

use std::io::{self, IsTerminal, Write};

use crate::outcome::Point;

/// Cells of the bar.
const BAR_CELLS: usize = 24;

/// Writes to standard error, and only if somebody looks at it.
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    pub fn new(is_quiet: bool) -> Self {
        Self {
            is_shown: !is_quiet && io::stderr().is_terminal(),
        }
    }

    pub fn show(&self, point: &Point, end_s: f64) {
        if self.is_shown {
            // A terminal that cannot be written to is no reason to stop.
            let _ = write!(io::stderr(), "\r{}\x1b[K", line(point, end_s));
        }
    }

    pub fn finish(&self) {
        if self.is_shown {
            let _ = writeln!(io::stderr());
        }
    }
}

fn line(point: &Point, end_s: f64) -> String {
    let done = (point.at_s / end_s.max(1e-9)).clamp(0.0, 1.0);
    let full = (done * BAR_CELLS as f64) as usize;
    let bar: String = (0..BAR_CELLS)
        .map(|cell| if cell < full { '█' } else { '·' })
        .collect();
    format!(
        "{bar} {:5.0}/{end_s:.0} s  {}  {} members  {:.0} sent/s  {:.0} deliveries/s  p50 {:.1} ms  p99 {:.1} ms",
        point.at_s,
        point.phase,
        point.members,
        point.sent_per_s,
        point.deliveries_per_s,
        point.p50_ms,
        point.p99_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_how_far_and_how_fast() {
        let point = Point {
            at_s: 5.0,
            phase: "calm".into(),
            members: 60,
            deliveries_per_s: 1234.4,
            ..Point::default()
        };
        let line = line(&point, 10.0);
        assert!(line.starts_with("████████████····"), "{line}");
        assert!(
            line.contains("calm  60 members") && line.contains("1234 deliveries/s"),
            "{line}"
        );
    }
}
