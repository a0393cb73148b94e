//! A line of SHOW GRANTS, taken apart so that some of its privileges can be left out.

/// What `ALL PRIVILEGES ON *.*` stands for, as far as the target may know it.
///
/// Source: MySQL manual, *Privileges Provided by MySQL*, static privileges.
const ALL: [&str; 29] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "RELOAD",
    "SHUTDOWN",
    "PROCESS",
    "FILE",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "SHOW DATABASES",
    "SUPER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "REPLICATION SLAVE",
    "REPLICATION CLIENT",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "CREATE USER",
    "EVENT",
    "TRIGGER",
    "CREATE ROLE",
    "DROP ROLE",
];

/// A grant of privileges, or of roles (then without `ON`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    list: Vec<String>,
    on: Option<String>,
    option: Option<&'static str>,
}

/// Words at the top: outside of quotes and parentheses, with where each stands.
fn words(line: &str) -> Vec<(usize, &str)> {
    let (mut words, mut begun, mut depth, mut quote) = (Vec::new(), None, 0u32, None);
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) => {
                if *byte == open {
                    quote = None;
                }
                continue;
            }
            (None, b'`' | b'\'' | b'"') => {
                quote = Some(*byte);
                begun.get_or_insert(at);
                continue;
            }
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends = depth == 0 && (byte.is_ascii_whitespace() || *byte == b',');
        match (ends, begun) {
            (true, Some(from)) => {
                words.push((from, &line[from..at]));
                begun = None;
            }
            (false, None) => begun = Some(at),
            _ => {}
        }
        if *byte == b',' && depth == 0 {
            words.push((at, ","));
        }
    }
    if let Some(from) = begun {
        words.push((from, &line[from..]));
    }
    words
}

impl Grant {
    /// None for what isn't a plain grant.
    pub fn read(line: &str) -> Option<Grant> {
        let words = words(line);
        let is = |at: usize, word: &str| {
            words.get(at).is_some_and(|(_, w)| w.eq_ignore_ascii_case(word))
        };
        if !is(0, "GRANT") || is(1, "PROXY") {
            return None;
        }
        let to = (0..words.len()).find(|at| is(*at, "TO"))?;
        let on = (0..to).find(|at| is(*at, "ON"));
        let head = &words[1..on.unwrap_or(to)];
        let list: Vec<String> = head
            .split(|(_, word)| *word == ",")
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (from, (last, word)) = (part[0].0, part[part.len() - 1]);
                line[from..last + word.len()].to_string()
            })
            .collect();
        let place = match on {
            Some(on) => Some(line[words.get(on + 1)?.0..words[to].0].trim().to_string()),
            None => None,
        };
        let has = |what: &str| (to..words.len()).any(|at| is(at, what) && is(at + 1, "OPTION"));
        let option = match () {
            () if has("GRANT") => Some("WITH GRANT OPTION"),
            () if has("ADMIN") => Some("WITH ADMIN OPTION"),
            () => None,
        };
        Some(Grant { list, on: place, option })
    }

    /// What is granted, `ALL PRIVILEGES` on the whole server taken apart.
    pub fn privileges(&self) -> Vec<String> {
        let all = |privilege: &String| {
            matches!(privilege.to_ascii_uppercase().as_str(), "ALL PRIVILEGES" | "ALL")
        };
        if self.on.as_deref() == Some("*.*") && self.list.iter().any(all) {
            return ALL.iter().map(ToString::to_string).collect();
        }
        self.list.clone()
    }

    /// Where.
    pub fn on(&self) -> &str {
        self.on.as_deref().unwrap_or("no table")
    }

    /// For people.
    pub fn names(&self, privilege: &str) -> String {
        match &self.on {
            Some(on) => format!("{privilege} ON {on}"),
            None => format!("role {privilege}"),
        }
    }

    /// The statement for some of it.
    pub fn sql(&self, privileges: &[String], to: &str) -> String {
        let on = self.on.as_ref().map(|on| format!(" ON {on}")).unwrap_or_default();
        let option = self.option.map(|option| format!(" {option}")).unwrap_or_default();
        format!("GRANT {}{on} TO {to}{option}", privileges.join(", "))
    }
}

/// A line for people: 5.6 prints the hash in it.
pub(super) fn shown(line: &str) -> String {
    let end = words(line)
        .iter()
        .find(|(_, word)| {
            word.eq_ignore_ascii_case("IDENTIFIED") || word.eq_ignore_ascii_case("VIA")
        })
        .map_or(line.len(), |(at, _)| *at);
    line[..end].trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(line: &str) -> String {
        let grant = Grant::read(line).unwrap();
        grant.sql(&grant.list, "'u'@'%'")
    }

    #[test]
    fn lines_are_taken_apart() {
        for (line, same) in [
            (
                "GRANT SELECT, INSERT (`a, b`, `to`), SHOW VIEW ON `my db`.`on` TO `x`@`%` WITH GRANT OPTION",
                "GRANT SELECT, INSERT (`a, b`, `to`), SHOW VIEW ON `my db`.`on` TO 'u'@'%' WITH GRANT OPTION",
            ),
            (
                "GRANT EXECUTE ON PROCEDURE `a`.`b` TO 'x'@'%'",
                "GRANT EXECUTE ON PROCEDURE `a`.`b` TO 'u'@'%'",
            ),
            ("GRANT `r`@`%`,`s`@`%` TO `x`@`%`", "GRANT `r`@`%`, `s`@`%` TO 'u'@'%'"),
            (
                "GRANT USAGE ON *.* TO 'x'@'%' IDENTIFIED BY PASSWORD '*GEHEIM' REQUIRE SSL",
                "GRANT USAGE ON *.* TO 'u'@'%'",
            ),
            (
                "GRANT ALL PRIVILEGES ON `shop`.* TO `x`@`%`",
                "GRANT ALL PRIVILEGES ON `shop`.* TO 'u'@'%'",
            ),
        ] {
            assert_eq!(again(line), same);
        }
        assert!(
            Grant::read("GRANT PROXY ON ''@'' TO 'root'@'localhost' WITH GRANT OPTION").is_none()
        );
        assert!(Grant::read("REVOKE SELECT ON `a`.* FROM `x`@`%`").is_none());
        let all = Grant::read("GRANT ALL PRIVILEGES ON *.* TO 'x'@'%'").unwrap();
        assert!(all.privileges().contains(&"SUPER".to_string()) && all.privileges().len() == 29);
    }

    #[test]
    fn no_hash_is_shown() {
        let line = "SET PASSWORD x IDENTIFIED BY PASSWORD '*GEHEIM'";
        assert!(!shown(line).contains("GEHEIM"));
    }
}
