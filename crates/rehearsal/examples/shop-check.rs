//! Checks a load writer's ledger against a server: `shop-check LEDGER`, URL in `$SHOP_URL`.
//!
//! For trying the writer by hand. The URL comes from the environment, never from the arguments.

use std::{path::Path, process::ExitCode};

use rehearsal::writer::check;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let ledger = std::env::args().nth(1).ok_or("which ledger?")?;
    let report = check(&std::env::var("SHOP_URL")?, Path::new(&ledger)).await?;
    println!("{report}");
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
