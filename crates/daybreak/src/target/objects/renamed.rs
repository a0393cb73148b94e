//! Views, routines, triggers and events where a database has another name on the target: what names it
//! is put into the new name where that is sure, and refused by name where it isn't.
//!
//! A view is printed by the server in its own words, every name in backticks and with its database: there
//! the old name is replaced, unless something else is called so. A routine, trigger or event is text as
//! somebody typed it; it stays as it is, and mustn't name the old database.

use super::{ObjectKind, Printed, definition::Object};
use crate::{
    error::{Error, Kind, Result},
    select::Selection,
    target::ddl::token::{Token, TokenKind, tokens, unquoted},
};

/// What renames, or columns that are left out, mean for an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Why it can't be made under the new names, or without the columns.
    pub refused: Option<String>,
    /// A renamed database whose name stands where no table's qualifier does: in a text, or alone; what of it
    /// may need a column.
    pub mentions: Option<String>,
}

/// Looks whether an object can be made on the target.
pub(crate) fn judge(object: &Printed, selection: &Selection) -> Judged {
    let renamed = rewritten(&object.sql, object.name.kind, &object.sql_mode, selection);
    Judged { refused: renamed.err(), mentions: mentioned(&object.sql, object.name.kind, selection) }
}

/// The same object as the target shall have it.
///
/// # Errors
/// `Unsupported` where it can't be.
pub(super) fn renamed(mut object: Object, selection: &Selection) -> Result<Object> {
    if selection.renames.is_empty() {
        return Ok(object);
    }
    let (kind, mode) = (object.name.kind, object.sql_mode.clone().unwrap_or_default());
    let refuse = |why: String| {
        Error::new(Kind::Unsupported, why)
            .at(&object.name)
            .next("write it without the database's name at the source, or drop it there and make it on the target by hand")
    };
    // In another character set a byte may look like a backtick and be half of a letter.
    let foreign = object.sql != object.printed;
    let printed = rewritten(&object.printed, kind, &mode, selection).map_err(refuse)?;
    if foreign && printed != object.printed {
        return Err(refuse(format!(
            "its text is in the character set {}, in which names aren't replaced",
            object.client.as_deref().unwrap_or("of its client")
        )));
    }
    if !foreign {
        object.sql = printed.clone();
    }
    object.printed = printed;
    object.name.name = selection.table_on_target(&object.name.name);
    Ok(object)
}

/// The query of a view, as the server prints it, in the target's names; as it is where it can't be said.
pub(crate) fn view_query(query: &str, selection: &Selection) -> String {
    let put = rewritten(query.as_bytes(), ObjectKind::View, "", selection);
    put.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| query.to_string())
}

/// The names in a text, token by token.
pub(super) struct Names<'a> {
    sql: &'a [u8],
    pub tokens: Vec<Token>,
    ansi: bool,
}

impl<'a> Names<'a> {
    pub fn of(sql: &'a [u8], mode: &str) -> Self {
        let mut tokens = tokens(sql);
        tokens.retain(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment));
        Names { sql, tokens, ansi: mode.split(',').any(|mode| mode == "ANSI_QUOTES") }
    }

    pub fn text(&self, at: usize) -> &'a [u8] {
        self.tokens.get(at).map_or(b"", |token| &self.sql[token.span.clone()])
    }

    pub fn is_mark(&self, at: Option<usize>, mark: u8) -> bool {
        at.and_then(|at| self.tokens.get(at))
            .is_some_and(|token| token.kind == TokenKind::Mark(mark))
    }

    /// The identifier that stands here, if one does.
    pub fn identifier(&self, at: usize) -> Option<String> {
        let text = String::from_utf8_lossy(self.text(at));
        match self.tokens.get(at)?.kind {
            TokenKind::Word | TokenKind::Name => Some(unquoted(&text)),
            TokenKind::Text if self.ansi && text.starts_with('"') => {
                Some(text.trim_matches('"').replace("\"\"", "\""))
            }
            _ => None,
        }
    }

    /// The renamed database that an identifier is called like, and whether its case is the same.
    fn renamed<'s>(&self, at: usize, selection: &'s Selection) -> Option<(&'s str, bool)> {
        let name = self.identifier(at)?;
        let renames = || selection.renames.iter().map(|rename| rename.from.as_str());
        let exact = renames().find(|from| *from == name).map(|from| (from, true));
        exact.or_else(|| {
            renames().find(|from| from.eq_ignore_ascii_case(&name)).map(|from| (from, false))
        })
    }

    /// Whether it stands before a point, and behind none: as what is behind is qualified by.
    fn qualifies(&self, at: usize) -> bool {
        self.is_mark(Some(at + 1), b'.') && !self.is_mark(at.checked_sub(1), b'.')
    }

    /// Whether it is part of an account.
    fn of_account(&self, at: usize) -> bool {
        self.is_mark(Some(at + 1), b'@') || self.is_mark(at.checked_sub(1), b'@')
    }

    /// Behind the head, which is the server's own: a trigger's reaches to its body.
    pub fn body(&self, kind: ObjectKind) -> usize {
        let each = |at: &usize| self.text(*at).eq_ignore_ascii_case(b"EACH");
        match kind {
            ObjectKind::Trigger => (0..self.tokens.len()).find(each).unwrap_or(0),
            _ => 0,
        }
    }
}

/// A statement in the target's names, or why that can't be.
fn rewritten(
    sql: &[u8],
    kind: ObjectKind,
    mode: &str,
    selection: &Selection,
) -> std::result::Result<Vec<u8>, String> {
    let names = Names::of(sql, mode);
    let (mut out, mut end) = (Vec::with_capacity(sql.len()), 0);
    let body = names.body(kind);
    for at in 0..names.tokens.len() {
        let Some((old, exact)) = names.renamed(at, selection) else { continue };
        if names.of_account(at) {
            continue;
        }
        let replaced = kind == ObjectKind::View || at < body;
        match (replaced, names.qualifies(at)) {
            // One database or two: the server's lower_case_table_names decides.
            (true, true) if !exact => {
                return Err(format!("it names the database `{old}` in another case"));
            }
            (true, true) => {
                let span = names.tokens[at].span.clone();
                out.extend_from_slice(&sql[end..span.start]);
                let new = selection.database_on_target(old);
                out.extend_from_slice(crate::mysql::quote(&new).as_bytes());
                end = span.end;
            }
            // `AS name` names a column.
            (true, false)
                if at > 0
                    && names.text(at - 1).eq_ignore_ascii_case(b"AS")
                    && !names.is_mark(Some(at + 1), b'(') => {}
            (true, false) if kind == ObjectKind::View => {
                return Err(format!(
                    "something in it is called `{old}` like the database, so that one can't be told from the other"
                ));
            }
            (true, false) => {}
            (false, true) => {
                return Err(format!(
                    "its text names the database `{old}`, which has another name on the target"
                ));
            }
            (false, false) => {}
        }
    }
    out.extend_from_slice(&sql[end..]);
    Ok(out)
}

/// A renamed database whose name stands in a text, or alone, of what somebody typed: SQL that is put
/// together while it runs, a name that information_schema is asked for.
fn mentioned(sql: &[u8], kind: ObjectKind, selection: &Selection) -> Option<String> {
    if kind == ObjectKind::View {
        return None;
    }
    let names = Names::of(sql, "");
    for at in names.body(kind)..names.tokens.len() {
        if let Some((old, _)) = names.renamed(at, selection)
            && !names.qualifies(at)
            && !names.of_account(at)
            && !names.is_mark(at.checked_sub(1), b'.')
        {
            return Some(old.to_string());
        }
        if names.tokens[at].kind == TokenKind::Text {
            let text = String::from_utf8_lossy(names.text(at)).to_lowercase();
            for rename in &selection.renames {
                let from = rename.from.to_lowercase();
                let mut words =
                    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
                if words.any(|word| word == from) {
                    return Some(rename.from.clone());
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sql: &str, kind: ObjectKind) -> std::result::Result<String, String> {
        let selection = Selection::default().renamed([("shop", "store")]).unwrap();
        rewritten(sql.as_bytes(), kind, "ANSI_QUOTES", &selection)
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_view_is_put_into_the_new_name() {
        assert_eq!(
            put(
                "CREATE DEFINER=`shop`@`%` VIEW `shop`.`v` AS select `o`.`id` AS `shop`,'`shop`.`t`' AS `x`,\
                 `shop`.`t`.`id` AS `id` from (`shop`.`orders` `o` join `other`.`t`)",
                ObjectKind::View
            )
            .unwrap(),
            "CREATE DEFINER=`shop`@`%` VIEW `store`.`v` AS select `o`.`id` AS `shop`,'`shop`.`t`' AS `x`,\
             `store`.`t`.`id` AS `id` from (`store`.`orders` `o` join `other`.`t`)"
        );
        for unsure in [
            "CREATE VIEW `shop`.`v` AS select `shop`.`id` AS `id` from `shop`.`orders` `shop`",
            "CREATE VIEW `shop`.`v` AS select `shop`.`shop`.`id` AS `id` from `shop`.`shop`",
            "CREATE VIEW `shop`.`v` AS with `shop` as (select 1 AS `1`) select `shop`.`1` AS `1` from `shop`",
        ] {
            assert!(
                put(unsure, ObjectKind::View).unwrap_err().contains("can't be told"),
                "{unsure}"
            );
        }
    }

    #[test]
    fn what_was_typed_stays_as_it_is_or_is_refused() {
        for fine in [
            "CREATE DEFINER=`shop`@`%` PROCEDURE `p`() SELECT o.shop FROM orders o -- shop.orders\n",
            "CREATE FUNCTION `f`() RETURNS INT RETURN 'shop.orders'",
        ] {
            assert_eq!(put(fine, ObjectKind::Procedure).unwrap(), fine);
        }
        for named in [
            "CREATE PROCEDURE `p`() SELECT * FROM Shop . orders",
            "CREATE PROCEDURE `p`() CALL `shop`.q()",
            "CREATE PROCEDURE `p`() SELECT * FROM \"shop\".\"orders\"",
        ] {
            assert!(put(named, ObjectKind::Procedure).unwrap_err().contains("`shop`"), "{named}");
        }
        let head = "CREATE TRIGGER shop.t BEFORE INSERT ON `shop`.`orders` FOR EACH ROW SET NEW.";
        assert_eq!(
            put(&format!("{head}x = 1"), ObjectKind::Trigger).unwrap(),
            "CREATE TRIGGER `store`.t BEFORE INSERT ON `store`.`orders` FOR EACH ROW SET NEW.x = 1"
        );
        assert!(put(&format!("{head}x = shop.f()"), ObjectKind::Trigger).is_err());
    }

    #[test]
    fn what_may_mean_the_database_is_told() {
        let selection = Selection::default().renamed([("shop", "store")]).unwrap();
        let told = |sql: &str| mentioned(sql.as_bytes(), ObjectKind::Procedure, &selection);
        assert!(told("CREATE PROCEDURE p() BEGIN SET @s = 'SELECT * FROM shop.t'; END").is_some());
        assert!(told("CREATE PROCEDURE p() SHOW TABLES FROM shop").is_some());
        assert!(told("CREATE PROCEDURE p() SELECT 'workshop', o.shop FROM o").is_none());
    }
}
