//! What comes first, what keeps its order, and who is woken.

use bytes::Bytes;

use super::*;
use crate::processor::request::{Origin, Request};
use crate::proto::quorum_packet::ForwardedRequest;
use crate::proto::{
    AuthInfo, ConnectionId, Notification, OpCode, ServerState, SessionId, Sid, Ticket, Vote, Zxid,
};
use crate::server::clock::RealClock;
use crate::time::Instant;

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Instant {
        Instant { mono_ms: 0, wall_ms: 0 }
    }

    fn nanos(&self) -> u64 {
        0
    }
}

/// A learner's link here, and this server's own link to its leader.
const LEARNER: LinkId = LinkId::FIRST_ACCEPTED;
const LEADER: LinkId = LinkId(0);

fn request(link: LinkId, cxid: i32, bytes: usize) -> Input {
    let body = vec![0; bytes].into();
    let request =
        ForwardedRequest { session: SessionId(1), cxid, op: 1, body, auth: AuthInfo::default() };
    Input::Packet { link, packet: QuorumPacket::Request(request) }
}

fn ack(link: LinkId, zxid: u64) -> Input {
    Input::Packet { link, packet: QuorumPacket::Ack { zxid: Zxid(zxid) } }
}

fn closed(link: LinkId) -> Input {
    Input::LinkClosed { link, why: "it is gone".to_owned() }
}

fn submit(inbox: &Inbox, connection: u64) {
    inbox.submit(vec![Submission::Dropped(ConnectionId(connection))]);
}

/// What a client of that session asks for.
fn asked_by(session: i64) -> Vec<Submission> {
    let (connection, op) = (ConnectionId(session as u64), OpCode::SetData);
    vec![Submission::Request(Request {
        session: SessionId(session),
        xid: 1,
        op,
        body: Bytes::new(),
        identities: Arc::default(),
        origin: Some(Origin { connection, xid: 1, op, received_ms: 0 }),
        throttled: false,
    })]
}

/// Whether whoever brings the next input would find the thread waiting.
fn let_the_thread_wait(inbox: &Inbox) {
    let mut lanes = inbox.lanes.lock();
    (lanes.waiting, lanes.woken, lanes.in_place) = (Some(u64::MAX), false, false);
}

/// What a turn takes, in words.
fn take(inbox: &Inbox, most: usize) -> Vec<String> {
    let mut inputs = Vec::new();
    inbox.take(&mut inputs, most);
    let word = |input| match input {
        Input::Submitted(submissions) => {
            format!("client {}", submissions[0].connection().unwrap().0)
        }
        Input::Persisted(ticket) => format!("persisted {}", ticket.0),
        Input::Packet { packet: QuorumPacket::Request(request), .. } => {
            format!("request {}", request.cxid)
        }
        Input::Packet { packet: QuorumPacket::Ack { zxid }, .. } => format!("ack {}", zxid.0),
        Input::Packet { packet: QuorumPacket::Commit { zxid }, .. } => format!("commit {}", zxid.0),
        Input::LinkClosed { .. } => "closed".to_owned(),
        other => format!("{other:?}"),
    };
    inputs.into_iter().map(word).collect()
}

#[test]
fn a_thread_that_was_about_to_wait_learns_that_something_is_due_earlier() {
    let inbox = Inbox::default();
    // It has looked when it is due, a task turns the driver, and only now it waits.
    inbox.wake_before(Some(1));
    inbox.stop();
    assert!(inbox.wait(None, &Stopped), "it looks again");
    assert!(!inbox.wait(None, &Stopped), "once");
}

#[test]
fn what_a_learner_acknowledges_overtakes_what_it_and_clients_ask_for() {
    let inbox = Inbox::default();
    inbox.push(request(LEARNER, 1, 10)).unwrap();
    submit(&inbox, 5);
    inbox.push(request(LEARNER, 2, 10)).unwrap();
    inbox.push(ack(LEARNER, 7)).unwrap();
    inbox.push(closed(LEARNER)).unwrap();
    inbox.push_first(Input::Persisted(Ticket(3)));
    let taken = take(&inbox, 256);
    assert_eq!(taken, ["ack 7", "persisted 3", "request 1", "client 5", "request 2", "closed"]);
    assert!(inbox.lanes.lock().links.is_empty());
    assert_eq!(inbox.bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn what_a_leader_says_keeps_its_order_to_the_end_of_the_link() {
    let inbox = Inbox::default();
    submit(&inbox, 5);
    let commit = QuorumPacket::Commit { zxid: Zxid(8) };
    inbox.push(Input::Packet { link: LEADER, packet: commit }).unwrap();
    // Nonsense from a leader, but in its place.
    inbox.push(request(LEADER, 1, 10)).unwrap();
    inbox.push(ack(LEADER, 9)).unwrap();
    inbox.push(closed(LEADER)).unwrap();
    assert_eq!(take(&inbox, 256), ["commit 8", "request 1", "ack 9", "closed", "client 5"]);
}

/// However much it is: of each server its newest word waits.
#[test]
fn what_elections_bring_comes_before_all_else_and_is_little() {
    let inbox = Inbox::default();
    inbox.push(ack(LEARNER, 7)).unwrap();
    let vote = Vote { leader: Sid(2), zxid: 0, peer_epoch: 0 };
    for round in 0..10_000 {
        inbox.push_first(Input::Mesh { peer: Sid(2), up: true });
        let (state, version) = (ServerState::Looking, Notification::VERSION);
        let notification = Notification { state, vote, round, version, config: None };
        inbox.push_first(Input::Notified { from: Sid(2), notification });
        inbox.push_first(Input::Mesh { peer: Sid(2), up: false });
    }
    inbox.push_first(Input::Mesh { peer: Sid(2), up: true });
    let taken = take(&inbox, 256);
    assert_eq!(taken.len(), 3, "{taken:?}");
    assert!(taken[0].contains("round: 9999"), "{taken:?}");
    assert!(taken[1].contains("up: true"), "{taken:?}");
    assert_eq!(taken[2], "ack 7");
    assert!(inbox.is_empty());
}

#[test]
fn however_much_comes_first_clients_get_a_share() {
    let inbox = Inbox::default();
    for n in 0..20 {
        inbox.push(ack(LEARNER, n)).unwrap();
    }
    for n in 0..3 {
        submit(&inbox, n);
    }
    let clients = |taken: &[String]| taken.iter().filter(|what| what.starts_with("client")).count();
    let taken = take(&inbox, 8);
    assert_eq!((taken.len(), clients(&taken)), (8, 2));
    let taken = take(&inbox, 8);
    assert_eq!((taken.len(), clients(&taken)), (8, 1));
    assert_eq!(take(&inbox, 8).len(), 7);
    assert!(inbox.is_empty());
}

#[test]
fn a_learner_whose_requests_wait_beyond_all_bounds_is_refused_and_others_are_not() {
    let inbox = Inbox::default();
    let other = LinkId(LEARNER.0 + 1);
    for n in 0..63 {
        inbox.push(request(LEARNER, n, 1 << 20)).unwrap();
    }
    assert_eq!(inbox.push(request(LEARNER, 63, 1 << 20)), Err(TooManyRequests));
    assert!(!inbox.is_full(), "clients of this server wait for their own only");
    inbox.push(request(other, 64, 1 << 20)).unwrap();
    // A turn takes only so many bytes.
    assert_eq!(take(&inbox, 256), ["request 0"]);
    inbox.push(request(LEARNER, 65, 1 << 19)).unwrap();
    let all: usize = (0..64).map(|_| take(&inbox, 256).len()).sum();
    assert_eq!(all, 64);
    assert!(inbox.is_empty() && inbox.lanes.lock().links.is_empty());
}

/// A socket read's packets are pushed together, and each still goes its way.
#[test]
fn packets_that_come_together_go_into_their_lanes() {
    let inbox = Inbox::default();
    let packet = |input| match input {
        Input::Packet { packet, .. } => packet,
        other => panic!("{other:?}"),
    };
    let came = [request(LEARNER, 1, 10), ack(LEARNER, 7), request(LEARNER, 2, 10), ack(LEARNER, 8)];
    inbox.push_packets(LEARNER, came.map(packet)).unwrap();
    inbox.push(closed(LEARNER)).unwrap();
    assert_eq!(take(&inbox, 256), ["ack 7", "ack 8", "request 1", "request 2", "closed"]);
    let came = [ack(LEADER, 1), request(LEADER, 1, 1), ack(LEADER, 2)];
    inbox.push_packets(LEADER, came.map(packet)).unwrap();
    assert_eq!(take(&inbox, 256), ["ack 1", "request 1", "ack 2"]);
    assert!(inbox.lanes.lock().links.is_empty());
    // Nobody waits, so nobody is to turn the driver.
    assert_eq!(inbox.push_packets(LEADER, []), Ok(Pushed { only: false, full: false }));
    // What comes behind the one that is too much is not taken.
    let came =
        (0..70).map(|n| packet(request(LEARNER, n, 1 << 20))).chain([packet(ack(LEARNER, 9))]);
    assert_eq!(inbox.push_packets(LEARNER, came), Err(TooManyRequests));
    let all: usize = (0..70).map(|_| take(&inbox, 256).len()).sum();
    assert_eq!(all, 63);
}

#[test]
fn a_single_request_is_taken_however_large_it_is() {
    let inbox = Inbox::default();
    inbox.push(request(LEARNER, 1, 65 << 20)).unwrap();
    assert_eq!(inbox.push(request(LEARNER, 2, 1)), Err(TooManyRequests));
    assert_eq!(take(&inbox, 256), ["request 1"]);
    inbox.push(request(LEARNER, 3, 1)).unwrap();
}

/// Whoever reads a link waits while much of what came over it does, and no other reader.
#[test]
fn a_link_of_which_much_waits_is_not_read_on() {
    use std::pin::pin;
    use std::task::{Context, Waker};
    let proposal = |zxid| {
        let txn = vec![0; 1 << 20].into();
        QuorumPacket::Proposal { zxid: Zxid(zxid), txn }
    };
    let inbox = Inbox::default();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(!inbox.push_packets(LEADER, (0..3).map(proposal)).unwrap().full);
    assert!(inbox.push_packets(LEADER, (3..6).map(proposal)).unwrap().full);
    let mut room = pin!(inbox.room(LEADER));
    assert!(room.as_mut().poll(&mut cx).is_pending());
    assert!(pin!(inbox.room(LEARNER)).poll(&mut cx).is_ready());
    let mut inputs = Vec::new();
    inbox.take(&mut inputs, 5);
    assert!(room.as_mut().poll(&mut cx).is_pending(), "a moment before there is little");
    inputs.clear();
    inbox.take(&mut inputs, 1);
    assert!(room.as_mut().poll(&mut cx).is_ready());
}

/// Whoever brings the first thing while the thread waits may turn the driver; whoever comes behind
/// it wakes the thread.
#[test]
fn only_who_brings_the_only_input_is_told_so() {
    let packet = || [QuorumPacket::Commit { zxid: Zxid(8) }];
    let persisted = || Input::Persisted(Ticket(1));
    let inbox = Inbox::default();
    assert!(!inbox.push_packets(LEADER, packet()).unwrap().only, "the thread is at work");
    take(&inbox, 256);
    inbox.lanes.lock().waiting = Some(u64::MAX);
    assert!(inbox.push_packets(LEADER, packet()).unwrap().only);
    assert!(!inbox.report(persisted(), true).only, "somebody turns the driver");
    take(&inbox, 256);
    assert!(!inbox.report(persisted(), true).only, "and looks here again");
    assert!(!inbox.lanes.lock().has_a_sleeper());
    inbox.wake_before(None);
    assert!(inbox.lanes.lock().woken && inbox.lanes.lock().has_a_sleeper());
    take(&inbox, 256);
    // The thread was woken, and is not there yet.
    assert!(!inbox.report(persisted(), true).only);
    take(&inbox, 256);
    inbox.lanes.lock().woken = false;
    assert!(inbox.report(persisted(), true).only, "it has looked, and waits again");
    // A link that must end leaves the thread what came before.
    take(&inbox, 256);
    inbox.wake_before(None);
    let packet = |n| match request(LEARNER, n, 40 << 20) {
        Input::Packet { packet, .. } => packet,
        other => panic!("{other:?}"),
    };
    assert_eq!(inbox.push_packets(LEARNER, [packet(1), packet(2)]), Err(TooManyRequests));
    assert!(inbox.lanes.lock().has_a_sleeper());
}

/// An inbox of a leader, whose thread waits: its clients 1 and 2 have come back promptly, so it waits for
/// them when they are gone again.
fn two_are_waited_for() -> Inbox {
    let inbox = Inbox::in_rounds(Arc::new(Stopped));
    inbox.round_begins();
    for round in 1..=3 {
        let report = inbox.report(Input::Persisted(Ticket(round)), true);
        assert_eq!(report.patience.is_some(), round == 3, "they have come once, and once promptly");
        if round < 3 {
            inbox.submit(asked_by(1));
            inbox.submit(asked_by(2));
            assert_eq!(take(&inbox, 256).len(), 3);
            inbox.round_begins();
        }
    }
    assert_eq!(take(&inbox, 256), ["persisted 3"]);
    let_the_thread_wait(&inbox);
    inbox
}

#[test]
fn what_a_leader_is_asked_waits_for_its_disk_and_wakes_nobody() {
    let inbox = two_are_waited_for();
    inbox.submit(asked_by(1));
    inbox.submit(asked_by(2));
    assert_eq!(take(&inbox, 256).len(), 2);
    inbox.round_begins();
    let_the_thread_wait(&inbox);
    assert!(!inbox.submit(asked_by(2)));
    let packet = |input| match input {
        Input::Packet { packet, .. } => packet,
        other => panic!("{other:?}"),
    };
    assert!(!inbox.push_packets(LEARNER, [packet(request(LEARNER, 2, 10))]).unwrap().only);
    assert!(inbox.has_nothing_to_take() && inbox.is_waited_on());
    assert!(!inbox.is_empty(), "it is there all the same");
    assert!(take(&inbox, 256).is_empty());
    // What comes besides is for whoever brings it, and leaves what is asked where it is.
    let came = [request(LEARNER, 3, 10), ack(LEARNER, 7)].map(packet);
    assert!(inbox.push_packets(LEARNER, came).unwrap().only);
    assert_eq!(take(&inbox, 256), ["ack 7"]);
    // The thread is to look when the disk is late.
    inbox.wake_before(None);
    assert!(inbox.lanes.lock().woken);
    let_the_thread_wait(&inbox);
    inbox.lanes.lock().waiting = Some(20);
    inbox.wake_before(Some(30));
    assert!(!inbox.lanes.lock().woken, "it will");
    // There is more for the disk, and then no more: its thread takes it all in one turn.
    assert!(inbox.report(Input::Persisted(Ticket(3)), false).only);
    assert_eq!(take(&inbox, 256), ["persisted 3"]);
    inbox.wake_before(None);
    let report = inbox.report(Input::Persisted(Ticket(4)), true);
    assert_eq!(report, Reported { only: true, patience: None });
    assert_eq!(take(&inbox, 256), ["persisted 4", "client 2", "request 2", "request 3"]);
}

/// A learner's session is one of those that are waited for.
#[test]
fn whose_request_came_over_a_link_is_waited_for_as_well() {
    let inbox = two_are_waited_for();
    inbox.push(request(LEARNER, 1, 10)).unwrap();
    inbox.submit(asked_by(2));
    assert_eq!(take(&inbox, 256), ["request 1", "client 2"]);
    inbox.round_begins();
    assert!(inbox.report(Input::Persisted(Ticket(4)), true).patience.is_some());
    inbox.submit(asked_by(2));
    assert_eq!(take(&inbox, 256), ["persisted 4"]);
    inbox.push(request(LEARNER, 1, 10)).unwrap();
    assert_eq!(take(&inbox, 256), ["client 2", "request 1"]);
}

#[test]
fn what_a_turn_leaves_lies_behind_no_gate() {
    let inbox = two_are_waited_for();
    for _ in 0..3 {
        inbox.submit(asked_by(1));
    }
    inbox.submit(asked_by(2));
    assert_eq!(take(&inbox, 1), ["client 1"]);
    inbox.round_begins();
    assert_eq!(take(&inbox, 256), ["client 1", "client 1", "client 2"]);
    inbox.round_begins();
    inbox.submit(asked_by(1));
    assert!(take(&inbox, 256).is_empty());
}

#[test]
fn the_last_who_is_waited_for_turns_the_driver() {
    let inbox = two_are_waited_for();
    assert!(!inbox.submit(asked_by(2)));
    assert!(inbox.has_nothing_to_take() && inbox.is_waited_on());
    assert!(inbox.submit(asked_by(1)));
    assert_eq!(take(&inbox, 256), ["client 2", "client 1"]);
}

#[test]
fn who_waits_in_vain_goes_alone() {
    let inbox = two_are_waited_for();
    assert!(!inbox.submit(asked_by(1)));
    assert!(inbox.patience_is_over());
    assert_eq!(take(&inbox, 256), ["client 1"]);
    let inbox = two_are_waited_for();
    assert!(!inbox.patience_is_over(), "nobody came: there is nothing to turn the driver for");
    assert!(inbox.is_waited_on());
    assert!(inbox.submit(asked_by(1)), "who comes now goes alone as well");
}

#[test]
fn what_is_no_request_waits_for_no_round_nor_does_what_came_before_it() {
    let inbox = two_are_waited_for();
    inbox.submit(asked_by(1));
    inbox.ask(Input::Tick);
    assert!(inbox.lanes.lock().has_a_sleeper_for_this());
    assert_eq!(take(&inbox, 256), ["client 1", "Tick"]);
    let inbox = two_are_waited_for();
    inbox.push(request(LEARNER, 1, 10)).unwrap();
    inbox.push(closed(LEARNER)).unwrap();
    assert_eq!(take(&inbox, 256), ["request 1", "closed"]);
    // A leader that leads no longer, and a server that stops, let everything pass.
    let inbox = two_are_waited_for();
    inbox.submit(asked_by(2));
    inbox.rounds_are_over();
    assert!(inbox.lanes.lock().has_a_sleeper_for_this());
    assert_eq!(take(&inbox, 256), ["client 2"]);
    let inbox = two_are_waited_for();
    inbox.submit(asked_by(2));
    inbox.stop();
    assert!(inbox.wait(None, &Stopped), "it takes what is left");
    assert_eq!(take(&inbox, 256), ["client 2"]);
    assert!(!inbox.wait(None, &Stopped));
}

/// However those who turn in the thread's place and the thread take turns, nothing is left lying:
/// nobody has a deadline here, so a wake that is lost would be missed for ever.
#[test]
fn nothing_is_left_lying_when_thread_and_others_turn_the_driver() {
    nothing_is_left_lying(Inbox::default());
    nothing_is_left_lying(Inbox::in_rounds(Arc::new(RealClock::start())));
}

fn nothing_is_left_lying(inbox: Inbox) {
    const EACH: usize = 20_000;
    let driver = Mutex::new(0_usize);
    let mut left = 0;
    let turn = |taken: &mut usize| {
        let mut inputs = Vec::new();
        inbox.take(&mut inputs, 256);
        *taken += inputs.len();
    };
    let turn_in_place = || {
        let Some(mut taken) = driver.try_lock() else { return inbox.wake_before(None) };
        for _ in 0..3 {
            turn(&mut taken);
            if inbox.has_nothing_to_take() {
                break;
            }
        }
        drop(taken);
        inbox.wake_before(None);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while inbox.wait(None, &Stopped) {
                turn(&mut driver.lock());
            }
        });
        let producers: Vec<_> = (0..3_u64)
            .map(|who| {
                let (inbox, turn_in_place) = (&inbox, &turn_in_place);
                scope.spawn(move || {
                    for n in 0..EACH as u64 {
                        let only = match who {
                            0 => inbox.submit(asked_by(n as i64 % 4)),
                            1 => {
                                let packet = [QuorumPacket::Commit { zxid: Zxid(n) }];
                                inbox.push_packets(LEADER, packet).unwrap().only
                            }
                            _ => {
                                inbox.round_begins();
                                std::hint::spin_loop();
                                let report = inbox.report(Input::Persisted(Ticket(n)), true);
                                if report.only {
                                    turn_in_place();
                                }
                                report.patience.is_some() && inbox.patience_is_over()
                            }
                        };
                        if only {
                            turn_in_place();
                        }
                        if n % 64 == who {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        let clock = RealClock::start();
        let until = clock.now().mono_ms + 20_000;
        while *driver.lock() < 3 * EACH && clock.now().mono_ms < until {
            std::thread::yield_now();
        }
        left = 3 * EACH - *driver.lock();
        inbox.stop();
    });
    assert_eq!(left, 0, "so many were never taken");
}
