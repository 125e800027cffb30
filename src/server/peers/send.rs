//! The task that writes what the driver could not write at once, and what must be read first.
//!
//! A stretch of the log and a tree are read piece by piece on a thread that may wait for the disk,
//! and a piece is read when the one before is with the socket: a slow learner slows that down.

use std::sync::Arc;

use super::Shared;
use super::link::{Link, Next, Over};
use super::signs::Signs;
use crate::net::quorum_link::LinkSocket;
use crate::persistence::snapshot::SnapshotStream;
use crate::persistence::txn_log::LogError;
use crate::persistence::{LogRange, LogRangeError};
use crate::proto::{QuorumPacket, Zxid};
use crate::server::fatal::{ExitCode, die_of_disk};

/// About so many bytes of the log are read at a time.
const LOG_PIECE: usize = 256 << 10;

/// Writes until the link ends.
pub(super) async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let mut signs = Signs::new(&shared, link.id);
    loop {
        let (next, has_left) = link.next();
        if has_left {
            signs.moved();
        }
        let sent = match next {
            Next::End => {
                let_go_of_the_log(&shared, &link);
                return;
            }
            Next::Idle => {
                link.work.notified().await;
                Ok(())
            }
            Next::Full(socket) => socket.writable().await.map_err(|error| error.to_string()),
            Next::Log { socket, after, through } => {
                let sent = log(&shared, &link, &socket, (after, through), &mut signs).await;
                link.is_free();
                sent
            }
            Next::Tree { socket, tree } => {
                // It was surveyed in vain, if at all.
                let_go_of_the_log(&shared, &link);
                let sent = send_tree(&shared, &socket, tree, &mut signs).await;
                link.is_free();
                sent
            }
        };
        if let Err(why) = sent {
            link.end(Over::Broken(why));
        }
    }
}

/// The learner needs nothing of the old log any more.
fn let_go_of_the_log(shared: &Shared, link: &Link) {
    if let Some(pin) = link.take_pin() {
        shared.runtime.spawn_blocking(|| drop(pin));
    }
}

async fn log(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    socket: &LinkSocket,
    (after, through): (Zxid, Zxid),
    signs: &mut Signs,
) -> Result<(), String> {
    let (dir, max_field) = (shared.dir.clone(), shared.options.max_field_bytes);
    let pin = link.take_pin();
    let open = move || {
        let range = LogRange::new(&dir, after, through, max_field).map_err(in_words);
        // The range has a pin of its own.
        drop(pin);
        range
    };
    let mut range = shared.slow(open).await?;
    loop {
        let read = move || {
            let mut bytes = Vec::with_capacity(LOG_PIECE + LOG_PIECE / 4);
            while bytes.len() < LOG_PIECE {
                let Some(next) = range.next() else { return Ok((None, bytes)) };
                let (zxid, txn) = next.map_err(in_words)?;
                QuorumPacket::Proposal { zxid, txn }.write(&mut bytes);
                QuorumPacket::Commit { zxid }.write(&mut bytes);
            }
            Ok((Some(range), bytes))
        };
        let (rest, bytes) = shared.slow(read).await?;
        let written = write(socket, &bytes, signs).await;
        match (written, rest) {
            (Ok(()), Some(rest)) => range = rest,
            (written, rest) => {
                shared.runtime.spawn_blocking(|| drop(rest));
                return written;
            }
        }
    }
}

async fn write(socket: &LinkSocket, bytes: &[u8], signs: &mut Signs) -> Result<(), String> {
    let mut left = bytes;
    while !left.is_empty() {
        let written = socket.write(left).await.map_err(|error| error.to_string())?;
        left = &left[written..];
        signs.moved();
    }
    Ok(())
}

/// A disk that fails ends the process; anything else is in words.
fn in_words(error: LogRangeError) -> String {
    match error {
        LogRangeError::Log(LogError::Disk(error)) => die_of_disk(ExitCode::UnexpectedError, &error),
        error => error.to_string(),
    }
}

async fn send_tree(
    shared: &Arc<Shared>,
    socket: &LinkSocket,
    mut tree: Box<SnapshotStream>,
    signs: &mut Signs,
) -> Result<(), String> {
    let mut bytes = Vec::new();
    QuorumPacket::Snap { zxid: tree.zxid() }.write(&mut bytes);
    loop {
        write(socket, &bytes, signs).await?;
        bytes.clear();
        let database = shared.database.clone();
        let read = move || {
            let more = tree.next_piece(&database, &mut bytes).map_err(|lost| lost.to_string())?;
            Ok((tree, bytes, more))
        };
        let more;
        (tree, bytes, more) = shared.slow(read).await?;
        if !more {
            return write(socket, &bytes, signs).await;
        }
    }
}
