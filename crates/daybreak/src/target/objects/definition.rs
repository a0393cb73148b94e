//! Reads routines, views, triggers and events: their names in bulk, their text as SHOW CREATE prints
//! it, and the settings under which that text means what it means.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::Row;
use serde::{Deserialize, Serialize};

use super::header;
use crate::{
    config::Definer,
    error::{Error, Kind, Result},
    mysql::{Session, TableName, charset, quote_text},
    select::Selection,
    target::schema::databases,
};

/// The kinds of objects, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A base table.
    Table,
    /// A stored function.
    Function,
    /// A stored procedure.
    Procedure,
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// An event.
    Event,
}

impl ObjectKind {
    /// The keyword.
    pub fn word(self) -> &'static str {
        match self {
            ObjectKind::Table => "TABLE",
            ObjectKind::Function => "FUNCTION",
            ObjectKind::Procedure => "PROCEDURE",
            ObjectKind::View => "VIEW",
            ObjectKind::Trigger => "TRIGGER",
            ObjectKind::Event => "EVENT",
        }
    }
}

impl std::fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.word().to_ascii_lowercase())
    }
}

/// An object's kind and full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its database and its own name.
    pub name: TableName,
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// An object as it was read: its text and what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Object {
    /// Which one.
    pub name: ObjectName,
    /// The statement that makes it, in the character set `client`.
    #[serde(with = "as_hex")]
    pub sql: Vec<u8>,
    /// The same as utf8mb4, for comparing.
    #[serde(with = "as_hex")]
    pub printed: Vec<u8>,
    /// The `sql_mode` in which it runs; views have none.
    pub sql_mode: Option<String>,
    /// `character_set_client` of its text.
    pub client: Option<String>,
    /// `collation_connection` of its literals.
    pub connection: Option<String>,
    /// The database's collation that its variables take.
    pub database_collation: Option<String>,
    /// The time zone of an event's schedule.
    pub time_zone: Option<String>,
    /// Whether an event runs.
    pub enabled: bool,
    /// The version that printed it.
    pub version: String,
}

mod as_hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::from_hex(&text).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len() / 2).map(|n| u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()).collect()
}

impl Object {
    /// What must be equal on both sides: the text without what a migration changes on purpose (the
    /// status of events, and the definer where it is replaced), and the settings.
    pub fn essence(&self, definer: Definer) -> (Vec<u8>, Vec<String>) {
        let mut text = header::with_status(&self.printed, "DISABLE");
        if definer == Definer::Current {
            text = header::with_definer(&text, "CURRENT_USER");
        }
        if self.name.kind == ObjectKind::Trigger {
            text = header::without_order(&text);
        }
        let plain = |value: &Option<String>| {
            charset::modern(&value.clone().unwrap_or_default().to_ascii_lowercase())
        };
        let mode = self.sql_mode.as_deref().map(known_modes).unwrap_or_default();
        let settings = vec![
            mode,
            plain(&self.client),
            plain(&self.connection),
            plain(&self.database_collation),
            self.time_zone.clone().unwrap_or_default(),
        ];
        (text, settings)
    }
}

/// A `sql_mode` without the modes that MySQL 8.0 dropped, which changed nothing in a stored text
/// but how it was printed or who could log in.
///
/// Source: MySQL 8.0.11 release notes.
pub(super) fn known_modes(mode: &str) -> String {
    const GONE: [&str; 11] = [
        "NO_AUTO_CREATE_USER",
        "NO_FIELD_OPTIONS",
        "NO_KEY_OPTIONS",
        "NO_TABLE_OPTIONS",
        "DB2",
        "MAXDB",
        "MSSQL",
        "MYSQL323",
        "MYSQL40",
        "ORACLE",
        "POSTGRESQL",
    ];
    let known: Vec<&str> =
        mode.split(',').filter(|mode| !mode.is_empty() && !GONE.contains(mode)).collect();
    known.join(",")
}

/// The objects of the selected databases by kind, in name order.
///
/// Tables are those that are selected; everything else comes with whole databases only.
pub async fn count_by_kind(
    session: &mut Session,
    selection: &Selection,
) -> Result<BTreeMap<ObjectKind, BTreeSet<TableName>>> {
    let mut found: BTreeMap<ObjectKind, BTreeSet<TableName>> = BTreeMap::new();
    for kind in [
        ObjectKind::Table,
        ObjectKind::Function,
        ObjectKind::Procedure,
        ObjectKind::View,
        ObjectKind::Trigger,
        ObjectKind::Event,
    ] {
        found.entry(kind).or_default();
    }
    for object in names(session, selection).await? {
        found.entry(object.kind).or_default().insert(object.name);
    }
    Ok(found)
}

/// The names of objects, in the order in which they must be made: triggers of a table in theirs.
pub(super) async fn names(session: &mut Session, selection: &Selection) -> Result<Vec<ObjectName>> {
    let selected: Vec<String> = databases(session)
        .await?
        .into_iter()
        .filter(|name| selection.takes_database(name))
        .map(|name| quote_text(&name))
        .collect();
    if selected.is_empty() {
        return Ok(Vec::new());
    }
    let within = format!("IN ({})", selected.join(", "));
    let mut names = Vec::new();
    let order = match session.dialect() {
        dialect if dialect.mysql_from(5, 7, 2) || dialect.is_mariadb() => "ACTION_ORDER",
        // Older versions have one trigger of a kind only.
        _ => "CREATED",
    };
    for row in session
        .rows(format!(
            "SELECT ROUTINE_TYPE AS k, ROUTINE_SCHEMA AS d, ROUTINE_NAME AS n \
             FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA {within} ORDER BY 1, 2, 3"
        ))
        .await?
    {
        let kind = match session.field::<String>(&row, "k")?.as_str() {
            "FUNCTION" => ObjectKind::Function,
            "PROCEDURE" => ObjectKind::Procedure,
            // MariaDB's packages: named in the assessment as not migrated.
            _ => continue,
        };
        names.push(named(session, &row, kind)?);
    }
    for row in session
        .rows(format!(
            "SELECT TABLE_TYPE AS k, TABLE_SCHEMA AS d, TABLE_NAME AS n \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA {within} ORDER BY 2, 3"
        ))
        .await?
    {
        let kind = match session.field::<String>(&row, "k")?.as_str() {
            "BASE TABLE" => ObjectKind::Table,
            "VIEW" => ObjectKind::View,
            _ => continue,
        };
        names.push(named(session, &row, kind)?);
    }
    for row in session
        .rows(format!(
            "SELECT TRIGGER_SCHEMA AS d, TRIGGER_NAME AS n, EVENT_OBJECT_TABLE AS t \
             FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA {within} \
             ORDER BY TRIGGER_SCHEMA, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, {order}, \
             CREATED, TRIGGER_NAME"
        ))
        .await?
    {
        let trigger = named(session, &row, ObjectKind::Trigger)?;
        let table = TableName::new(&trigger.name.database, session.field::<String>(&row, "t")?);
        if selection.takes_table(&table) {
            names.push(trigger);
        }
    }
    for row in session
        .rows(format!(
            "SELECT EVENT_SCHEMA AS d, EVENT_NAME AS n FROM information_schema.EVENTS \
             WHERE EVENT_SCHEMA {within} ORDER BY 1, 2"
        ))
        .await?
    {
        names.push(named(session, &row, ObjectKind::Event)?);
    }
    names.retain(|object| match object.kind {
        ObjectKind::Table => selection.takes_table(&object.name),
        _ => selection.takes_objects(&object.name.database),
    });
    Ok(names)
}

fn named(session: &Session, row: &Row, kind: ObjectKind) -> Result<ObjectName> {
    Ok(ObjectName {
        kind,
        name: TableName::new(
            session.field::<String>(row, "d")?,
            session.field::<String>(row, "n")?,
        ),
    })
}

/// Reads an object whole. The session must have no current database, or views would be printed
/// differently.
///
/// # Errors
/// `Privilege` when the server keeps the text from this account; `SnapshotLost` when it is gone.
pub(super) async fn read(session: &mut Session, name: &ObjectName) -> Result<Object> {
    let printed = show(session, name).await?;
    let column = match name.kind {
        ObjectKind::Trigger => "SQL Original Statement".to_string(),
        kind => format!("Create {}", kind.word()),
    };
    let hidden = || {
        Error::new(Kind::Privilege, "the server keeps an object's text from this account")
            .at(name)
            .at(session.place())
            .next(
                "grant it SHOW_ROUTINE (MySQL 8.0.20+) or SELECT on mysql.proc (before 8.0), SHOW \
                 VIEW, TRIGGER and EVENT; or use the account that made the object",
            )
    };
    let text: Vec<u8> = session.optional(&printed, &column)?.ok_or_else(hidden)?;
    let setting = |column: &str| match printed
        .columns_ref()
        .iter()
        .any(|known| known.name_str().eq_ignore_ascii_case(column))
    {
        true => session.optional::<String>(&printed, column),
        false => Ok(None),
    };
    let mut object = Object {
        name: name.clone(),
        sql: text.clone(),
        sql_mode: setting("sql_mode")?,
        client: setting("character_set_client")?,
        connection: setting("collation_connection")?,
        database_collation: setting("Database Collation")?,
        time_zone: setting("time_zone")?,
        enabled: header::status(&text).as_deref() == Some("ENABLE"),
        printed: text,
        version: session.dialect().text.clone(),
    };
    if let Some(client) = foreign_charset(&object, &object.sql) {
        object.sql = encoded(session, &object, &client).await?;
    }
    Ok(object)
}

/// The character set that a text must be in, where it isn't good as it is.
fn foreign_charset(object: &Object, text: &[u8]) -> Option<String> {
    let client = object.client.as_deref().unwrap_or_default().to_ascii_lowercase();
    let fine = matches!(client.as_str(), "" | "utf8" | "utf8mb3" | "utf8mb4" | "binary");
    (!fine && !text.is_ascii()).then_some(client)
}

/// A statement about an object in the character set that the object's settings demand.
pub(super) async fn in_client_charset(
    session: &mut Session,
    object: &Object,
    sql: Vec<u8>,
) -> Result<Vec<u8>> {
    match foreign_charset(object, &sql) {
        Some(client) => converted(session, &sql, &client, &object.name).await,
        None => Ok(sql),
    }
}

async fn show(session: &mut Session, name: &ObjectName) -> Result<Row> {
    let sql = format!("SHOW CREATE {} {}", name.kind.word(), name.name.sql());
    match session.row(sql).await {
        Ok(Some(row)) => Ok(row),
        Ok(None) => Err(Error::new(Kind::Bug, "SHOW CREATE shows nothing").at(name)),
        Err(error) if matches!(error.code(), Some(1305 | 1360 | 1539 | 1146 | 1049)) => {
            Err(Error::new(Kind::SnapshotLost, "an object is gone").because(error).at(name))
        }
        Err(error) => Err(error.at(name)),
    }
}

/// The text of an object in a character set that isn't Unicode.
///
/// Of a view all is in that character set, and the server converts all of it. Of a routine, trigger
/// or event the body alone is, behind a head in utf8, and the server converts both as if they were
/// one: so the body's bytes are taken as they are, and the head is converted by itself.
async fn encoded(session: &mut Session, object: &Object, client: &str) -> Result<Vec<u8>> {
    if object.name.kind == ObjectKind::View {
        return converted(session, &object.printed, client, &object.name).await;
    }
    session.execute("SET SESSION character_set_results = NULL").await?;
    let raw = show(session, &object.name).await;
    session.execute("SET NAMES utf8mb4").await?;
    let raw = raw?;
    let column = match object.name.kind {
        ObjectKind::Trigger => "SQL Original Statement".to_string(),
        kind => format!("Create {}", kind.word()),
    };
    let raw: Vec<u8> = session.optional(&raw, &column)?.unwrap_or_default();
    let (table, schema, name, body) = match object.name.kind {
        ObjectKind::Trigger => ("TRIGGERS", "TRIGGER_SCHEMA", "TRIGGER_NAME", "ACTION_STATEMENT"),
        ObjectKind::Event => ("EVENTS", "EVENT_SCHEMA", "EVENT_NAME", "EVENT_DEFINITION"),
        _ => ("ROUTINES", "ROUTINE_SCHEMA", "ROUTINE_NAME", "ROUTINE_DEFINITION"),
    };
    let of_type = match object.name.kind {
        ObjectKind::Function => " AND ROUTINE_TYPE = 'FUNCTION'",
        ObjectKind::Procedure => " AND ROUTINE_TYPE = 'PROCEDURE'",
        _ => "",
    };
    let body: Option<String> = session
        .scalar(format!(
            "SELECT {body} FROM information_schema.{table} WHERE {schema} = {} AND {name} = {}{of_type}",
            quote_text(&object.name.name.database),
            quote_text(&object.name.name.name),
        ))
        .await?;
    let body =
        converted(session, body.unwrap_or_default().as_bytes(), client, &object.name).await?;
    if body.is_empty() || !raw.ends_with(&body) {
        return Err(not_convertible(client, &object.name));
    }
    let head = &raw[..raw.len() - body.len()];
    let mut sql = converted(session, head, client, &object.name).await?;
    sql.extend_from_slice(&body);
    Ok(sql)
}

/// A text in another character set, by the server's own tables, proved to come back the same.
async fn converted(
    session: &mut Session,
    utf8: &[u8],
    client: &str,
    name: &ObjectName,
) -> Result<Vec<u8>> {
    let client = crate::target::schema::word(client)?;
    let text = std::str::from_utf8(utf8).map_err(|_| not_convertible(client, name))?;
    let hex: Option<String> =
        session.scalar(format!("SELECT HEX(CONVERT({} USING {client}))", quote_text(text))).await?;
    let hex = hex.unwrap_or_default();
    let back: Option<String> = session
        .scalar(format!("SELECT HEX(CONVERT(CONVERT(X'{hex}' USING {client}) USING utf8mb4))"))
        .await?;
    let same = back.and_then(|back| from_hex(&back)).is_some_and(|back| back == utf8);
    match from_hex(&hex) {
        Some(bytes) if same => Ok(bytes),
        _ => Err(not_convertible(client, name)),
    }
}

fn not_convertible(client: &str, name: &ObjectName) -> Error {
    Error::new(
        Kind::Unsupported,
        format!("an object's text can't be carried in its character set {client}"),
    )
    .at(name)
    .next("create it again at the source on a connection with SET NAMES utf8mb4")
}

/// Runs a statement whose text may be in any character set.
pub(super) async fn execute_bytes(session: &mut Session, sql: &[u8]) -> Result<u16> {
    Ok(session.execute_bytes(sql).await?.warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_modes_are_left_out() {
        assert_eq!(known_modes("ANSI_QUOTES,NO_AUTO_CREATE_USER,POSTGRESQL"), "ANSI_QUOTES");
        assert_eq!(known_modes(""), "");
    }

    #[test]
    fn an_object_survives_the_journal() {
        let object = Object {
            name: ObjectName { kind: ObjectKind::View, name: TableName::new("d", "v") },
            sql: vec![0, 255, b'x'],
            printed: b"CREATE".to_vec(),
            sql_mode: None,
            client: Some("latin1".into()),
            connection: None,
            database_collation: None,
            time_zone: None,
            enabled: false,
            version: "9.7.4".into(),
        };
        let text = serde_json::to_string(&object).unwrap();
        assert_eq!(serde_json::from_str::<Object>(&text).unwrap(), object);
    }
}
