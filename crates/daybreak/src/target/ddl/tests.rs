//! Definitions taken apart and put together: as servers print them, and as nobody would write them.

use proptest::prelude::*;

use super::*;

const TABLE: &str = "CREATE TABLE `t, (``x` (
  `id` int unsigned NOT NULL AUTO_INCREMENT COMMENT 'a, (b) ''c''',
  `e` enum('a,b',')','\\\\','''') CHARACTER SET latin1 COLLATE latin1_bin NOT NULL DEFAULT ')',
  `t` text,
  `p` point NOT NULL /*!80003 SRID 4326 */,
  `g` int GENERATED ALWAYS AS ((`id` + 1)) VIRTUAL /*!80023 INVISIBLE */,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`e`,`g` DESC),
  KEY `k` (`g`) /*!80000 INVISIBLE */,
  KEY `fn` ((concat(`e`,_utf8mb4',)'))),
  KEY `k2` (`t`(10)) USING BTREE COMMENT 'x)',
  FULLTEXT KEY `ft` (`t`) /*!50100 WITH PARSER `ngram` */ ,
  FULLTEXT KEY `ft2` (`t`,`e`),
  SPATIAL KEY `sp` (`p`),
  CONSTRAINT `fk, (1)` FOREIGN KEY (`g`) REFERENCES `other` (`id`) ON DELETE CASCADE,
  CONSTRAINT `c` CHECK ((`g` <> 3)) /*!80016 NOT ENFORCED */
) ENGINE=InnoDB AUTO_INCREMENT=77 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci COMMENT='PARTITION BY (x)'
/*!50100 PARTITION BY RANGE (`id`)
(PARTITION p0 VALUES LESS THAN (10) DATA DIRECTORY = '/x' ENGINE = InnoDB,
 PARTITION p1 VALUES LESS THAN MAXVALUE ENGINE = InnoDB) */";

fn new() -> Dialect {
    Dialect::read("9.7.4", None)
}

fn old() -> Dialect {
    Dialect::read("5.6.24-log", None)
}

#[test]
fn a_definition_is_taken_apart() {
    let table = CreateTable::parse(TABLE).unwrap();
    assert_eq!(table.original(), TABLE);
    assert_eq!(table.name, "t, (`x");
    assert_eq!(table.elements.len(), 15);
    assert_eq!(table.auto_increment_column(), Some("id"));
    assert!(table.partitions.starts_with("\n/*!50100 PARTITION BY RANGE"));
    let lean = table.without_secondary();
    assert_eq!(lean.elements.len(), 7, "{:#?}", lean.elements);
    let small = table.without_foreign_keys();
    assert_eq!(small.elements.len(), 14, "{:#?}", small.elements);
    assert!(small.elements.iter().all(|e| !matches!(e.kind, ElementKind::ForeignKey { .. })));
    let left = table.left_out();
    let names: Vec<Vec<&str>> = left
        .keys
        .iter()
        .map(|keys| keys.iter().map(|clause| clause.name.as_str()).collect())
        .collect();
    assert_eq!(
        names,
        [vec!["u", "k"], vec!["fn"], vec!["k2"], vec!["ft"], vec!["ft2"], vec!["sp"]]
    );
    let free: Vec<String> =
        left.unconstrained().into_iter().flatten().map(|clause| clause.name).collect();
    assert_eq!(free, ["k", "fn", "k2", "ft", "ft2", "sp"]);
    let unique = "CREATE TABLE `t` (\n  `a` int,\n  UNIQUE KEY `x` ((`a` + 1)),\n  KEY `y` ((`a` + 2))\n) ENGINE=InnoDB";
    let left_out = CreateTable::parse(unique).unwrap().left_out().unconstrained();
    assert_eq!(left_out.len(), 1);
    assert_eq!(left_out[0][0].name, "y", "a unique key over an expression is one, too");
    assert_eq!(
        left.foreign_keys[0].sql,
        "ADD CONSTRAINT `fk, (1)` FOREIGN KEY (`g`) REFERENCES `other` (`id`) ON DELETE CASCADE"
    );
}

fn kept(columns: &str) -> Vec<String> {
    let table = CreateTable::parse(&format!("CREATE TABLE `t` ({columns}) ENGINE=InnoDB")).unwrap();
    let lean = table.without_secondary();
    lean.elements
        .iter()
        .filter(|element| matches!(element.kind, ElementKind::Key { .. }))
        .map(|element| element.text().to_string())
        .collect()
}

#[test]
fn what_rows_need_stays() {
    // AUTO_INCREMENT needs a key that it leads.
    let counted = "`a` int NOT NULL, `n` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`a`), ";
    assert_eq!(kept(&format!("{counted} KEY `x` (`a`,`n`), KEY `n` (`n`)")), ["KEY `n` (`n`)"]);
    // MyISAM counts in a later column; here the primary key has it.
    assert_eq!(
        kept(
            "`a` int NOT NULL, `n` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`a`,`n`), KEY `x` (`a`)"
        ),
        [""; 0]
    );
    // Without a primary key: unique keys without NULLs, whole columns only.
    let plain = "`a` int NOT NULL, `b` int DEFAULT NULL, `c` varchar(9) NOT NULL, ";
    assert_eq!(
        kept(&format!(
            "{plain} UNIQUE KEY `u` (`a`), UNIQUE KEY `v` (`b`), UNIQUE KEY `w` (`c`(5)), KEY `k` (`a`)"
        )),
        ["UNIQUE KEY `u` (`a`)"]
    );
    assert_eq!(kept(&format!("{plain} PRIMARY KEY (`c`), UNIQUE KEY `u` (`a`)")), [""; 0]);
}

#[test]
fn what_cannot_be_there_is_taken_out_and_told() {
    let mut table = CreateTable::parse(TABLE).unwrap();
    table.options.push_str(" DATA DIRECTORY='/d' /*!50100 TABLESPACE `ts` */ ENCRYPTION='N'");
    let notes = table.adapt(&new(), &Adaptation::default());
    assert_eq!(
        notes,
        ["DATA DIRECTORY, TABLESPACE left out: files lie where the target keeps them"]
    );
    let sql = table.sql("d");
    assert!(!sql.contains("DIRECTORY") && !sql.contains("TABLESPACE"), "{sql}");
    assert!(sql.contains("ENCRYPTION='N'") && sql.contains("LESS THAN (10)"), "{sql}");

    let mut isam = CreateTable::parse(
        "CREATE TABLE `m` (\n  `a` int(11) DEFAULT NULL\n) ENGINE=MyISAM DEFAULT CHARSET=latin1 ROW_FORMAT=FIXED",
    )
    .unwrap();
    let refused =
        Adaptation { refused_engines: ["myisam".to_string()].into(), ..Adaptation::default() };
    assert_eq!(isam.adapt(&old(), &refused).len(), 1);
    assert_eq!(
        isam.options.trim(),
        "ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci"
    );
}

#[test]
fn versions_print_one_table_alike_once_normalised() {
    let old_text = "CREATE TABLE `t` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `z` int(5) unsigned zerofill DEFAULT NULL,
  `b` tinyint(1) NOT NULL DEFAULT '1',
  `y` year(4) DEFAULT NULL,
  `n` varchar(20) DEFAULT NULL,
  `u` varchar(20) CHARACTER SET utf8 NOT NULL,
  `l` varchar(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `ts` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`),
  KEY `b` (`b`),
  KEY `a` (`n`) USING BTREE,
  CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES `o` (`b`) ON DELETE NO ACTION
) ENGINE=InnoDB AUTO_INCREMENT=9 DEFAULT CHARSET=utf8mb4
/*!50100 PARTITION BY RANGE (TO_DAYS(ts))
(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB) */";
    let new_text = "CREATE TABLE `t` (
  `id` int NOT NULL AUTO_INCREMENT,
  `z` int(5) unsigned zerofill DEFAULT NULL,
  `b` tinyint(1) NOT NULL DEFAULT '1',
  `y` year DEFAULT NULL,
  `n` varchar(20) COLLATE utf8mb4_general_ci DEFAULT NULL,
  `u` varchar(20) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci NOT NULL,
  `l` varchar(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `ts` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`),
  KEY `a` (`n`),
  KEY `b` (`b`),
  CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES `o` (`b`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci
/*!50100 PARTITION BY RANGE (to_days(`ts`))
(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB) */";
    let mut from_old = CreateTable::parse(old_text).unwrap();
    let wanted = CreateTable::parse(new_text).unwrap().normalised(&new());
    assert_eq!(from_old.normalised(&old()), wanted);
    // Once adapted, it means the same to a newer server as well.
    from_old.adapt(&old(), &Adaptation::default());
    assert_eq!(from_old.normalised(&new()), wanted);
    // What differs shows.
    for (what, with) in [
        ("int NOT NULL", "bigint NOT NULL"),
        ("tinyint(1)", "tinyint"),
        ("COLLATE utf8mb4_bin", "COLLATE utf8mb4_da_0900_ai_ci"),
        ("KEY `a` (`n`)", "UNIQUE KEY `a` (`n`)"),
        ("(10)", "(11)"),
        ("DEFAULT '1'", "DEFAULT '0'"),
        (" NOT NULL DEFAULT '1'", " DEFAULT '1'"),
    ] {
        let other = CreateTable::parse(&new_text.replacen(what, with, 1)).unwrap();
        assert_ne!(other.normalised(&new()), wanted, "{what}");
    }
}

#[test]
fn what_is_no_definition_is_refused() {
    for sql in ["", "CREATE TABLE", "CREATE TABLE `t`", "CREATE TABLE `t` (`a` int", "DROP TABLE t"]
    {
        assert!(CreateTable::parse(sql).is_err(), "{sql}");
    }
    // As MariaDB 10.11 prints the name that a foreign key of `a``b` has by default.
    let printed = "CREATE TABLE `a``b` (\n  `a` int,\n  CONSTRAINT `a`b_ibfk_1` FOREIGN KEY (`a`) REFERENCES `p` (`a`)\n)";
    let error = CreateTable::parse(printed).unwrap_err();
    assert!(error.next_step().is_some_and(|next| next.contains("backtick")), "{error}");
}

/// A name in backticks, a text in quotes, an expression in parentheses: of whatever breaks parsers.
fn nasty() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "a",
            ",",
            "(",
            ")",
            " ",
            "\n",
            "``",
            "\"",
            "/*",
            "*/",
            "--",
            "-- ",
            "#",
            "/*!50100",
            "PARTITION BY",
            "PRIMARY KEY",
            "☃",
            ";",
            "=",
        ]),
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    /// Whatever names and texts hold, the definition comes back and its elements are counted right.
    #[test]
    fn any_definition_comes_back(
        table in nasty(),
        columns in prop::collection::vec((nasty(), nasty()), 1..6),
        keys in prop::collection::vec((nasty(), 0usize..5), 0..5),
        comment in nasty(),
        partitioned in any::<bool>(),
    ) {
        let mut elements: Vec<String> = columns
            .iter()
            .map(|(name, text)| format!("\n  `c{name}` varchar(9) DEFAULT '{text}' COMMENT '''{text}\\''"))
            .collect();
        elements.push(format!("\n  PRIMARY KEY (`c{}`)", columns[0].0));
        for (name, kind) in &keys {
            let kind = ["KEY", "UNIQUE KEY", "FULLTEXT KEY", "SPATIAL KEY", "CONSTRAINT `x` FOREIGN KEY"][*kind];
            let reference = if kind.ends_with("FOREIGN KEY") { " REFERENCES `r` (`a`)" } else { "" };
            elements.push(format!("\n  {kind} `k{name}` (`c{}`(3)){reference}", columns[0].0));
        }
        let partitions = if partitioned { "\n/*!50100 PARTITION BY HASH (`a`) */" } else { "" };
        let sql = format!(
            "CREATE TABLE `t{table}` ({}\n) ENGINE=InnoDB COMMENT='{comment}'{partitions}",
            elements.join(",")
        );
        let parsed = CreateTable::parse(&sql).unwrap();
        prop_assert_eq!(parsed.original(), sql);
        prop_assert_eq!(parsed.elements.len(), elements.len());
        prop_assert_eq!(parsed.partitions.as_str(), partitions);
        let left = parsed.left_out();
        let out = left.keys.iter().flatten().count() + left.foreign_keys.len();
        prop_assert_eq!(parsed.without_secondary().elements.len() + out, elements.len());
        let again = CreateTable::parse(&parsed.without_secondary().sql("d")).unwrap();
        prop_assert_eq!(again.normalised(&new()), parsed.without_secondary().normalised(&new()));
    }
}
