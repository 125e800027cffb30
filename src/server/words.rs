//! Who answers a four-letter word: the client's task if that is quickly done, else a thread.
//!
//! One thread is for answers that take as long as there are connections, another for those that
//! take as long as there are watches and ephemerals. Each does one at a time, so that words,
//! however many are asked, cost the clients no more than that; and `stat` does not wait for
//! `wchp`.

use std::sync::{Arc, mpsc};
use std::thread;

use super::fatal::{ExitCode, die};
use super::word_sources::WordSources;
use crate::config::FourLetterWhitelist;
use crate::net::client_connection::WordReply;
use crate::operator::four_letter_words::{Cost, answer, cost};
use crate::processor::connection::Word;

/// The words of a server.
pub struct Words {
    whitelist: FourLetterWhitelist,
    sources: Arc<WordSources>,
    medium: mpsc::Sender<(Word, WordReply)>,
    large: mpsc::Sender<(Word, WordReply)>,
}

impl Words {
    /// Starts the threads; they end with the process.
    pub fn start(whitelist: FourLetterWhitelist, sources: WordSources) -> Self {
        let sources = Arc::new(sources);
        let medium = lane("words", &whitelist, &sources);
        let large = lane("large words", &whitelist, &sources);
        Words { whitelist, sources, medium, large }
    }

    /// Answers `word`, now or later.
    pub fn answer(&self, word: Word, reply: WordReply) {
        let lane = match cost(word.name, &self.whitelist) {
            Cost::Small => {
                let text = answer(word.name, word.number, &self.whitelist, &*self.sources);
                reply.send(&text);
                return;
            }
            Cost::Medium => &self.medium,
            Cost::Large => &self.large,
        };
        lane.send((word, reply)).expect("the threads live as long as the process");
    }
}

fn lane(
    name: &str,
    whitelist: &FourLetterWhitelist,
    sources: &Arc<WordSources>,
) -> mpsc::Sender<(Word, WordReply)> {
    let (asked, waiting) = mpsc::channel::<(Word, WordReply)>();
    let (whitelist, sources) = (whitelist.clone(), sources.clone());
    let run = move || {
        for (word, reply) in waiting {
            reply.send(&answer(word.name, word.number, &whitelist, &*sources));
        }
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .unwrap_or_else(|error| die(ExitCode::UnexpectedError, &error));
    asked
}
