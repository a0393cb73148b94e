//! A definition without some of its columns, and what of it can't do without one.

use super::{CreateTable, Element, ElementKind, KeyKind, parse::Words, token::TokenKind};
use crate::select::same_column;

impl CreateTable {
    /// The same definition without columns of these names, in any case. What needs one of them stays as it
    /// is: [`CreateTable::needing`] names it beforehand.
    pub fn without_columns(&self, names: &[&str]) -> CreateTable {
        let is_left = |element: &Element| match &element.kind {
            ElementKind::Column { name, .. } => names.iter().any(|left| same_column(left, name)),
            _ => false,
        };
        let elements = self.elements.iter().filter(|element| !is_left(element)).cloned().collect();
        CreateTable { elements, ..self.clone() }
    }

    /// What of the table couldn't be without a column: keys, foreign keys of its own, CHECKs, expressions of
    /// other columns, the partitions. What belongs to the column's own line goes with it.
    pub fn needing(&self, column: &str) -> Vec<String> {
        let mut found = Vec::new();
        for element in &self.elements {
            let words = Words::of(element.text());
            let listed = || first_group(&words).is_some_and(|group| lists(&words, group, column));
            match &element.kind {
                ElementKind::Column { name, .. } if same_column(name, column) => {}
                ElementKind::Column { name, .. } => {
                    found.extend(of_column(&words, column).map(|what| format!("{what} `{name}`")));
                }
                ElementKind::PrimaryKey { .. } if listed() => found.push("the primary key".into()),
                ElementKind::Key { name, kind, .. } if listed() => {
                    let kind = match kind {
                        KeyKind::Unique => "unique key",
                        KeyKind::Plain => "key",
                        KeyKind::Functional => "key over expressions",
                        KeyKind::Fulltext => "FULLTEXT key",
                        KeyKind::Spatial => "SPATIAL key",
                    };
                    found.push(format!("the {kind} `{name}`"));
                }
                ElementKind::ForeignKey { name } if listed() => {
                    found.push(format!("the foreign key `{name}`"));
                }
                ElementKind::Check { name } if listed() => {
                    found.push(format!("the CHECK `{name}`"));
                }
                ElementKind::Other if listed() => found.push("the period".into()),
                _ => {}
            }
        }
        if partitions_by(&self.partitions, column) {
            found.push("the partitions".into());
        }
        found
    }
}

/// The first parenthesis, from its opening to behind its end.
fn first_group(words: &Words<'_>) -> Option<std::ops::Range<usize>> {
    let open = (0..words.len()).find(|at| words.is_mark(*at, b'('))?;
    Some(open..words.behind_group(open))
}

/// Whether a name in backticks means the column: no qualifier, and no function. What follows a column
/// directly within a key's list is its prefix.
fn means(words: &Words<'_>, at: usize, column: &str, prefixed: bool) -> bool {
    words.kind(at) == Some(TokenKind::Name)
        && !words.is_mark(at + 1, b'.')
        && (prefixed || !words.is_mark(at + 1, b'('))
        && words.name(at).is_some_and(|name| same_column(&name, column))
}

/// Whether a list of columns or an expression, with the parentheses around it, names the column.
fn lists(words: &Words<'_>, group: std::ops::Range<usize>, column: &str) -> bool {
    let mut depth = 0usize;
    group.into_iter().any(|at| {
        match words.kind(at) {
            Some(TokenKind::Mark(b'(')) => depth += 1,
            Some(TokenKind::Mark(b')')) => depth = depth.saturating_sub(1),
            _ => {}
        }
        means(words, at, column, depth == 1)
    })
}

/// What of another column's line names the column: servers print names in backticks in what they compute,
/// and nothing else there.
fn of_column(words: &Words<'_>, column: &str) -> Option<&'static str> {
    let (mut depth, mut what) = (0usize, "the column");
    // The first token is the column's own name.
    for at in 1..words.len() {
        match words.kind(at) {
            Some(TokenKind::Mark(b'(')) => depth += 1,
            Some(TokenKind::Mark(b')')) => depth = depth.saturating_sub(1),
            Some(TokenKind::Word) if depth == 0 => {
                for (word, means) in [
                    ("AS", "the generated column"),
                    ("DEFAULT", "the default of"),
                    ("CHECK", "the CHECK of"),
                ] {
                    if words.is(at, word) {
                        what = means;
                    }
                }
            }
            _ if means(words, at, column, false) => return Some(what),
            _ => {}
        }
    }
    None
}

/// Words that stand bare in a partitioning expression and name nothing; a column that is called so stands in
/// backticks, since they are reserved.
const OPERATORS: [&str; 9] = ["DIV", "MOD", "FROM", "NULL", "AND", "OR", "XOR", "NOT", "IS"];

/// Whether the rows are told apart by the column. Servers print its name there in backticks, as it was
/// typed, or in backticks only where it must have them.
fn partitions_by(partitions: &str, column: &str) -> bool {
    let words = Words::of(partitions);
    let mut at = 0;
    while at + 1 < words.len() {
        if words.is_mark(at, b'(') {
            at = words.behind_group(at);
            continue;
        }
        let begins = words.is(at, "PARTITION") || words.is(at, "SUBPARTITION");
        if !(begins && words.is(at + 1, "BY")) {
            at += 1;
            continue;
        }
        let Some(open) = (at + 2..words.len()).find(|at| words.is_mark(*at, b'(')) else { break };
        let group = open..words.behind_group(open);
        at = group.end;
        let bare = |at: usize| {
            // EXTRACT(YEAR FROM d): the unit is no name.
            let unit = words.is_mark(at - 1, b'(') && words.is(at - 2, "EXTRACT");
            words.kind(at) == Some(TokenKind::Word)
                && !words.is_mark(at + 1, b'(')
                && !unit
                && !OPERATORS.iter().any(|word| words.is(at, word))
                && same_column(words.text(at), column)
        };
        if lists(&words, group.clone(), column) || group.skip(1).any(bare) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As MySQL 9.7 prints it.
    const TABLE: &str = "CREATE TABLE `t` (
  `first` int DEFAULT NULL COMMENT 'not `id`, nor `middle`',
  `id` int NOT NULL AUTO_INCREMENT,
  `we``ird, (` varchar(9) DEFAULT ')`middle`',
  `Middle` enum('id','middle') NOT NULL,
  `key` int DEFAULT NULL,
  `date` date DEFAULT NULL,
  `doc` json DEFAULT NULL,
  `g` int GENERATED ALWAYS AS ((`id` + cast(`key` as signed))) VIRTUAL /*!80023 INVISIBLE */,
  `d` varchar(20) DEFAULT (concat(`we``ird, (`,_utf8mb4'doc')),
  `last` timestamp(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`id`),
  UNIQUE KEY `last` (`first`),
  KEY `prefixed` (`d`(3)) USING BTREE COMMENT '`last`',
  KEY `computed` ((cast(`date` as datetime))),
  FULLTEXT KEY `doc` (`d`) /*!50100 WITH PARSER `last` */ ,
  CONSTRAINT `middle` FOREIGN KEY (`first`) REFERENCES `last` (`last`),
  CONSTRAINT `doc` CHECK ((`date` > _utf8mb4'last'))
) ENGINE=InnoDB AUTO_INCREMENT=7 COMMENT='`last`'";

    fn table() -> CreateTable {
        CreateTable::parse(TABLE).unwrap()
    }

    #[test]
    fn a_column_is_taken_out_with_its_line_alone() {
        let of = |names: &[&str]| table().without_columns(names).sql("d");
        let whole = table().sql("d");
        for (name, line) in [
            ("FIRST", "  `first` int DEFAULT NULL COMMENT 'not `id`, nor `middle`',\n"),
            ("middle", "  `Middle` enum('id','middle') NOT NULL,\n"),
            ("we`ird, (", "  `we``ird, (` varchar(9) DEFAULT ')`middle`',\n"),
            ("key", "  `key` int DEFAULT NULL,\n"),
            ("doc", "  `doc` json DEFAULT NULL,\n"),
            (
                "g",
                "  `g` int GENERATED ALWAYS AS ((`id` + cast(`key` as signed))) VIRTUAL /*!80023 INVISIBLE */,\n",
            ),
            (
                "last",
                "  `last` timestamp(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),\n",
            ),
        ] {
            assert!(whole.contains(line), "{name}");
            assert_eq!(of(&[name]), whole.replacen(line, "", 1), "{name}");
        }
        assert_eq!(of(&["nothing", "we"]), whole);
        let two = CreateTable::parse("CREATE TABLE t (\n  `a` int,\n  `b` int\n)").unwrap();
        assert_eq!(two.without_columns(&["B"]).sql("d"), "CREATE TABLE `d`.`t` (\n  `a` int\n)");
    }

    #[test]
    fn whatever_needs_a_column_is_named() {
        let needing = |name: &str| table().needing(name).join("; ");
        assert_eq!(needing("ID"), "the generated column `g`; the primary key");
        assert_eq!(needing("first"), "the unique key `last`; the foreign key `middle`");
        assert_eq!(needing("We`ird, ("), "the default of `d`");
        assert_eq!(needing("KEY"), "the generated column `g`");
        assert_eq!(needing("d"), "the key `prefixed`; the FULLTEXT key `doc`");
        assert_eq!(needing("date"), "the key over expressions `computed`; the CHECK `doc`");
        for free in ["middle", "doc", "g", "last", "nothing"] {
            assert_eq!(needing(free), "", "{free}");
        }
        // As MariaDB prints it: a CHECK in its column's line, a default without parentheses, a period.
        let maria = CreateTable::parse(
            "CREATE TABLE `t` (\n  `a` int(11) DEFAULT NULL CHECK (`a` > 0),\n  \
             `b` int(11) DEFAULT abs(`a`) CHECK (`c` > 0),\n  `c` date NOT NULL,\n  `e` date NOT NULL,\n  \
             `j` longtext DEFAULT NULL CHECK (json_valid(`j`)),\n  PERIOD FOR `p` (`c`, `e`)\n)",
        )
        .unwrap();
        assert_eq!(maria.needing("a"), ["the default of `b`"]);
        assert_eq!(maria.needing("c"), ["the CHECK of `b`", "the period"]);
        assert_eq!(maria.needing("e"), ["the period"]);
        assert_eq!(maria.needing("j"), Vec::<String>::new());
    }

    #[test]
    fn partitions_need_columns_as_they_were_typed_or_printed() {
        let of = |partitions: &str, name: &str| {
            let sql = format!("CREATE TABLE `t` (`a` int, `year` int)\n{partitions}");
            !CreateTable::parse(&sql).unwrap().needing(name).is_empty()
        };
        let new = "/*!50100 PARTITION BY RANGE (extract(year from `a`)) SUBPARTITION BY HASH (`b`)\n\
                   (PARTITION p0 VALUES LESS THAN (2000) COMMENT = '`c`' ENGINE = InnoDB) */";
        assert!(of(new, "A") && of(new, "b"));
        assert!(!of(new, "year") && !of(new, "p0") && !of(new, "c") && !of(new, "range"));
        let old =
            "/*!50100 PARTITION BY LIST (YEAR(a))\n(PARTITION b VALUES IN (1) ENGINE = InnoDB) */";
        assert!(of(old, "A") && !of(old, "year") && !of(old, "b") && !of(old, "list"));
        let mixed = "/*!50100 PARTITION BY HASH (MOD(`a`,3) MOD year) PARTITIONS 3 */";
        assert!(of(mixed, "a") && of(mixed, "year") && !of(mixed, "mod"));
        let columns = "/*!50500 PARTITION BY RANGE  COLUMNS(`year`,b)\n(PARTITION p0 VALUES LESS THAN (1,2)) */";
        assert!(of(columns, "year") && of(columns, "B") && !of(columns, "columns"));
        let key = "/*!50100 PARTITION BY KEY ALGORITHM = 2 (year)\nPARTITIONS 3 */";
        assert!(of(key, "YEAR") && !of(key, "algorithm"));
    }
}
