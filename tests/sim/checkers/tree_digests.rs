//! Trees are equal at equal zxids.
//!
//! C-234: whatever the road – applied, caught up, restored, sent as a snapshot – the digest of the
//! tree behind a transaction is one, and it is the one that the leader wrote into the transaction.

use zkserver::proto::txns::TxnRecord;
use zkserver::proto::{Sid, Zxid};

use super::{At, Map, Run, violation};
use crate::history::{Event, Micros, ServerEvent, Violation};

pub const NAME: &str = "tree_digests";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let mut digests: Map<Zxid, (u64, Sid, Micros)> = Map::default();
    let mut trees: Map<Sid, Zxid> = Map::default();
    for (at, event) in &run.history.events {
        let Event::Server(sid, event) = event else { continue };
        let (how, zxid, digest) = match event {
            ServerEvent::Started { last_zxid, digest, .. } => ("starts", last_zxid, digest),
            ServerEvent::Reloaded { zxid, digest } => ("reloads", zxid, digest),
            ServerEvent::DigestMismatch => {
                return Err(violation(
                    NAME,
                    *at,
                    format_args!(
                        "{sid} finds that its tree is not its leader's; it was at {} before",
                        trees.get(sid).copied().unwrap_or_default()
                    ),
                ));
            }
            ServerEvent::Applied { zxid, digest: Some(digest), txn, .. } => {
                if !digests.contains_key(zxid)
                    && let Some(bytes) = run.history.txns.get(txn)
                    && let Ok(TxnRecord { digest: Some(promised), .. }) =
                        TxnRecord::read(bytes, 1 << 20)
                    && promised.tree_digest != *digest
                {
                    return Err(violation(
                        NAME,
                        *at,
                        format_args!(
                            "{sid} has a tree {digest:016x} behind {zxid}; its transaction says \
                             {:016x}",
                            promised.tree_digest
                        ),
                    ));
                }
                ("is", zxid, digest)
            }
            _ => continue,
        };
        trees.insert(*sid, *zxid);
        let (first, by, since) = *digests.entry(*zxid).or_insert((*digest, *sid, *at));
        if first != *digest {
            return Err(violation(
                NAME,
                *at,
                format_args!(
                    "{sid} {how} at {zxid} with a tree {digest:016x}; {by} had {first:016x} at {}",
                    At(since)
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Play;
    use super::*;
    use crate::history::How;
    use zkserver::proto::Epoch;

    #[test]
    fn equal_everywhere() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.restart(3);
        play.passes(check);
    }

    #[test]
    fn a_tree_goes_its_own_way() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let txn = play.write(1, &[1, 2]);
        let zxid = play.zxid(1, 1);
        play.server(3, ServerEvent::Applied { zxid, txn, how: How::Commit, digest: Some(5) });
        play.fails(check, &["server 3 is at 0x100000001", "0000000000000005", "server 1", " s"]);
    }

    #[test]
    fn a_server_notices_itself() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        play.server(3, ServerEvent::DigestMismatch);
        play.fails(check, &["server 3 finds", "it was at 0x100000001 before", " s"]);
    }

    #[test]
    fn a_restored_tree_is_another() {
        let mut play = Play::of_three();
        play.lead(1, 1);
        play.write(1, &[1, 2, 3]);
        let (last_zxid, epoch) = (play.zxid(1, 1), Epoch(1));
        let started = ServerEvent::Started {
            last_zxid,
            digest: 6,
            accepted: epoch,
            current: epoch,
            may_vote: true,
        };
        play.server(2, started);
        play.fails(
            check,
            &["server 2 starts at 0x100000001", "0000000000000006", "server 1", " s"],
        );
    }
}
