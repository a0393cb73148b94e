//! The statements around the repair of rows: whose server they are for, and a session in which every
//! value arrives as it is written.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Kind, Result},
    files::Draft,
    mysql::{Dialect, Session, quote, quote_text},
    select::OWN_DATABASE,
};

/// What the server says where the statements aren't for it: there is no such table.
const STOP: &str = "this file is for another server, or too late";

/// Where statements go.
pub(super) enum Sink {
    /// Into a file.
    File {
        /// Which isn't there yet.
        draft: Draft,
        /// Its place.
        path: PathBuf,
    },
    /// To the target.
    Server(Session),
}

impl Sink {
    /// Begins a file, which holds rows and is for its owner alone.
    pub fn file(path: &Path) -> Result<Self> {
        let draft = Draft::of(path, 0o600).map_err(|error| {
            Error::new(Kind::Io, "the file can't be written").because(error).at(path.display())
        })?;
        Ok(Sink::File { draft, path: path.to_path_buf() })
    }

    /// A line for people.
    pub fn comment(&mut self, text: &str) -> Result<()> {
        // What stands in a name must not end the line.
        let line: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        match self {
            Sink::File { .. } => self.write(&format!("-- {line}\n")),
            Sink::Server(_) => Ok(()),
        }
    }

    /// A statement; `rows`: how many rows it must change.
    pub async fn run(&mut self, sql: &str, rows: Option<u64>) -> Result<()> {
        let Sink::Server(session) = self else {
            return self.write(sql).and_then(|()| self.write(";\n"));
        };
        // The statement holds rows: neither the log nor an error shows it.
        let outcome = session.execute_bytes(sql.as_bytes()).await.map_err(|error| {
            let told = |what: String| Error::new(error.kind(), what).at(session.place());
            match error.code() {
                Some(code) => {
                    told(format!("the target refused rows (error {code})")).with_code(code)
                }
                None => told("the target was lost while rows were set".to_string()),
            }
        })?;
        match rows {
            Some(rows) if outcome.affected != rows => Err(Error::new(
                Kind::Different,
                format!("{rows} rows were to be set on the target, {} were: somebody else writes there", outcome.affected),
            )
            .at(session.place())
            .next("find out who does; what was begun was rolled back: `daybreak verify --repair --yes` goes on")),
            _ => Ok(()),
        }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        match self {
            Sink::File { draft, path } => draft.write_all(text.as_bytes()).map_err(|error| {
                Error::new(Kind::Io, "the file can't be written").because(error).at(path.display())
            }),
            Sink::Server(_) => Ok(()),
        }
    }

    /// Puts the file where none is.
    pub fn finish(self) -> Result<()> {
        match self {
            Sink::File { draft, path } => draft.put().map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => exists(&path),
                _ => Error::new(Kind::Io, "the file can't be put in its place")
                    .because(error)
                    .at(path.display()),
            }),
            Sink::Server(_) => Ok(()),
        }
    }
}

/// The refusal to write over a file.
fn exists(path: &Path) -> Error {
    Error::new(Kind::Usage, "the file is there already, and is left as it is")
        .at(path.display())
        .next("give another name, or remove it")
}

/// Refuses a path at which a file is.
///
/// # Errors
/// `Usage`.
pub fn expect_no_file(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(exists(path)),
        Err(_) => Ok(()),
    }
}

/// What must hold on the server that takes the statements.
pub(super) async fn guard(target: &mut Session, migration: bool, replica: bool) -> Result<String> {
    let (expression, identity) = target.identity().await?;
    let plain = identity.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let literal = if plain { format!("'{identity}'") } else { quote_text(&identity) };
    let mut holds = format!("{expression} = {literal}");
    // Of a migration that is over, or was taken back, nothing may be repaired.
    let ours = format!(
        "EXISTS (SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{OWN_DATABASE}')"
    );
    // The cutover makes the target forget its source before it opens it.
    let follows = "EXISTS (SELECT 1 FROM performance_schema.replication_connection_configuration \
                   WHERE CHANNEL_NAME = '' AND HOST <> '')";
    let asked = match replica && target.dialect().mysql_from(5, 7, 0) {
        true => target.scalar::<u64>(format!("SELECT {follows}")).await.ok().flatten(),
        false => None,
    };
    if asked == Some(1) {
        holds = format!("{holds} AND {follows}");
    }
    if migration && target.scalar::<u64>(format!("SELECT {ours}")).await? == Some(1) {
        holds = format!("{holds} AND {ours}");
    }
    Ok(holds)
}

/// The statements at the beginning: a session that can write only where a condition holds, and ends
/// with an error elsewhere; then its settings.
pub(super) fn beginning(dialect: &Dialect, holds: &str) -> Vec<String> {
    let read_only = match dialect.mysql_from(5, 7, 20) {
        true => "transaction_read_only",
        false => "tx_read_only",
    };
    let stop = format!("SELECT 1 FROM {}.{}", quote(STOP), quote(STOP));
    [
        "SET NAMES utf8mb4".to_string(),
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION,STRICT_ALL_TABLES'"
            .to_string(),
        // A client that goes on after an error can't write either.
        "SET SESSION TRANSACTION READ ONLY".to_string(),
        format!("SET @daybreak_holds = ({holds})"),
        format!("SET SESSION {read_only} = IF(@daybreak_holds, 0, 1)"),
        format!("SET @daybreak_stop = IF(@daybreak_holds, 'DO 0', '{stop}')"),
        "PREPARE daybreak_stop FROM @daybreak_stop".to_string(),
        "EXECUTE daybreak_stop".to_string(),
        "DEALLOCATE PREPARE daybreak_stop".to_string(),
        "SET SESSION time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 1, autocommit = 1, \
         sql_safe_updates = 0, sql_notes = 0, innodb_lock_wait_timeout = 30, lock_wait_timeout = 30"
            .to_string(),
    ]
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_before_the_server_is_known() {
        let statements = beginning(&Dialect::read("9.7.0", None), "@@server_uuid = 'a'");
        let at = |what: &str| statements.iter().position(|sql| sql.contains(what)).unwrap();
        assert!(at("TRANSACTION READ ONLY") < at("transaction_read_only = IF"));
        assert!(STOP.len() <= 64 && !STOP.contains('\''));
        let old = beginning(&Dialect::read("10.11.6-MariaDB", None), "TRUE");
        assert!(old.iter().any(|sql| sql.contains("SESSION tx_read_only")));
    }
}
