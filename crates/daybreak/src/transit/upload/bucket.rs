//! What the bucket is asked: before, whether it will do and what is there; afterwards, whether it holds
//! exactly what was sent.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::{
    Input, Target,
    patience::{first, patiently},
};
use crate::{
    aws::s3::{AtRest, Begun, Head, Listed},
    config::Encryption,
    engine::StopSignal,
    error::{Error, Kind, Result},
    event::{Event, Events, Unit},
    transit::{
        manifest::Form,
        named::Named,
        objects::{Answers, Object, Objects},
        split,
    },
};

/// What an earlier run left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Objects: keys and sizes, sorted.
    pub present: Named<u64>,
    /// Uploads under way.
    pub begun: HashMap<String, Begun>,
}

impl Found {
    /// How many bytes an object has that is there.
    pub fn size(&self, key: &str) -> Option<u64> {
        self.present.find(key).map(|place| *self.present.at(place).1)
    }
}

/// Whether Aurora could restore from this bucket.
pub(super) async fn check(target: &Target, events: &Events, stop: &StopSignal) -> Result<()> {
    let name = &target.place.bucket;
    let bucket = first(events, stop, || target.store.bucket(name)).await?;
    if let Some(region) = bucket.region.filter(|region| *region != target.region) {
        return Err(Error::new(
            Kind::Config,
            format!("the bucket is in {region}, not in {}", target.region),
        )
        .at(&target.place)
        .next(format!(
            "Aurora restores from a bucket in the cluster's own Region: set region = \"{region}\" in \
             [aws] (or --region) if the cluster will be there, or make a bucket in {}",
            target.region
        )));
    }
    if let (Encryption::Bucket, Some(AtRest::Other(other))) =
        (&target.encryption, bucket.encryption)
    {
        return Err(Error::new(
            Kind::Blocked,
            format!("the bucket encrypts with {other}, from which Aurora can't restore"),
        )
        .at(&target.place)
        .next("set encryption = \"s3\" or \"kms:KEY\" in [staging] (or --encryption)"));
    }
    Ok(())
}

/// Lists what is below the prefix. What isn't this upload's own is refused, since Aurora would read it.
pub(super) async fn look(
    target: &Target,
    input: &Input,
    ours: bool,
    events: &Events,
    stop: &StopSignal,
) -> Result<Found> {
    let prefix = target.prefix();
    let mut found = Found::default();
    let mut foreign = Vec::new();
    let mut page = None;
    loop {
        let listed = patiently(events, stop, || {
            target.store.list(&target.place.bucket, &prefix, page.clone())
        })
        .await?;
        for Listed { key, size } in listed.objects {
            if ours && is_planned(input, key.strip_prefix(&prefix).unwrap_or(&key)) {
                found.present.push(&key, size);
            } else {
                foreign.push(key);
            }
        }
        page = listed.next;
        if page.is_none() || foreign.len() > 1000 {
            break;
        }
    }
    found.present.sort();
    if !foreign.is_empty() {
        let named = foreign.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        let more = if foreign.len() > 5 { ", ..." } else { "" };
        return Err(Error::new(
            Kind::Blocked,
            format!("other objects are below the prefix: {named}{more}"),
        )
        .at(&target.place)
        .next(
            "give an empty prefix (or delete those objects, if they are nobody's): Aurora reads every \
             object whose key begins with the prefix",
        ));
    }
    if !target.place.prefix.is_empty() {
        let beside = patiently(events, stop, || {
            target.store.list(&target.place.bucket, &target.place.prefix, None)
        })
        .await?;
        if let Some(other) = beside.objects.iter().find(|object| !object.key.starts_with(&prefix)) {
            events.warn(format!(
                "{} begins with the prefix too, but isn't below it: restore with S3Prefix {prefix} (with \
                 the slash), or Aurora reads that as well",
                other.key
            ));
        }
    }
    let uploads =
        patiently(events, stop, || target.store.uploads(&target.place.bucket, &prefix)).await?;
    for begun in uploads {
        let name = begun.key.strip_prefix(&prefix).unwrap_or(&begun.key);
        if !ours || !is_planned(input, name) {
            events.warn(format!(
                "an upload of {} was begun by someone else and is neither complete nor given up",
                begun.key
            ));
            continue;
        }
        match found.begun.entry(begun.key.clone()) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(begun);
            }
            // Two of one object: killed between beginning it and the first part. One is enough.
            std::collections::hash_map::Entry::Occupied(mut place) => {
                let first = parts_of(target, place.get(), events, stop).await?;
                let second = parts_of(target, &begun, events, stop).await?;
                let lesser = if second > first { place.insert(begun) } else { begun };
                patiently(events, stop, || target.store.abort(&target.place.bucket, &lesser))
                    .await?;
            }
        }
    }
    Ok(found)
}

async fn parts_of(
    target: &Target,
    begun: &Begun,
    events: &Events,
    stop: &StopSignal,
) -> Result<usize> {
    let parts = patiently(events, stop, || target.store.parts(&target.place.bucket, begun)).await?;
    Ok(parts.map_or(0, |parts| parts.len()))
}

/// Whether an object of this name is one that this upload makes.
fn is_planned(input: &Input, name: &str) -> bool {
    match (input.form, &input.name) {
        (Form::TarGz | Form::Stream, Some(stream)) => split::number(stream, name).is_some(),
        _ => input.entries.has(name),
    }
}

/// Takes away what a stream that was cut off left: it can't be read again.
pub(super) async fn clear(
    target: &Target,
    found: &mut Found,
    events: &Events,
    stop: &StopSignal,
) -> Result<()> {
    if found.begun.is_empty() && found.present.is_empty() {
        return Ok(());
    }
    events.warn(
        "an earlier stream was cut off and can't be gone on with: what it left is taken away, and the new \
         one goes up from its beginning",
    );
    let bucket = &target.place.bucket;
    for begun in found.begun.values() {
        patiently(events, stop, || target.store.abort(bucket, begun)).await?;
    }
    for (key, _) in found.present.iter() {
        patiently(events, stop, || target.store.delete(bucket, key)).await?;
    }
    *found = Found::default();
    Ok(())
}

/// How the bucket stands to what was sent.
pub(super) enum Standing {
    /// It holds exactly that, and told this of it.
    Whole(Answers),
    /// This isn't there any more, or isn't what was sent. It can be sent again.
    Lost(String),
}

/// Asks the bucket for every object. Any difference is an error, an object too many as well.
pub(super) async fn verify(
    target: &Target,
    objects: &Objects,
    events: &Events,
    stop: &StopSignal,
) -> Result<Answers> {
    match ask(target, objects, events, stop).await? {
        Standing::Whole(answers) => Ok(answers),
        Standing::Lost(what) => Err(Error::new(Kind::Different, what).at(&target.place).next(
            "find out who else writes to this prefix; then the same command sends again what is missing",
        )),
    }
}

/// The same, but what this upload sent and the bucket doesn't have any more is told, not an error.
pub(super) async fn ask(
    target: &Target,
    objects: &Objects,
    events: &Events,
    stop: &StopSignal,
) -> Result<Standing> {
    let (bucket, prefix) = (&target.place.bucket, target.prefix());
    let mut listed = vec![false; objects.len()];
    let mut lost = None;
    let mut page = None;
    loop {
        let now =
            patiently(events, stop, || target.store.list(bucket, &prefix, page.clone())).await?;
        for Listed { key, size } in &now.objects {
            let Some(place) = objects.find(key).filter(|place| !listed[*place]) else {
                return Err(Error::new(
                    Kind::Different,
                    format!("{key} wasn't sent by this upload"),
                )
                .at(&target.place)
                .next(
                    "find out who else writes to this prefix, and take their objects out of it: Aurora \
                     would read them; then the same command again",
                ));
            };
            listed[place] = true;
            let sent = objects.at(place).size;
            if sent != *size {
                lost.get_or_insert(format!("{key} has {size} bytes, {sent} were sent"));
            }
        }
        page = now.next;
        if page.is_none() {
            break;
        }
    }
    if let Some(first) = listed.iter().position(|listed| !listed) {
        let missing = listed.iter().filter(|listed| !**listed).count();
        let key = objects.at(first).key;
        lost = Some(format!("{key} isn't in the bucket ({missing} are missing)"));
    }
    if let Some(lost) = lost {
        return Ok(Standing::Lost(lost));
    }
    let mut answers = Answers::to(objects.len());
    let mut asked = FuturesUnordered::new();
    let mut next = 0..objects.len();
    let at_once = target.uploads.clamp(8, 32);
    let mut done = 0;
    loop {
        for place in next.by_ref().take(at_once - asked.len()) {
            let object = objects.at(place);
            asked.push(async move {
                let head = patiently(events, stop, || target.store.head(bucket, &object.key));
                head.await.map(|head| (place, object, head))
            });
        }
        let Some(answer) = asked.next().await else { break };
        let (place, object, head) = answer?;
        done += 1;
        events.send(Event::Progress {
            task: "verify".into(),
            now: "asking the bucket".into(),
            done,
            total: Some(objects.len() as u64),
            unit: Unit::Files,
            bytes: 0,
        });
        match differs(&object, head.as_ref()) {
            Some(what) => lost = lost.or(Some(what)),
            None => {
                let (etag, encryption) =
                    head.map_or((None, None), |head| (head.etag, head.encryption));
                check_encryption(&target.encryption, encryption.as_ref(), &object.key)
                    .map_err(|error| error.at(&target.place))?;
                answers.set(place, etag.as_deref(), encryption);
            }
        }
    }
    Ok(match lost {
        Some(lost) => Standing::Lost(lost),
        None => Standing::Whole(answers),
    })
}

/// In which way an object isn't what was sent, by what the bucket says of it.
fn differs(object: &Object, head: Option<&Head>) -> Option<String> {
    let key = &object.key;
    let Some(head) = head else { return Some(format!("{key} isn't in the bucket")) };
    let same = head.size == object.size && head.sha256.as_deref() == Some(&object.sha256);
    (!same).then(|| {
        format!(
            "{key} is not what was sent (SHA-256 {}, sent {})",
            head.sha256.as_deref().unwrap_or("unknown"),
            object.sha256
        )
    })
}

fn check_encryption(wanted: &Encryption, got: Option<&AtRest>, key: &str) -> Result<()> {
    let fits = match (wanted, got) {
        (_, Some(AtRest::Other(_))) => false,
        (Encryption::Bucket, _) => true,
        (Encryption::S3, got) => got == Some(&AtRest::S3),
        // An alias can't be compared: S3 tells the key's ARN.
        (Encryption::Kms(key), Some(AtRest::Kms(Some(told)))) => {
            key.contains("alias/") || told == key || told.ends_with(&format!("/{key}"))
        }
        (Encryption::Kms(_), Some(AtRest::Kms(None))) => true,
        (Encryption::Kms(_), _) => false,
    };
    if fits {
        return Ok(());
    }
    let got = match got {
        None => "nothing".to_string(),
        Some(AtRest::S3) => "SSE-S3".to_string(),
        Some(AtRest::Kms(key)) => format!("SSE-KMS {}", key.as_deref().unwrap_or_default()),
        Some(AtRest::Other(other)) => other.clone(),
    };
    Err(Error::new(Kind::Different, format!("{key} is encrypted with {got}, not as asked"))
        .next("look for what changes the encryption of objects (a bucket's default, a policy)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_is_as_asked_or_refused() {
        let fits = |wanted: &Encryption, got: Option<AtRest>| {
            check_encryption(wanted, got.as_ref(), "k").is_ok()
        };
        let arn = "arn:aws:kms:eu-west-1:1:key/1234";
        let kms = |key: &str| Some(AtRest::Kms(Some(key.into())));
        assert!(fits(&Encryption::Bucket, None) && fits(&Encryption::Bucket, kms(arn)));
        assert!(!fits(&Encryption::Bucket, Some(AtRest::Other("aws:kms:dsse".into()))));
        assert!(fits(&Encryption::S3, Some(AtRest::S3)));
        assert!(!fits(&Encryption::S3, None) && !fits(&Encryption::S3, kms(arn)));
        for key in ["1234", arn, "alias/shop"] {
            assert!(fits(&Encryption::Kms(key.into()), kms(arn)), "{key}");
        }
        assert!(!fits(&Encryption::Kms("5678".into()), kms(arn)));
        assert!(!fits(&Encryption::Kms(arn.into()), Some(AtRest::S3)));
    }
}
