//! Who meets, who waits for whom, and who does not.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::time::Instant;

/// Microseconds, moved by hand.
#[derive(Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Instant {
        unreachable!("only short stretches are measured")
    }

    fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed) * 1000
    }
}

/// How long the disk takes here, in microseconds; twice that is worth waiting for.
const WRITE: u64 = 200;

/// A leader and its clients: what is asked waits, and is taken as soon as it may be.
struct Play {
    clock: Arc<SetClock>,
    rounds: Rounds,
    waiting: Vec<i64>,
    /// What the disk was given, in the order of its writes.
    written: Vec<Vec<i64>>,
    patience: Option<u64>,
}

impl Play {
    fn new() -> Self {
        let clock = Arc::new(SetClock::default());
        let mut rounds = Rounds::new(clock.clone());
        // It leads since it wrote something of its own.
        rounds.begins();
        assert_eq!(rounds.ends(), None);
        Play { clock, rounds, waiting: Vec::new(), written: Vec::new(), patience: None }
    }

    fn pass(&mut self, micros: u64) {
        self.clock.0.fetch_add(micros, Ordering::Relaxed);
    }

    fn ask(&mut self, session: i64) {
        self.ask_for(session, 100);
    }

    fn ask_for(&mut self, session: i64, bytes: usize) {
        self.rounds.asked(Some(SessionId(session)), bytes);
        self.waiting.push(session);
        self.turn();
    }

    fn turn(&mut self) {
        self.rounds.look_at_the_clock();
        if self.rounds.must_wait() || self.waiting.is_empty() {
            return;
        }
        for session in &self.waiting {
            self.rounds.taken(SessionId(*session));
        }
        self.rounds.all_have_passed();
        self.rounds.begins();
        self.written.push(std::mem::take(&mut self.waiting));
    }

    /// The disk is done.
    fn done(&mut self) {
        self.patience = self.rounds.ends().map(|patience| patience.as_micros() as u64);
        self.turn();
    }

    fn stop_waiting(&mut self) {
        assert!(self.patience.is_some(), "nobody waits");
        self.rounds.stop_waiting();
        self.turn();
    }

    /// The disk writes, and meanwhile these come.
    fn write(&mut self, meanwhile: &[i64]) {
        self.pass(WRITE / 2);
        meanwhile.iter().for_each(|session| self.ask(*session));
        self.pass(WRITE / 2);
        self.done();
    }

    fn last(&self) -> &[i64] {
        self.written.last().expect("something was written")
    }

    /// Clients 2 and 3 wait for the first.
    fn two_wait_for_one() -> Self {
        let mut play = Play::new();
        play.ask(1);
        play.write(&[2, 3]);
        assert_eq!(play.written, [vec![1], vec![2], vec![3]], "of nobody is anything known");
        [1, 2, 3].into_iter().for_each(|session| play.ask(session));
        assert_eq!(play.last(), [1], "all have come back, and two wait for the disk");
        play.write(&[]);
        assert_eq!((play.last(), play.patience), (&[1][..], Some(2 * WRITE)));
        play
    }
}

#[test]
fn clients_that_write_in_turns_meet_and_stay_together() {
    let mut play = Play::two_wait_for_one();
    play.pass(2 * WRITE);
    play.ask(1);
    for round in 4..10 {
        assert_eq!((play.written.len(), play.last()), (round + 1, &[2, 3, 1][..]));
        play.write(&[]);
        assert_eq!(play.patience, Some(2 * WRITE), "all of them are waited for");
        [2, 3, 1].into_iter().for_each(|session| play.ask(session));
    }
}

#[test]
fn a_client_that_writes_alone_waits_for_nobody() {
    let mut play = Play::new();
    for _ in 0..5 {
        play.ask(1);
        play.write(&[]);
        assert_eq!(play.patience, None);
        play.pass(50);
    }
    assert_eq!(play.written.len(), 5);
}

/// So it is with servers far apart.
#[test]
fn where_nobody_comes_back_promptly_nothing_waits() {
    let mut play = Play::new();
    for round in 1..5 {
        play.ask(1);
        play.ask(2);
        assert_eq!((play.written.len(), play.last()), (2 * round, &[2][..]));
        play.write(&[]);
        assert_eq!(play.patience, None);
        play.pass(2 * WRITE + 1);
    }
}

#[test]
fn who_lets_others_wait_in_vain_must_come_back_promptly_several_times() {
    let mut play = Play::two_wait_for_one();
    play.pass(2 * WRITE);
    play.stop_waiting();
    assert_eq!(play.last(), [2, 3]);
    let mut times = 0;
    loop {
        play.write(&[1]);
        assert_eq!(play.last(), [2, 3], "1 waits for them");
        play.ask(2);
        play.ask(3);
        assert_eq!(play.last(), [1, 2, 3]);
        play.pass(WRITE);
        play.done();
        // Now 2 and 3 are waited for, and 1?
        play.ask(2);
        play.ask(3);
        if play.rounds.must_wait() && play.last() == [1, 2, 3] {
            break;
        }
        assert_eq!(play.last(), [2, 3]);
        times += 1;
    }
    // The first time it came it was late.
    assert_eq!(times, i32::from(TIMES_AFTER_VAIN));
}

#[test]
fn one_who_comes_a_moment_too_late_is_late() {
    for (away, waited_for) in [(2 * WRITE, true), (2 * WRITE + 1, false)] {
        let mut play = Play::new();
        play.ask(1);
        play.write(&[]);
        play.pass(away);
        play.ask(1);
        play.write(&[2]);
        assert_eq!(play.patience.is_some(), waited_for, "{away}");
    }
}

/// One who comes while others are waited for does not stand for one of them.
#[test]
fn whoever_comes_besides_is_not_who_is_waited_for() {
    let mut play = Play::two_wait_for_one();
    play.ask(4);
    play.ask(4);
    assert_eq!(play.waiting, [2, 3, 4, 4]);
    play.ask(1);
    assert_eq!(play.last(), [2, 3, 4, 4, 1]);
}

/// Whoever has more under way is there already.
#[test]
fn a_client_of_whom_something_waits_is_not_waited_for() {
    let mut play = Play::new();
    play.ask(1);
    play.write(&[]);
    play.ask(1);
    play.write(&[1, 2]);
    assert_eq!((play.last(), play.patience), (&[1, 2][..], None));
    play.write(&[1, 2, 1]);
    assert_eq!((play.last(), play.patience), (&[1, 2, 1][..], None));
}

#[test]
fn where_much_is_asked_nothing_waits() {
    let most = MOST_REQUESTS as i64;
    let mut play = Play::new();
    play.ask(1);
    play.write(&[]);
    (1..=most).for_each(|session| play.ask(session));
    assert_eq!((play.last(), play.waiting.len()), (&[1][..], MOST_REQUESTS - 1));
    play.ask(7);
    assert_eq!(play.last().len(), MOST_REQUESTS);
    play.ask(8);
    assert_eq!(play.last(), [8], "until the disk is done");
    play.done();
    // Once is not always.
    play.ask(1);
    play.ask(2);
    assert_eq!(play.waiting, [2]);
    for _ in 0..20 {
        play.done();
        (0..2 * most).for_each(|session| play.ask(session));
    }
    play.done();
    assert!(play.rounds.askers.is_empty());
    play.ask(1);
    play.ask(2);
    assert_eq!(play.last(), [2], "it is usual");
    for _ in 0..20 {
        play.done();
        play.ask(1);
    }
    play.done();
    play.ask(1);
    play.ask(2);
    assert_eq!(play.waiting, [2], "and no longer is");
}

#[test]
fn where_large_things_are_asked_nothing_waits() {
    let mut play = Play::two_wait_for_one();
    play.ask_for(4, MOST_BYTES + 1);
    assert_eq!(play.last(), [2, 3, 4]);
    play.ask(1);
    assert_eq!(play.last(), [1], "until the disk is done");
    play.done();
    play.ask(1);
    assert_eq!((play.waiting.len(), play.patience), (1, Some(2 * WRITE)));
    play.ask_for(2, MOST_BYTES);
    assert_eq!(play.last(), [1, 2], "and who is waited for is so no longer");
}

/// Others may commit it without this disk.
#[test]
fn for_a_disk_that_is_late_nothing_waits() {
    let mut play = Play::two_wait_for_one();
    assert_eq!(play.rounds.is_late_at_ms(), None, "it is not the disk that they wait for");
    play.ask(1);
    play.ask(2);
    let late = play.rounds.is_late_at_ms().expect("2 waits for it");
    let micros = late * 1000 - play.clock.0.load(Ordering::Relaxed);
    assert!((20_000..21_000).contains(&micros), "{micros}");
    play.pass(19_999);
    play.turn();
    assert_eq!(play.waiting, [2]);
    play.pass(1);
    play.turn();
    assert_eq!(play.last(), [2]);
    play.ask(3);
    assert_eq!((play.last(), play.rounds.is_late_at_ms()), (&[3][..], None));
    play.done();
    play.ask(1);
    play.ask(2);
    assert_eq!(play.waiting, [1, 2], "it is back, and 3 is waited for");
}

#[test]
fn who_was_prompt_once_and_is_gone_makes_nobody_wait() {
    let mut play = Play::new();
    play.ask(1);
    play.write(&[]);
    play.ask(1);
    play.write(&[]);
    for round in 0..2 {
        play.ask(2);
        play.ask(3);
        match round {
            0 => assert_eq!(play.waiting, [3], "1 may come any moment"),
            _ => assert_eq!(play.last(), [3]),
        }
        play.write(&[]);
        play.write(&[]);
        play.pass(2 * WRITE);
    }
}

/// It was given something between its last look and its report.
#[test]
fn a_disk_that_goes_on_waits_for_nobody_nor_does_anybody() {
    let mut play = Play::two_wait_for_one();
    play.rounds.disk_goes_on();
    play.turn();
    assert_eq!(play.last(), [2, 3]);
    play.rounds.disk_goes_on();
    assert!(play.rounds.must_wait(), "now it is the disk they wait for");
}

/// What was not taken yet may be much, or have something among it that is no request.
#[test]
fn what_may_pass_does_so_whatever_the_disk_is_given_meanwhile() {
    let mut play = Play::two_wait_for_one();
    play.rounds.open();
    play.rounds.begins();
    assert!(!play.rounds.must_wait());
    assert_eq!((play.rounds.ends(), play.rounds.must_wait()), (None, false));
    play.rounds.all_have_passed();
    play.rounds.begins();
    assert!(play.rounds.must_wait());
}

#[test]
fn so_many_sessions_are_remembered_and_those_longest_away_forgotten() {
    let mut play = Play::new();
    for session in 0..2 * SESSIONS as i64 {
        play.ask(session);
        play.write(&[]);
    }
    let mut known: Vec<_> = play.rounds.askers.iter().map(|asker| asker.session.0).collect();
    known.sort_unstable();
    assert_eq!(known, (SESSIONS as i64..2 * SESSIONS as i64).collect::<Vec<_>>());
    // A new one finds no place while all who are known wait, or are waited for.
    let mut play = Play::two_wait_for_one();
    play.ask(1);
    play.write(&(4..=SESSIONS as i64 + 9).collect::<Vec<_>>());
    assert!(play.patience.is_some() && play.rounds.askers.len() == SESSIONS);
    play.ask(100);
    assert!(play.rounds.askers.iter().all(|asker| asker.session.0 <= SESSIONS as i64));
    [1, 2, 3].into_iter().for_each(|session| play.ask(session));
    assert_eq!(play.last().len(), SESSIONS + 10);
}

#[test]
fn what_the_leader_itself_has_to_write_begins_a_round_too() {
    let mut play = Play::two_wait_for_one();
    play.rounds.begins();
    play.ask(1);
    assert_eq!(play.waiting, [2, 3, 1], "the disk writes");
    play.done();
    assert_eq!(play.last(), [2, 3, 1]);
}

/// The disk's thread reports once more than it was told of: what came while it was about to.
#[test]
fn a_report_behind_which_nothing_is_known_to_be_written_lets_all_pass() {
    let mut play = Play::two_wait_for_one();
    assert!(play.rounds.must_wait());
    assert_eq!(play.rounds.ends(), None);
    assert!(!play.rounds.must_wait());
}

#[test]
fn who_does_not_lead_has_no_rounds() {
    let mut play = Play::two_wait_for_one();
    play.rounds.forget();
    for session in 0..100 {
        play.rounds.asked(Some(SessionId(session)), 100);
        assert!(!play.rounds.must_wait());
    }
    assert!(play.rounds.askers.is_empty());
    play.rounds.stop_waiting();
    assert_eq!(play.rounds.ends(), None);
}

#[test]
fn how_long_it_waits_depends_on_the_disk() {
    let patience = |write_micros: u64| {
        let mut rounds = Rounds::new(Arc::new(SetClock::default()));
        rounds.write_nanos = write_micros * 1000;
        rounds.patience() / 1000
    };
    let writes = [0, 20, 100, 200, 300, 1_000, 8_000, 100_000];
    assert_eq!(writes.map(patience), [0, 40, 200, 400, 400, 500, 4_000, 5_000]);
}

#[test]
fn a_disk_that_stands_still_once_is_not_slow() {
    let mut play = Play::new();
    for _ in 0..10 {
        play.ask(1);
        play.write(&[]);
    }
    assert_eq!(play.rounds.write_nanos, WRITE * 1000);
    play.ask(1);
    play.pass(10_000_000);
    play.done();
    assert_eq!(play.rounds.write_nanos, WRITE * 1125);
    for _ in 0..40 {
        play.ask(1);
        play.pass(10 * WRITE);
        play.done();
    }
    assert!(play.rounds.write_nanos > 9 * WRITE * 1000, "{}", play.rounds.write_nanos);
}
