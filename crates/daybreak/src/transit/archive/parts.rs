//! Archives that were split: which files belong together, in which order, and what is missing.

use std::collections::BTreeMap;

use super::Blob;

/// The endings that Amazon Aurora takes, and by which it tells what a file is.
pub const ENDINGS: &[&str] = &[".tar.gz", ".tgz", ".gz", ".tar", ".xbstream", ".xbs"];

/// An archive: one file, or its parts in order.
#[derive(Clone)]
pub struct Archive {
    /// Its name without the part's number.
    pub name: String,
    /// The ending without the number, such as `.tar.gz`.
    pub ending: &'static str,
    /// In the order in which they must be read.
    pub parts: Vec<Blob>,
    /// Whether the parts are numbered.
    pub numbered: bool,
    /// Whether a dot stands before the number.
    pub dotted: bool,
    /// Whether all numbers have the same width.
    pub even: bool,
    /// Parts that must be there and aren't.
    pub missing: Vec<String>,
}

/// A file's name, taken apart.
struct Name<'a> {
    stem: &'a str,
    ending: &'static str,
    number: Option<(bool, &'a str)>,
}

/// Whether a dot stands before a part's number, the number, the part.
type Part = (bool, String, Blob);

/// Takes an archive's name apart: stem with ending, and the number after it.
fn take_apart(name: &str) -> Option<Name<'_>> {
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (front, number) = name.split_at(name.len() - digits);
    let (front, dotted) = match front.strip_suffix('.') {
        Some(shorter) if digits > 0 => (shorter, true),
        _ => (front, false),
    };
    let file = front.rsplit('/').next().unwrap_or(front);
    let lower = file.to_ascii_lowercase();
    let ending =
        ENDINGS.iter().find(|ending| lower.len() > ending.len() && lower.ends_with(**ending))?;
    Some(Name { stem: front, ending, number: (digits > 0).then_some((dotted, number)) })
}

/// Whether a file is named as an archive, or as a part of one.
pub fn is_archive(name: &str) -> bool {
    take_apart(name).is_some()
}

/// The name of the archive of which a file is a numbered part; none: by its name it isn't one.
pub fn whole_of(name: &str) -> Option<&str> {
    take_apart(name).filter(|name| name.number.is_some()).map(|name| name.stem)
}

/// Puts files that are named as archives together.
pub fn group(blobs: Vec<Blob>) -> Vec<Archive> {
    let mut groups: BTreeMap<(String, bool), (&'static str, Vec<Part>)> = BTreeMap::new();
    for blob in blobs {
        let (stem, ending, number) = match take_apart(&blob.name) {
            Some(name) => (
                name.stem.to_string(),
                name.ending,
                name.number.map(|(dotted, number)| (dotted, number.to_string())),
            ),
            None => (blob.name.clone(), "", None),
        };
        let group = groups.entry((stem, number.is_some())).or_insert((ending, Vec::new()));
        let (dotted, number) = number.unwrap_or_default();
        group.1.push((dotted, number, blob));
    }
    groups
        .into_iter()
        .map(|((name, numbered), (ending, parts))| archive(name, numbered, ending, parts))
        .collect()
}

fn archive(name: String, numbered: bool, ending: &'static str, mut parts: Vec<Part>) -> Archive {
    let value = |digits: &str| digits.parse::<u64>().unwrap_or(u64::MAX);
    parts.sort_by(|a, b| value(&a.1).cmp(&value(&b.1)).then_with(|| a.1.cmp(&b.1)));
    let dotted = parts.iter().any(|(dotted, ..)| *dotted);
    let width = parts.first().map_or(0, |(_, digits, _)| digits.len());
    let even = parts.iter().all(|(other, digits, _)| digits.len() == width && *other == dotted);
    let mut missing = Vec::new();
    if numbered {
        let dot = if dotted { "." } else { "" };
        // `split` counts from 0; a set may be numbered from 1 by hand.
        let mut expected = parts.first().map_or(0, |(_, digits, _)| value(digits).min(1));
        if parts.first().is_some_and(|(_, digits, _)| value(digits) > 1) {
            expected = 0;
        }
        for (_, digits, _) in &parts {
            let number = value(digits);
            while expected < number && missing.len() < 20 {
                missing.push(format!("{name}{dot}{expected:0width$}"));
                expected += 1;
            }
            // The same number twice, as 1 and 01.
            if number < expected {
                missing.push(format!("{name}{dot}{digits} (its number is there twice)"));
            }
            expected = number.saturating_add(1);
        }
    }
    let parts = parts.into_iter().map(|(_, _, blob)| blob).collect();
    Archive { name, ending, parts, numbered, dotted, even, missing }
}

/// The parts of an archive, read one after the other. Each must have the size that it was listed with.
pub fn join(parts: Vec<Blob>) -> impl std::io::Read + Send + 'static {
    Joined { parts: parts.into_iter(), now: None }
}

struct Joined {
    parts: std::vec::IntoIter<Blob>,
    now: Option<(String, u64, Box<dyn std::io::Read + Send>)>,
}

impl std::io::Read for Joined {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if self.now.is_none() {
                let Some(blob) = self.parts.next() else { return Ok(0) };
                self.now = Some((blob.name.clone(), blob.size, (blob.open)()?));
            }
            let Some((name, left, stream)) = &mut self.now else { return Ok(0) };
            let read = stream.read(into)?;
            match left.checked_sub(read as u64) {
                Some(rest) if read > 0 => {
                    *left = rest;
                    return Ok(read);
                }
                Some(0) => self.now = None,
                _ => {
                    return Err(std::io::Error::other(format!("{name} changed while it was read")));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Archive> {
        group(names.iter().map(|name| Blob::of_bytes(*name, Vec::new())).collect())
    }

    #[test]
    fn parts_are_read_in_natural_order_and_gaps_are_seen() {
        let one = &named(&["b.tar.gz10", "b.tar.gz9", "b.tar.gz8", "b.tar.gz11"])[0];
        let order: Vec<&str> = one.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(order, ["b.tar.gz8", "b.tar.gz9", "b.tar.gz10", "b.tar.gz11"]);
        assert_eq!(one.missing.len(), 8, "{:?}", one.missing);
        assert!(!one.even && !one.dotted);

        let one = &named(&["x/b.xbstream00000", "x/b.xbstream00002"])[0];
        assert_eq!((one.name.as_str(), one.ending), ("x/b.xbstream", ".xbstream"));
        assert_eq!(one.missing, ["x/b.xbstream00001"]);

        let one = &named(&["b.tar.gz.00", "b.tar.gz.01"])[0];
        assert!(one.dotted && one.even && one.missing.is_empty());
        assert_eq!(named(&["b.tar.gz.01", "b.tar.gz.02"])[0].missing, Vec::<String>::new());
        assert_eq!(named(&["b.tar.gz.02"])[0].missing, ["b.tar.gz.00", "b.tar.gz.01"]);
        assert_eq!(named(&["b.tar.gz.1", "b.tar.gz.01"])[0].missing.len(), 1);
        assert_eq!(named(&["a.tar", "b.xbstream"]).len(), 2);
        assert!(!is_archive("db/table.ibd") && !is_archive("undo_001") && !is_archive(".gz"));
    }
}
