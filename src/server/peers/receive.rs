//! The task that reads what comes over a link, and tells the core: packets, trees, and the end.
//!
//! What always holds: the core hears of the link's end behind everything that came over it, and of
//! an accepted link with the first that came.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Shared;
use super::accept::Stranger;
use super::link::{Link, Over};
use super::signs::Signs;
use crate::net::quorum_link::LinkReader;
use crate::persistence::snapshot::spool::{SnapshotSpool, SpoolError};
use crate::proto::{AuthInfo, QuorumPacket};
use crate::quorum::effect::Input;
use crate::server::fatal::{ExitCode, die_of_disk};

/// About so many bytes of a tree are handed to the spool at once.
const TREE_PIECE: usize = 256 << 10;

/// Reads until the link ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    link: Arc<Link>,
    mut reader: LinkReader,
    mut stranger: Option<Stranger>,
) {
    let Err(why) = packets(&shared, &link, &mut reader, &mut stranger).await;
    match stranger {
        Some(_) => shared.has_said_nothing(&link, &why),
        None => shared.is_over(&link, why),
    }
}

async fn packets(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    reader: &mut LinkReader,
    stranger: &mut Option<Stranger>,
) -> Result<Infallible, String> {
    let mut packets = Vec::new();
    loop {
        let came = reader.packets(link.other(), shared.options.max_field_bytes, &mut packets);
        let came = match stranger {
            Some(_) => shared.in_time(came).await,
            None => came.await,
        };
        let tree_comes = matches!(packets.last(), Some(QuorumPacket::Snap { .. }));
        let mut full = false;
        if !packets.is_empty() {
            if let Some(stranger) = stranger.take() {
                stranger.has_spoken()?;
                shared.tell(Input::LinkOpened(link.id));
            }
            packets.iter_mut().for_each(own_memory);
            let pushed = shared.inbox.push_packets(link.id, packets.drain(..));
            let pushed = pushed.map_err(|error| error.to_string())?;
            full = pushed.full;
            if pushed.only {
                shared.turn();
            }
        }
        came?;
        if tree_comes {
            tree(shared, link, reader).await?;
        }
        if full {
            shared.inbox.room(link.id).await;
        }
    }
}

/// What a learner asks for gets memory of its own. It may wait for long, alone of all that was read with
/// it, and a slice of that keeps all of it: a few bytes a buffer of many thousand. With a copy it
/// weighs in the inbox what it keeps; what a buffer's slices keep together nothing could tell. The
/// leader's packets go on as they came: they follow each other, so that a buffer is full of what is
/// kept.
fn own_memory(packet: &mut QuorumPacket) {
    let QuorumPacket::Request(request) = packet else { return };
    request.body = Bytes::copy_from_slice(&request.body);
    if !request.auth.is_empty() {
        let wire = Bytes::copy_from_slice(request.auth.wire());
        request.auth = AuthInfo::read(wire).expect("it was read before");
    }
}

async fn tree(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    reader: &mut LinkReader,
) -> Result<(), String> {
    let (dir, id, options) = (shared.dir.clone(), link.id, shared.options.clone());
    let begin = move || {
        let (tree, most) = (options.tree, options.max_field_bytes);
        SnapshotSpool::new(&**dir.disk(), dir.snapshot_dir(), id, tree, most).map_err(in_words)
    };
    let mut spool = shared.slow(begin).await?;
    let mut signs = Signs::new(shared, id);
    while !spool.is_complete() {
        let mut bytes = reader.bytes(TREE_PIECE).await?;
        signs.moved();
        let take = move || {
            let taken = spool.take(&bytes).map_err(in_words)?;
            Ok((spool, bytes.split_off(taken)))
        };
        let rest;
        (spool, rest) = shared.slow(take).await?;
        if !rest.is_empty() {
            reader.put_back(rest);
        }
    }
    shared.slow(move || spool.finish().map_err(in_words)).await?;
    shared.tell(Input::SnapshotArrived(link.id));
    Ok(())
}

/// A disk that fails ends the process; anything else is in words.
fn in_words(error: SpoolError) -> String {
    match error {
        SpoolError::Disk(error) => die_of_disk(ExitCode::UnexpectedError, &error),
        error => error.to_string(),
    }
}

impl Shared {
    /// Whoever has come must say something in time.
    async fn in_time(&self, came: impl Future<Output = Result<(), String>>) -> Result<(), String> {
        let ms = self.options.greeting_timeout_ms;
        let came = tokio::time::timeout(Duration::from_millis(ms), came).await;
        came.unwrap_or_else(|_| Err(format!("it has said nothing for {ms} ms")))
    }

    /// The link has ended before the core knew of it, so it is told here.
    fn has_said_nothing(&self, link: &Link, why: &str) {
        if link.is_over() {
            // It has made room, or the server stops.
            return;
        }
        link.end(Over::Closed);
        self.forget(link.id);
        let Some(withheld) = self.refusals.admit(self.clock.now().mono_ms) else { return };
        let what = "somebody came to the quorum port who did not say what a server says";
        tracing::warn!(peer = ?link.peer(), why, withheld, "{what}");
    }

    /// The link has ended, for this reason if nobody has ended it before.
    pub(super) fn is_over(&self, link: &Link, why: String) {
        link.end(Over::Broken(why));
        self.forget(link.id);
        match link.over() {
            Some(Over::Broken(why)) => {
                tracing::debug!(link = link.id.0, peer = ?link.peer(), why, "a link has ended");
                self.tell(Input::LinkClosed { link: link.id, why });
            }
            Some(Over::Closed) | None => {}
        }
    }
}
