//! The load writer as a program: `shop-writer --dir DIR [--rate N] [--workers N] [--seed N]`.
//!
//! Tests start it as a process of its own. The server's URL is in `DIR/control.json`.

use std::process::ExitCode;

use rehearsal::writer::{WriterOptions, run};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match WriterOptions::parse(std::env::args().skip(1)) {
        Ok(options) => run(options).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("shop-writer: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
