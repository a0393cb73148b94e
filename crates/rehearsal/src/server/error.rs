//! Owns the one error of the rehearsal crate: what failed, where, and the next step.
//! It refuses to carry a password: statements and arguments with secrets never become part of a message.

use std::io;
use std::path::{Path, PathBuf};

use super::Product;

/// Why a stand-in could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearsalError {
    /// No program of that product was found.
    #[error(
        "no {product} server was found ({looked})\n  next step: {}",
        product.remedy()
    )]
    NotFound {
        /// The product that was looked for.
        product: Product,
        /// The places looked at.
        looked: String,
    },
    /// The wish can't be granted by this product.
    #[error(
        "{product}: {wish} is not supported\n  next step: choose another product or leave it out"
    )]
    Unsupported {
        /// The product asked.
        product: Product,
        /// What was asked of it.
        wish: &'static str,
    },
    /// A file or directory could not be used.
    #[error("{action} {}: failed\n  next step: look at the directory's owner, mode and free space", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started, or ended badly.
    #[error("{program}: {what}\n{log}\n  next step: read {}", log_file.display())]
    Program {
        /// The program's name.
        program: String,
        /// What it did.
        what: String,
        /// The end of its log.
        log: String,
        /// Where the whole log is, while the directory lasts.
        log_file: PathBuf,
    },
    /// The server runs but didn't take a login in time.
    #[error("{product} on port {port} took no login within {seconds} s\n{log}\n  next step: is the machine overloaded? read {}", log_file.display())]
    Silent {
        /// The product that was started.
        product: Product,
        /// Its port.
        port: u16,
        /// How long it was waited for.
        seconds: u64,
        /// The end of its error log.
        log: String,
        /// Where the whole log is, while the directory lasts.
        log_file: PathBuf,
        /// The last refusal.
        source: Option<mysql_async::Error>,
    },
    /// No free port could be had.
    #[error(
        "no free port for {product} after {tries} tries\n  next step: end what occupies the ports of 127.0.0.1"
    )]
    NoPort {
        /// The product that was to listen.
        product: Product,
        /// How often it was tried.
        tries: u32,
    },
    /// A server refused a statement.
    #[error(
        "{doing} on port {port} was refused\n  next step: see the cause and the server's error log"
    )]
    Sql {
        /// What the statement was for, without its text.
        doing: String,
        /// The server's port.
        port: u16,
        /// What the server said.
        source: mysql_async::Error,
    },
    /// Anything else of a stand-in, said by its owner.
    #[error("{what}\n  next step: {next}")]
    Other {
        /// What failed, and where.
        what: String,
        /// What to do about it.
        next: String,
    },
}

impl RehearsalError {
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

/// Returns the last lines of a log, indented, for the end of an error message.
pub(super) fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return "    (its log is empty)".to_owned();
    }
    let mut out = String::new();
    for line in &lines[lines.len().saturating_sub(8)..] {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str("    ");
        out.push_str(line);
    }
    out
}
