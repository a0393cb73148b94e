//! The Sakila sample database: real tables, views, triggers and routines that this project didn't make.
//!
//! Owns the published files and how a script of the `mysql` client becomes statements. Loads them
//! unchanged; what a server leaves out is what the files' own version comments say.

use std::io::Read as _;

use flate2::read::GzDecoder;
use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable as _};

use crate::shop::{ShopError, server};

/// The database that the files create.
pub const DATABASE: &str = "sakila";

const SCHEMA: &[u8] = include_bytes!("../data/sakila/sakila-schema.sql");
const DATA: &[u8] = include_bytes!("../data/sakila/sakila-data.sql.gz");

/// Creates the database `sakila` on a server and fills it: 16 tables, 47,273 rows, 7 views, 6 triggers
/// and 6 routines, of which the account of the URL is the definer. A database of that name is replaced.
///
/// # Errors
/// Fails when the URL is none, or when the server refuses a statement.
pub async fn load(url: &str) -> Result<(), ShopError> {
    let opts = Opts::from_url(url).map_err(ShopError::Url)?;
    let opts = OptsBuilder::from_opts(opts).db_name(None::<String>);
    let mut conn = Conn::new(opts).await.map_err(server("connecting to load Sakila"))?;
    let mut data = Vec::new();
    GzDecoder::new(DATA).read_to_end(&mut data).map_err(|source| ShopError::Server {
        what: "unpacking Sakila's rows".to_owned(),
        source: source.into(),
    })?;
    conn.query_drop("SET NAMES utf8").await.map_err(server("setting the character set"))?;
    for script in [SCHEMA, &data] {
        for statement in statements(script) {
            let text = String::from_utf8_lossy(&statement);
            let what = text.lines().next().unwrap_or_default().chars().take(70).collect::<String>();
            conn.query_drop(statement.as_slice()).await.map_err(server(what))?;
        }
    }
    conn.disconnect().await.map_err(server("closing the connection"))
}

/// The statements of a script of the `mysql` client: each ends at a line that ends in the delimiter,
/// which a line `DELIMITER` sets. Comment lines between statements are left out.
fn statements(script: &[u8]) -> Vec<Vec<u8>> {
    let mut delimiter: &[u8] = b";";
    let (mut found, mut statement) = (Vec::new(), Vec::new());
    for line in script.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        if statement.is_empty() {
            if let Some(new) = line.strip_prefix(b"DELIMITER ") {
                delimiter = new.trim_ascii();
                continue;
            }
            if line.is_empty() || line.starts_with(b"--") {
                continue;
            }
        }
        let end = line.strip_suffix(delimiter);
        statement.extend_from_slice(end.unwrap_or(line));
        if end.is_some() {
            found.push(std::mem::take(&mut statement));
        } else {
            statement.push(b'\n');
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn delimiters_end_statements() {
        let script = b"-- a; comment\n\nSELECT 1;\nDELIMITER //\nBEGIN\n  x;\nEND //\nDELIMITER ;\nSELECT\n2;\n";
        let texts: Vec<_> =
            statements(script).into_iter().map(|text| String::from_utf8(text).unwrap()).collect();
        assert_eq!(texts, ["SELECT 1", "BEGIN\n  x;\nEND ", "SELECT\n2"]);
    }
}
