//! What the cluster's parameter group must hold, and why: only what differs from the engine's own.

use serde::{Deserialize, Serialize};

use super::{Asked, Choice, Record, Restore};
use crate::{
    aws::rds::Parameter,
    engine::{Finding, PositionBy, ReplicationMode, Severity},
    error::{Error, Kind, Result},
    mysql::Session,
};

/// A parameter, and why it is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Why.
    pub why: String,
}

impl Setting {
    fn new(name: &str, value: impl Into<String>, why: &str) -> Self {
        Setting { name: name.into(), value: value.into(), why: why.into() }
    }
}

/// Asks the source what the parameter group must hold.
///
/// # Errors
/// What the server says.
pub async fn settings(
    source: &mut Session,
    replication: ReplicationMode,
    position: PositionBy,
) -> Result<Vec<Setting>> {
    let mut settings = vec![
        Setting::new("local_infile", "1", "rows that differ are loaded by LOAD DATA LOCAL"),
        Setting::new(
            "log_bin_trust_function_creators",
            "1",
            "the master account has no SUPER, and routines and triggers come back without it",
        ),
    ];
    let names = [
        (
            "lower_case_table_names",
            "the backup's names of tables are as the source keeps them, and it is fixed when the cluster is made",
        ),
        ("character_set_server", "new databases are as at the source"),
        ("collation_server", "new databases are as at the source"),
        (
            "explicit_defaults_for_timestamp",
            "TIMESTAMP columns of replicated DDL mean what they mean at the source",
        ),
    ];
    for (name, why) in names {
        if let Some(value) = source.variable(name).await?.filter(|value| !value.is_empty()) {
            let value = match value.as_str() {
                "ON" => "1".into(),
                "OFF" => "0".into(),
                _ => value,
            };
            settings.push(Setting::new(name, value, why));
        }
    }
    if let Some(zone) = source.variable("time_zone").await? {
        let zone = match zone.as_str() {
            "SYSTEM" => source.variable("system_time_zone").await?.unwrap_or_default(),
            _ => zone,
        };
        // Aurora takes names of zones only; an offset or an abbreviation has none that is sure.
        if zone.contains('/') || zone == "UTC" {
            settings.push(Setting::new(
                "time_zone",
                zone,
                "NOW() and TIMESTAMP columns read as at the source",
            ));
        }
    }
    if replication == ReplicationMode::Native {
        settings.push(Setting::new(
            "binlog_format",
            "ROW",
            "the way back (fallback) replicates rows from the cluster",
        ));
        if position == PositionBy::Gtid {
            settings.push(Setting::new("gtid-mode", "ON", "replication keeps its place by GTIDs"));
            settings.push(Setting::new("enforce_gtid_consistency", "ON", "GTIDs demand it"));
        }
    }
    Ok(settings)
}

/// Names are written with `-` in some of the engine's parameters.
fn same(one: &str, other: &str) -> bool {
    one.replace('-', "_").eq_ignore_ascii_case(&other.replace('-', "_"))
}

fn is_set(found: Option<&str>, wanted: &str) -> bool {
    let plain = |value: &str| match value.to_ascii_uppercase().as_str() {
        "ON" | "TRUE" => "1".to_string(),
        "OFF" | "FALSE" => "0".to_string(),
        other => other.to_string(),
    };
    found.is_some_and(|found| plain(found) == plain(wanted))
}

/// What of the settings differs, by the engine's own names; and what can't be set.
fn differing(settings: &[Setting], known: &[Parameter]) -> (Vec<Setting>, Vec<Setting>) {
    let (mut differ, mut cannot) = (Vec::new(), Vec::new());
    for setting in settings {
        let found = known.iter().find(|parameter| same(&parameter.name, &setting.name));
        match found {
            Some(parameter) if is_set(parameter.value.as_deref(), &setting.value) => {}
            Some(parameter) if parameter.modifiable => {
                differ.push(Setting { name: parameter.name.clone(), ..setting.clone() });
            }
            _ => cannot.push(setting.clone()),
        }
    }
    (differ, cannot)
}

impl Restore<'_> {
    /// What is to be said of the parameters before anything is asked for.
    pub(super) async fn parameter_findings(&self, choice: &Choice) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let family = &choice.version.family;
        let settings = &self.wanted.settings;
        let Some(name) = &self.wanted.config.parameter_group else {
            let known = self.rds.default_parameters(family).await?;
            let (differ, cannot) = differing(settings, &known);
            for setting in differ {
                findings.push(Finding {
                    id: "restore.parameter".into(),
                    severity: Severity::Note,
                    objects: vec![setting.name.clone()],
                    why: format!("{} is set to {}: {}", setting.name, setting.value, setting.why),
                    remedy: "nothing to do: a parameter group is made for the cluster".into(),
                });
            }
            findings.extend(cannot.iter().map(|setting| cannot_be_set(setting, family)));
            return Ok(findings);
        };
        let Some(group) = self.rds.parameter_group(name).await? else {
            findings.push(Finding {
                id: "restore.parameter_group".into(),
                severity: Severity::Blocker,
                objects: vec![name.clone()],
                why: format!("there is no cluster parameter group {name}"),
                remedy: "name one that exists, or none, and one is made".into(),
            });
            return Ok(findings);
        };
        if group.family != *family {
            findings.push(Finding {
                id: "restore.parameter_group".into(),
                severity: Severity::Blocker,
                objects: vec![name.clone()],
                why: format!("{name} is of the family {}, the cluster's is {family}", group.family),
                remedy: format!("name one of {family}, or none, and one is made"),
            });
            return Ok(findings);
        }
        let (differ, _) = differing(settings, &self.rds.parameters(name).await?);
        for setting in differ {
            // Only this one can't be put right afterwards.
            let fixed = same(&setting.name, "lower_case_table_names");
            findings.push(Finding {
                id: "restore.parameter".into(),
                severity: if fixed { Severity::Blocker } else { Severity::Warning },
                objects: vec![name.clone(), setting.name.clone()],
                why: format!(
                    "{} should be {} in {name}: {}",
                    setting.name, setting.value, setting.why
                ),
                remedy: format!(
                    "aws rds modify-db-cluster-parameter-group --db-cluster-parameter-group-name {name} \
                     --parameters ParameterName={},ParameterValue={},ApplyMethod=pending-reboot",
                    setting.name, setting.value
                ),
            });
        }
        Ok(findings)
    }

    /// The parameter group for the cluster: the one that was named, or one that is made.
    pub(super) async fn parameter_group(
        &self,
        cluster: &str,
        choice: &Choice,
        asked: &mut Asked,
        record: Record<'_>,
    ) -> Result<String> {
        if let Some(name) = &self.wanted.config.parameter_group {
            return Ok(name.clone());
        }
        let name = format!("{cluster}-daybreak");
        if !self.has_group(&name).await? {
            asked.parameter_group = Some(name.clone());
            record(asked)?;
            self.stop.check()?;
            let description = format!("Made by daybreak for the cluster {cluster}");
            let (family, tags) = (&choice.version.family, self.tags());
            let made = self.rds.create_parameter_group(&name, family, &description, &tags).await;
            if let Err(error) = made {
                // The answer may have been lost on its way, and the group be there.
                match self.has_group(&name).await {
                    Ok(true) => self.asked_already(&name, &error),
                    Err(theirs) if theirs.kind() == Kind::Blocked => return Err(theirs),
                    Ok(false) | Err(_) => return Err(error),
                }
            }
        }
        asked.parameter_group = Some(name.clone());
        let (differ, cannot) = differing(&self.wanted.settings, &self.rds.parameters(&name).await?);
        for setting in &differ {
            self.events.info(format!("{} = {}: {}", setting.name, setting.value, setting.why));
        }
        for setting in &cannot {
            self.events.warn(cannot_be_set(setting, &choice.version.family).why);
        }
        let pairs: Vec<(String, String)> =
            differ.into_iter().map(|setting| (setting.name, setting.value)).collect();
        if !pairs.is_empty() {
            self.rds.set_parameters(&name, &pairs).await?;
        }
        Ok(name)
    }

    /// Whether the parameter group is there, made by this migration.
    async fn has_group(&self, name: &str) -> Result<bool> {
        let Some(group) = self.rds.parameter_group(name).await? else { return Ok(false) };
        if self.is_ours(&self.rds.tags(&group.arn).await?) {
            return Ok(true);
        }
        Err(Error::new(
            Kind::Blocked,
            format!("there is a parameter group {name} already, and this migration didn't make it"),
        )
        .at(self.rds.place())
        .next("choose another cluster identifier, or name the group as parameter_group"))
    }
}

fn cannot_be_set(setting: &Setting, family: &str) -> Finding {
    let fixed = same(&setting.name, "lower_case_table_names");
    Finding {
        id: "restore.parameter_fixed".into(),
        severity: if fixed { Severity::Blocker } else { Severity::Note },
        objects: vec![setting.name.clone()],
        why: format!(
            "{} can't be set to {} in {family} ({})",
            setting.name, setting.value, setting.why
        ),
        remedy: "nothing can be done about it in a parameter group: see whether the engine's own value does"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_set() {
        let known = |name: &str, value: Option<&str>, modifiable| Parameter {
            name: name.into(),
            value: value.map(String::from),
            modifiable,
            is_static: false,
        };
        let known = [
            known("gtid-mode", Some("OFF_PERMISSIVE"), true),
            known("local_infile", Some("ON"), true),
            known("binlog_format", None, true),
            known("explicit_defaults_for_timestamp", Some("1"), false),
        ];
        let wanted = [
            Setting::new("gtid_mode", "ON", ""),
            Setting::new("local_infile", "1", ""),
            Setting::new("binlog_format", "ROW", ""),
            Setting::new("explicit_defaults_for_timestamp", "0", ""),
        ];
        let (differ, cannot) = differing(&wanted, &known);
        let names = |of: &[Setting]| of.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&differ), ["gtid-mode", "binlog_format"]);
        assert_eq!(names(&cannot), ["explicit_defaults_for_timestamp"]);
    }
}
