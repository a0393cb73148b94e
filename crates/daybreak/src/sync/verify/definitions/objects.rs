//! Views, routines, triggers, events: without their definers, and whether or not events are enabled.

use std::collections::BTreeMap;

use super::{Definitions, spelling, tables::table_of};
use crate::{
    error::Result,
    mysql::{Session, TableName},
    select::Selection,
    target::objects::view_query,
};

impl Definitions {
    /// Takes over fields of a row as parts; a field that is NULL (no privilege to see it) is left out.
    fn take(
        &mut self,
        session: &Session,
        row: &mysql_async::Row,
        (kind, name): (&'static str, &str),
        fields: &[(&'static str, &str)],
    ) -> Result<()> {
        self.exists(kind, name);
        for (class, field) in fields {
            if let Some(value) = session.optional::<String>(row, field)? {
                let of =
                    if matches!(*class, "definition" | "body" | "sql_mode" | "order" | "comment") {
                        String::new()
                    } else {
                        field.to_ascii_lowercase()
                    };
                self.put(kind, name, (class, of), value);
            }
        }
        Ok(())
    }

    pub(super) async fn views(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        within: &str,
    ) -> Result<()> {
        for row in session
            .rows(format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, CHECK_OPTION, SECURITY_TYPE \
                 FROM information_schema.VIEWS WHERE TABLE_SCHEMA {within}"
            ))
            .await?
        {
            let view = table_of(session, &row)?;
            if selection.takes_objects(&view.database) {
                let fields = [
                    ("definition", "VIEW_DEFINITION"),
                    ("property", "CHECK_OPTION"),
                    ("property", "SECURITY_TYPE"),
                ];
                let name = self.named(&view);
                self.take(session, &row, ("view", &name), &fields)?;
                if let Some(query) = session.optional::<String>(&row, "VIEW_DEFINITION")? {
                    let query = view_query(&query, selection);
                    self.put("view", &name, ("definition", String::new()), query);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn routines(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        within: &str,
    ) -> Result<()> {
        let mut parameters: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for row in session
            .rows(format!(
                "SELECT SPECIFIC_SCHEMA, SPECIFIC_NAME, ROUTINE_TYPE, PARAMETER_MODE, PARAMETER_NAME, \
                 DTD_IDENTIFIER FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA {within} \
                 ORDER BY SPECIFIC_SCHEMA, SPECIFIC_NAME, ROUTINE_TYPE, ORDINAL_POSITION"
            ))
            .await?
        {
            let name = TableName::new(
                session.field::<String>(&row, "SPECIFIC_SCHEMA")?,
                session.field::<String>(&row, "SPECIFIC_NAME")?,
            );
            let kind: String = session.field(&row, "ROUTINE_TYPE")?;
            let mode: Option<String> = session.optional(&row, "PARAMETER_MODE")?;
            let parameter: Option<String> = session.optional(&row, "PARAMETER_NAME")?;
            let of_type: String = session.field(&row, "DTD_IDENTIFIER")?;
            parameters.entry((kind, self.named(&name))).or_default().push(format!(
                "{} {} {}",
                mode.as_deref().unwrap_or("returns"),
                parameter.unwrap_or_default(),
                spelling::column_type(&of_type)
            ));
        }
        for row in session
            .rows(format!(
                "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE, ROUTINE_DEFINITION, \
                 IS_DETERMINISTIC, SQL_DATA_ACCESS, SECURITY_TYPE, SQL_MODE, ROUTINE_COMMENT \
                 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA {within}"
            ))
            .await?
        {
            let database: String = session.field(&row, "ROUTINE_SCHEMA")?;
            if !selection.takes_objects(&database) {
                continue;
            }
            let name = self
                .named(&TableName::new(database, session.field::<String>(&row, "ROUTINE_NAME")?));
            let routine_type: String = session.field(&row, "ROUTINE_TYPE")?;
            // Packages of MariaDB count as what they are nearest to: something with a body.
            let kind = if routine_type == "FUNCTION" { "function" } else { "procedure" };
            let fields = [
                ("body", "ROUTINE_DEFINITION"),
                ("property", "IS_DETERMINISTIC"),
                ("property", "SQL_DATA_ACCESS"),
                ("property", "SECURITY_TYPE"),
                ("sql_mode", "SQL_MODE"),
                ("comment", "ROUTINE_COMMENT"),
            ];
            self.take(session, &row, (kind, &name), &fields)?;
            if let Some(list) = parameters.remove(&(routine_type, name.clone())) {
                self.put(kind, &name, ("parameters", String::new()), list.join(", "));
            }
        }
        Ok(())
    }

    pub(super) async fn triggers(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        within: &str,
    ) -> Result<()> {
        for row in session
            .rows(format!(
                "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, \
                 ACTION_TIMING, ACTION_ORDER, ACTION_STATEMENT, SQL_MODE \
                 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA {within}"
            ))
            .await?
        {
            let database: String = session.field(&row, "TRIGGER_SCHEMA")?;
            let table = TableName::new(
                database.as_str(),
                session.field::<String>(&row, "EVENT_OBJECT_TABLE")?,
            );
            if !selection.takes_objects(&database) || !selection.takes_table(&table) {
                continue;
            }
            let name = TableName::new(database, session.field::<String>(&row, "TRIGGER_NAME")?);
            let fields = [
                ("body", "ACTION_STATEMENT"),
                ("property", "EVENT_MANIPULATION"),
                ("property", "EVENT_OBJECT_TABLE"),
                ("property", "ACTION_TIMING"),
                ("order", "ACTION_ORDER"),
                ("sql_mode", "SQL_MODE"),
            ];
            let name = self.named(&name);
            self.take(session, &row, ("trigger", &name), &fields)?;
        }
        Ok(())
    }

    pub(super) async fn events(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        within: &str,
    ) -> Result<()> {
        for row in session
            .rows(format!(
                "SELECT EVENT_SCHEMA, EVENT_NAME, EVENT_DEFINITION, EVENT_TYPE, INTERVAL_VALUE, \
                 INTERVAL_FIELD, ON_COMPLETION, SQL_MODE, EVENT_COMMENT, TIME_ZONE, \
                 CAST(EXECUTE_AT AS CHAR) AS EXECUTE_AT, CAST(STARTS AS CHAR) AS STARTS, \
                 CAST(ENDS AS CHAR) AS ENDS \
                 FROM information_schema.EVENTS WHERE EVENT_SCHEMA {within}"
            ))
            .await?
        {
            let database: String = session.field(&row, "EVENT_SCHEMA")?;
            if !selection.takes_objects(&database) {
                continue;
            }
            let name = TableName::new(database, session.field::<String>(&row, "EVENT_NAME")?);
            // A time of day depends on the time zone that the event was created in.
            let fields = [
                ("body", "EVENT_DEFINITION"),
                ("property", "EVENT_TYPE"),
                ("property", "INTERVAL_VALUE"),
                ("property", "INTERVAL_FIELD"),
                ("property", "ON_COMPLETION"),
                ("sql_mode", "SQL_MODE"),
                ("comment", "EVENT_COMMENT"),
                ("schedule", "TIME_ZONE"),
                ("schedule", "EXECUTE_AT"),
                ("schedule", "STARTS"),
                ("schedule", "ENDS"),
            ];
            let name = self.named(&name);
            self.take(session, &row, ("event", &name), &fields)?;
        }
        Ok(())
    }
}
