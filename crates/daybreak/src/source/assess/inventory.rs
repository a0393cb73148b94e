//! What the source holds beside rows: objects, options of tables, accounts, plugins, and what goes on
//! there now. Read in bulk; what the account may not see is `None`, never empty.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::Row;

use super::instance::Server;
use crate::{
    error::{Kind, Result},
    mysql::{Session, TableName, activity::open_transactions, quote, quote_text},
    select::{OWN_DATABASE, Selection, is_system},
};

/// From what age on a transaction is named, in seconds.
const LONG_TRANSACTION: u64 = 60;

/// The kinds of stored objects that are migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    View,
    Procedure,
    Function,
    Trigger,
    Event,
}

/// A view, routine, trigger or event of a database that is taken whole.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub kind: ObjectKind,
    pub name: TableName,
    /// `user@host`.
    pub definer: String,
    pub sql_mode: String,
    /// Its text as it was typed; none for views, which the server prints in its own words.
    pub body: Option<String>,
    pub collations: Vec<String>,
    /// Events: the time zone they count in.
    pub time_zone: Option<String>,
    /// Events: whether they run.
    pub enabled: bool,
    /// Routines: whether the account may not see the body.
    pub hidden: bool,
}

impl Object {
    /// `procedure shop.p`.
    pub fn describe(&self) -> String {
        let kind = match self.kind {
            ObjectKind::View => "view",
            ObjectKind::Procedure => "procedure",
            ObjectKind::Function => "function",
            ObjectKind::Trigger => "trigger",
            ObjectKind::Event => "event",
        };
        format!("{kind} {}", self.name)
    }
}

/// What the catalog doesn't say about a table.
#[derive(Debug, Clone)]
pub(super) struct TableOptions {
    /// `CREATE_OPTIONS`, in lower case and without quotes.
    pub options: String,
    /// Whether InnoDB holds its rows as `ROW_FORMAT=COMPRESSED`.
    pub row_compressed: bool,
    pub index_bytes: u64,
}

impl TableOptions {
    /// The value of an option; none where it isn't set.
    fn value(&self, name: &str) -> Option<&str> {
        let mut options = self.options.split(' ').filter_map(|option| option.split_once('='));
        options.find(|(option, _)| *option == name).map(|(_, value)| value)
    }

    /// Whether its pages are compressed: by MySQL (`COMPRESSION`) or MariaDB (`PAGE_COMPRESSED`).
    pub fn page_compressed(&self) -> bool {
        self.value("compression").is_some_and(|value| !matches!(value, "" | "none"))
            || self
                .value("page_compressed")
                .is_some_and(|value| !matches!(value, "0" | "off" | "no"))
    }

    /// Whether it is encrypted: by MySQL (`ENCRYPTION`) or MariaDB (`ENCRYPTED`).
    pub fn encrypted(&self) -> bool {
        self.value("encryption") == Some("y")
            || self.value("encrypted").is_some_and(|value| matches!(value, "yes" | "on" | "1"))
    }
}

/// Something in `information_schema.TABLES` that is neither a base table nor a view.
#[derive(Debug, Clone)]
pub(super) struct OddTable {
    pub name: TableName,
    /// `SEQUENCE`, `SYSTEM VERSIONED`, ...
    pub kind: String,
}

/// A foreign key that the target may take differently.
#[derive(Debug, Clone)]
pub(super) struct ForeignKey {
    pub table: TableName,
    pub name: String,
    pub parent: TableName,
    /// The parent's columns are no unique key.
    pub non_unique: bool,
}

/// A column's default that the server prints with a `?`, where it may be another character.
#[derive(Debug, Clone)]
pub(super) struct DoubtfulDefault {
    pub table: TableName,
    pub column: String,
    /// Whether it is another; none where no row told.
    pub lost: Option<bool>,
}

/// What goes on now.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity {
    /// Transactions older than a minute: connection, age in seconds. None without PROCESS.
    pub long_transactions: Option<Vec<(u64, u64)>>,
    /// Prepared XA transactions by their id. None without the privilege.
    pub prepared: Option<Vec<String>>,
    /// The hosts that this server replicates from. None without REPLICATION CLIENT.
    pub replicates_from: Option<Vec<String>>,
    /// `binlog_do_db`, `binlog_ignore_db`.
    pub binlog_filters: Vec<String>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Inventory {
    pub objects: Vec<Object>,
    pub tables: BTreeMap<TableName, TableOptions>,
    pub odd_tables: Vec<OddTable>,
    pub foreign_keys: Vec<ForeignKey>,
    pub doubtful_defaults: Vec<DoubtfulDefault>,
    /// Kinds of routines that are not migrated: packages, libraries.
    pub odd_routines: Vec<(String, TableName)>,
    /// Tables of users' databases that the selection leaves.
    pub left_out: Vec<TableName>,
    /// Databases of users, all of them.
    pub databases: BTreeSet<String>,
    /// Whether a database of daybreak's own is there.
    pub own_database: bool,
    pub activity: Activity,
    pub server: Server,
}

impl Inventory {
    pub(super) async fn read(session: &mut Session, selection: &Selection) -> Result<Self> {
        let mut inventory = Inventory::default();
        inventory.read_tables(session, selection).await?;
        let taken: Vec<String> = inventory
            .databases
            .iter()
            .filter(|name| selection.takes_database(name))
            .map(|name| quote_text(name))
            .collect();
        if !taken.is_empty() {
            let within = format!("IN ({})", taken.join(", "));
            inventory.read_objects(session, selection, &within).await?;
            inventory.read_foreign_keys(session, selection, &within).await?;
            if !session.dialect().mysql_from(8, 0, 0) {
                inventory.read_doubtful_defaults(session, selection, &within).await?;
            }
        }
        inventory.activity = Activity::read(session).await?;
        inventory.server = Server::read(session).await?;
        Ok(inventory)
    }

    async fn read_tables(&mut self, session: &mut Session, selection: &Selection) -> Result<()> {
        for name in names(session, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA").await? {
            if name == OWN_DATABASE {
                self.own_database = true;
            } else if !is_system(&name) {
                self.databases.insert(name);
            }
        }
        for row in session
            .rows(
                "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, COALESCE(CREATE_OPTIONS, '') AS OPTIONS, \
                 COALESCE(ENGINE = 'InnoDB' AND ROW_FORMAT = 'Compressed', 0) AS ROW_COMPRESSED, \
                 COALESCE(INDEX_LENGTH, 0) AS INDEX_BYTES FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') \
                 ORDER BY 1, 2",
            )
            .await?
        {
            let name = table(session, &row, "TABLE_SCHEMA", "TABLE_NAME")?;
            let kind: String = session.field(&row, "TABLE_TYPE")?;
            if is_system(&name.database) || kind == "VIEW" || kind.starts_with("SYSTEM VIEW") {
                continue;
            }
            if !selection.takes_table(&name) {
                self.left_out.push(name);
            } else if kind == "BASE TABLE" {
                let options = TableOptions {
                    options: session
                        .field::<String>(&row, "OPTIONS")?
                        .to_lowercase()
                        .replace(['\'', '"', '`'], ""),
                    row_compressed: session.field::<i64>(&row, "ROW_COMPRESSED")? != 0,
                    index_bytes: session.field(&row, "INDEX_BYTES")?,
                };
                self.tables.insert(name, options);
            } else {
                self.odd_tables.push(OddTable { name, kind });
            }
        }
        Ok(())
    }

    async fn read_objects(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        within: &str,
    ) -> Result<()> {
        let views = format!(
            "SELECT TABLE_SCHEMA AS D, TABLE_NAME AS N, 'VIEW' AS K, DEFINER, '' AS SQL_MODE, \
             COLLATION_CONNECTION AS C1, NULL AS C2, NULL AS ZONE, 1 AS ENABLED, 0 AS HIDDEN, \
             NULL AS BODY FROM information_schema.VIEWS WHERE TABLE_SCHEMA {within}"
        );
        let routines = format!(
            "SELECT ROUTINE_SCHEMA AS D, ROUTINE_NAME AS N, ROUTINE_TYPE AS K, DEFINER, SQL_MODE, \
             COLLATION_CONNECTION AS C1, DATABASE_COLLATION AS C2, NULL AS ZONE, 1 AS ENABLED, \
             ROUTINE_DEFINITION IS NULL AS HIDDEN, ROUTINE_DEFINITION AS BODY \
             FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA {within}"
        );
        let triggers = format!(
            "SELECT TRIGGER_SCHEMA AS D, TRIGGER_NAME AS N, 'TRIGGER' AS K, DEFINER, SQL_MODE, \
             COLLATION_CONNECTION AS C1, DATABASE_COLLATION AS C2, NULL AS ZONE, 1 AS ENABLED, \
             0 AS HIDDEN, ACTION_STATEMENT AS BODY FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA {within}"
        );
        let events = format!(
            "SELECT EVENT_SCHEMA AS D, EVENT_NAME AS N, 'EVENT' AS K, DEFINER, SQL_MODE, \
             COLLATION_CONNECTION AS C1, DATABASE_COLLATION AS C2, TIME_ZONE AS ZONE, \
             STATUS = 'ENABLED' AS ENABLED, 0 AS HIDDEN, EVENT_DEFINITION AS BODY \
             FROM information_schema.EVENTS WHERE EVENT_SCHEMA {within}"
        );
        for statement in [views, routines, triggers, events] {
            for row in session.rows(format!("{statement} ORDER BY 1, 2")).await? {
                let name = table(session, &row, "D", "N")?;
                if !selection.takes_objects(&name.database) {
                    continue;
                }
                let kind: String = session.field(&row, "K")?;
                let kind = match kind.as_str() {
                    "VIEW" => ObjectKind::View,
                    "PROCEDURE" => ObjectKind::Procedure,
                    "FUNCTION" => ObjectKind::Function,
                    "TRIGGER" => ObjectKind::Trigger,
                    "EVENT" => ObjectKind::Event,
                    _ => {
                        self.odd_routines.push((kind, name));
                        continue;
                    }
                };
                let mut collations = Vec::new();
                for column in ["C1", "C2"] {
                    collations.extend(session.optional::<String>(&row, column)?);
                }
                self.objects.push(Object {
                    kind,
                    name,
                    definer: session.optional(&row, "DEFINER")?.unwrap_or_default(),
                    sql_mode: session.optional(&row, "SQL_MODE")?.unwrap_or_default(),
                    body: session.optional(&row, "BODY")?,
                    collations,
                    time_zone: session.optional(&row, "ZONE")?,
                    enabled: session.field::<i64>(&row, "ENABLED")? != 0,
                    hidden: session.field::<i64>(&row, "HIDDEN")? != 0,
                });
            }
        }
        Ok(())
    }

    /// MariaDB, and MySQL before 8.0, print definitions in utf8mb3: in a default each character of four
    /// bytes is a `?`. `DEFAULT(column)` tells the truth, where a row is there to ask it of.
    async fn read_doubtful_defaults(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        within: &str,
    ) -> Result<()> {
        for row in session
            .rows(format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA {within} AND COLUMN_DEFAULT LIKE '%?%' \
                 AND CHARACTER_SET_NAME IN ('utf8mb4', 'utf16', 'utf16le', 'utf32') ORDER BY 1, 2, ORDINAL_POSITION"
            ))
            .await?
        {
            let table = table(session, &row, "TABLE_SCHEMA", "TABLE_NAME")?;
            if !self.tables.contains_key(&table) || !selection.takes_table(&table) {
                continue;
            }
            let column: String = session.field(&row, "COLUMN_NAME")?;
            if selection.leaves_out(&table, &column) {
                continue;
            }
            let value = format!("HEX(CONVERT(DEFAULT({}) USING utf8mb4))", quote(&column));
            let mut lost = None;
            // The second asks of no row, which a column that may be NULL can answer.
            for from in [
                format!("{} LIMIT 1", table.sql()),
                format!("(SELECT 1) AS one LEFT JOIN {} ON FALSE", table.sql()),
            ] {
                let told = match session.scalar(format!("SELECT {value} FROM {from}")).await {
                    // What the account lacks is the rules' to name.
                    Err(error) if error.kind() == Kind::Privilege => None,
                    told => told?,
                };
                if let Some::<String>(hex) = told {
                    lost = Some(hex.as_bytes().chunks(2).any(|byte| byte[0] == b'F'));
                    break;
                }
            }
            self.doubtful_defaults.push(DoubtfulDefault { table, column, lost });
        }
        Ok(())
    }

    async fn read_foreign_keys(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        within: &str,
    ) -> Result<()> {
        for row in session
            .rows(format!(
                "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA, \
                 REFERENCED_TABLE_NAME, UNIQUE_CONSTRAINT_NAME IS NULL AS NON_UNIQUE \
                 FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA {within} \
                 ORDER BY 1, 2, 3"
            ))
            .await?
        {
            let table = table(session, &row, "CONSTRAINT_SCHEMA", "TABLE_NAME")?;
            if !selection.takes_table(&table) {
                continue;
            }
            self.foreign_keys.push(ForeignKey {
                parent: TableName::new(
                    session
                        .optional::<String>(&row, "UNIQUE_CONSTRAINT_SCHEMA")?
                        .unwrap_or_else(|| table.database.clone()),
                    session.field::<String>(&row, "REFERENCED_TABLE_NAME")?,
                ),
                name: session.field(&row, "CONSTRAINT_NAME")?,
                non_unique: session.field::<i64>(&row, "NON_UNIQUE")? != 0,
                table,
            });
        }
        Ok(())
    }
}

impl Activity {
    async fn read(session: &mut Session) -> Result<Self> {
        let mut activity = Activity::default();
        let own = u64::from(session.id());
        activity.long_transactions = open_transactions(session).await?.map(|all| {
            let old = all.iter().filter(|one| one.id != own && one.seconds >= LONG_TRANSACTION);
            old.map(|one| (one.id, one.seconds)).collect()
        });
        if let Some(rows) = optional(session, "XA RECOVER").await? {
            let mut ids = Vec::new();
            for row in &rows {
                let id: Vec<u8> = session.field(row, "data")?;
                ids.push(String::from_utf8_lossy(&id).into_owned());
            }
            activity.prepared = Some(ids);
        }
        activity.replicates_from = sources(session).await?;
        let statement = session.dialect().binary_log_status();
        for row in optional(session, statement).await?.unwrap_or_default() {
            for name in ["Binlog_Do_DB", "Binlog_Ignore_DB"] {
                if let Some(value) =
                    session.optional::<String>(&row, name)?.filter(|value| !value.is_empty())
                {
                    activity.binlog_filters.push(format!("{}={value}", name.to_lowercase()));
                }
            }
        }
        Ok(activity)
    }
}

/// The hosts that a server replicates from; none without the privilege to ask.
pub(super) async fn sources(session: &mut Session) -> Result<Option<Vec<String>>> {
    let dialect = session.dialect();
    let (statement, column) = if dialect.is_mariadb() {
        ("SHOW ALL SLAVES STATUS", "Master_Host")
    } else if dialect.says_replica() {
        ("SHOW REPLICA STATUS", "Source_Host")
    } else {
        ("SHOW SLAVE STATUS", "Master_Host")
    };
    let Some(rows) = optional(session, statement).await? else { return Ok(None) };
    let mut hosts = Vec::new();
    for row in &rows {
        hosts.extend(session.optional::<String>(row, column)?.filter(|host| !host.is_empty()));
    }
    Ok(Some(hosts))
}

/// The rows of a query, or none when the account may not ask or the server has no such thing.
pub(super) async fn optional(session: &mut Session, sql: &str) -> Result<Option<Vec<Row>>> {
    match session.rows(sql).await {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.kind() == Kind::Privilege => Ok(None),
        // No such database, table, column or view; XA RECOVER without XA_RECOVER_ADMIN.
        Err(error) if matches!(error.code(), Some(1049 | 1054 | 1109 | 1146 | 1401)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first column of a query, as texts.
pub(super) async fn names(session: &mut Session, sql: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for row in session.rows(sql).await? {
        names.push(session.column(&row, 0)?.unwrap_or_default());
    }
    Ok(names)
}

pub(super) async fn list(session: &mut Session, sql: &str) -> Result<Option<Vec<String>>> {
    let Some(rows) = optional(session, sql).await? else { return Ok(None) };
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        names.push(session.column(row, 0)?.unwrap_or_default());
    }
    Ok(Some(names))
}

pub(super) fn table(session: &Session, row: &Row, database: &str, name: &str) -> Result<TableName> {
    Ok(TableName::new(session.field::<String>(row, database)?, session.field::<String>(row, name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_both_products() {
        let of = |options: &str| TableOptions {
            options: options.into(),
            row_compressed: false,
            index_bytes: 0,
        };
        for compressed in
            ["compression=zlib", "partitioned page_compressed=1", "page_compressed=on"]
        {
            assert!(of(compressed).page_compressed(), "{compressed}");
        }
        for plain in ["", "compression=none", "page_compressed=0", "row_format=compressed"] {
            assert!(!of(plain).page_compressed(), "{plain}");
        }
        assert!(
            of("encryption=y").encrypted() && of("encrypted=yes encryption_key_id=2").encrypted()
        );
        assert!(!of("encryption=n").encrypted() && !of("encryption_key_id=1").encrypted());
    }
}
