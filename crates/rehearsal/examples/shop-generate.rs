//! Fills a database with the shop: `shop-generate ROWS [SEED] [DATABASE]`, URL in `$SHOP_URL`.
//!
//! For trying the generator by hand. The URL comes from the environment, never from the arguments.

use rehearsal::shop::{ShopOptions, generate};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut options = ShopOptions::default();
    if let Some(rows) = args.first() {
        options.rows = rows.parse()?;
    }
    if let Some(seed) = args.get(1) {
        options.seed = seed.parse()?;
    }
    if let Some(database) = args.get(2) {
        options.database.clone_from(database);
    }
    let url = std::env::var("SHOP_URL")?;
    let summary = generate(&url, &options, |_, _| {}).await?;
    for (name, rows) in &summary.tables {
        println!("{rows:>10}  {name}");
    }
    println!("{:>10}  in {:.1} s", summary.rows, summary.seconds);
    Ok(())
}
