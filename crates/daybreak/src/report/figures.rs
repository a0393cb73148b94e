//! Figures as people read them: counts, sizes, durations, times. The report and the command line
//! write them the same way.

use jiff::Timestamp;

/// A count with its thousands set apart: `1,234,567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count of things, with the word in the right number: `1 table`, `2 tables`.
pub fn things(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// A size: `512 B`, `1.5 KiB`, `812.4 MiB`, `1.2 TiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let (mut size, mut unit) = (value as f64 / 1024.0, 0);
    // 1023.95 would be printed as 1024.0 of the unit below.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A duration in milliseconds: `0.4 ms`, `340 ms`, `12.3 s`, `1m 23s`, `2h 05m`, `3d 04h`.
pub fn millis(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return "unknown".into();
    }
    if value == 0.0 {
        return "0 ms".into();
    }
    if value < 9.95 {
        return format!("{value:.1} ms");
    }
    if value < 999.5 {
        return format!("{value:.0} ms");
    }
    if value < 9_995.0 {
        return format!("{:.2} s", value / 1000.0);
    }
    if value < 59_950.0 {
        return format!("{:.1} s", value / 1000.0);
    }
    let seconds = (value / 1000.0).round() as u64;
    match seconds {
        0..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A rate of things per second, `12,345/s`; none while there is nothing to divide by.
pub fn per_second(value: u64, millis: u64) -> Option<f64> {
    (millis > 0).then(|| value as f64 * 1000.0 / millis as f64)
}

/// A time in UTC, to the second: `2026-03-01 07:58:13 UTC`.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Makes a text fit for a terminal line: control characters, line ends and characters that turn the
/// direction of writing become visible escapes. Names of tables and errors of servers may hold them.
pub fn tame(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
        if c.is_control() || turns { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1536, 1_048_575, 851_862_323, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "1.0 MiB", "812.4 MiB", "16384.0 PiB"]
        );
        assert_eq!(
            [0.0, 0.42, 9.96, 340.2, 999.6, 1_840.0, 12_340.0, 59_960.0, 83_000.0, 7_500_000.0]
                .map(millis),
            [
                "0 ms", "0.4 ms", "10 ms", "340 ms", "1.00 s", "1.84 s", "12.3 s", "1m 00s",
                "1m 23s", "2h 05m"
            ]
        );
        assert_eq!(millis(f64::NAN), "unknown");
        assert_eq!(things(1, "table", "tables"), "1 table");
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(tame("a\u{1b}[31mb\nc\u{202e}"), "a\\u{1b}[31mb\\nc\\u{202e}");
        assert_eq!(tame("größe 表"), "größe 表");
    }
}
