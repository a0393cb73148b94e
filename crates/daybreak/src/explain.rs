//! What the troubles of a migration mean: one table of explanations, each with its cause, how to
//! confirm it, and the remedy. The same texts are the hints of errors that have none of their own, the
//! words beside a replica that stopped, and what `daybreak explain` prints.
//!
//! Numbers are the servers' (MySQL error reference; MariaDB's below 1900 are the same), the client
//! library's (2000 to 2999) and the operating system's (below 200). Names are the servers' symbols,
//! the ids of daybreak's findings, and what it says itself.

mod backups;
mod connecting;
mod loading;
mod own;
mod replicating;
mod source_findings;
mod target_findings;

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// What was being done. One number means different things in different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Logging in, or staying connected.
    Connecting,
    /// Reading the source or writing to the target, by daybreak.
    Loading,
    /// Following the source, by the target's replica.
    Replicating,
    /// Anything: a finding or an error of daybreak's own.
    Migrating,
}

/// A trouble, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The numbers that it comes with; none for what has no number.
    pub codes: &'static [u16],
    /// The server's symbol for the (first) number, or daybreak's id. Not unique: a number may have
    /// several explanations.
    pub name: &'static str,
    /// What was being done.
    pub doing: Doing,
    /// Words of the message by which this one is told from others with the same number.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub says: &'static [&'static str],
    /// In one line.
    pub title: &'static str,
    /// Why it happens.
    pub cause: &'static str,
    /// How to make sure that this is it: statements, and where to run them.
    pub confirm: &'static [&'static str],
    /// What to do.
    pub remedy: &'static str,
}

impl Explanation {
    /// Cause and remedy in one text, for an error's hint.
    pub fn hint(&self) -> String {
        format!("{}; {}", self.cause, self.remedy)
    }

    fn says_so(&self, text: &str) -> bool {
        self.says.iter().any(|words| text.contains(&words.to_lowercase()))
    }
}

/// An explanation of a finding.
const fn finding(
    name: &'static str,
    title: &'static str,
    cause: &'static str,
    confirm: &'static [&'static str],
    remedy: &'static str,
) -> Explanation {
    Explanation {
        codes: &[],
        name,
        doing: Doing::Migrating,
        says: &[],
        title,
        cause,
        confirm,
        remedy,
    }
}

/// Every explanation, by what was being done.
pub fn all() -> impl Iterator<Item = &'static Explanation> {
    [
        connecting::TABLE,
        loading::TABLE,
        replicating::TABLE,
        own::TABLE,
        source_findings::TABLE,
        target_findings::TABLE,
        &backups::TABLE,
    ]
    .into_iter()
    .flatten()
}

/// The explanation of a number, by what was being done and the words that came with it.
pub fn of_code(code: u16, text: &str, doing: Doing) -> Option<&'static Explanation> {
    let text = text.to_lowercase();
    let fits = |one: &&Explanation| one.codes.contains(&code);
    // Words decide before the place; without either, one that isn't about other words.
    let here = || all().filter(fits).filter(|one| one.doing == doing);
    here()
        .find(|one| one.says_so(&text))
        .or_else(|| here().find(|one| one.says.is_empty()))
        .or_else(|| {
            // A receiver logs in as well; a loader's number says nothing of a replica.
            all().filter(fits).find(|one| one.doing == Doing::Connecting && one.says.is_empty())
        })
}

/// The explanation of a name: a symbol, a state of a replica, a finding.
pub fn named(name: &str) -> Option<&'static Explanation> {
    // The findings about privileges are one family.
    let name = if name.contains(".privilege.") { "privilege" } else { name };
    all().find(|one| one.name.eq_ignore_ascii_case(name))
}

/// The remedy for an error that names no better one.
pub(crate) fn remedy(kind: Kind, code: u16, text: &str) -> Option<&'static str> {
    let doing = match kind {
        Kind::Replication => Doing::Replicating,
        Kind::Login | Kind::Connect | Kind::ConnectionLost | Kind::Tls => Doing::Connecting,
        _ => Doing::Loading,
    };
    of_code(code, text, doing).map(|one| one.remedy)
}

/// What is known of a number, a name, or a message that was pasted.
///
/// # Errors
/// `Usage` when nothing is.
pub fn look_up(asked: &str) -> Result<Vec<&'static Explanation>> {
    let asked = asked.trim();
    let found = match asked.parse::<u16>() {
        Ok(code) => all().filter(|one| one.codes.contains(&code)).collect(),
        Err(_) => {
            // A symbol may have several explanations.
            let by_name: Vec<_> = match named(asked) {
                Some(first) => all().filter(|one| one.name == first.name).collect(),
                None => Vec::new(),
            };
            if by_name.is_empty() { in_text(&asked.to_lowercase()) } else { by_name }
        }
    };
    if !found.is_empty() {
        return Ok(found);
    }
    Err(Error::new(Kind::Usage, format!("nothing is known here of {asked:?}"))
        .next("`daybreak explain` lists what is; the server's manual knows the others"))
}

/// Looks for numbers and for telling words in a message.
fn in_text(text: &str) -> Vec<&'static Explanation> {
    let mut words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    // A small number is one of the operating system's only where the text says so.
    let numbers: Vec<u16> = words
        .clone()
        .filter_map(|word| word.parse().ok())
        .filter(|n| {
            let said = |before: &str| text.contains(&format!("{before} {n}"));
            *n >= 1000 || ["error", "errno", "errno:", "errcode:"].into_iter().any(said)
        })
        .collect();
    let numbered: Vec<_> =
        all().filter(|one| one.codes.iter().any(|code| numbers.contains(code))).collect();
    let exact: Vec<_> = numbered.iter().copied().filter(|one| one.says_so(text)).collect();
    if !exact.is_empty() {
        return exact;
    }
    if !numbered.is_empty() {
        return numbered;
    }
    let told: Vec<_> = all().filter(|one| one.says_so(text)).collect();
    if !told.is_empty() {
        return told;
    }
    if let Some(name) = words.find_map(named) {
        return vec![name];
    }
    all().filter(|one| !text.is_empty() && one.title.to_lowercase().contains(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_has_all_its_parts() {
        let mut seen = std::collections::HashSet::new();
        for one in all() {
            for part in [one.name, one.title, one.cause, one.remedy] {
                assert!(part.len() > 3 && part.trim() == part, "{one:?}");
            }
            assert!(!one.confirm.is_empty() && one.confirm.iter().all(|how| how.len() > 5));
            assert!(one.cause.len() > 20 && one.remedy.len() > 20, "{one:?}");
            assert!(seen.insert((one.name, one.codes, one.doing, one.says)), "twice: {one:?}");
        }
        // What a doctor of replication must know, and what daybreak was seen to meet.
        for code in [
            2005, 2003, 1045, 1227, 1064, 1049, 1146, 2020, 2006, 28, 1114, 126, 1034, 1236, 1062,
            1032, 13117, 1782, 1781, 13121, 1412, 1205, 1213, 3024, 1290, 1418, 3546,
        ] {
            let found = look_up(&code.to_string()).unwrap();
            assert!(found.iter().all(|one| one.codes.contains(&code)) && !found.is_empty());
        }
    }

    /// The ids stand in the rules' own text: a new one without an explanation fails here.
    #[test]
    fn every_finding_is_explained() {
        let plain = |text: &&str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
        };
        let mut ids = std::collections::BTreeSet::new();
        for rules in [
            include_str!("source/assess/rules/activity.rs"),
            include_str!("source/assess/rules/objects.rs"),
            include_str!("source/assess/rules/privileges.rs"),
            include_str!("source/assess/rules/products.rs"),
            include_str!("source/assess/rules/replication.rs"),
            include_str!("source/assess/rules/servers.rs"),
            include_str!("source/assess/rules/tables.rs"),
            include_str!("switch/clean_up.rs"),
            include_str!("sync/replicate.rs"),
            include_str!("sync/verify.rs"),
            include_str!("target/objects.rs"),
            include_str!("target/rows.rs"),
            include_str!("target/schema/step.rs"),
        ] {
            ids.extend(rules.split('"').filter(plain).filter(|text| {
                text.split_once('.').is_some_and(|(family, id)| {
                    !id.is_empty()
                        && ["source", "target", "select", "replication", "rows", "verify"]
                            .contains(&family)
                })
            }));
        }
        assert!(ids.len() > 60, "{ids:?}");
        let gates = include_str!("switch/cut_over/gates.rs");
        let gates: Vec<String> = gates
            .split("Gate::fails(")
            .skip(1)
            .filter_map(|gate| gate.split('"').find(plain))
            .map(|id| format!("cutover.{id}"))
            .collect();
        assert!(gates.len() > 10, "{gates:?}");
        let rules = crate::transit::inspect::rules::RULES;
        let backups = rules.iter().map(|rule| rule.id);
        let ids = ids.into_iter().chain(gates.iter().map(String::as_str)).chain(backups);
        let unknown: Vec<_> = ids.filter(|id| named(id).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn words_tell_variants_apart() {
        let of = |text: &str| of_code(1236, text, Doing::Replicating).unwrap().title;
        let missing = of("Could not find first log file name in binary log index file");
        let impossible =
            of("Client requested source to start replication from impossible position");
        let purged =
            of("... the source has purged binary logs containing GTIDs that the replica requires.");
        assert!(missing != impossible && impossible != purged && purged != missing);
        assert_ne!(of(""), purged);
        // One number, two places.
        let here = |doing| of_code(1062, "", doing).unwrap().remedy;
        assert_ne!(here(Doing::Loading), here(Doing::Replicating));
        // A receiver that can't log in meets what every client meets.
        assert!(of_code(2003, "", Doing::Replicating).is_some());
        assert!(of_code(9999, "", Doing::Loading).is_none());
    }

    #[test]
    fn messages_are_understood() {
        let pasted = "Got fatal error 1236 from source when reading data from binary log: 'Could not find first log file name'";
        assert_eq!(look_up(pasted).unwrap().len(), 1);
        assert_eq!(look_up("er_dup_entry").unwrap().len(), 3);
        assert_eq!(
            look_up("Waiting for the replica SQL thread to free enough relay log space").unwrap()
                [0]
            .name,
            "relay-space"
        );
        assert_eq!(
            look_up("invalidating query cache entries (table)").unwrap()[0].name,
            "query-cache"
        );
        assert_eq!(look_up("OS errno 28 - No space left on device").unwrap().len(), 2);
        for unknown in ["worker 28 of 126", "9999", "no such thing", ""] {
            let error = look_up(unknown).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{unknown}");
        }
    }
}
