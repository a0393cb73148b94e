//! Taking back, and what isn't ours.

use daybreak::aws::rds::{InstanceRequest, Rds as _, Tags};
use rehearsal::cloud::cluster::Profile;

use super::harness::{Place, prepared_chain};

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_ours_goes() {
    let mut place = Place::new(Profile::Rehearsal).await;
    std::fs::copy(prepared_chain(), place.prefix().join("b.tar.gz")).unwrap();
    place.rds.somebody_elses_cluster("other");
    let theirs = InstanceRequest {
        instance: "other-1".into(),
        cluster: "other".into(),
        class: "db.r6g.large".into(),
        tags: Tags::new(),
    };
    place.sdk.create_instance(&theirs).await.unwrap();
    place.sdk.create_parameter_group("theirs", "aurora-mysql8.0", "x", &Tags::new()).await.unwrap();
    place.wanted.config.reader = true;
    place.run().await.unwrap_or_else(|error| panic!("{error}\n{}", place.story()));
    let known = place.rds.known();
    assert_eq!(known.instances.keys().collect::<Vec<_>>(), ["other-1", "shop-1", "shop-2"]);

    // Another migration that is told the same names has nothing of its own.
    let asked = place.asked();
    place.wanted.migration = "m-2".into();
    place.restore().undo(&asked).await.unwrap();
    assert_eq!(place.rds.known().instances.len(), 3);

    place.wanted.migration = "m-1".into();
    place.restore().undo(&asked).await.unwrap();
    place.restore().undo(&asked).await.unwrap();
    let known = place.rds.known();
    assert_eq!(known.instances.keys().collect::<Vec<_>>(), ["other-1"]);
    assert_eq!(known.clusters.keys().collect::<Vec<_>>(), ["other"]);
    assert_eq!(known.parameter_groups.keys().collect::<Vec<_>>(), ["theirs"]);
}
