//! `daybreak explain`: what an error means, how to make sure, what to do.

use daybreak::{
    error::{Exit, Result},
    explain::{self, Doing, Explanation},
};

use super::{Session, log_to};

/// Explains what was asked for, or lists everything that can be.
pub fn explain(session: &Session<'_>, asked: &[String]) -> Result<Exit> {
    log_to(session, None)?;
    let asked = asked.join(" ");
    if asked.is_empty() {
        list(session);
        return Ok(Exit::Done);
    }
    let found = explain::look_up(&asked)?;
    if session.global.json.is_some() {
        session.ui.document(&found);
        return Ok(Exit::Done);
    }
    for (at, one) in found.into_iter().enumerate() {
        if at > 0 {
            session.ui.line("");
        }
        for line in lines(one) {
            session.ui.line(&line);
        }
    }
    Ok(Exit::Done)
}

fn list(session: &Session<'_>) {
    if session.global.json.is_some() {
        session.ui.document(&explain::all().collect::<Vec<_>>());
        return;
    }
    for one in explain::all() {
        let codes: Vec<String> = one.codes.iter().map(ToString::to_string).collect();
        let codes = if codes.is_empty() { one.name.to_string() } else { codes.join(" ") };
        session.ui.line(&format!("{codes:<28} {:<12} {}", doing(one.doing), one.title));
    }
    session.ui.line("`daybreak explain CODE`, a name, or a pasted message shows cause, how to confirm, and remedy");
}

/// An explanation for people, a line each.
pub fn lines(one: &Explanation) -> Vec<String> {
    let codes: Vec<String> = one.codes.iter().map(ToString::to_string).collect();
    let mut lines = vec![match codes.is_empty() {
        true => format!("{} ({}): {}", one.name, doing(one.doing), one.title),
        false => format!("{} {} ({}): {}", codes.join(", "), one.name, doing(one.doing), one.title),
    }];
    lines.push(format!("  cause    {}", one.cause));
    let mut label = "confirm";
    for how in one.confirm {
        lines.push(format!("  {label:<8} {how}"));
        label = "";
    }
    lines.push(format!("  remedy   {}", one.remedy));
    lines
}

fn doing(doing: Doing) -> &'static str {
    match doing {
        Doing::Connecting => "connecting",
        Doing::Loading => "loading",
        Doing::Replicating => "replicating",
        Doing::Migrating => "migrating",
    }
}
