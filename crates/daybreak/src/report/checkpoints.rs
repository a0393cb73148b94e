//! The checkpoints that the report tells of, read field by field.
//!
//! A field that is missing leaves a gap, one of another shape is shown as it is: a report must come
//! out of any journal, and nothing in it may be dropped in silence.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Cutover, Hook, Leftover, NotMigrated, Snapshot};
use crate::{
    engine::{
        Endpoint, Entry, FINDINGS, Finding, Record, Severity,
        context::{ENDPOINT, RESTORE},
    },
    switch::hook::{Ended, HookRun},
    target::objects::{self, NOT_CREATED},
};

pub(super) struct Checkpoint<'a> {
    pub at: Timestamp,
    pub data: &'a Value,
    /// Whether its step's effects still stand.
    pub stands: bool,
}

/// The latest checkpoint of each step and name.
pub(super) struct Checkpoints<'a> {
    latest: BTreeMap<(&'a str, &'a str), Checkpoint<'a>>,
    snapshots: usize,
    hooks: Vec<Hook>,
}

impl<'a> Checkpoints<'a> {
    pub fn read(records: &'a [Record]) -> Self {
        let mut latest: BTreeMap<(&str, &str), Checkpoint<'a>> = BTreeMap::new();
        let (mut snapshots, mut taken_at) = (0, None);
        let mut hooks: Vec<Hook> = Vec::new();
        for record in records {
            match &record.entry {
                Entry::Checkpoint { step, name, data } => {
                    // The same snapshot may be noted twice: before and after it is taken.
                    if (step.as_str(), name.as_str()) == ("rows", "snapshot")
                        && (taken_at.is_none() || taken_at != data.get("taken_at"))
                    {
                        snapshots += 1;
                        taken_at = data.get("taken_at");
                    }
                    if name.starts_with("hook_")
                        && let Ok(run) = serde_json::from_value::<HookRun>(data.clone())
                    {
                        // The end takes the place of the beginning.
                        match hooks.last_mut() {
                            Some(last)
                                if last.run.hook == run.hook && last.run.ended == Ended::Begun =>
                            {
                                last.run = run;
                            }
                            _ => hooks.push(Hook { at: record.at, step: step.clone(), run }),
                        }
                    }
                    latest.insert((step, name), Checkpoint { at: record.at, data, stands: true });
                }
                Entry::StepUndone { step } => {
                    for ((of, _), checkpoint) in &mut latest {
                        if of == step {
                            checkpoint.stands = false;
                        }
                    }
                }
                _ => {}
            }
        }
        Checkpoints { latest, snapshots, hooks }
    }

    /// The latest one, whether or not its step was undone since: what was seen was seen.
    fn seen(&self, step: &'static str, name: &'static str) -> Option<&Checkpoint<'a>> {
        self.latest.get(&(step, name))
    }

    /// The latest one whose step's effects still stand.
    pub fn standing(&self, step: &'static str, name: &'static str) -> Option<&Checkpoint<'a>> {
        self.seen(step, name).filter(|checkpoint| checkpoint.stands)
    }

    pub fn snapshot(&self) -> Option<Snapshot> {
        let seen = self.seen("rows", "snapshot")?;
        Some(Snapshot {
            at: time(seen.data.get("taken_at")).unwrap_or(seen.at),
            method: text(seen.data.get("method")),
            stall_millis: seen.data.get("stall_millis").and_then(Value::as_f64),
            attempts: seen.data.get("attempts").and_then(Value::as_u64),
            coordinates: coordinates(seen.data.get("coordinates")),
            taken: self.snapshots,
        })
    }

    pub fn cutover(&self) -> Option<Cutover> {
        let seen = self.standing("cutover", "result")?;
        let mut details = seen.data.as_object().cloned().unwrap_or_default();
        let stop = details.remove("write_stop_millis");
        let position = details.remove("position");
        Some(Cutover {
            at: seen.at,
            write_stop_millis: stop.as_ref().and_then(Value::as_f64),
            position: coordinates(position.as_ref()),
            details,
        })
    }

    /// Every run of a hook, in order.
    pub fn hooks(&self) -> Vec<Hook> {
        self.hooks.clone()
    }

    /// The target's version, where a step noted it.
    pub fn target_version(&self) -> Option<String> {
        self.latest.values().find_map(|checkpoint| text(checkpoint.data.get("target_version")))
    }

    /// Where the target answers, when the migration made it.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let seen = self.standing(RESTORE, ENDPOINT)?;
        serde_json::from_value(seen.data.clone()).ok()
    }

    pub fn findings(&self) -> Vec<Finding> {
        // What a step found that was undone since was found all the same.
        let found = self.latest.iter().filter(|((_, name), _)| *name == FINDINGS);
        let mut findings: Vec<Finding> = Vec::new();
        for value in found.flat_map(|(_, checkpoint)| elements(checkpoint.data)) {
            let finding = serde_json::from_value(value.clone()).unwrap_or_else(|_| Finding {
                id: text(value.get("id")).unwrap_or_else(|| "unknown".into()),
                severity: Severity::Note,
                objects: Vec::new(),
                why: text(value.get("why")).unwrap_or_else(|| plain(value)),
                remedy: text(value.get("remedy")).unwrap_or_default(),
            });
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }

    pub fn not_migrated(&self) -> Vec<NotMigrated> {
        let mut all: Vec<NotMigrated> = Vec::new();
        let made = objects::MAKERS.iter().find(|step| self.standing(step, NOT_CREATED).is_some());
        let made = made.copied().unwrap_or("objects");
        for (step, name) in [("preflight", "not_migrated"), (made, NOT_CREATED)] {
            for value in self.list(step, name) {
                let one = NotMigrated {
                    kind: text(value.get("kind")).unwrap_or_default(),
                    name: name_of(value.get("name")).unwrap_or_else(|| plain(value)),
                    why: text(value.get("why")).unwrap_or_default(),
                    step: step.to_string(),
                };
                if !all.iter().any(|other| (&other.kind, &other.name) == (&one.kind, &one.name)) {
                    all.push(one);
                }
            }
        }
        // What of accounts couldn't be taken along, where they are.
        let moved =
            self.standing("objects", "accounts_moved").and_then(|seen| seen.data.get("left_out"));
        for value in moved.into_iter().flat_map(elements) {
            let part = |key: &str| text(value.get("account").and_then(|account| account.get(key)));
            let account = format!(
                "{}@{}",
                part("user").unwrap_or_default(),
                part("host").unwrap_or_default()
            );
            let what = text(value.get("what")).unwrap_or_default();
            let (kind, name) = match what.as_str() {
                "account" => ("account", account),
                _ => ("grant", format!("{account}: {what}")),
            };
            let why = [text(value.get("why")), text(value.get("remedy"))];
            all.push(NotMigrated {
                kind: kind.into(),
                name,
                why: why.into_iter().flatten().collect::<Vec<_>>().join("; "),
                step: "objects".into(),
            });
        }
        all
    }

    pub fn left_on_source(&self) -> Vec<Leftover> {
        let Some(seen) = self.standing("clean_up", "left_on_source") else { return Vec::new() };
        elements(seen.data)
            .map(|value| {
                let first = |keys: &[&str]| keys.iter().find_map(|key| text(value.get(*key)));
                Leftover {
                    kind: first(&["kind"]),
                    name: first(&["name", "what", "object"]).unwrap_or_else(|| plain(value)),
                    why: first(&["why"]),
                    sql: first(&["sql", "remove", "statement", "remedy"]),
                }
            })
            .collect()
    }

    fn list(&self, step: &'static str, name: &'static str) -> impl Iterator<Item = &'a Value> {
        self.seen(step, name).into_iter().flat_map(|checkpoint| elements(checkpoint.data))
    }
}

/// The elements of a list; anything else but nothing is its own only element.
pub(super) fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    let (list, single) = match value {
        Value::Array(list) => (list.as_slice(), None),
        Value::Null => (&[][..], None),
        other => (&[][..], Some(other)),
    };
    list.iter().chain(single)
}

/// A text that isn't empty.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_string)
}

/// A name: a text, or a table's full name with its parts apart.
pub(super) fn name_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Object(parts) => {
            let part = |key: &str| parts.get(key).and_then(Value::as_str);
            Some(format!("{}.{}", part("database")?, part("name")?))
        }
        other => text(Some(other)),
    }
}

/// Any value on one line: a text as it is, the rest as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A point in a server's history: `file:position (gtids)`.
pub(super) fn coordinates(value: Option<&Value>) -> Option<String> {
    let value = value.filter(|value| !value.is_null())?;
    let Some(parts) = value.as_object() else { return Some(plain(value)) };
    let at = |parts: &Map<String, Value>| {
        let file = text(parts.get("file"))?;
        Some(format!("{file}:{}", parts.get("position")?.as_u64()?))
    };
    let file = parts.get("file").and_then(Value::as_object).and_then(at).or_else(|| at(parts));
    match (file, text(parts.get("gtids"))) {
        (Some(file), Some(gtids)) => Some(format!("{file} ({gtids})")),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => Some(plain(value)),
    }
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    value.and_then(Value::as_str)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn positions_of_any_shape_are_shown() {
        let shown = |value: Value| coordinates(Some(&value));
        assert_eq!(
            shown(json!({"file": {"file": "b.1", "position": 4}, "gtids": "u:1-3"})).unwrap(),
            "b.1:4 (u:1-3)"
        );
        assert_eq!(shown(json!({"file": null, "gtids": "u:1"})).unwrap(), "u:1");
        assert_eq!(shown(json!({"file": "b.1", "position": 4})).unwrap(), "b.1:4");
        assert_eq!(shown(json!("b.1:4")).unwrap(), "b.1:4");
        assert_eq!(shown(json!({"other": 1})).unwrap(), r#"{"other":1}"#);
        assert_eq!(shown(Value::Null), None);
    }
}
