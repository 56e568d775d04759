//! The series of a run, made short enough to draw: an hour of seconds has more points than a chart
//! has room, and each point that is drawn costs a few hundred bytes of page.

use crate::outcome::Point;

/// Points to a chart.
const POINTS_MAX: usize = 180;

/// A stretch of the script, as it is shaded in the charts.
#[derive(Debug, PartialEq)]
pub struct Phase<'a> {
    pub name: &'a str,
    pub from_s: f64,
    pub to_s: f64,
}

/// Neighbouring points merged so that at most `POINTS_MAX` are left: the worst latency, the most
/// memory, and the mean of what is a rate. A peak is never averaged away.
pub fn condensed(series: &[Point]) -> Vec<Point> {
    series
        .chunks(series.len().div_ceil(POINTS_MAX).max(1))
        .filter_map(merged)
        .collect()
}

fn merged(points: &[Point]) -> Option<Point> {
    let last = points.last()?;
    let mean =
        |value: fn(&Point) -> f64| points.iter().map(value).sum::<f64>() / points.len() as f64;
    let most = |value: fn(&Point) -> f64| points.iter().map(value).fold(0.0, f64::max);
    let cpu: Vec<f64> = points
        .iter()
        .filter_map(|point| point.server_cpu_percent)
        .collect();
    Some(Point {
        at_s: last.at_s,
        phase: last.phase.clone(),
        members: last.members,
        deliveries_per_s: mean(|point| point.deliveries_per_s),
        sent_per_s: mean(|point| point.sent_per_s),
        p50_ms: most(|point| point.p50_ms),
        p99_ms: most(|point| point.p99_ms),
        max_ms: most(|point| point.max_ms),
        server_cpu_percent: (!cpu.is_empty()).then(|| cpu.iter().sum::<f64>() / cpu.len() as f64),
        server_rss_bytes: points
            .iter()
            .filter_map(|point| point.server_rss_bytes)
            .max(),
    })
}

/// Runs of points with one phase name; each ends where the next begins.
pub fn phases(series: &[Point]) -> Vec<Phase<'_>> {
    let mut phases: Vec<Phase<'_>> = Vec::new();
    for point in series {
        match phases.last_mut() {
            Some(phase) if phase.name == point.phase => phase.to_s = point.at_s,
            previous => {
                if let Some(previous) = previous {
                    previous.to_s = point.at_s;
                }
                phases.push(Phase {
                    name: &point.phase,
                    from_s: point.at_s,
                    to_s: point.at_s,
                });
            }
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_s: u32, phase: &str) -> Point {
        let value = f64::from(at_s);
        Point {
            at_s: value,
            phase: phase.to_owned(),
            sent_per_s: value,
            max_ms: value,
            ..Point::default()
        }
    }

    #[test]
    fn a_long_run_is_drawn_with_few_points_and_all_its_peaks() {
        let mut series: Vec<Point> = (0..3_600).map(|at_s| point(at_s, "steady")).collect();
        series[1_234].max_ms = 1e6;
        let drawn = condensed(&series);
        assert_eq!(drawn.len(), POINTS_MAX);
        assert!(drawn.iter().any(|point| point.max_ms == 1e6));
        assert_eq!((drawn[0].at_s, drawn[0].sent_per_s), (19.0, 9.5));
        assert_eq!(condensed(&series[..3]).len(), 3);
        assert!(condensed(&[]).is_empty());
    }

    #[test]
    fn phases_touch_each_other() {
        let series = [
            point(0, "ramp"),
            point(1, "ramp"),
            point(2, "rush"),
            point(3, "rush"),
            point(4, "ramp"),
        ];
        let phase = |name, from_s, to_s| Phase { name, from_s, to_s };
        assert_eq!(
            phases(&series),
            [
                phase("ramp", 0.0, 2.0),
                phase("rush", 2.0, 4.0),
                phase("ramp", 4.0, 4.0)
            ]
        );
        assert!(phases(&[]).is_empty());
    }
}
