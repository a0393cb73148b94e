//! Tables: columns, indexes, foreign keys, checks, partitions.

use std::collections::BTreeMap;

use super::{Definitions, spelling};
use crate::{
    error::Result,
    mysql::{Session, TableName, charset},
    select::Selection,
};

impl Definitions {
    pub(super) async fn tables(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        within: &str,
    ) -> Result<()> {
        for row in session
            .rows(format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, ROW_FORMAT, TABLE_COLLATION, TABLE_COMMENT \
                 FROM information_schema.TABLES \
                 WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA {within}"
            ))
            .await?
        {
            let table = table_of(session, &row)?;
            if !selection.takes_table(&table) {
                continue;
            }
            let name = self.named(&table);
            self.exists("table", &name);
            for (class, field) in
                [("engine", "ENGINE"), ("row format", "ROW_FORMAT"), ("comment", "TABLE_COMMENT")]
            {
                if let Some(value) = session.optional(&row, field)? {
                    self.put("table", &name, (class, String::new()), value);
                }
            }
            if let Some(collation) = session.optional::<String>(&row, "TABLE_COLLATION")? {
                let collation = charset::modern(&collation);
                self.put("table", &name, ("collation", String::new()), collation);
            }
        }
        self.columns(session, within).await?;
        self.indexes(session, within).await?;
        self.foreign_keys(session, within).await?;
        self.checks(session, within).await?;
        self.partitions(session, within).await
    }

    fn has_table(&self, name: &str) -> bool {
        self.objects.contains_key(&("table", name.to_string()))
    }

    async fn columns(&mut self, session: &mut Session, within: &str) -> Result<()> {
        let mariadb = self.dialect.is_mariadb();
        let expression = if self.knows("expression") { "GENERATION_EXPRESSION" } else { "NULL" };
        let srid = if self.knows("srid") { "SRS_ID" } else { "NULL" };
        let mut orders: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in session
            .rows(format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE, \
                 COLUMN_DEFAULT, EXTRA, COLLATION_NAME, COLUMN_COMMENT, \
                 {expression} AS GENERATED_AS, {srid} AS SRID \
                 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA {within} \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
            ))
            .await?
        {
            let at_home = table_of(session, &row)?;
            let table = self.named(&at_home);
            if !self.has_table(&table) {
                continue;
            }
            let column: String = session.field(&row, "COLUMN_NAME")?;
            if self.selection.leaves_out(&at_home, &column) {
                continue;
            }
            let column_type: String = session.field(&row, "COLUMN_TYPE")?;
            let nullable = session.field::<String>(&row, "IS_NULLABLE")? == "YES";
            let raw_extra: String = session.field(&row, "EXTRA")?;
            let mut text = spelling::column_type(&column_type);
            if let Some(collation) = session.optional::<String>(&row, "COLLATION_NAME")? {
                text.push(' ');
                text.push_str(&charset::modern(&collation));
            }
            text.push_str(if nullable { " NULL" } else { " NOT NULL" });
            let extra = spelling::extra(&raw_extra);
            if !extra.is_empty() {
                text.push(' ');
                text.push_str(&extra);
            }
            let default: Option<String> = session.optional(&row, "COLUMN_DEFAULT")?;
            let computed = default.as_deref().is_some_and(|text| {
                if mariadb { spelling::is_expression(text) } else { raw_extra.contains("DEFAULT_GENERATED") }
            });
            if let Some(default) = default.and_then(|text| spelling::default(&text, mariadb)) {
                // An expression, and bytes, are spelled in the server's own words. MySQL takes a default of
                // a large object as an expression only.
                let data_type: String = session.field(&row, "DATA_TYPE")?;
                let bytes = data_type.ends_with("binary")
                    || data_type.ends_with("text")
                    || data_type.ends_with("blob");
                // Of a DATE, the time of day is an expression like any other.
                let moment = default.starts_with("current_timestamp")
                    && matches!(data_type.as_str(), "datetime" | "timestamp");
                let function = computed && !moment;
                if bytes || function {
                    let part = ("expression", format!("of the default of {column}"));
                    self.put("table", &table, part, default);
                } else {
                    text.push_str(&format!(" DEFAULT '{default}'"));
                }
            }
            self.put("table", &table, ("column", column.clone()), text);
            if let Some(as_) =
                session.optional::<String>(&row, "GENERATED_AS")?.filter(|text| !text.is_empty())
            {
                self.put("table", &table, ("expression", format!("of {column}")), as_);
            }
            if let Some(srid) = session.optional::<String>(&row, "SRID")? {
                self.put("table", &table, ("srid", column.clone()), srid);
            }
            let comment: String = session.field(&row, "COLUMN_COMMENT")?;
            if !comment.is_empty() {
                self.put("table", &table, ("comment", format!("of {column}")), comment);
            }
            orders.entry(table).or_default().push(column);
        }
        for (table, columns) in orders {
            self.put("table", &table, ("columns in order", String::new()), columns.join(", "));
        }
        Ok(())
    }

    async fn indexes(&mut self, session: &mut Session, within: &str) -> Result<()> {
        let functional = self.dialect.mysql_from(8, 0, 13);
        let expression = if functional { "EXPRESSION" } else { "NULL" };
        let visible = if self.dialect.mysql_from(8, 0, 0) {
            "IS_VISIBLE"
        } else if self.dialect.is_mariadb() && self.dialect.version >= (10, 6, 0) {
            "IF(IGNORED = 'YES', 'NO', 'YES')"
        } else {
            "'YES'"
        };
        let mut indexes: BTreeMap<(String, String), (String, Vec<String>)> = BTreeMap::new();
        for row in session
            .rows(format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, \
                 COLLATION AS DIRECTION, INDEX_TYPE, {expression} AS COMPUTED, {visible} AS SHOWN \
                 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA {within} \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
            ))
            .await?
        {
            let table = self.named(&table_of(session, &row)?);
            if !self.has_table(&table) {
                continue;
            }
            let kind: String = session.field(&row, "INDEX_TYPE")?;
            let mut part = match session.optional::<String>(&row, "COLUMN_NAME")? {
                Some(column) => column,
                None => {
                    let computed: Option<String> = session.optional(&row, "COMPUTED")?;
                    format!("({})", computed.unwrap_or_default())
                }
            };
            // The server's own figure for SPATIAL says nothing.
            if let Some(prefix) =
                session.optional::<u64>(&row, "SUB_PART")?.filter(|_| kind != "SPATIAL")
            {
                part.push_str(&format!("({prefix})"));
            }
            if session.optional::<String>(&row, "DIRECTION")?.as_deref() == Some("D") {
                part.push_str(" DESC");
            }
            let mut head = String::new();
            if session.field::<i64>(&row, "NON_UNIQUE")? == 0 {
                head.push_str("UNIQUE ");
            }
            if session.field::<String>(&row, "SHOWN")? != "YES" {
                head.push_str("INVISIBLE ");
            }
            head.push_str(&kind);
            let index: String = session.field(&row, "INDEX_NAME")?;
            indexes.entry((table, index)).or_insert((head, Vec::new())).1.push(part);
        }
        for ((table, index), (head, parts)) in indexes {
            let text = format!("{head} ({})", parts.join(", "));
            self.put("table", &table, ("index", index), text);
        }
        Ok(())
    }

    async fn foreign_keys(&mut self, session: &mut Session, within: &str) -> Result<()> {
        let mut keys: BTreeMap<(String, String), ForeignKey> = BTreeMap::new();
        for row in session
            .rows(format!(
                "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, \
                 k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, \
                 r.UPDATE_RULE, r.DELETE_RULE \
                 FROM information_schema.KEY_COLUMN_USAGE k \
                 JOIN information_schema.REFERENTIAL_CONSTRAINTS r \
                   ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA \
                  AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME \
                 WHERE k.TABLE_SCHEMA {within} AND k.REFERENCED_TABLE_NAME IS NOT NULL \
                 ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION"
            ))
            .await?
        {
            let table = self.named(&table_of(session, &row)?);
            if !self.has_table(&table) {
                continue;
            }
            let rule = |field| {
                let rule: String = session.field(&row, field)?;
                // Two words for one thing in InnoDB; versions differ in which is the default.
                Ok::<_, crate::error::Error>(if rule == "RESTRICT" {
                    "NO ACTION".into()
                } else {
                    rule
                })
            };
            let referenced = TableName::new(
                session.field::<String>(&row, "REFERENCED_TABLE_SCHEMA")?,
                session.field::<String>(&row, "REFERENCED_TABLE_NAME")?,
            );
            let tail = format!(
                "{} ON UPDATE {} ON DELETE {}",
                self.named(&referenced),
                rule("UPDATE_RULE")?,
                rule("DELETE_RULE")?
            );
            let name: String = session.field(&row, "CONSTRAINT_NAME")?;
            let key = keys.entry((table, name)).or_default();
            key.columns.push(session.field(&row, "COLUMN_NAME")?);
            key.referenced.push(session.field(&row, "REFERENCED_COLUMN_NAME")?);
            key.rules = tail;
        }
        for ((table, name), key) in keys {
            let (columns, referenced) = (key.columns.join(", "), key.referenced.join(", "));
            let text = format!("({columns}) TO ({referenced}) OF {}", key.rules);
            self.put("table", &table, ("foreign key", name), text);
        }
        Ok(())
    }

    async fn checks(&mut self, session: &mut Session, within: &str) -> Result<()> {
        if !self.knows("check") {
            return Ok(());
        }
        let sql = if self.dialect.is_mariadb() {
            // A CHECK in a column's own line has the column's name, and goes with it.
            let level = match self.dialect.version >= (10, 5, 10) {
                true => "LEVEL",
                false => "'Column'",
            };
            format!(
                "SELECT CONSTRAINT_SCHEMA AS TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE, \
                 'YES' AS ENFORCED, {level} AS BELONGS FROM information_schema.CHECK_CONSTRAINTS \
                 WHERE CONSTRAINT_SCHEMA {within}"
            )
        } else {
            format!(
                "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.CONSTRAINT_NAME, c.CHECK_CLAUSE, t.ENFORCED, \
                 'Table' AS BELONGS \
                 FROM information_schema.TABLE_CONSTRAINTS t \
                 JOIN information_schema.CHECK_CONSTRAINTS c \
                   ON c.CONSTRAINT_SCHEMA = t.CONSTRAINT_SCHEMA \
                  AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME \
                 WHERE t.CONSTRAINT_TYPE = 'CHECK' AND t.TABLE_SCHEMA {within}"
            )
        };
        for row in session.rows(sql).await? {
            let at_home = table_of(session, &row)?;
            let table = self.named(&at_home);
            if !self.has_table(&table) {
                continue;
            }
            let name: String = session.field(&row, "CONSTRAINT_NAME")?;
            let of: String = session.field(&row, "BELONGS")?;
            if of == "Column" && self.selection.leaves_out(&at_home, &name) {
                continue;
            }
            let enforced: String = session.field(&row, "ENFORCED")?;
            let clause: String = session.field(&row, "CHECK_CLAUSE")?;
            let enforced = if enforced == "YES" { "ENFORCED" } else { "NOT ENFORCED" };
            self.put("table", &table, ("check", name.clone()), enforced.to_string());
            self.put("table", &table, ("expression", format!("of check {name}")), clause);
        }
        Ok(())
    }

    async fn partitions(&mut self, session: &mut Session, within: &str) -> Result<()> {
        for row in session
            .rows(format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, PARTITION_NAME, SUBPARTITION_NAME, PARTITION_METHOD, \
                 PARTITION_EXPRESSION, PARTITION_DESCRIPTION FROM information_schema.PARTITIONS \
                 WHERE PARTITION_NAME IS NOT NULL AND TABLE_SCHEMA {within}"
            ))
            .await?
        {
            let table = self.named(&table_of(session, &row)?);
            if !self.has_table(&table) {
                continue;
            }
            let mut name: String = session.field(&row, "PARTITION_NAME")?;
            if let Some(sub) = session.optional::<String>(&row, "SUBPARTITION_NAME")? {
                name = format!("{name}/{sub}");
            }
            let mut text = Vec::new();
            for field in ["PARTITION_METHOD", "PARTITION_EXPRESSION", "PARTITION_DESCRIPTION"] {
                text.push(session.optional::<String>(&row, field)?.unwrap_or_default());
            }
            self.put("table", &table, ("partition", name), text.join(" "));
        }
        Ok(())
    }
}

/// A foreign key as it is read, column by column.
#[derive(Default)]
struct ForeignKey {
    columns: Vec<String>,
    referenced: Vec<String>,
    rules: String,
}

pub(super) fn table_of(session: &Session, row: &mysql_async::Row) -> Result<TableName> {
    Ok(TableName::new(
        session.field::<String>(row, "TABLE_SCHEMA")?,
        session.field::<String>(row, "TABLE_NAME")?,
    ))
}
