//! `daybreak assess`.

use std::path::Path;

use daybreak::{
    config::Config,
    engine::{Journal, Phase, Route, Severity},
    error::{Error, Exit, Kind, Result},
    source::assess::{self, Assessment, TargetSpec, Wishes},
};

use super::{Session, log_to};
use crate::cli::{Select, Servers};

/// Looks at both servers and prints what was found. Exit code 3 when there are blockers.
pub async fn assess(
    session: &Session<'_>,
    directory: &Path,
    servers: &Servers,
    select: &Select,
    target_version: Option<String>,
    route: Option<Route>,
) -> Result<Exit> {
    log_to(session, None)?;
    let named = servers.target.is_some() || target_version.is_some();
    let route = match route {
        Some(Route::Physical) if servers.target.is_some() => {
            return Err(Error::new(
                Kind::Usage,
                "the physical route makes its target: there is none to look at",
            )
            .at("--target")
            .next("leave it out, or --route logical"));
        }
        Some(route) => route,
        None if named => Route::Logical,
        None => planned(directory)?.unwrap_or(Route::Logical),
    };
    let mut overrides = servers.overrides()?;
    let configured = directory.join(daybreak::config::FILE).exists();
    // Without a target the source alone is assessed; the configuration wants one all the same.
    let no_target = overrides.target.is_none() && !configured;
    if no_target {
        overrides.target = overrides.source.clone();
    }
    let mut config = Config::load(directory, &overrides)?;
    if select.is_given() {
        config.select = select.read()?.part_of(&config.select);
    }
    let target = match (target_version, no_target || route == Route::Physical) {
        (Some(version), _) => TargetSpec::Version(version),
        (None, true) => TargetSpec::None,
        (None, false) => TargetSpec::Url(Box::new(config.target.clone())),
    };
    let mut found = assess::assess(&config.source, &target, &Wishes::by(&config, route)).await?;
    found.on_route(route);
    if session.global.json.is_some() {
        session.ui.document(&found);
    } else {
        print(session, &found);
    }
    Ok(if found.blockers().next().is_some() { Exit::Found } else { Exit::Done })
}

/// The route of the directory's plan, if there is one.
fn planned(directory: &Path) -> Result<Option<Route>> {
    if !Journal::exists(directory) {
        return Ok(None);
    }
    let journal = Journal::open(directory)?;
    match journal.state().phase {
        Phase::Empty => Ok(None),
        _ => Ok(Some(journal.plan()?.route)),
    }
}

fn print(session: &Session<'_>, found: &Assessment) {
    for line in found.fact_lines() {
        session.ui.line(&line);
    }
    for (severity, word) in
        [(Severity::Blocker, "BLOCKER"), (Severity::Warning, "warning"), (Severity::Note, "note")]
    {
        for finding in found.findings.iter().filter(|finding| finding.severity == severity) {
            session.ui.line("");
            session.ui.line(&format!("{word}  {}", finding.id));
            session.ui.line(&format!("  {}", finding.why));
            if !finding.objects.is_empty() {
                let more = finding.objects.len().saturating_sub(8);
                let mut shown =
                    finding.objects.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
                if more > 0 {
                    shown += &format!(" and {more} more");
                }
                session.ui.line(&format!("  in:     {shown}"));
            }
            session.ui.line(&format!("  remedy: {}", finding.remedy));
        }
    }
    if !found.not_migrated.is_empty() {
        session.ui.line("");
        session.ui.line("not migrated:");
        for object in &found.not_migrated {
            session.ui.line(&format!("  {} {}: {}", object.kind, object.name, object.why));
        }
    }
    session.ui.line("");
    let route = match found.route.route {
        Route::Logical => "logical",
        Route::Physical => "physical",
    };
    session.ui.line(&format!("route: {route}: {}", found.route.reason));
    let count = |severity| found.findings.iter().filter(|f| f.severity == severity).count();
    session.ui.line(&format!(
        "{} blockers, {} warnings, {} notes; about {} rows, {:.1} MiB, {} s to copy at {} MiB/s",
        count(Severity::Blocker),
        count(Severity::Warning),
        count(Severity::Note),
        found.estimates.rows,
        found.estimates.bytes as f64 / 1_048_576.0,
        found.estimates.copy_seconds,
        found.estimates.bytes_per_second / 1_048_576,
    ));
}
