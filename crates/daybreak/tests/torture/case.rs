//! What a case is, and how its words become statements.

/// MySQL 9.7.
pub const M97: u8 = 1;
/// MySQL 5.6.
pub const M56: u8 = 2;
/// MariaDB 10.11.
pub const MARIA: u8 = 4;
/// Every server.
pub const ALL: u8 = M97 | M56 | MARIA;

/// A way from one server to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub from: u8,
    pub to: u8,
}

pub const SAME_97: Way = Way { from: M97, to: M97 };
pub const TO_MARIA: Way = Way { from: M97, to: MARIA };
pub const FROM_MARIA: Way = Way { from: MARIA, to: M97 };
pub const FROM_56: Way = Way { from: M56, to: M97 };

/// A table, with rows.
///
/// In statements `{t}` is the table, `{d}` its database, `{o}` the database `elsewhere`, `{n}` a
/// table of the numbers 1 to 400 in the column n, `{64}` 64 members, `{1017}` 1,017 columns.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// The servers that have it.
    pub on: u8,
    /// How many rows the table has.
    pub rows: u64,
    pub sql: &'static [&'static str],
    /// Conditions that hold on both sides, so that the table is what its name says.
    pub holds: &'static [&'static str],
    /// Ways on which the target can't hold it, and what must name it ([`Case::refusal`]).
    pub refused: &'static [(Way, &'static str)],
    /// Whether it must be copied in at least three chunks.
    pub cut: bool,
    /// Whether having no rows is its point.
    pub empty: bool,
    /// The table's name where it isn't the case's.
    pub table: &'static str,
}

pub const fn case(name: &'static str, on: u8, rows: u64, sql: &'static [&'static str]) -> Case {
    let (holds, refused): (&[&str], &[(Way, &str)]) = (&[], &[]);
    Case { name, on, rows, sql, holds, refused, cut: false, empty: rows == 0, table: name }
}

impl Case {
    pub const fn holds(self, holds: &'static [&'static str]) -> Case {
        Case { holds, ..self }
    }

    pub const fn refused(self, refused: &'static [(Way, &'static str)]) -> Case {
        Case { refused, ..self }
    }

    pub const fn cut(self) -> Case {
        Case { cut: true, ..self }
    }

    pub const fn named(self, table: &'static str) -> Case {
        Case { table, ..self }
    }

    /// What names it on a way: a finding that blocks; `warning ` and one that doesn't, and it is moved; or
    /// `rows ` and what the copy says when it meets it.
    pub fn refusal(&self, way: Way) -> Option<&'static str> {
        self.refused.iter().find(|(refused, _)| *refused == way).map(|(_, finding)| *finding)
    }

    /// A text with its words filled in.
    pub fn fill(&self, database: &str, sql: &str) -> String {
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        let mut sql = sql
            .replace("{t}", &format!("{}.{}", quoted(database), quoted(self.table)))
            .replace("{d}", &quoted(database))
            .replace("{o}", "`elsewhere`")
            .replace("{n}", "`elsewhere`.`numbers`");
        if sql.contains("{64}") {
            let members: Vec<String> = (1..=64).map(|n| format!("'m{n}'")).collect();
            sql = sql.replace("{64}", &members.join(","));
        }
        if sql.contains("{1017}") {
            let columns: Vec<String> =
                (1..=1017).map(|n| format!("c{n} TINYINT DEFAULT {}", n % 100)).collect();
            sql = sql.replace("{1017}", &columns.join(","));
        }
        sql
    }
}
