//! What operators see of a running server.

pub mod four_letter_words;
mod java_text;
