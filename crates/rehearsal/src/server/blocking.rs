//! Work that blocks, done beside the async threads, and ended in order when nobody waits for it any more.

use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::RehearsalError;

/// Runs work that blocks off the async threads. Whoever no longer waits for it waits until it has ended all
/// the same, which it soon does: what it writes may be about to be removed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Unwanted) -> Result<T, RehearsalError> + Send + 'static,
) -> Result<T, RehearsalError> {
    let unwanted = Unwanted::default();
    let (at_work, ended) = mpsc::channel();
    let _waits = Waits { unwanted: unwanted.clone(), ended };
    let work = move || {
        let _at_work: mpsc::Sender<()> = at_work;
        work(&unwanted)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The word that work is of no more use.
#[derive(Debug, Clone, Default)]
pub(super) struct Unwanted(Arc<(Mutex<bool>, Condvar)>);

impl Unwanted {
    fn say(&self) {
        let (unwanted, said) = &*self.0;
        *unwanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        said.notify_all();
    }

    /// Ends work that nobody wants any more.
    pub(super) fn check(&self) -> Result<(), RehearsalError> {
        self.wait(Duration::ZERO)
    }

    /// The same, after as long as the word isn't said.
    pub(super) fn wait(&self, time: Duration) -> Result<(), RehearsalError> {
        let (unwanted, said) = &*self.0;
        let unwanted = unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = said.wait_timeout_while(unwanted, time, |unwanted| !*unwanted);
        match *waited.unwrap_or_else(PoisonError::into_inner).0 {
            false => Ok(()),
            true => Err(RehearsalError::Other {
                what: "nobody waits for the server any more".to_owned(),
                next: "start it again".to_owned(),
            }),
        }
    }
}

/// Held by whoever waits for work.
struct Waits {
    unwanted: Unwanted,
    /// Closed when the work has ended, or will never begin.
    ended: mpsc::Receiver<()>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.unwanted.say();
        // Nothing is ever sent: it ends with its other end.
        _ = self.ended.recv();
    }
}
