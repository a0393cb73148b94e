//! The true order of full and incremental backups.
//!
//! A link begins at the LSN where the one before it ends. Where two begin at the same LSN that doesn't
//! decide: then the redo log's end, the time and the binary log position do, in this order.

use super::links::Backup;
use crate::transit::inspection::BackupKind;

/// A chain, as positions in the list of backups.
#[derive(Debug, Default)]
pub struct Chain {
    /// In the order in which they must be applied.
    pub order: Vec<usize>,
    /// What stands in the way: a rule's name, what is concerned, and in which way.
    pub faults: Vec<(&'static str, Vec<String>, String)>,
}

/// What decides between links with the same LSN.
fn key<'a>(backup: &'a Backup<'_>) -> (u64, &'a str, Option<(&'a str, u64)>) {
    let last = backup.checkpoints.as_ref().map_or(0, |checkpoints| checkpoints.last_lsn);
    let start = backup.info.as_ref().and_then(|info| info.get("start_time")).unwrap_or_default();
    let position = backup
        .position
        .as_ref()
        .and_then(|position| position.coordinates.file.as_ref())
        .map(|at| (at.file.as_str(), at.position));
    (last, start, position)
}

fn lsns(backup: &Backup<'_>) -> (u64, u64) {
    backup.checkpoints.as_ref().map_or((0, 0), |found| (found.from_lsn, found.to_lsn))
}

/// Puts backups in order.
pub fn build(backups: &[Backup<'_>]) -> Chain {
    let mut chain = Chain::default();
    let name = |at: usize| backups[at].name.clone();
    let known = |at: &usize| backups[*at].checkpoints.is_some();
    let is_incremental = |at: &usize| {
        backups[*at].checkpoints.as_ref().is_some_and(|c| c.kind == BackupKind::Incremental)
    };
    let (mut left, mut fulls): (Vec<usize>, Vec<usize>) =
        (0..backups.len()).filter(known).partition(is_incremental);
    left.sort_by(|a, b| key(&backups[*a]).cmp(&key(&backups[*b])));
    fulls.sort_by(|a, b| key(&backups[*a]).cmp(&key(&backups[*b])));
    if fulls.len() > 1 {
        let names = fulls.iter().map(|at| name(*at)).collect();
        chain.faults.push(("backup.several_fulls", names, format!("{} of them", fulls.len())));
    }
    let Some(base) = fulls.first().copied() else {
        if !left.is_empty() {
            let names: Vec<String> = left.iter().map(|at| name(*at)).collect();
            let what = format!("there is no full backup below {}", names.join(", "));
            chain.faults.push(("backup.no_base", names, what));
        }
        left.sort_by_key(|at| {
            (lsns(&backups[*at]), backups[*at].checkpoints.as_ref().map(|c| c.last_lsn))
        });
        chain.order = left;
        return chain;
    };
    equal_lsns(backups, &left, &mut chain);
    let prepared =
        backups[base].checkpoints.as_ref().is_some_and(|found| found.kind == BackupKind::Prepared);
    if prepared && !left.is_empty() {
        let names = left.iter().map(|at| name(*at)).collect();
        let what = format!("{} is prepared to the end", name(base));
        chain.faults.push(("backup.base_prepared", names, what));
    }
    chain.order = fulls.clone();
    let mut at = lsns(&backups[base]).1;
    loop {
        let next: Vec<usize> =
            left.iter().copied().filter(|link| lsns(&backups[*link]).0 == at).collect();
        // One without a checkpoint of its own comes before those that go on; `left` is in order.
        let chosen = match next.iter().copied().find(|link| lsns(&backups[*link]).1 == at) {
            Some(still) => still,
            None => {
                let farthest = next.iter().copied().max_by_key(|link| {
                    (reach(backups, &left, *link, left.len()), key(&backups[*link]))
                });
                let Some(chosen) = farthest else { break };
                let older: Vec<usize> =
                    next.iter().copied().filter(|link| *link != chosen).collect();
                if !older.is_empty() {
                    let names: Vec<String> = older.iter().map(|link| name(*link)).collect();
                    let what = format!("{} instead of {}", name(chosen), names.join(", "));
                    chain.faults.push(("backup.superseded", names, what));
                    left.retain(|link| !older.contains(link));
                }
                chosen
            }
        };
        left.retain(|link| *link != chosen);
        at = lsns(&backups[chosen]).1;
        chain.order.push(chosen);
    }
    if !left.is_empty() {
        let names: Vec<String> = left.iter().map(|at| name(*at)).collect();
        let wanted: Vec<String> = left
            .iter()
            .map(|at| format!("{} begins at LSN {}", name(*at), lsns(&backups[*at]).0))
            .collect();
        let what = format!("{}; the chain ends at {at}", wanted.join(", "));
        chain.faults.push(("backup.link_missing", names, what));
    }
    backwards(backups, &mut chain);
    chain
}

/// The farthest LSN that a link leads to.
fn reach(backups: &[Backup<'_>], links: &[usize], from: usize, depth: usize) -> u64 {
    let (begins, ends) = lsns(&backups[from]);
    let farther = links.iter().copied().filter(|link| {
        depth > 0 && ends > begins && *link != from && lsns(&backups[*link]).0 == ends
    });
    // A link without progress adds nothing, and would lead to itself.
    farther
        .filter(|link| lsns(&backups[*link]).1 > ends)
        .map(|link| reach(backups, links, link, depth - 1))
        .max()
        .unwrap_or(ends)
}

fn equal_lsns(backups: &[Backup<'_>], links: &[usize], chain: &mut Chain) {
    let mut names = Vec::new();
    for (at, one) in links.iter().enumerate() {
        for other in &links[at + 1..] {
            let ((from, to), (other_from, other_to)) =
                (lsns(&backups[*one]), lsns(&backups[*other]));
            let still = from == to || other_from == other_to;
            if (from, to) == (other_from, other_to)
                || (still && (from == other_from || to == other_to))
            {
                for link in [one, other] {
                    let name = backups[*link].name.clone();
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
    }
    if !names.is_empty() {
        let what = format!("the order is {}", names.join(", "));
        chain.faults.push(("backup.equal_lsn", names, what));
    }
}

/// Links whose time or redo log contradicts the order.
fn backwards(backups: &[Backup<'_>], chain: &mut Chain) {
    for pair in chain.order.windows(2) {
        let (one, other) = (&backups[pair[0]], &backups[pair[1]]);
        if lsns(other).0 == 0 {
            continue;
        }
        let ((last, start, _), (other_last, other_start, _)) = (key(one), key(other));
        let earlier = !start.is_empty() && !other_start.is_empty() && other_start < start;
        if other_last < last || earlier {
            let what = format!("{} comes before {}", other.name, one.name);
            chain.faults.push(("backup.order", vec![one.name.clone(), other.name.clone()], what));
        }
    }
}
