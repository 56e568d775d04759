//! The table of all rounds: medians, and ratios within each round.

use std::fmt;

use crate::load::Figures;

/// One series in one round.
#[derive(Clone, Copy)]
pub struct Measured {
    pub full: Figures,
    pub paced: Figures,
    /// CPU per gift at full speed, of PostgreSQL and of this process, which is the givers and the
    /// nodes.
    pub server_us: f64,
    pub own_us: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, own) = (self.server_us, self.own_us);
        write!(
            f,
            "{}, CPU per gift {server:.0} + {own:.0} us; paced: {}",
            self.full, self.paced
        )
    }
}

#[derive(Default)]
pub struct Report {
    /// Name, label, and one measurement per round.
    rows: Vec<(&'static str, &'static str, Vec<Measured>)>,
}

impl Report {
    pub fn add(&mut self, name: &'static str, label: &'static str, measured: Measured) {
        match self.rows.iter_mut().find(|(known, ..)| *known == name) {
            Some((.., rounds)) => rounds.push(measured),
            None => self.rows.push((name, label, vec![measured])),
        }
    }

    /// The best of one round's floors into one hot live.
    fn floor(&self, round: usize) -> Option<f64> {
        let hot = self
            .rows
            .iter()
            .filter(|(name, ..)| ["floor-1", "floor-8", "floor-32"].contains(name));
        hot.map(|(.., rounds)| rounds[round].full.gifts_per_s)
            .reduce(f64::max)
    }

    pub fn table(&self) -> String {
        let mut text = "| | gifts/s | × best floor | rounds | p50 ms | p99 ms | paced at | p50 ms | p99 ms | server µs | own µs |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
        for (_, label, rounds) in &self.rows {
            let ratios: Option<Vec<f64>> = rounds
                .iter()
                .enumerate()
                .map(|(n, it)| Some(it.full.gifts_per_s / self.floor(n)?))
                .collect();
            let ratio = ratios.map_or("– | –".to_owned(), |ratios| {
                let (low, high) = ratios.iter().fold((f64::MAX, 0.0_f64), |(low, high), it| {
                    (low.min(*it), high.max(*it))
                });
                format!("{:.1} | {low:.1} to {high:.1}", median(ratios))
            });
            let of = |figure: fn(&Measured) -> f64| median(rounds.iter().map(figure).collect());
            text += &format!(
                "| {label} | {:.0} | {ratio} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} | {:.0} | {:.0} |\n",
                of(|it| it.full.gifts_per_s),
                of(|it| it.full.p50_ms),
                of(|it| it.full.p99_ms),
                of(|it| it.paced.gifts_per_s),
                of(|it| it.paced.p50_ms),
                of(|it| it.paced.p99_ms),
                of(|it| it.server_us),
                of(|it| it.own_us),
            );
        }
        text
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
