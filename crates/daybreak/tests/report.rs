//! The report of journals made by hand: complete, paused, failed, undone, killed. No server is
//! needed: a report asks none.

use std::os::unix::fs::PermissionsExt as _;

use daybreak::{
    engine::{
        Entry, Fingerprint, Journal, Plan, PlannedStep, PositionBy, Record, ReplicationMode, Route,
        TableResult,
    },
    report::{self, Outcome, Report, RunEnd, TableVerdict},
    select::Selection,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const EVIL: &str = "shop.<script>alert('x')</script>";

const STEPS: [&str; 10] = [
    "preflight",
    "prepare_source",
    "schema",
    "rows",
    "indexes",
    "objects",
    "replicate",
    "verify",
    "cutover",
    "clean_up",
];

fn plan() -> Plan {
    Plan {
        migration: "3f9a12bc".into(),
        route: Route::Logical,
        reason: "the target exists already".into(),
        replication: ReplicationMode::Native,
        position: PositionBy::Gtid,
        source: "root@127.0.0.1:3306".into(),
        target: "admin@127.0.0.1:3307".into(),
        fingerprint: Fingerprint {
            server_uuid: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
            version: "9.7.0".into(),
            schema_digest: "d".into(),
        },
        target_uuid: "4e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
        selection: Selection::default(),
        definer: Default::default(),
        streamed: false,
        tables: vec![("shop.orders".into(), 1000, 65_536), (EVIL.into(), 10, 16_384)],
        steps: STEPS
            .iter()
            .map(|id| PlannedStep {
                id: (*id).into(),
                title: format!("does {id}"),
                rollback: format!("takes {id} back"),
            })
            .collect(),
    }
}

fn planned() -> Entry {
    Entry::Planned { plan: Box::new(plan()), consent: false }
}

fn resumed() -> Entry {
    Entry::Resumed { version: "0.1.0".into(), consent: true }
}

fn started(step: &str) -> Entry {
    Entry::StepStarted { step: step.into() }
}

fn finished(step: &str) -> Entry {
    Entry::StepFinished { step: step.into() }
}

fn verified(step: &str) -> Entry {
    Entry::StepVerified { step: step.into() }
}

fn failed(step: &str, error: &str) -> Entry {
    Entry::StepFailed { step: step.into(), error: error.into() }
}

fn paused(reason: &str) -> Entry {
    Entry::Paused { reason: reason.into() }
}

/// What each step notes for the report.
fn notes(step: &str) -> Vec<(&'static str, Value)> {
    match step {
        "preflight" => vec![
            (
                "findings",
                json!([
                    {"id": "source.binlog_expire", "severity": "note", "objects": [], "why": "long enough", "remedy": ""},
                    {"id": "source.no_primary_key", "severity": "warning", "objects": ["shop.log"],
                     "why": "the table has no primary key", "remedy": "`ALTER TABLE shop.log ...`"},
                    {"from": "the future"}
                ]),
            ),
            (
                "not_migrated",
                json!([{"kind": "account", "name": "'app'@'%'", "why": "its plugin <b>isn't</b> there"}]),
            ),
        ],
        "rows" => vec![(
            "snapshot",
            json!({
                "coordinates": {"file": {"file": "binlog.000042", "position": 19283},
                                "gtids": "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-88"},
                "method": "global_read_lock", "stall_millis": 12.4, "attempts": 2,
                "taken_at": "2026-03-01T07:58:13Z"
            }),
        )],
        "objects" => vec![(
            "not_created",
            json!([{"kind": "view", "name": "shop.legacy", "why": "it names a table that isn't there"}]),
        )],
        "verify" => vec![(
            "result",
            json!({"mode": "checksum", "rechecked": 3, "tables": [
                {"table": {"database": "shop", "name": "orders"}, "rows_source": 1042, "rows_target": 1042,
                 "chunks": 2, "verdict": "equal", "differences": []},
                {"table": EVIL, "rows_source": 10, "rows_target": 10, "chunks": 1, "verdict": "equal",
                 "differences": []}
            ]}),
        )],
        "cutover" => vec![(
            "result",
            json!({"write_stop_millis": 1840.2, "position": {"file": null, "gtids": "u:1-9"},
                   "sequences": 4}),
        )],
        "clean_up" => vec![(
            "left_on_source",
            json!([{"kind": "account", "name": "'daybreak_3f9a12bc'@'%'",
                    "sql": "DROP USER 'daybreak_3f9a12bc'@'%'"}, "a heartbeat table"]),
        )],
        _ => Vec::new(),
    }
}

/// A step from its beginning to *verified*.
fn done(step: &str) -> Vec<Entry> {
    let mut entries = vec![started(step)];
    for (name, data) in notes(step) {
        entries.push(Entry::Checkpoint { step: step.into(), name: name.into(), data });
    }
    if step == "cutover" {
        entries.push(Entry::PointOfNoReturn { step: step.into() });
    }
    entries.extend([finished(step), verified(step)]);
    entries
}

fn through(steps: &[&str]) -> Vec<Entry> {
    let mut entries = vec![planned(), resumed()];
    entries.extend(steps.iter().flat_map(|step| done(step)));
    entries
}

fn complete() -> Vec<Entry> {
    let mut entries = through(&STEPS);
    entries.push(Entry::Completed);
    entries
}

fn undone() -> Vec<Entry> {
    let mut entries = through(&STEPS[..8]);
    entries.extend([paused("as far as asked"), resumed()]);
    for step in STEPS[..8].iter().rev() {
        entries.push(Entry::UndoStarted { step: (*step).into() });
        entries.push(Entry::StepUndone { step: (*step).into() });
    }
    entries.push(paused("as far as asked"));
    entries
}

fn results() -> Vec<TableResult> {
    [("shop.orders", 1040, 70_000), (EVIL, 10, 300)]
        .map(|(table, rows, bytes)| TableResult {
            table: table.into(),
            rows,
            bytes,
            copy_millis: 40,
            verified: None,
        })
        .into()
}

/// A real journal in a directory.
fn journal(entries: Vec<Entry>) -> (tempfile::TempDir, Journal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    for entry in entries {
        journal.append(entry).unwrap();
    }
    journal.put_tables(&results()).unwrap();
    for lag in [1.5, 0.25] {
        journal.measure("lag_seconds", lag).unwrap();
    }
    journal.measure("rows_copied", 1050.0).unwrap();
    (directory, journal)
}

/// The report of entries that are a second apart.
fn assembled(entries: Vec<Entry>) -> Report {
    let first: Timestamp = "2026-03-01T07:58:13Z".parse().unwrap();
    let at = |second: usize| first + SignedDuration::from_secs(second as i64);
    let records: Vec<Record> = entries
        .into_iter()
        .enumerate()
        .map(|(n, entry)| Record { seq: n as u64 + 1, at: at(n), entry })
        .collect();
    let metrics = [
        (at(10), "rows_copied_so_far".to_string(), 0.0),
        (at(11), "rows_copied_so_far".to_string(), 1050.0),
        (at(20), "lag_seconds".to_string(), 1.5),
        (at(21), "source_rows_changed".into(), 500.0),
        (at(23), "source_rows_changed".into(), 1100.0),
        (at(24), "lag_seconds".into(), 0.25),
    ];
    Report::assemble(&records, &results(), &metrics, at(100)).unwrap()
}

/// The JSON form with what differs from run to run blanked.
fn redacted(report: &Report) -> String {
    fn blank(value: &mut Value) {
        const MEASURED: [&str; 5] =
            ["millis", "elapsed_millis", "working_millis", "rows_per_second", "mib_per_second"];
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let zero = value.is_null() || value.as_u64() == Some(0);
                    if MEASURED.contains(&key.as_str()) {
                        // A step of no length and one of some are the same to this test.
                        *value = json!("[measured]");
                    } else if key == "totals" {
                        value["copy_millis"] = json!("[measured]");
                        blank(value);
                    } else if !zero {
                        blank(value);
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(blank),
            Value::String(text) if text.parse::<Timestamp>().is_ok() => *text = "[time]".into(),
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    blank(&mut value);
    value["made_by"] = json!("[version]");
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn a_complete_migration() {
    let (_directory, journal) = journal(complete());
    let report = Report::build(&journal).unwrap();
    assert_eq!(report.verdict.outcome, Outcome::Completed);
    insta::assert_snapshot!("complete", redacted(&report));
    // What is written can be read again.
    let again: Report = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(again.to_html(), report.to_html());
}

/// A restore copies no rows one by one: what is known of a table is what was compared.
#[test]
fn a_physical_migration_shows_what_is_known_of_its_tables() {
    let mut entries = complete();
    for entry in &mut entries {
        match entry {
            Entry::Planned { plan, .. } => plan.route = Route::Physical,
            Entry::Checkpoint { step, data, .. } if step == "cutover" => {
                data["kept_closed"] = false.into();
            }
            _ => {}
        }
    }
    let report = assembled(entries);
    assert_eq!((report.tables[0].rows, report.tables[0].bytes), (None, None));
    assert_eq!(report.tables[0].verdict, TableVerdict::Equal);
    let page = report.to_html();
    let row = page.split("shop.orders</bdi>").nth(1).unwrap().split("</tr>").next().unwrap();
    assert!(row.contains("1,042") && row.matches('\u{2013}').count() == 2, "{row}");
    assert!(page.contains("Source stays closed after a restart</dt><dd>no"));
}

#[test]
fn a_paused_migration() {
    let mut entries = through(&STEPS[..3]);
    entries.extend([started("rows"), paused("interrupted")]);
    let (_directory, journal) = journal(entries);
    insta::assert_snapshot!("paused", redacted(&Report::build(&journal).unwrap()));
}

#[test]
fn a_failed_migration() {
    let error = "the table is full: ERROR 1114\n  where: target\n  next:  free space";
    let mut entries = through(&STEPS[..3]);
    entries.extend([
        started("rows"),
        failed("rows", "the connection was cut"),
        started("rows"),
        failed("rows", error),
        paused("the table is full"),
    ]);
    let (_directory, journal) = journal(entries);
    insta::assert_snapshot!("failed", redacted(&Report::build(&journal).unwrap()));
}

#[test]
fn an_undone_migration() {
    let (_directory, journal) = journal(undone());
    insta::assert_snapshot!("undone", redacted(&Report::build(&journal).unwrap()));
}

#[test]
fn a_journal_without_a_plan_has_no_report() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    assert!(Report::build(&journal).is_err());
}

#[test]
fn summaries_fit_a_screen() {
    let rehearsal = json!({"passed": true, "acknowledged_commits": 12345, "rows_checked": 9876,
                           "longest_gap_millis": 1903.5});
    let mut failing = through(&STEPS[..3]);
    failing.extend([
        started("rows"),
        failed("rows", "a\u{1b}[31m table\n  where: there"),
        paused("a"),
    ]);
    let mut blocked = through(&[]);
    blocked.push(paused("preflight can't begin: source.binlog: the binary log is off"));
    let mut waiting = through(&STEPS[..8]);
    waiting[1] = Entry::Resumed { version: "0.1.0".into(), consent: false };
    waiting.push(paused("as far as asked"));
    let mut out = String::new();
    for (name, report) in [
        ("rehearsed", assembled(complete()).with_rehearsal(rehearsal)),
        ("failed", assembled(failing)),
        ("blocked", assembled(blocked)),
        ("waiting", assembled(waiting)),
        ("undone", assembled(undone())),
        ("planned", assembled(vec![planned()])),
    ] {
        let lines = report.summary_lines();
        assert!(lines.len() <= 24, "{name}: {} lines", lines.len());
        for line in &lines {
            assert!(line.chars().count() <= 80, "{name}: {line}");
            assert!(!line.contains(char::is_control), "{name}: {line:?}");
        }
        out += &format!("== {name}\n{}\n", lines.join("\n"));
    }
    insta::assert_snapshot!("summaries", out);
}

#[test]
fn a_veto_is_no_failure() {
    let hook = |hook: &str, code: i32| Entry::Checkpoint {
        step: "cutover".into(),
        name: format!("hook_{hook}"),
        data: json!({"hook": hook, "ended": {"code": code}, "millis": 3, "output": []}),
    };
    let mut entries = through(&STEPS[..8]);
    entries.extend([started("cutover"), hook("before_write_stop", 7)]);
    entries.extend([hook("before_write_stop", 0), hook("after_target_open", 5)]);
    entries.push(paused("a"));
    let lines = assembled(entries).summary_lines();
    let line = |label: &str| {
        lines.iter().filter(|line| line.trim_start().starts_with(label)).collect::<Vec<_>>()
    };
    assert_eq!(
        line("hooks"),
        ["  hooks       before_write_stop vetoed the write stop (exit code 7)"]
    );
    assert_eq!(line("HOOK FAILED"), ["  HOOK FAILED after_target_open ended with exit code 5"]);
}

#[test]
fn a_killed_process_is_seen() {
    let mut entries = through(&STEPS[..3]);
    // Killed in the run; then after the run, so that only the verification is left.
    entries.extend([started("rows"), resumed(), started("rows"), finished("rows"), resumed()]);
    entries.extend([verified("rows"), started("indexes")]);
    let report = assembled(entries);
    assert_eq!(report.verdict.outcome, Outcome::Running);
    assert_eq!((report.counts.processes_lost, report.counts.resumes), (2, 2));
    assert_eq!((report.counts.failures, report.counts.retries), (0, 0));
    let rows = &report.steps[3];
    let ends: Vec<RunEnd> = rows.runs.iter().map(|run| run.end).collect();
    assert_eq!(ends, [RunEnd::Lost, RunEnd::Lost, RunEnd::Verified]);
    assert!(rows.verified_at.is_some());
    assert_eq!(report.steps[4].runs[0].end, RunEnd::Open);
    // Every session ends before the next begins.
    assert!(report.sessions.windows(2).all(|pair| pair[0].to <= pair[1].from));
}

#[test]
fn nothing_is_called_equal_that_was_not_compared() {
    let verdict = |data: Value| {
        let mut entries = complete();
        for entry in &mut entries {
            if let Entry::Checkpoint { step, data: noted, .. } = entry
                && step == "verify"
            {
                *noted = data.clone();
            }
        }
        assembled(entries)
    };
    let orders = |verdict: Value| json!({"table": "shop.orders", "verdict": verdict});
    let evil = json!({"table": EVIL, "verdict": "equal"});
    let proven = verdict(json!({"mode": "checksum", "tables": [orders(json!("equal")), evil]}));
    assert_eq!(proven.verdict.outcome, Outcome::Completed);
    for (data, wanted) in [
        // A table is missing from the comparison.
        (json!({"mode": "checksum", "tables": [evil]}), TableVerdict::None),
        (
            json!({"mode": "checksum", "tables": [orders(json!("different")), evil]}),
            TableVerdict::Different,
        ),
        (
            json!({"mode": "checksum", "tables": [orders(json!({"moving": 3})), evil]}),
            TableVerdict::Unproven,
        ),
        // It contradicts itself.
        (
            json!({"tables": [{"table": "shop.orders", "verdict": "equal", "differences": ["k"]}, evil]}),
            TableVerdict::Unproven,
        ),
        (json!({"mode": "count", "tables": [orders(json!("equal")), evil]}), TableVerdict::Equal),
        (json!({"equal": false, "tables": [orders(json!("equal")), evil]}), TableVerdict::Equal),
        (json!("something else"), TableVerdict::None),
    ] {
        let report = verdict(data.clone());
        assert_eq!(report.verdict.outcome, Outcome::CompletedUnproven, "{data}");
        assert_eq!(report.tables[0].verdict, wanted, "{data}");
    }
    // The writer's word weighs more than the servers'.
    let disproved = proven.with_rehearsal(json!({"passed": false, "findings": ["a lost commit"]}));
    assert_eq!(disproved.verdict.outcome, Outcome::Disproved);
    assert!(disproved.to_html().contains("a lost commit"));
}

#[test]
fn the_page_holds_no_markup_but_its_own() {
    let report = assembled(complete())
        .with_rehearsal(json!({"passed": true, "<img src=x>": {"a": [["<i>"], {"<b>": "<u>"}]}}))
        .with_extra("\"><script>", json!("</style>"));
    let page = report.to_html();
    assert!(page.contains("shop.&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    for wrong in ["<script", "<img", "<u>", "<b>isn", "</style>\""] {
        assert!(!page.contains(wrong), "{wrong}");
    }
    assert_eq!(page.matches("</style>").count(), 1);
    // Nothing is fetched from anywhere.
    for outside in ["http:", "https:", "url(", "@import", "src="] {
        let without = page.replace("http-equiv", "").replace("&lt;img src=x&gt;", "");
        assert!(!without.contains(outside), "{outside}");
    }
    balanced(&page);
    for entries in [undone(), vec![planned()], through(&STEPS[..2])] {
        balanced(&assembled(entries).to_html());
    }
}

/// Checks that every element that is opened is closed, in order.
fn balanced(page: &str) {
    const VOID: [&str; 3] = ["meta", "link", "br"];
    let mut open: Vec<&str> = Vec::new();
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    let mut at = 0;
    while let Some(found) = page[at..].find('<') {
        let from = at + found;
        let to = from + page[from..].find('>').unwrap();
        at = to + 1;
        let tag = &page[from + 1..to];
        if style.contains(&from) && tag != "style" || tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "at {}", &page[from..to + 1]),
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn files_are_replaced_whole_and_kept_from_others() {
    let directory = tempfile::tempdir().unwrap();
    let report = assembled(complete());
    for _ in 0..2 {
        let (json, html) = report::write(&report, directory.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&json).unwrap(), report.to_json().unwrap());
        assert_eq!(std::fs::read_to_string(&html).unwrap(), report.to_html());
        for path in [json, html] {
            let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o640);
        }
    }
    let names = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 2, "a temporary file stays");
    assert!(report::write(&report, &directory.path().join("missing")).is_err());
}
