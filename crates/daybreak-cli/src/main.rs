//! The `daybreak` command: reads flags, hands the work to the library, prints what it says.

mod argv;
mod cli;
mod commands;
mod directory;
mod logging;
mod servers;
mod ui;

fn main() -> std::process::ExitCode {
    let cli = cli::Cli::read();
    // Before anything else: no thread but this one, no connection yet.
    let blanked = argv::blank_passwords();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no thread could be started: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(commands::dispatch(cli, blanked));
    // Blocking work that is still under way (a name being resolved) isn't waited for.
    runtime.shutdown_background();
    std::process::ExitCode::from(exit as u8)
}
