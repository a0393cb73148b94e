//! What the rules say of a server, whether a backup tells of it or the running one is asked: one judgement
//! for both, so that what a backup would be refused for is known before it is taken.

use super::{
    links::version,
    rules::{ACCEPTED, Accepted, DATA_FILE_PATH, REFUSED_RELEASES},
};
use crate::transit::inspection::Product;

/// A rule that is broken, and by what.
pub type Broken = (&'static str, String);

/// The size of a page that Aurora has. Source: AWS UG.
const PAGE_SIZE: u64 = 16_384;

/// Whose server it is, by its version alone.
pub fn product(version: &str) -> Product {
    if version.contains("MariaDB") {
        return Product::Mariadb;
    }
    // `8.0.35-27` is Percona Server's, `5.7.33-0ubuntu0.16.04.1` and `8.0.43-1` a distribution's MySQL:
    // Percona's builds have had two digits since 5.7.16-10 and 8.0.19-10.
    let build = version.split('-').nth(1).unwrap_or_default();
    let numbered = !build.is_empty() && build.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let two_digits = build.bytes().take_while(u8::is_ascii_digit).count() > 1;
    let early = super::links::version(version).is_some_and(|(major, minor, patch)| {
        matches!((major, minor, patch), (5, 7, ..16) | (8, 0, ..19) | (..=5, ..=6, _))
    });
    if numbered && (two_digits || early) { Product::Percona } else { Product::Mysql }
}

/// The row of [`ACCEPTED`] that a server of MySQL stands in.
pub fn accepted(said: &str) -> Option<&'static Accepted> {
    let (major, minor, _) = version(said)?;
    ACCEPTED.iter().find(|one| one.server == (major, minor))
}

/// Product and version.
pub fn release(product: Option<Product>, said: &str) -> Vec<Broken> {
    let mut broken = Vec::new();
    match product {
        Some(Product::Mysql) => {}
        Some(Product::Mariadb) => return vec![("backup.product", format!("MariaDB {said}"))],
        Some(Product::Percona) => {
            broken.push(("backup.product", format!("Percona Server {said}")));
        }
        None => return vec![("backup.product", "the server isn't named".into())],
    }
    match version(said) {
        None => {
            broken.push(("backup.server_version", format!("the version {said:?} can't be read")));
        }
        Some(_) if accepted(said).is_none() => {
            broken.push(("backup.server_version", format!("MySQL {said}")));
        }
        Some(server) if REFUSED_RELEASES.contains(&server) => {
            broken.push(("backup.server_release", format!("MySQL {said}")));
        }
        Some(_) => {}
    }
    broken
}

/// Settings that shape the data files, as `my.cnf` has them; none: not known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape<'a> {
    /// `innodb_page_size`, in bytes.
    pub page_size: Option<u64>,
    /// `innodb_data_file_path`.
    pub data_files: Option<&'a str>,
    /// `innodb_log_files_in_group`.
    pub log_files: Option<&'a str>,
    /// The server's version: from 8.0 on the number of log files doesn't matter.
    pub server: Option<(u64, u64, u64)>,
}

impl Shape<'_> {
    /// The rules that they break.
    pub fn broken(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        if let Some(size) = self.page_size.filter(|size| *size != PAGE_SIZE) {
            broken.push(("backup.page_size", format!("pages of {size} bytes")));
        }
        if let Some(path) = self.data_files {
            let plain = path.trim_matches(['"', '\'']).to_ascii_lowercase().replace(' ', "");
            if plain.trim_start_matches("./") != DATA_FILE_PATH {
                broken.push(("backup.data_files", format!("innodb_data_file_path = {path}")));
            }
        }
        if let Some(logs) = self.log_files.filter(|logs| *logs != "2")
            && self.server.is_none_or(|server| server < (8, 0, 0))
        {
            broken.push(("backup.log_files", format!("innodb_log_files_in_group = {logs}")));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_aurora_takes() {
        let ids = |said: &str| -> Vec<&str> {
            release(Some(product(said)), said).into_iter().map(|(id, _)| id).collect()
        };
        for taken in ["5.7.44-log", "8.0.36", "8.0.36-0ubuntu0.22.04.1", "8.0.43-1"] {
            assert_eq!(ids(taken), [""; 0], "{taken}");
        }
        for (said, broken) in [
            ("10.11.6-MariaDB-log", &["backup.product"][..]),
            ("8.0.35-27", &["backup.product"]),
            ("8.0.18-9", &["backup.product"]),
            ("5.7.44-48-log", &["backup.product"]),
            ("5.6.24-log", &["backup.server_version"]),
            ("5.5.62", &["backup.server_version"]),
            ("8.4.3", &["backup.server_version"]),
            ("9.7.0", &["backup.server_version"]),
            ("8.0.11", &["backup.server_release"]),
            ("8.0.13", &["backup.server_release"]),
            ("8.0.15-log", &["backup.server_release"]),
            ("unknown", &["backup.server_version"]),
        ] {
            assert_eq!(ids(said), broken, "{said}");
        }
    }

    #[test]
    fn settings_that_aurora_takes() {
        let sound = Shape {
            page_size: Some(16_384),
            data_files: Some("ibdata1:12M:autoextend"),
            log_files: Some("2"),
            server: Some((5, 7, 44)),
        };
        assert_eq!(sound.broken(), []);
        assert_eq!(Shape { log_files: Some("3"), server: Some((8, 0, 36)), ..sound }.broken(), []);
        for (shape, id) in [
            (Shape { page_size: Some(8_192), ..sound }, "backup.page_size"),
            (
                Shape { data_files: Some("ibdata1:1G;ibdata2:1G:autoextend"), ..sound },
                "backup.data_files",
            ),
            (Shape { data_files: Some("ibdata1:10M:autoextend"), ..sound }, "backup.data_files"),
            (Shape { log_files: Some("3"), ..sound }, "backup.log_files"),
        ] {
            let broken: Vec<&str> = shape.broken().into_iter().map(|(id, _)| id).collect();
            assert_eq!(broken, [id]);
        }
    }
}
