//! Takes the text of a definition apart, token by token.

use super::{
    CreateTable, Element, ElementKind, KeyKind,
    token::{Token, TokenKind, tokens, unquoted},
};
use crate::error::{Error, Kind, Result};

/// The tokens that mean something, with their text.
pub(super) struct Words<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Words<'a> {
    /// Cuts a text, leaving white space and comments out.
    pub fn of(sql: &'a str) -> Self {
        let mut tokens = tokens(sql.as_bytes());
        tokens.retain(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment));
        Words { sql, tokens }
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    pub fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &self.sql[token.span.clone()])
    }

    pub fn start(&self, at: usize) -> usize {
        self.tokens.get(at).map_or(self.sql.len(), |token| token.span.start)
    }

    /// Whether a bare word stands here, in any case.
    pub fn is(&self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(TokenKind::Word) && self.text(at).eq_ignore_ascii_case(word)
    }

    pub fn is_mark(&self, at: usize, mark: u8) -> bool {
        self.kind(at) == Some(TokenKind::Mark(mark))
    }

    /// A name in backticks or a bare word, unquoted.
    pub fn name(&self, at: usize) -> Option<String> {
        matches!(self.kind(at)?, TokenKind::Name | TokenKind::Word).then(|| unquoted(self.text(at)))
    }

    /// The place behind the parenthesis that closes the one here.
    pub fn behind_group(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for place in at..self.len() {
            if self.is_mark(place, b'(') {
                depth += 1;
            } else if self.is_mark(place, b')') {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return place + 1;
                }
            }
        }
        self.len()
    }
}

pub(super) fn parse(sql: &str) -> Result<CreateTable> {
    let refuse = |why: &str| {
        Error::new(Kind::Unsupported, format!("a table's definition can't be read: {why}"))
    };
    let words = Words::of(sql);
    let mut at = 0;
    if !words.is(at, "CREATE") {
        return Err(refuse("it doesn't begin with CREATE"));
    }
    at += 1;
    while at < words.len() && !words.is(at, "TABLE") {
        at += 1;
    }
    at += 1;
    if words.is(at, "IF") {
        at += 3;
    }
    let mut name = words.name(at).ok_or_else(|| refuse("it names no table"))?;
    at += 1;
    if words.is_mark(at, b'.') {
        name = words.name(at + 1).ok_or_else(|| refuse("it names no table"))?;
        at += 2;
    }
    if !words.is_mark(at, b'(') {
        return Err(refuse("it has no list of columns").at(name));
    }
    let open = at;
    let behind = words.behind_group(open);
    if !words.is_mark(behind - 1, b')') {
        return Err(refuse("its list of columns doesn't end").at(name).next(
            "look at SHOW CREATE TABLE: MariaDB prints a backtick in the name of a foreign key, or of its columns, without \
             doubling it; give these names without one at the source",
        ));
    }

    let mut elements = Vec::new();
    let mut begin = words.start(open) + 1;
    let (mut depth, mut place) = (0usize, open + 1);
    while place < behind {
        let ends = depth == 0 && (words.is_mark(place, b',') || place == behind - 1);
        if ends {
            let raw = &sql[begin..words.start(place)];
            elements.push(Element { kind: element_kind(raw), raw: raw.to_string() });
            begin = words.start(place) + 1;
        } else if words.is_mark(place, b'(') {
            depth += 1;
        } else if words.is_mark(place, b')') {
            depth = depth.saturating_sub(1);
        }
        place += 1;
    }

    // The options end where the partitions begin, which may stand in a version comment.
    let mut partition = sql.len();
    let mut place = behind;
    while place < words.len() {
        if words.is_mark(place, b'(') {
            place = words.behind_group(place);
            continue;
        }
        if words.is(place, "PARTITION") && words.is(place + 1, "BY") {
            let comment = place > behind && words.kind(place - 1) == Some(TokenKind::VersionOpen);
            partition = words.start(if comment { place - 1 } else { place });
            break;
        }
        place += 1;
    }
    // White space before them belongs to them.
    let tail = words.start(behind - 1) + 1;
    let options = sql[tail..partition].trim_end();
    let (options, partitions) = if partition == sql.len() {
        (&sql[tail..], "")
    } else {
        (options, &sql[tail + options.len()..])
    };
    Ok(CreateTable {
        name,
        head: sql[..words.start(open)].to_string(),
        elements,
        options: options.to_string(),
        partitions: partitions.to_string(),
    })
}

/// What the text of an element is.
fn element_kind(raw: &str) -> ElementKind {
    let words = Words::of(raw);
    let mut at = 0;
    while words.kind(at) == Some(TokenKind::VersionOpen) {
        at += 1;
    }
    let mut constraint = None;
    if words.is(at, "CONSTRAINT") {
        at += 1;
        if words.kind(at) == Some(TokenKind::Name) || !is_constraint_word(&words, at) {
            constraint = words.name(at);
            at += 1;
        }
    }
    if words.kind(at) == Some(TokenKind::Name) {
        return column(&words, at);
    }
    let skip_key = |at: usize| {
        if words.is(at, "KEY") || words.is(at, "INDEX") { at + 1 } else { at }
    };
    if words.is(at, "PRIMARY") && words.is(at + 1, "KEY") {
        return ElementKind::PrimaryKey { columns: key_columns(&words, at + 2).0 };
    }
    let kind = if words.is(at, "UNIQUE") {
        Some((KeyKind::Unique, skip_key(at + 1)))
    } else if words.is(at, "FULLTEXT") {
        Some((KeyKind::Fulltext, skip_key(at + 1)))
    } else if words.is(at, "SPATIAL") {
        Some((KeyKind::Spatial, skip_key(at + 1)))
    } else if words.is(at, "KEY") || words.is(at, "INDEX") {
        Some((KeyKind::Plain, at + 1))
    } else {
        None
    };
    if let Some((kind, at)) = kind {
        let named = !words.is_mark(at, b'(');
        let name = if named { words.name(at) } else { constraint };
        let (columns, functional) = key_columns(&words, at + usize::from(named));
        return ElementKind::Key {
            name: name.unwrap_or_default(),
            kind: if functional { KeyKind::Functional } else { kind },
            columns,
        };
    }
    if words.is(at, "FOREIGN") && words.is(at + 1, "KEY") {
        return ElementKind::ForeignKey { name: constraint.unwrap_or_default() };
    }
    if words.is(at, "CHECK") {
        return ElementKind::Check { name: constraint.unwrap_or_default() };
    }
    if words.is(at, "PERIOD") || constraint.is_some() {
        return ElementKind::Other;
    }
    column(&words, at)
}

fn is_constraint_word(words: &Words<'_>, at: usize) -> bool {
    ["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|word| words.is(at, word))
}

fn column(words: &Words<'_>, at: usize) -> ElementKind {
    let name = words.name(at).unwrap_or_default();
    let (mut auto_increment, mut not_null) = (false, false);
    let mut place = at + 1;
    while place < words.len() {
        if words.is_mark(place, b'(') {
            place = words.behind_group(place);
            continue;
        }
        auto_increment |= words.is(place, "AUTO_INCREMENT");
        not_null |= words.is(place, "NOT") && words.is(place + 1, "NULL");
        place += 1;
    }
    ElementKind::Column { name, auto_increment, not_null }
}

/// The columns of the first parenthesis from here on, and whether one part is an expression.
fn key_columns(words: &Words<'_>, from: usize) -> (Vec<Option<String>>, bool) {
    let Some(open) = (from..words.len()).find(|at| words.is_mark(*at, b'(')) else {
        return (Vec::new(), false);
    };
    let close = words.behind_group(open) - 1;
    let (mut columns, mut functional) = (Vec::new(), false);
    let mut at = open + 1;
    while at < close {
        if words.is_mark(at, b'(') {
            functional = true;
            columns.push(None);
        } else {
            // A prefix doesn't tell keys apart.
            let prefix = words.is_mark(at + 1, b'(');
            columns.push(words.name(at).filter(|_| !prefix));
        }
        while at < close && !words.is_mark(at, b',') {
            at = if words.is_mark(at, b'(') { words.behind_group(at) } else { at + 1 };
        }
        at += 1;
    }
    (columns, functional)
}

/// A foreign key's text, with another name for the database that it refers to, if it says one.
pub(super) fn referring(raw: &str, name: impl Fn(&str) -> String) -> String {
    let words = Words::of(raw);
    // Columns and names are quoted: the bare word stands once.
    let database = (0..words.len()).find(|at| words.is(*at, "REFERENCES")).map(|at| at + 1);
    match database.and_then(|at| Some((at, words.name(at)?))) {
        Some((at, old)) if words.is_mark(at + 1, b'.') => {
            let end = words.start(at) + words.text(at).len();
            format!(
                "{}{}{}",
                &raw[..words.start(at)],
                crate::mysql::quote(&name(&old)),
                &raw[end..]
            )
        }
        _ => raw.to_string(),
    }
}
