//! Line charts over time as inline SVG. There is no script: what a point stands for shows when the
//! pointer is above it, by style alone.

use super::format::escape;
use super::timeline::Phase;

/// Units of the drawing; the page scales it to the width there is.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = WIDTH - 12.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = HEIGHT - 24.0;

const VALUE_TICKS: f64 = 4.0;
const TIME_TICKS_MAX: f64 = 8.0;
const TIME_STEPS_S: [f64; 14] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
];

/// A phase's name is left out where the phase is narrower than this for each letter.
const LETTER_WIDTH: f64 = 6.2;

pub enum Scale {
    /// From zero.
    Linear,
    /// From the smallest value; what is not positive is drawn at the bottom.
    Log,
}

pub struct Line<'a> {
    name: &'a str,
    /// Class in the style sheet, which gives the colour.
    class: &'a str,
    /// One for each instant, and finite; the line is broken where there is none.
    values: Vec<Option<f64>>,
}

impl<'a> Line<'a> {
    pub fn new(
        name: &'a str,
        class: &'a str,
        values: impl Iterator<Item = Option<f64>>,
    ) -> Line<'a> {
        Line {
            name,
            class,
            values: values
                .map(|value| value.filter(|value| value.is_finite()))
                .collect(),
        }
    }
}

pub struct Chart<'a> {
    pub title: &'a str,
    pub scale: Scale,
    /// How an axis label is written.
    pub label: fn(f64) -> String,
    /// How an exact value is written.
    pub exact: fn(f64) -> String,
    /// Rising.
    pub at_s: &'a [f64],
    pub lines: Vec<Line<'a>>,
    pub phases: &'a [Phase<'a>],
}

impl Chart<'_> {
    /// The chart as a figure of the page; nothing if no line has a value.
    pub fn figure(&self) -> String {
        let values: Vec<f64> = self
            .lines
            .iter()
            .flat_map(|line| line.values.iter().copied().flatten())
            .collect();
        let Some(axis) = Axis::new(&self.scale, &values) else {
            return String::new();
        };
        let time = TimeAxis::new(self.at_s);
        let mut svg = format!(
            r#"<figure><figcaption><b>{}</b>{}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escape(self.title),
            self.legend(),
            escape(&self.in_words(&values)),
        );
        self.draw_phases(&time, &mut svg);
        self.draw_grid(&axis, &time, &mut svg);
        // The first is drawn last: where lines meet, the more important one shows.
        for line in self.lines.iter().rev() {
            self.draw_line(line, &axis, &time, &mut svg);
        }
        self.draw_marks(&axis, &time, &mut svg);
        svg += "</svg></figure>";
        svg
    }

    fn legend(&self) -> String {
        let several = self.lines.len() > 1;
        let entry = |line: &Line<'_>| {
            format!(
                r#"<span class="key {}">{}</span>"#,
                line.class,
                escape(line.name)
            )
        };
        self.lines.iter().filter(|_| several).map(entry).collect()
    }

    /// For those who do not see it.
    fn in_words(&self, values: &[f64]) -> String {
        let (low, high) = range(values);
        format!(
            "{}: from {} to {}",
            self.title,
            (self.exact)(low),
            (self.exact)(high)
        )
    }

    fn draw_phases(&self, time: &TimeAxis, svg: &mut String) {
        for (number, phase) in self.phases.iter().enumerate() {
            let (from, to) = (time.x(phase.from_s), time.x(phase.to_s));
            if number % 2 == 1 {
                let (width, height) = (to - from, BOTTOM - TOP);
                *svg += &format!(
                    r#"<rect class="band" x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height}"/>"#
                );
            }
            if phase.name.chars().count() as f64 * LETTER_WIDTH < to - from {
                let (x, y) = ((from + to) / 2.0, TOP - 7.0);
                *svg += &format!(
                    r#"<text class="phase" x="{x:.1}" y="{y}">{}</text>"#,
                    escape(phase.name)
                );
            }
        }
    }

    fn draw_grid(&self, axis: &Axis, time: &TimeAxis, svg: &mut String) {
        for tick in &axis.ticks {
            let y = axis.y(*tick);
            let (x, label_y, label) = (LEFT - 8.0, y + 4.0, escape(&(self.label)(*tick)));
            *svg += &format!(
                r#"<path class="grid" d="M{LEFT} {y:.1}H{RIGHT}"/><text class="value" x="{x}" y="{label_y:.1}">{label}</text>"#
            );
        }
        for tick in time.ticks() {
            let (x, y) = (time.x(tick), BOTTOM + 16.0);
            *svg += &format!(
                r#"<text class="time" x="{x:.1}" y="{y}">{}</text>"#,
                clock(tick)
            );
        }
    }

    fn draw_line(&self, line: &Line<'_>, axis: &Axis, time: &TimeAxis, svg: &mut String) {
        let mut path = String::new();
        for stretch in stretches(&line.values) {
            let points: Vec<String> = stretch
                .iter()
                .filter_map(|at| {
                    Some(format!(
                        "{:.1} {:.1}",
                        time.x(*self.at_s.get(*at)?),
                        axis.y(line.values[*at]?)
                    ))
                })
                .collect();
            // A lone point is a line of no length, which its round ends make a dot.
            path += &format!("M{}", points.join("L"));
            if points.len() == 1 {
                path += "h0";
            }
        }
        // Under a line that stands alone there is room for its area.
        if let ([_], Scale::Linear, [(first, last)]) = (
            self.lines.as_slice(),
            &self.scale,
            ends(&line.values).as_slice(),
        ) {
            let x = |at: &usize| time.x(self.at_s.get(*at).copied().unwrap_or_default());
            let (from, to) = (x(first), x(last));
            *svg += &format!(
                r#"<path class="area {}" d="{path}L{to:.1} {BOTTOM}L{from:.1} {BOTTOM}Z"/>"#,
                line.class
            );
        }
        *svg += &format!(r#"<path class="line {}" d="{path}"/>"#, line.class);
    }

    /// One invisible column for each instant; pointed at, it shows a rule, dots and the values.
    fn draw_marks(&self, axis: &Axis, time: &TimeAxis, svg: &mut String) {
        for (at, at_s) in self.at_s.iter().enumerate() {
            let x = time.x(*at_s);
            let half_way =
                |other: Option<&f64>| other.map_or(x, |other| (time.x(*other) + x) / 2.0);
            let from = half_way(at.checked_sub(1).and_then(|before| self.at_s.get(before)));
            // At least a hair, so that a single point can be found.
            let width = (half_way(self.at_s.get(at + 1)) - from).max(1.0);
            let height = BOTTOM - TOP;
            *svg += &format!(
                r#"<g class="hit"><rect x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height}"/><g><path d="M{x:.1} {TOP}V{BOTTOM}"/>"#
            );
            let mut words = vec![clock(*at_s)];
            for line in &self.lines {
                let Some(value) = line.values.get(at).copied().flatten() else {
                    continue;
                };
                *svg += &format!(
                    r#"<circle class="{}" cx="{x:.1}" cy="{:.1}" r="3"/>"#,
                    line.class,
                    axis.y(value)
                );
                let name = if self.lines.len() > 1 {
                    format!("{} ", line.name)
                } else {
                    String::new()
                };
                words.push(format!("{name}{}", (self.exact)(value)));
            }
            *svg += &format!(
                r#"<text x="{RIGHT}" y="14">{}</text></g></g>"#,
                escape(&words.join(" · "))
            );
        }
    }
}

/// Neighbouring indices that have values.
fn stretches(values: &[Option<f64>]) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..values.len()).collect();
    let runs = all.split(|at| values[*at].is_none());
    runs.filter(|run| !run.is_empty())
        .map(<[usize]>::to_vec)
        .collect()
}

/// First and last index of each stretch.
fn ends(values: &[Option<f64>]) -> Vec<(usize, usize)> {
    stretches(values)
        .iter()
        .filter_map(|stretch| Some((*stretch.first()?, *stretch.last()?)))
        .collect()
}

fn range(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        })
}

/// The values' axis: which values are labelled, and where a value is drawn.
struct Axis {
    ticks: Vec<f64>,
    log: bool,
}

impl Axis {
    /// None when there is nothing to draw.
    fn new(scale: &Scale, values: &[f64]) -> Option<Axis> {
        if values.is_empty() {
            return None;
        }
        let (_, high) = range(values);
        Some(match scale {
            Scale::Linear => Axis {
                ticks: linear_ticks(high),
                log: false,
            },
            Scale::Log => {
                let positive: Vec<f64> = values
                    .iter()
                    .copied()
                    .filter(|value| *value > 0.0)
                    .collect();
                let (low, high) = if positive.is_empty() {
                    (1.0, 10.0)
                } else {
                    range(&positive)
                };
                Axis {
                    ticks: log_ticks(low, high),
                    log: true,
                }
            }
        })
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = range(&self.ticks);
        let share = match self.log {
            true => (value.max(low) / low).log10() / (high / low).log10(),
            false => (value - low) / (high - low),
        };
        BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }
}

/// From zero to at least `high`, in round steps.
fn linear_ticks(high: f64) -> Vec<f64> {
    let high = if high > 0.0 { high } else { 1.0 };
    let rough = high / VALUE_TICKS;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|step| step * magnitude)
        .into_iter()
        .find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(rough);
    (0..=(high / step * 0.999).ceil().max(1.0) as u32)
        .map(|tick| f64::from(tick) * step)
        .collect()
}

/// Ones, twos and fives of each decade around the values; over many decades, the ones only.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().floor() as i32 + 1;
    let steps: &[f64] = if high / low > 500.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let candidates: Vec<f64> = decades
        .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
        .collect();
    let first = candidates
        .iter()
        .rposition(|tick| *tick <= low * 1.001)
        .unwrap_or(0);
    let last = candidates
        .iter()
        .position(|tick| *tick >= high * 0.999)
        .unwrap_or(candidates.len() - 1);
    // Two ticks at least: an axis has a length.
    let last = last.max(first + 1).min(candidates.len() - 1);
    candidates[first..=last].to_vec()
}

struct TimeAxis {
    from_s: f64,
    to_s: f64,
}

impl TimeAxis {
    fn new(at_s: &[f64]) -> TimeAxis {
        let (from_s, to_s) = (
            at_s.first().copied().unwrap_or(0.0),
            at_s.last().copied().unwrap_or(0.0),
        );
        TimeAxis {
            from_s,
            to_s: if to_s > from_s { to_s } else { from_s + 1.0 },
        }
    }

    fn x(&self, at_s: f64) -> f64 {
        LEFT + ((at_s - self.from_s) / (self.to_s - self.from_s)).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn ticks(&self) -> Vec<f64> {
        let span_s = self.to_s - self.from_s;
        let fits = |step: &f64| span_s / step <= TIME_TICKS_MAX;
        let step = TIME_STEPS_S
            .into_iter()
            .find(fits)
            .unwrap_or(span_s / TIME_TICKS_MAX);
        let (first, last) = (
            (self.from_s / step).ceil() as u64,
            (self.to_s / step).floor() as u64,
        );
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

/// `45 s`, `2:05`, `1:02:05`.
fn clock(at_s: f64) -> String {
    let whole = at_s.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::format;

    fn chart<'a>(at_s: &'a [f64], scale: Scale, values: &[Option<f64>]) -> Chart<'a> {
        let lines = vec![Line::new("<p50>", "p50", values.iter().copied())];
        Chart {
            title: "a & b",
            scale,
            label: format::short,
            exact: format::millis,
            at_s,
            lines,
            phases: &[],
        }
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        assert_eq!(linear_ticks(87.0), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(linear_ticks(4.0), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(linear_ticks(0.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(
            log_ticks(0.3, 40.0),
            [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
        );
        assert_eq!(log_ticks(1.0, 1_000.0), [1.0, 10.0, 100.0, 1_000.0]);
        assert_eq!(log_ticks(1.0, 1.0), [1.0, 2.0]);
        assert_eq!(
            [45.0, 125.0, 3_725.0].map(clock),
            ["45 s", "2:05", "1:02:05"]
        );
        assert_eq!(
            TimeAxis {
                from_s: 0.0,
                to_s: 90.0
            }
            .ticks(),
            [0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0]
        );
    }

    #[test]
    fn a_higher_value_is_drawn_higher_and_inside() {
        for scale in [Scale::Linear, Scale::Log] {
            let axis = Axis::new(&scale, &[1.0, 10.0, 100.0]).expect("there are values");
            let [low, middle, high] = [1.0, 10.0, 100.0].map(|value| axis.y(value));
            assert!(BOTTOM >= low && low > middle && middle > high && high >= TOP);
            assert_eq!(axis.y(0.0), BOTTOM);
        }
    }

    #[test]
    fn a_line_is_broken_where_nothing_was_measured() {
        let figure = chart(
            &[0.0, 1.0, 2.0, 3.0],
            Scale::Linear,
            &[Some(1.0), Some(2.0), None, Some(3.0)],
        )
        .figure();
        assert_eq!(stretches(&[None, Some(1.0), None]), [[1]]);
        assert!(figure.contains("h0\""), "{figure}");
        assert!(!figure.contains("NaN") && !figure.contains("class=\"area"));
    }

    #[test]
    fn odd_series_are_drawn_without_complaint() {
        assert_eq!(chart(&[], Scale::Log, &[]).figure(), "");
        assert_eq!(chart(&[0.0], Scale::Linear, &[None]).figure(), "");
        for values in [
            [0.0, 0.0],
            [f64::NAN, 1.0],
            [-1.0, f64::INFINITY],
            [1e-9, 1e12],
        ] {
            for scale in [Scale::Linear, Scale::Log] {
                let figure = chart(&[0.0, 1.0], scale, &values.map(Some)).figure();
                assert!(
                    figure.starts_with("<figure>") && !figure.contains("NaN"),
                    "{figure}"
                );
            }
        }
    }

    #[test]
    fn names_are_escaped() {
        let figure = chart(&[0.0], Scale::Linear, &[Some(1.0)]).figure();
        assert!(figure.contains("a &amp; b") && !figure.contains("<p50>"));
    }
}
