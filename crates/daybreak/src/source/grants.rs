//! What an account may do, as the server itself says it: `SHOW GRANTS`, parsed.
//!
//! `information_schema.USER_PRIVILEGES` is not asked: it is blind to what a role grants, and the master
//! accounts of managed servers hold all they have through one. Nothing but privileges and names is
//! kept of a line: older servers print the hash of the password in it.

use std::collections::BTreeSet;

use crate::{
    error::Result,
    mysql::{Session, TableName},
};

/// Each of these lets an account end the statements of others, on one server or another.
pub const END_STATEMENTS: [&str; 3] = ["CONNECTION_ADMIN", "CONNECTION ADMIN", "SUPER"];

/// For what a privilege is asked.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// The whole server (`*.*`).
    Server,
    /// A database (`db.*`).
    Database(&'a str),
    /// A table as a whole: a privilege on some of its columns doesn't count.
    Table(&'a TableName),
}

/// What a statement of `SHOW GRANTS` grants on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Server,
    /// The database as it is written: a pattern, unless the server has `partial_revokes`.
    Database(String),
    Table(TableName),
    Routine {
        database: String,
        name: String,
    },
}

#[derive(Debug, Clone)]
struct Grant {
    /// Upper-case words; `ALL PRIVILEGES` as it stands.
    privileges: BTreeSet<String>,
    level: Level,
    grant_option: bool,
}

/// What an account may do, its active roles included.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    grants: Vec<Grant>,
    /// Taken back on single databases, under `partial_revokes`.
    revoked: Vec<(BTreeSet<String>, String)>,
    roles: Vec<String>,
    not_understood: usize,
    /// Whether `_` and `%` in a database's name are themselves.
    literal: bool,
    /// Whether the server takes names of databases in any case.
    any_case: bool,
}

/// Privileges that have no place below the server, so that `ALL` on a database doesn't include them.
const SERVER_ONLY: [&str; 14] = [
    "CREATE USER",
    "FILE",
    "PROCESS",
    "RELOAD",
    "REPLICATION CLIENT",
    "REPLICATION SLAVE",
    "SHOW DATABASES",
    "SHUTDOWN",
    "SUPER",
    "CREATE TABLESPACE",
    "CREATE ROLE",
    "DROP ROLE",
    "PROXY",
    "GRANT OPTION",
];

/// Privileges on tables: what `ALL` on one includes.
const OF_TABLES: [&str; 13] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "CREATE VIEW",
    "SHOW VIEW",
    "TRIGGER",
    "DELETE HISTORY",
];

/// Privileges on databases: what `ALL` on one includes beside those on tables.
const OF_DATABASES: [&str; 7] = [
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EVENT",
    "SHOW CREATE ROUTINE",
];

impl Grants {
    /// Asks the server what the session may do.
    pub async fn read(session: &mut Session) -> Result<Self> {
        // MySQL's answer for the current account covers its active roles. MariaDB's covers them
        // only in the short form.
        let statement = if session.dialect().is_mariadb() {
            "SHOW GRANTS"
        } else {
            "SHOW GRANTS FOR CURRENT_USER()"
        };
        let rows = session.rows(statement).await?;
        let mut lines = Vec::with_capacity(rows.len());
        for row in &rows {
            lines.push(session.column::<String>(row, 0)?.unwrap_or_default());
        }
        let mut grants = Grants::parse(lines.iter().map(String::as_str));
        grants.literal = session.variable("partial_revokes").await?.as_deref() == Some("ON");
        grants.any_case =
            session.variable("lower_case_table_names").await?.is_some_and(|value| value != "0");
        Ok(grants)
    }

    /// Reads the lines of `SHOW GRANTS`.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut grants = Grants::default();
        for line in lines {
            if grants.take(&tokens(line)).is_none() {
                grants.not_understood += 1;
            }
        }
        grants
    }

    /// Takes one line; none if it isn't understood.
    fn take(&mut self, line: &[Token]) -> Option<()> {
        let (first, rest) = line.split_first()?;
        if first.is("SET") {
            // MariaDB: SET DEFAULT ROLE.
            return Some(());
        }
        let revoke = first.is("REVOKE");
        if !revoke && !first.is("GRANT") {
            return None;
        }
        if rest.first()?.is("PROXY") {
            return Some(());
        }
        let end = rest.iter().position(|token| token.is(if revoke { "FROM" } else { "TO" }))?;
        let (head, tail) = rest.split_at(end);
        let Some(on) = head.iter().position(|token| token.is("ON")) else {
            // Roles: names with or without a host, between commas.
            let mut words = head.iter().peekable();
            while let Some(token) = words.next() {
                let name = token.text();
                if name == "," {
                    continue;
                }
                if words.next_if(|next| next.is("@")).is_some() {
                    self.roles.push(format!("{name}@{}", words.next()?.text()));
                } else {
                    self.roles.push(name.to_string());
                }
            }
            return Some(());
        };
        let privileges = privileges(&head[..on]);
        let level = level(&head[on + 1..])?;
        if revoke {
            let Level::Database(database) = level else { return None };
            self.revoked.push((privileges, database));
            return Some(());
        }
        let grant_option = tail
            .windows(3)
            .any(|words| words[0].is("WITH") && words[1].is("GRANT") && words[2].is("OPTION"))
            || tail.windows(2).any(|words| words[0].is("GRANT") && words[1].is("OPTION"));
        self.grants.push(Grant { privileges, level, grant_option });
        Some(())
    }

    /// Whether the account has a privilege there.
    pub fn has(&self, privilege: &str, scope: Scope<'_>) -> bool {
        let database = match scope {
            Scope::Server => None,
            Scope::Database(database) => Some(database),
            Scope::Table(table) => Some(table.database.as_str()),
        };
        let on_server =
            self.grants.iter().any(|grant| grant.level == Level::Server && grant.gives(privilege));
        let taken_back = database.is_some_and(|database| {
            self.revoked
                .iter()
                .any(|(what, name)| what.contains(privilege) && self.same(name, database))
        });
        if on_server && !taken_back {
            return true;
        }
        if database.is_some_and(|database| self.has_by_database(privilege, database)) {
            return true;
        }
        match scope {
            Scope::Table(table) => self.grants.iter().any(|grant| match &grant.level {
                Level::Table(name) => {
                    self.same(&name.database, &table.database)
                        && self.same(&name.name, &table.name)
                        && grant.gives(privilege)
                }
                _ => false,
            }),
            _ => false,
        }
    }

    /// Whether it has one of several.
    pub fn has_any(&self, privileges: &[&str], scope: Scope<'_>) -> bool {
        privileges.iter().any(|privilege| self.has(privilege, scope))
    }

    /// Whether it may pass on a privilege that it holds on the whole server.
    pub fn may_grant(&self, privilege: &str) -> bool {
        self.grants.iter().any(|grant| {
            grant.level == Level::Server && grant.grant_option && grant.gives(privilege)
        })
    }

    /// Whether it may call a routine.
    pub fn may_execute(&self, database: &str, routine: &str) -> bool {
        self.has("EXECUTE", Scope::Database(database))
            || self.grants.iter().any(|grant| match &grant.level {
                Level::Routine { database: of, name } => {
                    self.same(of, database)
                        && name.eq_ignore_ascii_case(routine)
                        && (grant.privileges.contains("EXECUTE") || grant.is_all())
                }
                _ => false,
            })
    }

    /// The roles granted, active or not.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// How many lines were not understood: what they grant counts as not granted.
    pub fn not_understood(&self) -> usize {
        self.not_understood
    }

    /// Among several grants on databases the server takes the most specific pattern alone.
    fn has_by_database(&self, privilege: &str, database: &str) -> bool {
        let matching: Vec<(usize, &Grant)> = self
            .grants
            .iter()
            .filter_map(|grant| match &grant.level {
                Level::Database(pattern) => Some((self.specificity(pattern, database)?, grant)),
                _ => None,
            })
            .collect();
        let best = matching.iter().map(|(specificity, _)| *specificity).max();
        matching
            .iter()
            .any(|(specificity, grant)| Some(*specificity) == best && grant.gives(privilege))
    }

    /// How closely a pattern names a database; none if it doesn't.
    fn specificity(&self, pattern: &str, database: &str) -> Option<usize> {
        if self.literal {
            return self.same(pattern, database).then_some(usize::MAX);
        }
        let pattern: Vec<char> = self.folded(pattern).chars().collect();
        let name: Vec<char> = self.folded(database).chars().collect();
        if !matches(&pattern, &name) {
            return None;
        }
        let mut at = 0;
        while let Some(c) = pattern.get(at) {
            match c {
                '\\' => at += 2,
                '%' | '_' => return Some(at),
                _ => at += 1,
            }
        }
        Some(usize::MAX)
    }

    fn folded(&self, name: &str) -> String {
        if self.any_case { name.to_lowercase() } else { name.to_string() }
    }

    fn same(&self, a: &str, b: &str) -> bool {
        a == b || (self.any_case && a.to_lowercase() == b.to_lowercase())
    }
}

impl Grant {
    fn is_all(&self) -> bool {
        self.privileges.contains("ALL PRIVILEGES") || self.privileges.contains("ALL")
    }

    fn gives(&self, privilege: &str) -> bool {
        if self.privileges.contains(privilege) {
            return true;
        }
        if !self.is_all() {
            return false;
        }
        match &self.level {
            Level::Server => true,
            Level::Database(_) => {
                !SERVER_ONLY.contains(&privilege)
                    && (OF_DATABASES.contains(&privilege) || OF_TABLES.contains(&privilege))
            }
            Level::Table(_) => OF_TABLES.contains(&privilege),
            Level::Routine { .. } => false,
        }
    }
}

/// `LIKE` of the server: `%`, `_`, and the backslash that makes them ordinary.
fn matches(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['%', rest @ ..] => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        ['\\', c, rest @ ..] => name.first() == Some(c) && matches(rest, &name[1..]),
        ['_', rest @ ..] => !name.is_empty() && matches(rest, &name[1..]),
        [c, rest @ ..] => name.first() == Some(c) && matches(rest, &name[1..]),
    }
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
}

impl Token {
    /// Whether it is this unquoted word or sign.
    fn is(&self, word: &str) -> bool {
        match self {
            Token::Word(text) => text.eq_ignore_ascii_case(word),
            Token::Sign(sign) => word.chars().eq([*sign]),
            Token::Quoted(_) => false,
        }
    }

    fn text(&self) -> &str {
        match self {
            Token::Word(text) | Token::Quoted(text) => text,
            Token::Sign(',') => ",",
            Token::Sign(_) => "",
        }
    }
}

/// Splits a line. Names may be quoted with backticks, or with either quote under `ANSI_QUOTES` and on
/// older servers; the quote is doubled within.
fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '`' | '\'' | '"' => {
                let mut text = String::new();
                while let Some(next) = chars.next() {
                    if next != c {
                        text.push(next);
                    } else if chars.next_if_eq(&c).is_some() {
                        text.push(c);
                    } else {
                        break;
                    }
                }
                tokens.push(Token::Quoted(text));
            }
            ',' | '(' | ')' | '.' | '@' | '*' | ';' => tokens.push(Token::Sign(c)),
            c => {
                let mut text = String::from(c);
                while let Some(next) =
                    chars.next_if(|next| !next.is_whitespace() && !"`'\",().@*;".contains(*next))
                {
                    text.push(next);
                }
                tokens.push(Token::Word(text));
            }
        }
    }
    tokens
}

/// `SELECT, INSERT (a, b), SHOW VIEW`: privileges on columns are left out, since they never suffice.
fn privileges(head: &[Token]) -> BTreeSet<String> {
    let mut privileges = BTreeSet::new();
    let (mut words, mut columns, mut depth) = (Vec::new(), false, 0usize);
    for token in head.iter().chain([&Token::Sign(',')]) {
        match token {
            Token::Sign('(') => {
                depth += 1;
                columns = true;
            }
            Token::Sign(')') => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Token::Sign(',') => {
                if !columns && !words.is_empty() {
                    privileges.insert(canonical(&words.join(" ")));
                }
                words.clear();
                columns = false;
            }
            Token::Word(word) => words.push(word.to_ascii_uppercase()),
            Token::Quoted(_) | Token::Sign(_) => {}
        }
    }
    privileges
}

/// One name for what the products call differently.
///
/// Source: MariaDB, *GRANT*: `BINLOG MONITOR` is the name since 10.5.2 of `REPLICATION CLIENT`.
fn canonical(privilege: &str) -> String {
    match privilege {
        "BINLOG MONITOR" => "REPLICATION CLIENT",
        "DELETE VERSIONING ROWS" => "DELETE HISTORY",
        other => other,
    }
    .to_string()
}

/// What follows `ON`.
fn level(words: &[Token]) -> Option<Level> {
    use Token::{Quoted, Sign, Word};
    match words {
        [Sign('*'), Sign('.'), Sign('*')] => Some(Level::Server),
        [Quoted(database) | Word(database), Sign('.'), Sign('*')] => {
            Some(Level::Database(database.clone()))
        }
        [Quoted(database) | Word(database), Sign('.'), Quoted(name) | Word(name)] => {
            Some(Level::Table(TableName::new(database, name)))
        }
        [kind @ Word(_), rest @ ..] if kind.is("TABLE") => level(rest),
        // PROCEDURE, FUNCTION, PACKAGE, PACKAGE BODY, LIBRARY.
        [Word(_), rest @ ..] => match rest {
            [kind, rest @ ..] if kind.is("BODY") => routine(rest),
            rest => routine(rest),
        },
        _ => None,
    }
}

fn routine(words: &[Token]) -> Option<Level> {
    match level(words)? {
        Level::Table(name) => Some(Level::Routine { database: name.database, name: name.name }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
