//! Whatever can be known before anything is asked for.

use super::{Choice, Restore, policy, version};
use crate::{
    config::S3Place,
    engine::{Finding, Severity},
    error::{Error, Kind, Result},
    transit::{MAX_OBJECT, MAX_OBJECTS, MAX_TOTAL},
};

/// An empty prefix would read whatever lies in the bucket.
pub(super) fn whole_bucket(place: &S3Place) -> Error {
    Error::new(Kind::Config, "the backup's place is a whole bucket")
        .at(place.to_string())
        .next("give a prefix of its own: RDS takes every object whose key begins with it")
}

fn blocker(id: &str, objects: &[&str], why: String, remedy: impl Into<String>) -> Finding {
    Finding {
        id: id.into(),
        severity: Severity::Blocker,
        objects: objects.iter().map(ToString::to_string).collect(),
        why,
        remedy: remedy.into(),
    }
}

impl Restore<'_> {
    pub(super) async fn choose_version(&self) -> Result<Choice> {
        let offered = self.rds.engine_versions().await?;
        let wish = self.wanted.config.engine_version.as_deref();
        super::choose(&offered, &self.wanted.backup.server_version, wish)
            .map_err(|error| error.at(self.rds.place()))
    }

    /// Looks for whatever stands in the way. Read-only.
    ///
    /// # Errors
    /// When RDS itself can't be asked.
    pub async fn check(&self) -> Result<Vec<Finding>> {
        self.check_authority()?;
        self.look().await.map_err(|error| self.with_policies(error))
    }

    async fn look(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let config = &self.wanted.config;
        let place = self.wanted.place.to_string();
        if self.wanted.place.prefix.is_empty() {
            let error = whole_bucket(&self.wanted.place);
            findings.push(blocker(
                "restore.prefix",
                &[&place],
                error.what().to_string(),
                error.next_step().unwrap_or_default(),
            ));
        }
        self.check_bucket(&mut findings);
        self.check_account(&mut findings);
        match self.cluster() {
            Err(error) => findings.push(blocker(
                "restore.cluster",
                &[],
                error.what().to_string(),
                error.next_step().unwrap_or_default(),
            )),
            Ok(identifier) => match self.our_cluster().await {
                Ok(Some(cluster)) => findings.push(Finding {
                    id: "restore.cluster".into(),
                    severity: Severity::Note,
                    objects: vec![identifier.to_string()],
                    why: format!(
                        "this migration's cluster is there already, and is {}",
                        cluster.status
                    ),
                    remedy: "nothing to do: the restore goes on with it".into(),
                }),
                Ok(None) => {}
                Err(error) if error.kind() == Kind::Blocked => findings.push(blocker(
                    "restore.cluster",
                    &[identifier],
                    error.what().to_string(),
                    error.next_step().unwrap_or_default(),
                )),
                Err(error) => return Err(error),
            },
        }
        match self.choose_version().await {
            Ok(choice) => {
                findings.extend(version::notes(&choice, &self.wanted.backup.server_version));
                findings.extend(self.parameter_findings(&choice).await?);
            }
            Err(error) if error.kind() == Kind::Blocked => findings.push(blocker(
                "restore.engine_version",
                &[&self.wanted.backup.server_version],
                error.what().to_string(),
                error.next_step().unwrap_or_default(),
            )),
            Err(error) => return Err(error),
        }
        match &config.subnet_group {
            None => findings.push(Finding {
                id: "restore.subnet_group".into(),
                severity: Severity::Warning,
                objects: Vec::new(),
                why: "no DB subnet group is named: the cluster goes into the default VPC, if there is one, \
                      from where it must reach the source"
                    .into(),
                remedy: "name one as subnet_group in [restore]".into(),
            }),
            Some(name) => self.check_subnets(name, &mut findings).await?,
        }
        Ok(findings)
    }

    async fn check_subnets(&self, name: &str, findings: &mut Vec<Finding>) -> Result<()> {
        let remedy = "name a DB subnet group with subnets in at least two Availability Zones";
        match self.rds.subnet_group(name).await? {
            None => findings.push(blocker(
                "restore.subnet_group",
                &[name],
                format!("there is no DB subnet group {name}"),
                remedy,
            )),
            Some(group) if group.zones.len() < 2 => findings.push(blocker(
                "restore.subnet_group",
                &[name],
                format!(
                    "the DB subnet group {name} lies in {} Availability Zone ({}): a cluster needs two",
                    group.zones.len(),
                    group.zones.join(", ")
                ),
                remedy,
            )),
            Some(group) if group.status != "Complete" => findings.push(blocker(
                "restore.subnet_group",
                &[name],
                format!("the DB subnet group {name} is {}", group.status),
                "wait until it is Complete, or name another one",
            )),
            Some(_) => {}
        }
        Ok(())
    }

    fn check_bucket(&self, findings: &mut Vec<Finding>) {
        let bucket = &self.wanted.bucket;
        let name = self.wanted.place.bucket.as_str();
        if let (Some(there), Some(here)) = (&bucket.region, &self.wanted.region)
            && there != here
        {
            findings.push(blocker(
                "restore.bucket_region",
                &[name],
                format!("the bucket is in {there}, the cluster would be in {here}: RDS reads only from its own"),
                format!("upload into a bucket in {here}, or make the cluster in {there} (region in [aws])"),
            ));
        }
        if let Some(objects) =
            bucket.objects.filter(|objects| *objects == 0 || *objects > MAX_OBJECTS)
        {
            findings.push(blocker(
                "restore.objects",
                &[name],
                match objects {
                    0 => format!("nothing lies at {}", self.wanted.place),
                    more => format!("{more} objects lie there: Aurora takes {MAX_OBJECTS}"),
                },
                match objects {
                    0 => "upload the backup first (`daybreak upload`), or correct the prefix",
                    _ => "upload it as tar (`daybreak upload` offers it)",
                },
            ));
        }
        if let Some(largest) = bucket.largest.filter(|largest| *largest > MAX_OBJECT) {
            findings.push(blocker(
                "restore.object_size",
                &[name],
                format!("an object has {largest} bytes: Aurora takes 5 TB"),
                "upload it again with a smaller split_mib in [staging]",
            ));
        }
        if let Some(bytes) = self.wanted.backup.bytes.filter(|bytes| *bytes > MAX_TOTAL) {
            findings.push(blocker(
                "restore.size",
                &[name],
                format!("the backup holds {bytes} bytes: Aurora takes 64 TiB"),
                "take the logical route, and spread the databases over several clusters",
            ));
        }
    }

    fn check_account(&self, findings: &mut Vec<Finding>) {
        let config = &self.wanted.config;
        match &config.ingestion_role {
            None => findings.push(blocker(
                "restore.ingestion_role",
                &[],
                "no role is named by which RDS reads the bucket".into(),
                format!(
                    "make one and give it as ingestion_role in [restore]\n{}",
                    policy::needed(self.wanted)
                ),
            )),
            Some(role) if !is_role(role) => findings.push(blocker(
                "restore.ingestion_role",
                &[role],
                format!("{role} is no role's ARN"),
                "write arn:aws:iam::ACCOUNT:role/NAME",
            )),
            Some(role) => findings.push(Finding {
                id: "restore.ingestion_role".into(),
                severity: Severity::Note,
                objects: vec![role.clone()],
                why: "what the role may do isn't asked (daybreak makes no call of IAM): a missing permission \
                      shows when the restore is asked for, or when RDS reads the bucket"
                    .into(),
                remedy: format!("compare it with\n{}", policy::needed(self.wanted)),
            }),
        }
        let user = &self.wanted.master_user;
        let sound = (1..=16).contains(&user.len())
            && user.starts_with(|c: char| c.is_ascii_alphabetic())
            && user.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !sound || RESERVED_USERS.contains(&user.to_ascii_lowercase().as_str()) {
            findings.push(blocker(
                "restore.master_user",
                &[user],
                format!("{user} can't be a master account's name"),
                "take another: a letter first, letters and digits, 16 at most, none of RDS's own names",
            ));
        }
        let password = self.wanted.master_password.reveal();
        let printable = |c: char| c.is_ascii_graphic() && !"/\"@".contains(c);
        if !(8..=41).contains(&password.len()) || !password.chars().all(printable) {
            findings.push(blocker(
                "restore.master_password",
                &[],
                "the master password isn't one that RDS takes".into(),
                "8 to 41 printable characters, without / \" @ or space",
            ));
        }
    }
}

/// Names that no master account may have.
const RESERVED_USERS: [&str; 4] = ["rdsadmin", "rdsrepladmin", "root", "mysql"];

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", _, "iam", "", account, name]
        if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && name.starts_with("role/"))
}
