//! Columns that a migration leaves out: the target's table lacks them.

use serde::{Deserialize, Serialize};

use super::{Selection, parts};
use crate::{
    error::{Error, Kind, Result},
    mysql::TableName,
};

/// A column that isn't taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftColumn {
    /// Whose.
    pub table: TableName,
    /// Which one, as it was asked for: servers compare columns' names in any case.
    pub column: String,
}

impl std::fmt::Display for LeftColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.table, self.column)
    }
}

/// Whether two names are one column's: case makes no difference, whatever the server's settings.
pub(crate) fn same_column(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

impl Selection {
    /// Leaves out columns, as `D.T.C`.
    ///
    /// # Errors
    /// `Config` for a name that isn't a column's, and one that stands twice.
    pub fn without_columns<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        for name in names {
            let column = match parts(name, 3).as_deref() {
                Some([database, table, column]) => {
                    LeftColumn { table: TableName::new(database, table), column: column.clone() }
                }
                _ => {
                    return Err(Error::new(
                        Kind::Config,
                        format!("{name} isn't a column's full name"),
                    )
                    .next("write DATABASE.TABLE.COLUMN, with backticks around odd names"));
                }
            };
            if self.leaves_out(&column.table, &column.column) {
                return Err(Error::new(Kind::Config, "the column is left out twice")
                    .at(column)
                    .next("name it once: case makes no difference to a column"));
            }
            self.exclude_columns.push(column);
        }
        self.exclude_columns.sort();
        Ok(self)
    }

    /// The columns of a table that are left out.
    pub fn columns_left(&self, table: &TableName) -> Vec<&str> {
        let of = self.exclude_columns.iter().filter(|left| left.table == *table);
        of.map(|left| left.column.as_str()).collect()
    }

    /// Whether a column isn't taken.
    pub fn leaves_out(&self, table: &TableName, column: &str) -> bool {
        self.columns_left(table).iter().any(|left| same_column(left, column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_left_out_by_their_full_names() {
        let names = ["shop.orders.Secret", "`we.b`.`t``x`.`a.b=c`", "shop.orders.`key`"];
        let selection = Selection::default().without_columns(names).unwrap();
        let orders = TableName::new("shop", "orders");
        assert_eq!(selection.columns_left(&orders), ["Secret", "key"]);
        assert!(selection.leaves_out(&orders, "SECRET") && !selection.leaves_out(&orders, "id"));
        assert!(!selection.leaves_out(&TableName::new("Shop", "orders"), "secret"));
        assert!(selection.leaves_out(&TableName::new("we.b", "t`x"), "A.B=C"));
        assert!(selection.on_target().exclude_columns.is_empty());
        let part = Selection::parse(&[], &["shop.orders".into()], &[]).unwrap();
        assert_eq!(part.part_of(&selection).exclude_columns.len(), 2);
        // Accents do make a difference.
        assert!(!same_column("cafe", "café") && same_column("ÉTÉ", "été"));
        for (wrong, why) in [
            (&["orders.secret"][..], "isn't a column's full name"),
            (&["shop.orders."], "isn't a column's full name"),
            (&["shop.orders.`secret"], "isn't a column's full name"),
            (&["shop"], "isn't a column's full name"),
            (&["shop.orders.secret", "shop.orders.`SECRET`"], "is left out twice"),
        ] {
            let refused = Selection::default().without_columns(wrong.iter().copied());
            let error = refused.unwrap_err();
            assert!(error.what().contains(why), "{wrong:?}: {error}");
        }
    }
}
