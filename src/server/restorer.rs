//! The thread on which a member's data is restored: at its start, and when its history was cut or
//! replaced.
//!
//! It is one thread because the system's allocator (glibc's) gives memory back to where it came
//! from, an arena for each thread. What is restored in the place of an old tree is built from the
//! memory that the old one has left; on another thread it would come on top of that, which nobody
//! would use again, and a member that is sent a whole tree would have twice as much for the rest of
//! its life. (What clients have written since is in their threads' arenas, and does not help.)

use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::fatal::{ExitCode, die};

type Work = Box<dyn FnOnce() + Send>;

/// Restores on a thread of its own, one after the other. The thread ends with the last of these.
#[derive(Clone)]
pub struct Restorer(Sender<Work>);

impl Restorer {
    /// Starts the thread, or ends the process.
    pub fn start() -> Self {
        let (sender, works) = channel::<Work>();
        let run = move || works.into_iter().for_each(|work| work());
        if let Err(error) = thread::Builder::new().name("restore".into()).spawn(run) {
            die(ExitCode::UnexpectedError, &format!("no thread to restore the data: {error}"));
        }
        Restorer(sender)
    }

    /// Does this behind what was begun before, while the caller goes on.
    pub fn begin(&self, work: impl FnOnce() + Send + 'static) {
        self.0.send(Box::new(work)).expect("the thread ends with its last restorer");
    }

    /// Does this behind what was begun before, and waits for what comes of it.
    pub fn wait<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, done) = channel();
        self.begin(move || {
            // Whoever waits is there until it is sent.
            let _ = sender.send(work());
        });
        done.recv().expect("a restore that panics ends the process")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_restored_on_one_thread_in_turn() {
        let restorer = Restorer::start();
        let first = restorer.wait(|| thread::current().id());
        assert_ne!(first, thread::current().id());
        let (sender, seen) = channel();
        for turn in 0..3 {
            let sender = sender.clone();
            restorer.begin(move || sender.send((turn, thread::current().id())).expect("seen"));
        }
        assert_eq!(restorer.clone().wait(|| thread::current().id()), first);
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [(0, first), (1, first), (2, first)]);
    }
}
