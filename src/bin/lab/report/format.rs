//! Numbers as people read them: three digits that matter, a unit, and a dash for what is not known.

/// Stands for a number that is not there, or is none.
pub const UNKNOWN: &str = "–";

/// Smaller values are shown as zero.
const SMALLEST: f64 = 1e-6;

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three digits, or all before the point if there are more: `0.0123`, `1.20`, `12.3`, `12,345`.
pub fn figure(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        UNKNOWN.to_owned()
    } else if size >= 99.95 {
        let sign = if number < 0.0 { "-" } else { "" };
        format!("{sign}{}", count(size.round() as u64))
    } else if size < SMALLEST {
        "0".to_owned()
    } else {
        // Rounding may carry into another digit: 9.996 is 10.0.
        let decimals = (2.0 - (size * 1.0005).log10().floor()) as usize;
        format!("{number:.decimals$}")
    }
}

/// A number of things.
pub fn whole(number: f64) -> String {
    if number.is_finite() && number >= 0.0 {
        count(number.round() as u64)
    } else {
        figure(number)
    }
}

/// For the labels of an axis, without the zeros that say nothing: `0`, `500`, `2 k`, `1.5 M`.
pub fn short(number: f64) -> String {
    let (divisor, unit) = match number.abs() {
        size if size >= 1e9 => (1e9, " G"),
        size if size >= 1e6 => (1e6, " M"),
        size if size >= 1e3 => (1e3, " k"),
        _ => (1.0, ""),
    };
    let digits = figure(number / divisor);
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        &digits
    };
    format!("{digits}{unit}")
}

pub fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut number, mut unit) = (number, 0);
    while number.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{} {}", figure(number), UNITS[unit])
}

pub fn millis(number: f64) -> String {
    format!("{} ms", figure(number))
}

pub fn micros(number: f64) -> String {
    format!("{} µs", figure(number))
}

pub fn seconds(number: f64) -> String {
    match number {
        long if long >= 120.0 => format!(
            "{:.0} min {:.0} s",
            (long / 60.0).floor(),
            (long % 60.0).floor()
        ),
        short => format!("{} s", figure(short)),
    }
}

pub fn per_second(number: f64) -> String {
    format!("{}/s", figure(number))
}

/// A share: `0.0120 %`.
pub fn percent(share: f64) -> String {
    format!("{} %", figure(share * 100.0))
}

/// A ratio: `1.85×`.
pub fn times(number: f64) -> String {
    format!("{}×", figure(number))
}

/// A known value in its own form, an unknown one as a dash.
pub fn known(number: Option<f64>, form: fn(f64) -> String) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), form)
}

/// `a / b`, where that means something.
pub fn ratio(a: f64, b: f64) -> Option<f64> {
    (a.is_finite() && b.is_finite() && a >= 0.0 && b > 0.0).then(|| a / b)
}

/// Text as HTML shows it: the five characters that could end a text or an attribute are escaped.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        let numbers = [
            0.0,
            0.01234,
            0.1234,
            1.0,
            1.999,
            9.996,
            12.34,
            99.99,
            123.4,
            1_234_567.0,
            -2_000.0,
        ];
        let shown = [
            "0",
            "0.0123",
            "0.123",
            "1.00",
            "2.00",
            "10.0",
            "12.3",
            "100",
            "123",
            "1,234,567",
            "-2,000",
        ];
        assert_eq!(numbers.map(figure), shown);
        assert_eq!([0.0, 2.0, 1_999.6].map(whole), ["0", "2", "2,000"]);
        assert_eq!([f64::NAN, f64::INFINITY].map(figure), [UNKNOWN, UNKNOWN]);
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn units_follow_the_size() {
        assert_eq!(
            [0.0, 1_536.0, 3.0 * 1024.0 * 1024.0].map(bytes),
            ["0 B", "1.50 KiB", "3.00 MiB"]
        );
        assert_eq!([950.0, 1_500.0, 20e6].map(short), ["950", "1.5 k", "20 M"]);
        assert_eq!([12.34, 125.0].map(seconds), ["12.3 s", "2 min 5 s"]);
    }

    #[test]
    fn ratios_to_nothing_are_not_known() {
        assert_eq!(ratio(3.0, 2.0), Some(1.5));
        assert_eq!(
            [ratio(1.0, 0.0), ratio(f64::NAN, 1.0), ratio(-1.0, 1.0)],
            [None; 3]
        );
    }

    #[test]
    fn nothing_that_html_understands_survives_escaping() {
        assert_eq!(
            escape(r#"<b a="x">'&'</b>"#),
            "&lt;b a=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/b&gt;"
        );
        assert_eq!(escape("你好 😀"), "你好 😀");
    }
}
