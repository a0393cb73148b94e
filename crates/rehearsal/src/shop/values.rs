//! Values: SQL literals, words in several scripts, dates, made-up bytes.
//!
//! Owns how a value becomes SQL text and what made-up text looks like. Knows no table.

use std::fmt::{Display, Write};

use rand::{Rng, rngs::StdRng};

/// The text of one multi-row INSERT while it grows.
pub(super) struct RowText {
    sql: String,
    rows: u64,
    in_row: bool,
}

impl RowText {
    pub(super) fn new(head: &str) -> Self {
        let mut sql = String::with_capacity((1 << 20) + (1 << 17));
        sql.push_str(head);
        Self { sql, rows: 0, in_row: false }
    }

    pub(super) fn begin_row(&mut self) {
        self.sql.push_str(if self.rows == 0 { "(" } else { ",(" });
        self.in_row = false;
    }

    pub(super) fn end_row(&mut self) {
        self.sql.push(')');
        self.rows += 1;
    }

    fn comma(&mut self) {
        if self.in_row {
            self.sql.push(',');
        }
        self.in_row = true;
    }

    /// A number, or any other text that is an SQL expression as it stands.
    pub(super) fn raw(&mut self, value: impl Display) -> &mut Self {
        self.comma();
        // Writing into a String cannot fail.
        let _ = write!(self.sql, "{value}");
        self
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.raw("NULL")
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.comma();
        push_quoted(&mut self.sql, value);
        self
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.comma();
        push_hex(&mut self.sql, value);
        self
    }

    /// A fixed-point number given in its smallest unit.
    pub(super) fn cents(&mut self, cents: u64) -> &mut Self {
        self.raw(format_args!("{}.{:02}", cents / 100, cents % 100))
    }

    pub(super) fn len(&self) -> usize {
        self.sql.len()
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn finish(self) -> (String, u64) {
        (self.sql, self.rows)
    }
}

/// Appends a string literal; the session must not have NO_BACKSLASH_ESCAPES.
pub(crate) fn push_quoted(sql: &mut String, value: &str) {
    sql.push('\'');
    for c in value.chars() {
        match c {
            '\'' => sql.push_str("\\'"),
            '\\' => sql.push_str("\\\\"),
            '\0' => sql.push_str("\\0"),
            '\n' => sql.push_str("\\n"),
            '\r' => sql.push_str("\\r"),
            '\u{1a}' => sql.push_str("\\Z"),
            other => sql.push(other),
        }
    }
    sql.push('\'');
}

/// Appends a hexadecimal literal; an empty value is `''`, as `x''` isn't understood everywhere.
pub(crate) fn push_hex(sql: &mut String, value: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if value.is_empty() {
        sql.push_str("''");
        return;
    }
    sql.push_str("x'");
    for byte in value {
        sql.push(char::from(DIGITS[usize::from(byte >> 4)]));
        sql.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    sql.push('\'');
}

const GERMAN: &[&str] = &[
    "Straße", "Käse", "größer", "über", "Fuß", "schön", "Haus", "Äpfel", "Öl", "Übung", "und",
    "der", "die", "das",
];
const GREEK: &[&str] = &["Καλημέρα", "κόσμε", "ελληνικά", "θάλασσα", "ψωμί", "ΐ", "ώρα", "φως"];
const JAPANESE: &[&str] =
    &["日本", "語", "です", "カタカナ", "ひらがな", "東京", "ソース", "表示", "髙", "𠮷野家"];
const ARABIC: &[&str] = &["مرحبا", "بالعالم", "كتاب", "شاي", "١٢٣", "العربية"];
const EMOJI: &[&str] = &["🙂", "👩‍👩‍👧‍👦", "🏳️‍🌈", "☃", "🚀🚀", "e\u{301}", "\u{200d}", "𝔘"];
const ENGLISH: &[&str] = &[
    "fast",
    "lamp",
    "it's",
    "\"new\"",
    "blue",
    "chair",
    "50%",
    "under_score",
    "back\\slash",
    "a,b",
    "tab\there",
    "line\nbreak",
    "table",
    "NULL",
    "\\N",
    "soft",
    "wood",
    "steel",
    "round",
    "and",
    "with",
    "for",
];
const LATIN1: &[&str] =
    &["café", "naïve", "Ærø", "¿qué?", "ÿ", "façade", "Zürich", "€uro", "100 °C", "©"];
const FIRST: &[&str] = &[
    "Ada",
    "Jürgen",
    "Zoë",
    "Søren",
    "Μαρία",
    "太郎",
    "Noël",
    "Fatima",
    "O'Neil",
    "Ivan",
    "Łukasz",
    "Chloé",
    "Günther",
    "Renée",
    "José",
];
const LAST: &[&str] = &[
    "Müller",
    "Smith",
    "García",
    "Αντωνίου",
    "山田",
    "D'Arcy",
    "Nowak",
    "Øvergård",
    "Şahin",
    "Lee",
    "Dvořák",
    "Weiß",
    "van der Berg",
];

/// The languages of product texts, each with its words.
pub(super) const LANGUAGES: &[(&str, &[&str])] = &[
    ("de", GERMAN),
    ("el", GREEK),
    ("ja", JAPANESE),
    ("ar", ARABIC),
    ("en", ENGLISH),
    ("emoji", EMOJI),
];

pub(super) fn pick<'a, T: ?Sized>(rng: &mut StdRng, from: &[&'a T]) -> &'a T {
    from[rng.random_range(0..from.len())]
}

pub(super) fn sentence(rng: &mut StdRng, words: &[&str], from: usize, to: usize) -> String {
    let count = rng.random_range(from..=to);
    let mut text = String::new();
    for n in 0..count {
        if n > 0 {
            text.push(' ');
        }
        text.push_str(pick(rng, words));
    }
    text
}

pub(super) fn english(rng: &mut StdRng, from: usize, to: usize) -> String {
    sentence(rng, ENGLISH, from, to)
}

pub(super) fn latin1(rng: &mut StdRng) -> String {
    sentence(rng, LATIN1, 1, 6)
}

/// Words of one script, chosen at random.
pub(super) fn any_script(rng: &mut StdRng, from: usize, to: usize) -> String {
    let (_, words) = LANGUAGES[rng.random_range(0..LANGUAGES.len())];
    sentence(rng, words, from, to)
}

pub(super) fn person(rng: &mut StdRng) -> String {
    format!("{} {}", pick(rng, FIRST), pick(rng, LAST))
}

/// Bytes that hurt: separators, escapes and zeros are far more frequent than by chance.
pub(super) fn nasty_bytes(rng: &mut StdRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes[..]);
    for byte in &mut bytes {
        if *byte < 48 {
            *byte = b"\0\t\n\\\r'\",\x1a%_N"[usize::from(*byte) % 12];
        }
    }
    bytes
}

/// A date as (year, month, day), `days` after 2022-01-01.
pub(super) fn date(days: u64) -> String {
    let (year, month, day) = civil(days);
    format!("'{year:04}-{month:02}-{day:02}'")
}

/// A quoted time stamp, so many microseconds after the start of 2022.
pub(super) fn moment(micros: u64, digits: usize) -> String {
    let (year, month, day) = civil(micros / 86_400_000_000);
    let of_day = micros % 86_400_000_000;
    let seconds = of_day / 1_000_000;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!("{:06}", of_day % 1_000_000);
    let dot = if digits == 0 { "" } else { "." };
    format!("'{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}{dot}{}'", &fraction[..digits])
}

/// The calendar date, so many days after 2022-01-01 (Hinnant's algorithm).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 18_993 + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar() {
        assert_eq!(date(0), "'2022-01-01'");
        assert_eq!(date(789), "'2024-02-29'");
        assert_eq!(moment(86_400_000_001, 6), "'2022-01-02 00:00:00.000001'");
        assert_eq!(moment(1_500_000, 0), "'2022-01-01 00:00:01'");
    }

    #[test]
    fn literals() {
        let mut sql = String::new();
        push_quoted(&mut sql, "it's \\ \n");
        push_hex(&mut sql, b"\0\xff");
        push_hex(&mut sql, b"");
        assert_eq!(sql, "'it\\'s \\\\ \\n'x'00ff'''");
    }
}
