//! What must hold before writes may be stopped, and the dry run that tells it. Reads only.

use std::time::Duration;

use serde::Serialize;

use super::{ID, ReadOnly};
use crate::{
    engine::{
        Context, Entry, Finding, Phase, PositionBy, ReplicationMode, Route, Severity, StepPhase,
        StopSignal,
    },
    error::{Error, Kind, Result},
    mysql::{Coordinates, Session},
    source::{
        assess::grant_statement,
        grants::{END_STATEMENTS, Grants, Scope},
    },
    sync::{heartbeat, replicate, verify},
    target::accounts,
};

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// What must hold, in a few words.
    pub name: &'static str,
    /// How it is now.
    pub now: String,
    /// What is wrong, if it doesn't hold.
    pub finding: Option<Finding>,
}

impl Gate {
    fn holds(name: &'static str, now: impl Into<String>) -> Self {
        Gate { name, now: now.into(), finding: None }
    }

    fn fails(
        name: &'static str,
        severity: Severity,
        id: &str,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let why = why.into();
        Gate {
            name,
            now: why.clone(),
            finding: Some(Finding {
                id: format!("cutover.{id}"),
                severity,
                objects: Vec::new(),
                why,
                remedy: remedy.into(),
            }),
        }
    }
}

/// Looks at every gate. One that was begun and interrupted is judged by what going on needs.
pub(super) async fn look(context: &Context) -> Result<Vec<Gate>> {
    let plan = context.plan()?;
    let (mut source, mut target) = (context.source().await?, context.target().await?);
    let begun = super::fence(context)?.is_some()
        || context.journal.recall::<serde_json::Value>(ID, "result")?.is_some();
    let mut gates = vec![verified(context)];
    if plan.replication == ReplicationMode::Native && !begun {
        gates.extend(replicating(context, &mut source, &mut target, plan.position).await?);
    }
    if !begun {
        gates.push(source_open(&mut source).await?);
    }
    gates.push(closable(&mut source).await?);
    gates.push(bound_by_read_only(&mut source).await?);
    gates.push(no_replica(&mut source).await?);
    gates.push(no_prepared(&mut source).await?);
    if !begun {
        gates.push(accounts_there(context, &mut source, &mut target).await?);
    }
    gates.push(target_opens(context, &mut target).await?);
    Ok(gates)
}

fn verified(context: &Context) -> Gate {
    const NAME: &str = "both sides were found equal";
    match context.journal.state().step("verify") {
        Some(StepPhase::Verified) if differed_since(context) => Gate::fails(
            NAME,
            Severity::Blocker,
            "verified",
            "`daybreak verify` found differences after they were found equal",
            "mend what differs until `daybreak verify` finds both sides equal; or `daybreak undo --to schema`, then `daybreak resume` copies anew",
        ),
        Some(StepPhase::Verified) => match verify::proven(context) {
            Ok(true) => Gate::holds(NAME, format!("compared {}", age(context))),
            other => Gate::fails(
                NAME,
                Severity::Warning,
                "counted",
                match other {
                    Err(error) => format!("what was compared can't be told: {}", error.what()),
                    Ok(_) => format!("rows were only counted, {}", age(context)),
                },
                "verify.mode = \"checksum\", `daybreak undo --to replicate`, then `daybreak resume` compares every row",
            ),
        },
        None => Gate::fails(
            NAME,
            Severity::Warning,
            "verified",
            "the plan has no step that compares both sides",
            "run `daybreak verify` before the cutover",
        ),
        Some(_) => Gate::fails(
            NAME,
            Severity::Blocker,
            "verified",
            "both sides weren't compared yet, or differ",
            "`daybreak resume` compares them",
        ),
    }
}

/// How long ago both sides were found equal: what was changed on the target since, nobody looked at.
fn age(context: &Context) -> String {
    let compared = compared(context);
    let by_hand = compared.and_then(|at| context.journal.compared_by_hand(at).ok().flatten());
    match by_hand.map(|(at, _)| at).or(compared) {
        Some(at) => {
            let seconds = jiff::Timestamp::now().duration_since(at).as_secs();
            format!(
                "{seconds} s ago; `daybreak undo --to replicate` and `daybreak resume` compare again"
            )
        }
        None => "at an unknown time".to_string(),
    }
}

/// When the step compared both sides.
fn compared(context: &Context) -> Option<jiff::Timestamp> {
    context.journal.entries().ok()?.into_iter().rev().find_map(|record| match record.entry {
        Entry::StepVerified { step } if step == "verify" => Some(record.at),
        _ => None,
    })
}

/// Whether the last comparison by hand since then found differences.
fn differed_since(context: &Context) -> bool {
    compared(context)
        .and_then(|at| context.journal.compared_by_hand(at).ok().flatten())
        .is_some_and(|(_, equal)| !equal)
}

async fn replicating(
    context: &Context,
    source: &mut Session,
    target: &mut Session,
    by: PositionBy,
) -> Result<Vec<Gate>> {
    const RUNS: &str = "replication runs";
    const NEAR: &str = "the target has caught up";
    let Some(status) = replicate::status(target).await? else {
        let (why, remedy) = replicate::NOBODY;
        return Ok(vec![Gate::fails(RUNS, Severity::Blocker, "replicating", why, remedy)]);
    };
    if !replicate::is_ours(context, &status)? {
        let found = replicate::foreign(target, &status);
        let remedy = found.next_step().unwrap_or_default();
        return Ok(vec![Gate::fails(RUNS, Severity::Blocker, "replicating", found.what(), remedy)]);
    }
    if !status.running() && !status.reconnecting() {
        let (why, remedy) = replicate::stopped(target, &status).await?;
        return Ok(vec![Gate::fails(RUNS, Severity::Blocker, "replicating", why, remedy)]);
    }
    let mut gates = vec![match (status.reconnecting(), &status.receive_error) {
        (false, _) => {
            Gate::holds(RUNS, format!("from {}:{}", status.source_host, status.source_port))
        }
        // Not a blocker: the cutover itself waits for it before anything is stopped.
        (true, error) => Gate::fails(
            RUNS,
            Severity::Note,
            "reconnecting",
            format!(
                "the target is about to reach for the source again{}",
                error.as_ref().map(|error| format!(": {}", error.text)).unwrap_or_default()
            ),
            "a receiver tries again every 60 s; the cutover waits for it before writes are stopped",
        ),
    }];
    let goal = Coordinates::read(source).await?;
    if let Some(coordinates) = replicate::starting_point(&context.journal)?
        && !comes_after(&goal, &coordinates, by)
    {
        // What it wrote since may carry numbers that the target has seen already, and skips.
        gates.push(Gate::fails(
            "the source's history goes on",
            Severity::Blocker,
            "history",
            format!(
                "the source stands at {goal}, which doesn't come after {coordinates}, where its rows were read: its \
                 binary log was begun anew (RESET)"
            ),
            "`daybreak undo --to prepare_source`, then run again: the rows are copied anew",
        ));
        return Ok(gates);
    }
    let patience = context.config.replication.max_lag.max(Duration::from_secs(1));
    gates.push(
        match replicate::wait_for(target, &goal, by, patience, &StopSignal::default()).await {
            Ok(()) => Gate::holds(NEAR, format!("with {goal}")),
            Err(error) if error.kind() == Kind::Timeout => {
                // Not a blocker: the cutover itself waits for it before anything is stopped.
                Gate::fails(
                    NEAR,
                    Severity::Note,
                    "lag",
                    error.what(),
                    "it waits until the target has caught up before writes are stopped",
                )
            }
            Err(error) => Gate::fails(
                NEAR,
                Severity::Blocker,
                "replicating",
                error.what(),
                error.next_step().unwrap_or_default(),
            ),
        },
    );
    Ok(gates)
}

/// Whether a point can come after an earlier one of the same server: not if its log was begun anew.
fn comes_after(now: &Coordinates, earlier: &Coordinates, by: PositionBy) -> bool {
    match (by, &now.file, &earlier.file) {
        (PositionBy::Gtid, ..) => now.gtids.contains(&earlier.gtids),
        (PositionBy::File, Some(now), Some(then)) => now.reaches(then),
        (PositionBy::File, ..) => false,
    }
}

async fn source_open(source: &mut Session) -> Result<Gate> {
    const NAME: &str = "the source takes writes now";
    let switches = ReadOnly::read(source).await?;
    Ok(if switches.read_only || switches.super_read_only {
        Gate::fails(
            NAME,
            Severity::Blocker,
            "source_open",
            "the source is read only already, and not by this migration",
            "switch read_only off on the source if its writers should go on until the cutover",
        )
    } else {
        Gate::holds(NAME, "read_only is off")
    })
}

/// Whether the account may close the source for good.
async fn closable(source: &mut Session) -> Result<Gate> {
    const NAME: &str = "the source can be closed";
    let grants = Grants::read(source).await?;
    Ok(if may_close(source, &grants) {
        Gate::holds(NAME, super::open::closing_statement(source))
    } else {
        Gate::fails(
            NAME,
            Severity::Blocker,
            "closable",
            format!(
                "the account on the source may not run {}",
                super::open::closing_statement(source)
            ),
            "grant it SYSTEM_VARIABLES_ADMIN and CONNECTION_ADMIN (before MySQL 8: SUPER; MariaDB: READ_ONLY ADMIN)",
        )
    })
}

fn may_close(source: &Session, grants: &Grants) -> bool {
    let dialect = source.dialect();
    if dialect.is_mariadb() {
        // MariaDB 10.11 took READ_ONLY ADMIN out of SUPER.
        return grants.has("READ_ONLY ADMIN", Scope::Server)
            || (grants.has("SUPER", Scope::Server) && dialect.version < (10, 11, 0));
    }
    grants.has_any(&["SUPER", "SYSTEM_VARIABLES_ADMIN"], Scope::Server)
}

/// Whether the account may end other accounts' statements, which closing needs under table locks.
pub(super) async fn may_kill(source: &mut Session) -> Result<bool> {
    Ok(Grants::read(source).await?.has_any(&END_STATEMENTS, Scope::Server))
}

/// Whether `read_only` would keep everybody out. Without `super_read_only` it doesn't bind accounts
/// with SUPER (MariaDB: READ_ONLY ADMIN).
async fn bound_by_read_only(source: &mut Session) -> Result<Gate> {
    const NAME: &str = "no account can write past read_only";
    if source.dialect().has_super_read_only() {
        return Ok(Gate::holds(NAME, "super_read_only binds every account"));
    }
    let mine: Option<String> = source.scalar("SELECT CURRENT_USER()").await?;
    let asked = source
        .rows(
            "SELECT DISTINCT p.USER FROM information_schema.PROCESSLIST p \
             JOIN information_schema.USER_PRIVILEGES u ON u.GRANTEE LIKE CONCAT('''', p.USER, '''@%') \
             WHERE u.PRIVILEGE_TYPE IN ('SUPER', 'READ_ONLY ADMIN', 'READ ONLY ADMIN')",
        )
        .await?;
    let mut accounts = Vec::new();
    for row in asked {
        let user: String = source.column(&row, 0)?.unwrap_or_default();
        if mine.as_deref().and_then(|mine| mine.split('@').next()) != Some(user.as_str()) {
            accounts.push(user);
        }
    }
    if accounts.is_empty() {
        return Ok(Gate::holds(NAME, "none with SUPER is connected"));
    }
    let mut gate = Gate::fails(
        NAME,
        Severity::Warning,
        "bound",
        format!("connected accounts with SUPER write past read_only: {}", accounts.join(", ")),
        "end these connections before the cutover, or take SUPER from the accounts",
    );
    if let Some(finding) = &mut gate.finding {
        finding.objects = accounts;
    }
    Ok(gate)
}

/// A source that replicates itself gets writes that no lock and no switch holds back for good.
async fn no_replica(source: &mut Session) -> Result<Gate> {
    const NAME: &str = "the source follows no other server";
    let status = match replicate::status(source).await {
        Ok(status) => status,
        Err(error) if error.kind() == Kind::Privilege => {
            return Ok(Gate::fails(
                NAME,
                Severity::Note,
                "source_replica",
                "the account on the source may not ask whether it is a replica",
                "grant it REPLICATION CLIENT",
            ));
        }
        Err(error) => return Err(error),
    };
    Ok(match status {
        Some(status) if status.applying || status.receiver != replicate::Receiver::Stopped => {
            Gate::fails(
                NAME,
                Severity::Blocker,
                "source_replica",
                format!(
                    "the source replicates from {}:{}: its writes come from there, and closing it wouldn't stop them",
                    status.source_host, status.source_port
                ),
                "stop writes at that server and STOP REPLICA on the source first",
            )
        }
        _ => Gate::holds(NAME, "it is no replica"),
    })
}

/// A prepared XA transaction is in both servers, and whoever prepared it must end it on one of them.
async fn no_prepared(source: &mut Session) -> Result<Gate> {
    const NAME: &str = "no XA transaction is prepared";
    match source.rows("XA RECOVER").await {
        Ok(rows) if rows.is_empty() => Ok(Gate::holds(NAME, "none")),
        Ok(rows) => Ok(Gate::fails(
            NAME,
            Severity::Blocker,
            "xa",
            format!("{} XA transactions are prepared at the source", rows.len()),
            "commit or roll them back (XA RECOVER lists them)",
        )),
        Err(error) if error.kind() == Kind::Privilege || error.code() == Some(1401) => {
            let mine: String = source.scalar("SELECT CURRENT_USER()").await?.unwrap_or_default();
            Ok(Gate::fails(
                NAME,
                Severity::Note,
                "xa",
                format!(
                    "the account {mine} on the source may not ask for prepared XA transactions (XA RECOVER): it lacks \
                     XA_RECOVER_ADMIN"
                ),
                format!(
                    "on the source: {} or make sure that nobody uses XA",
                    grant_statement(&["XA_RECOVER_ADMIN"], "*.*", &mine)
                ),
            ))
        }
        Err(error) => Err(error),
    }
}

/// Whoever logs in at the source must be able to at the target. Only a person knows which accounts are
/// still in use, so that this is no blocker.
async fn accounts_there(
    context: &Context,
    source: &mut Session,
    target: &mut Session,
) -> Result<Gate> {
    const NAME: &str = "the source's accounts are on the target";
    const SHOWN: usize = 8;
    let replication = context.config.replication.user.as_deref();
    let Some(lacking) = accounts::lacking(source, target, replication).await? else {
        return Ok(Gate::fails(
            NAME,
            Severity::Note,
            "accounts",
            "the accounts of one side can't be read, so that nobody knows which the target lacks",
            "grant SELECT ON mysql.* on both sides, or look by hand: SELECT User, Host FROM mysql.user",
        ));
    };
    let Some(first) = lacking.first() else {
        return Ok(Gate::holds(NAME, "none is missing"));
    };
    let mut names =
        lacking.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if lacking.len() > SHOWN {
        names += &format!(" and {} more", lacking.len() - SHOWN);
    }
    let because = match context.plan()?.route {
        Route::Logical => "the logical route doesn't copy accounts",
        Route::Physical => "they couldn't be made there, or came after the backup",
    };
    let show = match source.dialect().mysql_from(5, 7, 6) || source.dialect().is_mariadb() {
        true => format!("SHOW CREATE USER {first}; SHOW GRANTS FOR {first};"),
        false => format!("SHOW GRANTS FOR {first};"),
    };
    let mut gate = Gate::fails(
        NAME,
        Severity::Warning,
        "accounts",
        format!(
            "the target lacks accounts of the source: {names}; {because}, and who uses them can't log in after the \
             cutover"
        ),
        format!(
            "make those that are still used on the target; at the source, {show} shows how, for each"
        ),
    );
    if let Some(finding) = &mut gate.finding {
        finding.objects = lacking.iter().map(ToString::to_string).collect();
    }
    Ok(gate)
}

async fn target_opens(context: &Context, target: &mut Session) -> Result<Gate> {
    const NAME: &str = "the target can be opened";
    let switches = ReadOnly::read(target).await?;
    if !switches.read_only && !switches.super_read_only {
        return Ok(Gate::holds(NAME, "its read_only is off"));
    }
    let control = replicate::Control::find(target, context.config.target_kind).await?;
    if control.has("rds_set_read_only") {
        return Ok(Gate::holds(NAME, "CALL mysql.rds_set_read_only(0)"));
    }
    let grants = Grants::read(target).await?;
    Ok(if may_close(target, &grants) {
        Gate::holds(NAME, "SET GLOBAL read_only = OFF")
    } else {
        Gate::fails(
            NAME,
            Severity::Blocker,
            "target_opens",
            "the target is read only, and the account may not change that",
            "use the cluster's writer endpoint, or switch its read_only off",
        )
    })
}

/// What a cutover would do, and whether anything stands in the way.
#[derive(Debug, Clone, Serialize)]
pub struct DryRun {
    /// Whether a gate is closed.
    pub blocked: bool,
    /// The gates as they are now, and each thing that would be done, in order.
    pub lines: Vec<String>,
}

/// Says each thing that the cutover would do, in order, with what its gates say now.
///
/// # Errors
/// `State` when there is no cutover left to do; otherwise what asking the servers says.
pub async fn dry_run(context: &Context) -> Result<DryRun> {
    let state = context.journal.state();
    if state.step(super::ID) == Some(StepPhase::Verified) || state.phase == Phase::Aborted {
        return Err(Error::new(
            Kind::State,
            "there is nothing to cut over: the migration has ended",
        )
        .next("`daybreak status` and `daybreak report` say how"));
    }
    let mut blocked = false;
    let plan = context.plan()?;
    let native = plan.replication == ReplicationMode::Native;
    let mut lines = Vec::new();
    for gate in look(context).await? {
        let mark = match gate.finding.as_ref().map(|finding| finding.severity) {
            None => "ok",
            Some(Severity::Note) => "note",
            Some(Severity::Warning) => "warning",
            Some(Severity::Blocker) => {
                blocked = true;
                "BLOCKED"
            }
        };
        lines.push(format!("gate: {}: {mark} ({})", gate.name, gate.now));
        if let Some(finding) = gate.finding {
            lines.push(format!("  remedy: {}", finding.remedy));
        }
    }
    let (mut source, mut target) = (context.source().await?, context.target().await?);
    let budget = context.config.cutover.max_write_stop;
    if native {
        if let Some(lag) = heartbeat::lag(&mut source, &mut target).await?
            && context.config.replication.heartbeat
        {
            lines.push(format!(
                "the target's heartbeat is {:.1} s old (it beats while daybreak runs)",
                lag.as_secs_f64()
            ));
        }
        lines.push(format!(
            "would: wait until the target is at most {:.1} s behind",
            context.config.replication.max_lag.as_secs_f64()
        ));
    }
    if let Some(hook) = &context.config.hooks.before_write_stop
        && native
    {
        lines.push(format!(
            "would: run the hook before_write_stop, for {:.1} s at most; it may call the cutover off",
            hook.timeout.as_secs_f64()
        ));
    }
    lines.push(format!(
        "would: stop writes at the source with a lock that ends with its connection, for {:.1} s at most; \
         past that everything is put back",
        budget.as_secs_f64()
    ));
    if native {
        lines.push("would: wait until the target has executed the source's last position".into());
    }
    lines.push("would: compare the objects of both sides".into());
    if native {
        lines.push("would: compare the heartbeat row of both sides".into());
    }
    if context.config.cutover.pause_before_open {
        lines.push("would: wait for `daybreak cutover --go` within that time".into());
    }
    if native {
        lines.push("would: stop replication on the target and make it forget the source".into());
    }
    let opened = ReadOnly::read(&mut target).await?;
    lines.push(if opened.read_only || opened.super_read_only {
        "would: open the target for writes (no undo from here on)".into()
    } else {
        "would: take the target, whose read_only is off, for open (no undo from here on)"
            .to_string()
    });
    lines.push(format!(
        "would: close the source for good: {}",
        super::open::closing_statement(&source)
    ));
    if let Some(hook) = &context.config.hooks.after_target_open {
        lines.push(format!(
            "would: run the hook after_target_open, for {:.1} s at most",
            hook.timeout.as_secs_f64()
        ));
    }
    lines.push("would: switch on the events of the target".into());
    Ok(DryRun { blocked, lines })
}
