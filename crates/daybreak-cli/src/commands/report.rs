//! `daybreak report`.

use std::path::Path;

use daybreak::{
    engine::Journal,
    error::{Exit, Result},
    report::{self, Report},
};

use super::Session;
use crate::directory;

/// Writes the report where asked; by default both files into the directory.
pub fn report(
    session: &Session<'_>,
    directory: &Path,
    html: Option<&Path>,
    json: Option<&Path>,
) -> Result<Exit> {
    directory::expect_migration(directory)?;
    let report = Report::build(&Journal::open(directory)?)?;
    match (html, json) {
        (None, None) => {
            let (_, page) = report::write(&report, directory)?;
            for line in report.summary_lines() {
                session.ui.line(&line);
            }
            session.ui.line(&format!("report: {}", page.display()));
        }
        (html, json) => {
            if let Some(path) = html {
                report::write_file(path, &report.to_html())?;
            }
            match json {
                Some(path) if path == Path::new("-") => session.ui.line(&report.to_json()?),
                Some(path) => report::write_file(path, &report.to_json()?)?,
                None => {}
            }
        }
    }
    Ok(Exit::Done)
}
