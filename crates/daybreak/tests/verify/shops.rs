//! A whole generated shop on both sides.

use daybreak::{
    config::{VerifyConfig, VerifyMode},
    sync::verify::{Liveness, Verdict},
};
use rehearsal::shop::{self, ShopOptions};

use super::harness::{Sides, config, table};

pub async fn equal_shops_are_equal(sides: &Sides) {
    let options = ShopOptions { rows: 2_000, ..ShopOptions::default() };
    let [ours, theirs] = [&sides.source, &sides.target].map(|server| server.root_url());
    let (ours, theirs) = tokio::join!(
        shop::generate(&ours, &options, |_, _| {}),
        shop::generate(&theirs, &options, |_, _| {})
    );
    let summary = ours.unwrap();
    theirs.unwrap();
    let report = sides.compare("shop", &config(150), Liveness::Detect).await;
    assert!(report.is_equal(), "{:#?}", report.first_differences(20));
    assert!(!report.live && report.limits.is_empty(), "{:?}", report.limits);
    for (name, rows) in &summary.tables {
        let verdict = table(&report, name);
        // The trigger's table and the like are filled by others.
        if verdict.rows_source != *rows {
            assert_eq!(verdict.rows_source, verdict.rows_target, "{name}");
        }
    }
    assert!(report.rows().0 >= summary.rows.min(2_000) && report.rows().0 == report.rows().1);
    assert!(table(&report, "orders").chunks > 1);
    assert_eq!(report.objects["trigger"].source, report.objects["trigger"].target);
    assert!(report.objects["view"].source >= 4 && report.objects["index"].target > 20);

    let [_, mut target] = sides.sessions().await;
    let count = VerifyConfig { mode: VerifyMode::Count, ..config(100) };
    assert!(sides.compare("shop", &count, Liveness::Still).await.is_equal());
    target.execute("DELETE FROM shop.page_views LIMIT 1").await.unwrap();
    let report = sides.compare("shop", &count, Liveness::Still).await;
    assert_eq!(table(&report, "page_views").verdict, Verdict::Different);
    assert!(report.first_differences(9)[0].contains("page_views"), "{report:?}");
}
