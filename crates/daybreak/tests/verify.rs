//! Verification against real servers: equal sides are equal, and everything that can be wrong is
//! found, by its key. No test here proves only that nothing was found.

use rehearsal::server::Role;
use verify::harness::Sides;

mod verify {
    pub mod definitions;
    pub mod documents;
    pub mod harness;
    pub mod hashes;
    mod live;
    mod products;
    mod repair;
    mod repair_live;
    pub mod rows;
    pub mod shops;
}

/// One pair of servers for all that leaves it usable for the next.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_differs_is_found() {
    let sides = Sides::start(Role::Plain).await;
    verify::shops::equal_shops_are_equal(&sides).await;
    verify::rows::changed_rows_are_found_by_key(&sides).await;
    verify::documents::documents_that_text_cannot_tell(&sides).await;
    verify::definitions::other_definitions_are_found(&sides).await;
    verify::hashes::hashes_stand_by_themselves(&sides).await;
    verify::hashes::impatient_servers_are_compared(&sides).await;
}
