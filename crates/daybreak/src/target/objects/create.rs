//! Makes objects one by one, each under its own settings, and drops them.

use std::collections::BTreeMap;

use super::{
    NotCreated, ObjectKind, ObjectName, STEP,
    definition::{Object, execute_bytes, known_modes, read},
    header,
};
use crate::{
    config::Definer,
    engine::Context,
    error::{Error, Kind, Result},
    event::{Event, Unit},
    mysql::{Dialect, Session, quote},
    target::schema::{settle_writer, word},
};

/// Whether the object on the target is the one that was read at the source.
pub(super) fn is_same(wanted: &Object, found: &Object, definer: Definer) -> bool {
    let (wanted_text, wanted_settings) = wanted.essence(definer);
    let (found_text, found_settings) = found.essence(definer);
    let one_series =
        Dialect::read(&wanted.version, None).same_series(&Dialect::read(&found.version, None));
    let same_text = match wanted.name.kind {
        _ if one_series => wanted_text == found_text,
        // A view's query is printed in the server's own words.
        ObjectKind::View => true,
        // Older versions print the head as it was typed.
        ObjectKind::Trigger => {
            header::trigger_body(&wanted_text) == header::trigger_body(&found_text)
        }
        ObjectKind::Function => {
            header::with_shared_type(&wanted_text) == header::with_shared_type(&found_text)
        }
        _ => wanted_text == found_text,
    };
    same_text && wanted_settings == found_settings
}

/// The collation of each database.
pub(super) async fn collations(session: &mut Session) -> Result<BTreeMap<String, String>> {
    let rows = session
        .rows("SELECT SCHEMA_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA")
        .await?;
    let mut collations = BTreeMap::new();
    for row in rows {
        collations.insert(
            session.field::<String>(&row, "SCHEMA_NAME")?,
            session.field::<String>(&row, "DEFAULT_COLLATION_NAME")?,
        );
    }
    Ok(collations)
}

/// Makes objects on the target.
pub(super) struct Maker<'a> {
    ctx: &'a Context,
    /// Reads what is there; has no current database.
    reader: Session,
    /// Makes what is missing.
    writer: Session,
    /// The collations that the databases shall have in the end.
    wanted: BTreeMap<String, String>,
    /// The collations that they have now.
    now: BTreeMap<String, String>,
    /// Definers that don't exist on the target, and their objects.
    absent: BTreeMap<String, Vec<String>>,
}

impl<'a> Maker<'a> {
    /// Opens the connections.
    pub async fn open(
        ctx: &'a Context,
        mut reader: Session,
        wanted: BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut writer = ctx.target().await?;
        settle_writer(&mut writer).await?;
        let now = collations(&mut reader).await?;
        Ok(Maker { ctx, reader, writer, wanted, now, absent: BTreeMap::new() })
    }

    /// Makes all objects that are missing or differ; returns the views that can't be made.
    pub async fn make_all(
        &mut self,
        objects: &[Object],
        mut not_created: Vec<NotCreated>,
    ) -> Result<Vec<NotCreated>> {
        let total = objects.len() as u64;
        let mut done = 0;
        let mut tell = |ctx: &Context, now: &ObjectName| {
            done += 1;
            ctx.events.send(Event::Progress {
                task: STEP.to_string(),
                now: now.to_string(),
                done,
                total: Some(total),
                unit: Unit::Objects,
                bytes: 0,
            });
        };
        let of = |kinds: &'static [ObjectKind]| {
            objects.iter().filter(move |object| kinds.contains(&object.name.kind))
        };
        for object in of(&[ObjectKind::Function, ObjectKind::Procedure]) {
            self.ensure(object).await.map_err(|error| explain(error, &object.name))?;
            tell(self.ctx, &object.name);
        }

        // Views stand on views: as long as a round makes one, another round may make the next.
        let mut waiting: Vec<&Object> = of(&[ObjectKind::View]).collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut refused = Vec::new();
            for object in waiting {
                match self.ensure(object).await {
                    Ok(()) => tell(self.ctx, &object.name),
                    Err(error) if is_views_own_fault(&error) => refused.push((object, error)),
                    Err(error) => return Err(explain(error, &object.name)),
                }
            }
            if refused.len() == before {
                not_created.extend(refused.into_iter().map(|(object, error)| NotCreated {
                    object: object.name.clone(),
                    why: why(&error),
                }));
                break;
            }
            waiting = refused.into_iter().map(|(object, _)| object).collect();
        }

        for object in of(&[ObjectKind::Trigger, ObjectKind::Event]) {
            self.ensure(object).await.map_err(|error| explain(error, &object.name))?;
            tell(self.ctx, &object.name);
        }
        for (definer, objects) in std::mem::take(&mut self.absent) {
            self.ctx.events.warn(format!(
                "the definer {definer} doesn't exist on the target: until that account is created \
                 there, {} can't be used",
                objects.join(", ")
            ));
        }
        Ok(not_created)
    }

    /// Makes an object unless it is there as it shall be.
    async fn ensure(&mut self, object: &Object) -> Result<()> {
        self.ctx.stop.check()?;
        let definer = self.ctx.config.copy.definer;
        match read(&mut self.reader, &object.name).await {
            Ok(found) if is_same(object, &found, definer) => return Ok(()),
            Ok(_) => self.drop_object(&object.name).await?,
            Err(error) if error.kind() == Kind::SnapshotLost => {}
            // There, but broken.
            Err(error) if error.code() == Some(1356) => self.drop_object(&object.name).await?,
            Err(error) => return Err(error),
        }
        let mut sql = header::with_status(&object.sql, "DISABLE");
        if definer == Definer::Current {
            sql = header::with_definer(&sql, "CURRENT_USER");
        }
        if object.name.kind == ObjectKind::Trigger {
            sql = header::without_order(&sql);
        }
        let mode = object.sql_mode.as_deref().unwrap_or_default();
        if mode.split(',').any(|mode| mode == "NO_BACKSLASH_ESCAPES") {
            sql = header::with_plain_comment(&sql);
        }
        let result = self.run(object, &sql).await;
        // Whatever the object's settings were, the next statement is ours again.
        self.writer.execute("SET NAMES utf8mb4").await?;
        result
    }

    /// Runs a statement under an object's settings.
    async fn run(&mut self, object: &Object, sql: &[u8]) -> Result<()> {
        let database = &object.name.name.database;
        if let Some(collation) = &object.database_collation {
            self.set_collation(database, &collation.clone()).await?;
        }
        self.writer.execute(format!("USE {}", quote(database))).await?;
        let warnings = under_settings(&mut self.writer, object, sql).await?;
        if warnings > 0 {
            self.tell_warnings(&object.name, sql).await?;
        }
        Ok(())
    }

    /// Notes a definer that doesn't exist, and tells whatever else the server remarks.
    async fn tell_warnings(&mut self, name: &ObjectName, sql: &[u8]) -> Result<()> {
        for row in self.writer.rows("SHOW WARNINGS").await? {
            let code: u16 = self.writer.field(&row, "Code")?;
            let message: String = self.writer.field(&row, "Message")?;
            if code == 1449 {
                let definer = header::definer(sql).unwrap_or_default();
                self.absent.entry(definer).or_default().push(name.to_string());
            } else {
                self.ctx.events.detail(format!("{name}: {message}"));
            }
        }
        Ok(())
    }

    /// Gives a database another default collation, which routines take for their variables.
    async fn set_collation(&mut self, database: &str, collation: &str) -> Result<()> {
        if self.now.get(database).is_some_and(|now| now.eq_ignore_ascii_case(collation)) {
            return Ok(());
        }
        self.writer
            .execute(format!("ALTER DATABASE {} COLLATE {}", quote(database), word(collation)?))
            .await?;
        self.now.insert(database.to_string(), collation.to_string());
        Ok(())
    }

    /// Gives the databases back the collations that they had.
    pub async fn restore(&mut self) -> Result<()> {
        for (database, collation) in self.wanted.clone() {
            if self.now.contains_key(&database) {
                self.set_collation(&database, &collation).await?;
            }
        }
        Ok(())
    }

    /// Drops an object, if it is there.
    pub async fn drop_object(&mut self, name: &ObjectName) -> Result<()> {
        let sql = format!("DROP {} IF EXISTS {}", name.kind.word(), name.name.sql());
        match self.writer.execute(sql).await {
            Ok(_) => Ok(()),
            // Its database is gone, or something else has the name.
            Err(error) if matches!(error.code(), Some(1049 | 1347)) => Ok(()),
            Err(error) => Err(error.at(name)),
        }
    }
}

/// Runs a statement under the settings of an object; returns the number of warnings.
pub(super) async fn under_settings(
    session: &mut Session,
    object: &Object,
    sql: &[u8],
) -> Result<u16> {
    let mut settings = Vec::new();
    if let Some(mode) = &object.sql_mode {
        let mode = known_modes(mode);
        if !mode.is_empty() {
            mode.split(',').try_for_each(|mode| word(mode).map(drop))?;
        }
        settings.push(format!("sql_mode = '{mode}'"));
    }
    if let Some(zone) = &object.time_zone {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/:".contains(&byte);
        if !zone.bytes().all(fine) {
            return Err(Error::new(Kind::Unsupported, format!("{zone:?} is no time zone")));
        }
        settings.push(format!("time_zone = '{zone}'"));
    }
    if let Some(connection) = &object.connection {
        settings.push(format!("collation_connection = {}", word(connection)?));
    }
    // Last, since it decides how the next statement is read.
    if let Some(client) = &object.client {
        settings.push(format!("character_set_client = {}", word(client)?));
    }
    if !settings.is_empty() {
        session.execute(format!("SET SESSION {}", settings.join(", "))).await?;
    }
    execute_bytes(session, sql).await
}

/// Why a view can't be made, in the server's words, with the remedy where there is one.
fn why(error: &Error) -> String {
    let mut why = error.causes().join(": ");
    if error.code() == Some(1449) {
        // The server looks for the definer of whatever the view stands on.
        why.push_str(
            "; create that account on the target (CREATE USER ... ACCOUNT LOCK is enough), then \
             `daybreak undo --to indexes` and `daybreak resume`",
        );
    }
    why
}

/// Whether an error says that a view can't stand: what it is made of isn't there, or isn't as it was.
fn is_views_own_fault(error: &Error) -> bool {
    let no_right = error.causes().iter().any(|cause| cause.contains("CREATE VIEW command denied"));
    match error.kind() {
        Kind::Sql | Kind::Unsupported => true,
        Kind::Privilege => matches!(error.code(), Some(1142 | 1143 | 1370)) && !no_right,
        _ => false,
    }
}

/// Adds the remedy where there is one.
fn explain(error: Error, name: &ObjectName) -> Error {
    let next = match error.code() {
        Some(1418 | 1419) => Some(
            "set log_bin_trust_function_creators to 1 on the target (in its parameter group), then \
             `daybreak resume`"
                .to_string(),
        ),
        Some(1227) if error.causes().iter().any(|cause| cause.contains("SYSTEM_USER")) => Some(
            "its definer is a system account of the target (SYSTEM_USER), in whose name only such \
             accounts may define: set [copy] definer = \"current\""
                .to_string(),
        ),
        Some(1227) => Some(
            "the account on the target may not set this definer: grant it SET_ANY_DEFINER and \
             ALLOW_NONEXISTENT_DEFINER (SET_USER_ID before 8.4), or set [copy] definer = \"current\""
                .to_string(),
        ),
        Some(1298) => Some(
            "load the time zone tables on the target (mysql_tzinfo_to_sql), or give the event an \
             offset such as '+00:00' at the source"
                .to_string(),
        ),
        Some(1115 | 1273) => Some(
            "the target doesn't know that character set or collation: create the object again at \
             the source under one that it knows"
                .to_string(),
        ),
        Some(_) if error.kind() == Kind::Sql => Some(format!(
            "correct or drop {name} at the source, `daybreak undo --to schema`, then `daybreak \
             resume` reads it again"
        )),
        _ => None,
    };
    let error = error.at(name);
    match next {
        Some(next) => error.next(next),
        None => error,
    }
}
