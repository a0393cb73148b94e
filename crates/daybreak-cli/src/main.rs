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
    return_large_buffers();
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

/// Has the allocator give every buffer of a part or chunk back as soon as it is freed. By itself glibc
/// raises the size from which it does so, up to 32 MiB, and then keeps some of what was freed for each of
/// up to eight arenas a core: what daybreak bounds in MiB would be more the more cores there are.
fn return_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes any number, and no other thread is there yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10);
    }
}
