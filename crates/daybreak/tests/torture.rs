//! The torture tables: whatever broke a tool that copies rows, or could, between every pair of servers
//! that has it. Each case says how many rows it has and what must hold of them, and is compared by code
//! that shares nothing with the copy or the verification. What a target can't hold is named before
//! the first row moves, and that is asserted case by case.

mod torture {
    pub mod case;
    mod documents;
    mod keys;
    mod look;
    mod mariadb;
    mod names;
    mod numbers;
    mod pair;
    mod tables;
    mod texts;
    mod times;

    /// All groups: a database each.
    pub const GROUPS: &[(&str, &[case::Case])] = &[
        ("documents", documents::CASES),
        ("keys", keys::CASES),
        ("mariadb", mariadb::CASES),
        ("names", names::CASES),
        ("numbers", numbers::CASES),
        ("tables", tables::CASES),
        ("texts", texts::CASES),
        ("times", times::CASES),
    ];

    pub use pair::run;
}

use torture::{
    GROUPS,
    case::{M56, M97, MARIA, Way},
};

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97_to_97() {
    torture::run(Way { from: M97, to: M97 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_to_97() {
    torture::run(Way { from: M56, to: M97 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_to_mysql() {
    torture::run(Way { from: MARIA, to: M97 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_to_mariadb() {
    torture::run(Way { from: M97, to: MARIA }).await;
}

/// The table of cases is what it claims to be.
#[test]
fn there_are_enough_cases_and_no_two_of_a_name() {
    let mut names: Vec<String> = GROUPS
        .iter()
        .flat_map(|(group, cases)| cases.iter().map(move |case| format!("{group}.{}", case.name)))
        .collect();
    assert!(names.len() >= 150, "{}", names.len());
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    for (group, cases) in GROUPS {
        for case in *cases {
            assert!(case.on != 0 && case.rows > 0 || case.empty, "{group}.{}", case.name);
        }
    }
}
