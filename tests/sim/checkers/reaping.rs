//! What goes by itself goes when it may: a container that had children and has none, a node with a TTL
//! that has none and was not changed for so long.
//!
//! N-19, C-278, ZOOKEEPER-2169: between the leader's look and its deletion somebody may have made a
//! child or set the data. Asked of the committed transactions, with the leader's own times.

use super::{Run, violation};
use crate::history::Violation;

pub const NAME: &str = "reaping";

pub fn check(run: &Run<'_>) -> Result<(), Violation> {
    let Some((zxid, what)) = &run.story.wrong_reaping else { return Ok(()) };
    let at = run.chain.commit_of(*zxid).map_or(0, |committed| committed.at);
    Err(violation(NAME, at, format_args!("{zxid} {what}")))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Play;
    use super::*;

    const ALL: [i64; 3] = [1, 2, 3];

    fn container() -> Play {
        let mut play = Play::of_three();
        play.lead(1, 1);
        let body = play.create_reaped("/k", None);
        play.commit(1, &ALL, &body);
        play
    }

    #[test]
    fn a_container_goes_after_its_last_child() {
        let mut play = container();
        let body = play.create(7, "/k/child", 1, false);
        play.commit(1, &ALL, &body);
        let body = play.delete(7, "/k/child");
        play.commit(1, &ALL, &body);
        let body = play.reap("/k");
        play.commit(1, &ALL, &body);
        let body = play.create_reaped("/t", Some(0));
        play.commit(1, &ALL, &body);
        play.passes(check);
    }

    #[test]
    fn a_container_goes_that_was_never_used_or_still_is() {
        let mut play = container();
        let body = play.reap("/k");
        play.commit(1, &ALL, &body);
        play.fails(check, &["0x100000002 deletes /k, and it never had a child", " s"]);
        let mut play = container();
        let body = play.create(7, "/k/child", 1, false);
        play.commit(1, &ALL, &body);
        let body = play.reap("/k");
        play.commit(1, &ALL, &body);
        play.fails(check, &["0x100000003 deletes /k, and it has children", " s"]);
    }

    #[test]
    fn a_node_goes_before_its_time() {
        let mut play = container();
        let body = play.create_reaped("/t", Some(60_000));
        play.commit(1, &ALL, &body);
        let body = play.reap("/t");
        play.commit(1, &ALL, &body);
        play.fails(check, &["0x100000003 deletes /t, and its time has not come", " s"]);
    }

    #[test]
    fn a_node_goes_that_does_not_go_by_itself() {
        let mut play = container();
        let body = play.create(7, "/plain", 1, false);
        play.commit(1, &ALL, &body);
        let body = play.reap("/plain");
        play.commit(1, &ALL, &body);
        play.fails(check, &["0x100000003 deletes /plain", "no container", " s"]);
    }
}
