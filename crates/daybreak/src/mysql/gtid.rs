//! GTID sets: parsing, printing, union, difference, containment. Tagged GTIDs (MySQL 8.3+) too.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// A set of transactions, by source (`uuid` or `uuid:tag`) and closed intervals of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidSet(BTreeMap<String, Vec<(u64, u64)>>);

impl GtidSet {
    /// Reads a set as a server writes it: `uuid[:tag]:1-5:7,uuid2:1`, with any white space.
    ///
    /// Source: MySQL manual, *GTID Format and Storage*. Anything else is an error.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::new(Kind::Replication, format!("a GTID set can't be read: {text:?}"));
        let mut set = GtidSet::default();
        for part in text.split(',') {
            let part: String = part.chars().filter(|c| !c.is_whitespace()).collect();
            if part.is_empty() {
                continue;
            }
            let mut fields = part.split(':');
            let uuid =
                fields.next().filter(|uuid| is_uuid(uuid)).ok_or_else(wrong)?.to_ascii_lowercase();
            let mut source = uuid.clone();
            let mut intervals = 0;
            for field in fields {
                if is_tag(field) {
                    source = format!("{uuid}:{}", field.to_ascii_lowercase());
                    continue;
                }
                let (from, to) = match field.split_once('-') {
                    Some((from, to)) => {
                        (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?)
                    }
                    None => {
                        let number = field.parse().map_err(|_| wrong())?;
                        (number, number)
                    }
                };
                if from == 0 || to < from {
                    return Err(wrong());
                }
                set.0.entry(source.clone()).or_default().push((from, to));
                intervals += 1;
            }
            if intervals == 0 {
                return Err(wrong());
            }
        }
        set.0.values_mut().for_each(normalise);
        Ok(set)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every transaction of `other` is in this set.
    pub fn contains(&self, other: &GtidSet) -> bool {
        other.minus(self).is_empty()
    }

    /// The transactions of this set that aren't in `other`.
    pub fn minus(&self, other: &GtidSet) -> GtidSet {
        let mut left = BTreeMap::new();
        for (source, intervals) in &self.0 {
            let mut rest = intervals.clone();
            for &(from, to) in other.0.get(source).map(Vec::as_slice).unwrap_or_default() {
                rest = rest
                    .into_iter()
                    .flat_map(|(a, b)| {
                        let before = (a < from).then(|| (a, b.min(from.saturating_sub(1))));
                        let after = (b > to).then(|| (a.max(to.saturating_add(1)), b));
                        before.into_iter().chain(after)
                    })
                    .collect();
            }
            if !rest.is_empty() {
                left.insert(source.clone(), rest);
            }
        }
        GtidSet(left)
    }

    /// The transactions of either set.
    pub fn union(&self, other: &GtidSet) -> GtidSet {
        let mut all = self.0.clone();
        for (source, intervals) in &other.0 {
            all.entry(source.clone()).or_default().extend(intervals);
        }
        all.values_mut().for_each(normalise);
        GtidSet(all)
    }

    /// How many transactions it holds.
    pub fn count(&self) -> u64 {
        self.0.values().flatten().map(|(from, to)| to - from + 1).sum()
    }

    /// The part that a source (server uuid, with any tag) wrote.
    pub fn of(&self, uuid: &str) -> GtidSet {
        let uuid = uuid.to_ascii_lowercase();
        GtidSet(
            self.0
                .iter()
                .filter(|(source, _)| source.split(':').next() == Some(uuid.as_str()))
                .map(|(source, intervals)| (source.clone(), intervals.clone()))
                .collect(),
        )
    }
}

fn normalise(intervals: &mut Vec<(u64, u64)>) {
    intervals.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
    for &(from, to) in intervals.iter() {
        match merged.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    *intervals = merged;
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_tag(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (source, intervals)) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            f.write_str(source)?;
            for (from, to) in intervals {
                if from == to { write!(f, ":{from}")? } else { write!(f, ":{from}-{to}")? }
            }
        }
        Ok(())
    }
}

impl Serialize for GtidSet {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        GtidSet::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_are_read_as_servers_write_them() {
        let set = GtidSet::parse(&format!("{A}:1-3:5:4,\n{B}:7:blue:1-2:red:9")).unwrap();
        assert_eq!(set.to_string(), format!("{A}:1-5,{B}:7,{B}:blue:1-2,{B}:red:9"));
        assert_eq!(set.count(), 9);
        assert_eq!(GtidSet::parse(&set.to_string()).unwrap(), set);
        assert!(GtidSet::parse("").unwrap().is_empty());
        for wrong in [
            "x",
            "x:1",
            A,
            &format!("{A}:0"),
            &format!("{A}:5-3"),
            &format!("{A}:1-"),
            &format!("{A}:-1"),
        ] {
            assert!(GtidSet::parse(wrong).is_err(), "{wrong}");
        }
    }

    fn model() -> impl Strategy<Value = std::collections::BTreeSet<u64>> {
        proptest::collection::btree_set(1u64..40, 0..25)
    }

    fn set_of(numbers: &std::collections::BTreeSet<u64>) -> GtidSet {
        let text: Vec<String> = numbers.iter().map(|n| format!("{A}:{n}")).collect();
        GtidSet::parse(&text.join(",")).unwrap()
    }

    proptest! {
        #[test]
        fn algebra_is_that_of_sets(a in model(), b in model()) {
            let (x, y) = (set_of(&a), set_of(&b));
            prop_assert_eq!(x.minus(&y), set_of(&a.difference(&b).copied().collect()));
            prop_assert_eq!(x.union(&y), set_of(&a.union(&b).copied().collect()));
            prop_assert_eq!(x.contains(&y), b.is_subset(&a));
        }
    }
}
