//! Which of Aurora's versions takes the backup: the closest one that isn't older than the source.

use crate::{
    aws::rds::EngineVersion,
    engine::{Finding, Severity},
    error::{Error, Kind, Result},
    mysql::{Dialect, Product},
    transit::inspect::rules::REFUSED_RELEASES,
};

/// Major and minor.
type Aurora = (u16, u16);

/// Major, minor and patch.
type Mysql = (u16, u16, u16);

/// The MySQL version that an Aurora version is compatible with, where its description doesn't say it:
/// Aurora's major and minor, and the least patch of MySQL.
///
/// Source: Aurora MySQL release notes (titles: "version 3.04.0, compatible with MySQL 8.0.28").
const COMPATIBLE: [(Aurora, Mysql); 16] = [
    ((2, 7), (5, 7, 12)),
    ((2, 11), (5, 7, 12)),
    ((2, 12), (5, 7, 44)),
    ((3, 1), (8, 0, 23)),
    ((3, 2), (8, 0, 23)),
    ((3, 3), (8, 0, 26)),
    ((3, 4), (8, 0, 28)),
    ((3, 5), (8, 0, 32)),
    ((3, 6), (8, 0, 34)),
    ((3, 7), (8, 0, 36)),
    ((3, 8), (8, 0, 39)),
    ((3, 9), (8, 0, 40)),
    ((3, 10), (8, 0, 42)),
    ((3, 11), (8, 0, 43)),
    ((3, 12), (8, 0, 44)),
    ((3, 13), (8, 0, 45)),
];

/// The version that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Aurora's version.
    pub version: EngineVersion,
    /// The server version that it is compatible with.
    pub compatible: (u16, u16, u16),
}

/// `3.04.1` of `8.0.mysql_aurora.3.04.1`.
fn aurora(version: &str) -> (u16, u16, u16, u16) {
    let text = version.split_once("aurora.").map_or("", |(_, rest)| rest);
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    (part(), part(), part(), part())
}

/// Whose server, and which version, an Aurora version is compatible with.
fn compatible(version: &EngineVersion) -> Option<Dialect> {
    if let Some((_, rest)) = version.description.split_once("compatible with ") {
        let text = rest.trim_end_matches([')', ' ']);
        let (product, number) = text.split_once(' ')?;
        let found = Dialect::read(&format!("{number}-{product}"), None);
        if found.version.0 > 0 {
            return Some(found);
        }
    }
    let (major, minor, ..) = aurora(&version.version);
    let (_, (x, y, z)) = COMPATIBLE.iter().find(|(known, _)| *known == (major, minor))?;
    Some(Dialect::read(&format!("{x}.{y}.{z}"), None))
}

/// A version without what a distribution hangs on to it: `8.0.36`.
pub(super) fn plain(version: &str) -> String {
    let (major, minor, patch) = Dialect::read(version, None).version;
    format!("{major}.{minor}.{patch}")
}

/// Chooses among the versions that RDS offers; `wish` is one that was named.
///
/// # Errors
/// `Blocked` when none takes the source, or the one that was named doesn't.
pub fn choose(offered: &[EngineVersion], source: &str, wish: Option<&str>) -> Result<Choice> {
    let source = Dialect::read(source, None);
    let refuse = |what: String, next: &str| {
        Err(Error::new(Kind::Blocked, what).at("engine_version").next(next))
    };
    if source.mysql_from(8, 4, 0) {
        return refuse(
            format!(
                "a physical backup of {source} can't be restored: Aurora takes MySQL 5.7 and 8.0"
            ),
            "take the logical route (`daybreak plan --route logical`), or upgrade in Aurora after \
             restoring a backup of MySQL 8.0",
        );
    }
    let takes = |version: &EngineVersion| {
        let found = compatible(version)?;
        let (major, minor, ..) = aurora(&version.version);
        let (x, y, z) = source.version;
        let too_new = (major, minor) >= (3, 5)
            && source.product == Product::Mysql
            && REFUSED_RELEASES.contains(&(x.into(), y.into(), z.into()));
        (found.same_series(&source) && found.version >= source.version && !too_new)
            .then_some(Choice { version: version.clone(), compatible: found.version })
    };
    if let Some(wish) = wish {
        let Some(version) = offered.iter().find(|version| version.version == wish) else {
            return refuse(
                format!("Aurora {wish} isn't offered in this Region"),
                "name one that `aws rds describe-db-engine-versions --engine aurora-mysql` lists, or \
                 none, and the closest is taken",
            );
        };
        return match takes(version) {
            Some(choice) => Ok(choice),
            None => refuse(
                format!(
                    "Aurora {wish} takes no backup of {source}: it is of another series, or older"
                ),
                "leave engine_version out of [restore], and the closest that isn't older is taken",
            ),
        };
    }
    let closest = offered.iter().filter_map(takes).min_by_key(|choice| {
        // Of one compatibility the newest patch of Aurora's.
        (choice.compatible, std::cmp::Reverse(aurora(&choice.version.version)))
    });
    match closest {
        Some(choice) => Ok(choice),
        None => {
            let next = match source.product {
                Product::Mariadb => {
                    "Aurora takes no physical backup of MariaDB: take the logical route (`daybreak plan \
                     --route logical`)"
                }
                Product::Mysql if source.version < (5, 7, 0) => {
                    "Aurora for MySQL 5.6 was retired: upgrade the source to 5.7 or 8.0 first, or take \
                     the logical route (`daybreak plan --route logical`)"
                }
                Product::Mysql => {
                    "no version that isn't older is offered: restore from an older server's backup isn't \
                     a way round; take the logical route (`daybreak plan --route logical`)"
                }
            };
            refuse(format!("no Aurora version in this Region takes a backup of {source}"), next)
        }
    }
}

/// What is worth knowing of a choice.
pub(super) fn notes(choice: &Choice, source: &str) -> Vec<Finding> {
    let from = Dialect::read(source, None);
    let (major, minor, patch) = choice.compatible;
    if from.version == choice.compatible {
        return Vec::new();
    }
    vec![Finding {
        id: "restore.engine_version".into(),
        severity: Severity::Note,
        objects: vec![choice.version.version.clone()],
        why: format!(
            "the source is {}, the closest Aurora version offered is compatible with {major}.{minor}.{patch}",
            plain(source)
        ),
        remedy: "nothing to do; another one can be named as engine_version in [restore]".into(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Vec<EngineVersion> {
        let version = |version: &str, compatible: &str| EngineVersion {
            version: version.into(),
            family: "aurora-mysql8.0".into(),
            description: match compatible {
                "" => String::new(),
                text => format!("Aurora MySQL (compatible with {text})"),
            },
        };
        vec![
            version("5.7.mysql_aurora.2.11.5", "MySQL 5.7.12"),
            version("5.7.mysql_aurora.2.12.5", "MySQL 5.7.44"),
            version("8.0.mysql_aurora.3.04.0", "MySQL 8.0.28"),
            version("8.0.mysql_aurora.3.04.10", ""),
            version("8.0.mysql_aurora.3.04.4", "MySQL 8.0.28"),
            version("8.0.mysql_aurora.3.08.2", "MySQL 8.0.39"),
            version("8.4.mysql_aurora.8.4.7", "MySQL 8.4.7"),
        ]
    }

    #[test]
    fn the_closest_that_is_not_older() {
        for (source, wanted) in [
            ("8.0.28", "8.0.mysql_aurora.3.04.10"),
            ("8.0.29-log", "8.0.mysql_aurora.3.08.2"),
            ("8.0.11", "8.0.mysql_aurora.3.04.10"),
            ("5.7.12", "5.7.mysql_aurora.2.11.5"),
            ("5.7.30-log", "5.7.mysql_aurora.2.12.5"),
        ] {
            assert_eq!(
                choose(&offered(), source, None).unwrap().version.version,
                wanted,
                "{source}"
            );
        }
    }

    #[test]
    fn what_no_version_takes_is_refused() {
        for (source, word) in [
            ("8.0.45", "logical"),
            ("8.4.3", "logical"),
            ("9.7.0", "logical"),
            ("5.6.24", "retired"),
            ("10.11.14-MariaDB", "MariaDB"),
        ] {
            let error = choose(&offered(), source, None).unwrap_err();
            assert_eq!(error.kind(), Kind::Blocked);
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_wish_is_granted_or_refused() {
        let wish = |source: &str, wish: &str| choose(&offered(), source, Some(wish));
        assert!(wish("8.0.20", "8.0.mysql_aurora.3.08.2").is_ok());
        // Older than the source, of another series, too new for a source that early, not offered.
        for (source, wished) in [
            ("8.0.32", "8.0.mysql_aurora.3.04.0"),
            ("5.7.44", "8.0.mysql_aurora.3.08.2"),
            ("8.0.13", "8.0.mysql_aurora.3.08.2"),
            ("8.0.13", "8.0.mysql_aurora.3.99.0"),
        ] {
            assert_eq!(
                wish(source, wished).unwrap_err().kind(),
                Kind::Blocked,
                "{source} {wished}"
            );
        }
    }
}
