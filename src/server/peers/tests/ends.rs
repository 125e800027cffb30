//! How a link ends.

use super::*;

#[test]
fn a_link_that_one_end_closes_ends_at_the_other_behind_what_came() {
    let runtime = runtime();
    let (mut leader, mut learner) = pair(&runtime, &[]);
    learner.turn([
        LinkEffect::Send { link: DIALLED, packet: ack(1) },
        LinkEffect::Close { link: DIALLED, why: "enough".to_owned() },
    ]);
    assert_eq!(leader.packet(ACCEPTED), ack(1));
    assert_eq!(leader.end(ACCEPTED), "the other end has closed the link");
    // Who has closed it is not told. What is still sent goes nowhere.
    learner.send(DIALLED, [ack(2)]);
    leader.send(ACCEPTED, [commit(2)]);
    learner.turn([LinkEffect::Dial { link: LinkId(1), leader: ONE }]);
    learner.opened(LinkId(1));
    greet(&mut learner, LinkId(1), &mut leader, LinkId(ACCEPTED.0 + 1));
    assert_eq!(leader.handle.links().len(), 1);
}

#[test]
fn a_dial_that_fails_is_told() {
    let runtime = runtime();
    let mut server = Server::start(&runtime, TWO, config(1), &[]);
    server.turn([LinkEffect::Dial { link: DIALLED, leader: ONE }]);
    let why = server.end(DIALLED);
    assert!(why.contains("127.0.0.1:1") && why.contains("refused"), "{why}");
    server.turn([LinkEffect::Dial { link: LinkId(1), leader: Sid(9) }]);
    assert_eq!(server.end(LinkId(1)), "server 9 is not in the configuration");
    assert!(server.handle.links().is_empty());
}

#[test]
fn nothing_is_left_open_when_it_stops() {
    let runtime = runtime();
    let (leader, mut learner) = pair(&runtime, &[]);
    leader.handle.stop();
    assert_eq!(learner.end(DIALLED), "the other end has closed the link");
    assert!(leader.handle.links().is_empty());
    learner.turn([LinkEffect::Dial { link: LinkId(1), leader: ONE }]);
    learner.end(LinkId(1));
}
