//! Views, routines, triggers and events where a table lacks columns on the target: what the target would
//! refuse to make is told from the text, and what would fail when it runs.
//!
//! A view is printed by the server in its own words, every name in backticks, with its database or the
//! table's alias: which table a column is of can be read there. Of a trigger the server looks at NEW and OLD
//! alone; all else that was typed means something only when it runs.

use std::collections::BTreeSet;

use super::{
    ObjectKind, Printed,
    renamed::{Judged, Names},
};
use crate::{
    mysql::TableName,
    select::{LeftColumn, Selection, same_column},
    target::ddl::token::TokenKind,
};

/// What columns that are left out mean for an object.
pub(crate) fn lacks(object: &Printed, selection: &Selection) -> Judged {
    let names = Names::of(&object.sql, &object.sql_mode);
    let (kind, database) = (object.name.kind, &object.name.name.database);
    let mut judged = Judged::default();
    for left in &selection.exclude_columns {
        let refused = match kind {
            ObjectKind::View => selects(&names, left).then(|| format!("it selects {left}")),
            ObjectKind::Trigger if fires_on(&names, database).as_ref() == Some(&left.table) => {
                let of = transition(&names, &left.column);
                judged.mentions.get_or_insert_with(|| format!("on {}", left.table));
                of.map(|of| format!("it reads {of}.{} of {}", left.column, left.table))
            }
            _ => None,
        };
        judged.refused = judged.refused.or(refused);
        if kind != ObjectKind::View && judged.mentions.is_none() {
            judged.mentions = mentions(&names, kind, left);
        }
    }
    judged
}

/// The names that stand from here on with points between them, and the place behind.
fn chain(names: &Names<'_>, at: usize) -> (Vec<String>, usize) {
    let (mut parts, mut at) = (Vec::new(), at);
    while let Some(part) = names.identifier(at) {
        parts.push(part);
        at += 1;
        if !names.is_mark(Some(at), b'.') {
            break;
        }
        at += 1;
    }
    (parts, at)
}

/// Whether a view, as the server prints it, names the column: behind the table's full name, or behind an
/// alias that it has somewhere in the view.
fn selects(names: &Names<'_>, left: &LeftColumn) -> bool {
    let mut chains = Vec::new();
    let mut at = 0;
    while at < names.tokens.len() {
        if names.tokens[at].kind != TokenKind::Name {
            at += 1;
            continue;
        }
        let (parts, behind) = chain(names, at);
        at = behind.max(at + 1);
        chains.push((parts, at));
    }
    let LeftColumn { table: TableName { database, name }, column } = left;
    let mut aliases = BTreeSet::new();
    for (parts, behind) in &chains {
        if !matches!(parts.as_slice(), [d, t] if d == database && t == name) {
            continue;
        }
        // `d`.`t` PARTITION (`p`) `alias`
        let mut at = *behind;
        if names.text(at).eq_ignore_ascii_case(b"PARTITION") && names.is_mark(Some(at + 1), b'(') {
            while at < names.tokens.len() && !names.is_mark(Some(at), b')') {
                at += 1;
            }
            at += 1;
        }
        let named = names.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Name);
        if named && !names.is_mark(Some(at + 1), b'.') {
            aliases.extend(names.identifier(at));
        }
    }
    chains.iter().any(|(parts, _)| match parts.as_slice() {
        [d, t, c] => d == database && t == name && same_column(c, column),
        [a, c] => aliases.contains(a) && same_column(c, column),
        _ => false,
    })
}

/// The table of a trigger: its head is the server's own up to there.
fn fires_on(names: &Names<'_>, database: &str) -> Option<TableName> {
    let body = names.body(ObjectKind::Trigger);
    let on = (0..body).rev().find(|at| {
        names.text(*at).eq_ignore_ascii_case(b"ON") && names.tokens[*at].kind == TokenKind::Word
    })?;
    match chain(names, on + 1).0.as_slice() {
        [table, ..] if names.is_mark(Some(on + 2), b'.') => {
            let name = names.identifier(on + 3)?;
            Some(TableName::new(table, name))
        }
        [table, ..] => Some(TableName::new(database, table)),
        [] => None,
    }
}

/// NEW or OLD, where a trigger reads or sets the column of a row.
fn transition(names: &Names<'_>, column: &str) -> Option<&'static str> {
    (names.body(ObjectKind::Trigger)..names.tokens.len()).find_map(|at| {
        let row = ["NEW", "OLD"]
            .into_iter()
            .find(|row| names.identifier(at).is_some_and(|name| name.eq_ignore_ascii_case(row)))?;
        let of = names.is_mark(Some(at + 1), b'.')
            && names.identifier(at + 2).is_some_and(|name| same_column(&name, column));
        of.then_some(row)
    })
}

/// Why a text that somebody typed may mean the column: it names both column and table, or fills the table
/// without a list of columns.
fn mentions(names: &Names<'_>, kind: ObjectKind, left: &LeftColumn) -> Option<String> {
    let (table, column) = (left.table.name.to_lowercase(), left.column.to_lowercase());
    let (mut has_table, mut has_column) = (false, false);
    for at in names.body(kind)..names.tokens.len() {
        let named = names.identifier(at).map(|name| name.to_lowercase());
        if let Some(name) = named {
            has_table |= name == table;
            has_column |= name == column;
            let fills = [&b"VALUES"[..], b"VALUE", b"SELECT"]
                .iter()
                .any(|word| names.text(at + 1).eq_ignore_ascii_case(word));
            if name == table && fills {
                return Some(format!("fills {} without naming columns", left.table));
            }
        } else if names.tokens[at].kind == TokenKind::Text {
            // SQL that is put together while it runs.
            let text = String::from_utf8_lossy(names.text(at)).to_lowercase();
            let words = || text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
            has_table |= words().any(|word| word == table);
            has_column |= words().any(|word| word == column);
        }
    }
    (has_table && has_column).then(|| format!("names {} and {}", left.table.name, left.column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::objects::ObjectName;

    fn judged(kind: ObjectKind, sql: &str) -> Judged {
        let selection = Selection::default()
            .without_columns(["shop.orders.secret", "shop.`we.ird`.`key`"])
            .unwrap();
        let name = ObjectName { kind, name: TableName::new("shop", "x") };
        lacks(&Printed { name, sql: sql.as_bytes().to_vec(), sql_mode: String::new() }, &selection)
    }

    #[test]
    fn a_view_that_selects_the_column_is_told_by_its_table() {
        let view =
            |sql: &str| judged(ObjectKind::View, &format!("CREATE VIEW `shop`.`x` AS {sql}"));
        for needs in [
            "select `shop`.`orders`.`Secret` AS `s` from `shop`.`orders`",
            "select `o`.`id` AS `id` from `shop`.`orders` `o` where (`o`.`secret` = 1)",
            "select 1 AS `1` from (`shop`.`a` join `shop`.`orders` `b` on((`b`.`SECRET` = `shop`.`a`.`id`)))",
            "select `shop`.`we.ird`.`key` AS `key` from `shop`.`we.ird`",
            "select `o`.`id` AS `id` from `shop`.`orders` PARTITION (`p0`,`p1`) `o` where (`o`.`secret` = 1)",
        ] {
            let judged = view(needs);
            assert!(judged.refused.is_some() && judged.mentions.is_none(), "{needs}: {judged:?}");
        }
        for fine in [
            "select `shop`.`orders`.`id` AS `secret`,'`orders`.`secret`' AS `t` from `shop`.`orders`",
            "select `a`.`secret` AS `s` from (`shop`.`accounts` `a` join `shop`.`orders` `o`)",
            "select `shop`.`accounts`.`secret` AS `secret` from (`shop`.`accounts` join `shop`.`orders`)",
            "select `crm`.`orders`.`secret` AS `secret` from `crm`.`orders`",
        ] {
            assert_eq!(view(fine), Judged::default(), "{fine}");
        }
    }

    #[test]
    fn a_trigger_of_the_table_is_told_always_and_refused_by_its_rows() {
        let trigger = |sql: &str| judged(ObjectKind::Trigger, sql);
        let head = "CREATE DEFINER=`on`@`%` TRIGGER `x` BEFORE UPDATE ON `orders` FOR EACH ROW ";
        let refused = |body: &str| trigger(&format!("{head}{body}")).refused;
        assert!(refused("SET NEW.`Secret` = 1").unwrap().contains("NEW.secret of shop.orders"));
        assert!(refused("IF old . secret > 1 THEN SET @x = 1; END IF").is_some());
        assert_eq!(refused("SET NEW.id = 1, @s = 'NEW.secret'"), None);
        let told = trigger(&format!("{head}SET NEW.id = 1"));
        assert_eq!(told.mentions.as_deref(), Some("on shop.orders"));
        let other = "CREATE TRIGGER shop.x BEFORE INSERT ON `shop`.`other` FOR EACH ROW ";
        assert_eq!(trigger(&format!("{other}SET NEW.secret = 1")), Judged::default());
        let fills = trigger(&format!("{other}INSERT INTO orders VALUES (1)"));
        assert!(fills.refused.is_none() && fills.mentions.unwrap().starts_with("fills"));
        let named = trigger(&format!("{other}UPDATE orders SET secret = 1"));
        assert_eq!(named.mentions.as_deref(), Some("names orders and secret"));
    }

    #[test]
    fn a_routine_that_may_name_the_column_is_told() {
        let told = |body: &str| {
            let judged = judged(ObjectKind::Procedure, &format!("CREATE PROCEDURE `x`()\n{body}"));
            assert_eq!(judged.refused, None);
            judged.mentions.is_some()
        };
        assert!(told("SELECT o.SECRET FROM Orders o"));
        assert!(told("BEGIN PREPARE s FROM 'UPDATE orders SET secret = 1'; END"));
        assert!(told("INSERT INTO shop.orders SELECT * FROM y"));
        assert!(!told("SELECT secret FROM accounts"));
        assert!(!told("INSERT INTO orders (id) VALUES (1)"));
        assert!(!told("SELECT id FROM orders -- secret\n"));
    }
}
