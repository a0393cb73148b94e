//! Owns the one thread from which child processes are started, so that they die with this process.
//!
//! PR_SET_PDEATHSIG is tied to the *thread* that forked: a child started from a worker thread of an
//! async runtime is killed when that thread ends, which may be long before, or never while the
//! process lives. The spawner thread ends only with the process itself, SIGKILL included.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, mpsc};

type Request = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts the command so that it is killed when this process ends, however it ends.
///
/// The child gets a process group of its own: a Ctrl-C at the terminal reaches this process only,
/// which then decides in which order things stop.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: between fork and exec only prctl, getppid and _exit are called, all of which are
    // async-signal-safe; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before prctl took effect: then nobody would ever signal.
            if libc::getppid().cast_unsigned() != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the spawner thread is gone");
    spawner()?.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn spawner() -> io::Result<mpsc::Sender<Request>> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let sender = match SPAWNER.get() {
        Some(sender) => sender,
        None => {
            let (sender, requests) = mpsc::channel::<Request>();
            std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
                for (mut command, reply) in requests {
                    if let Err(mpsc::SendError(Ok(mut orphan))) = reply.send(command.spawn()) {
                        // Nobody waits for it any more, so nobody would stop it either.
                        _ = orphan.kill();
                        _ = orphan.wait();
                    }
                }
            })?;
            // When two threads get here at once, the loser's channel closes and its thread ends
            // before having started anything.
            SPAWNER.get_or_init(|| Mutex::new(sender))
        }
    };
    Ok(sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
}
