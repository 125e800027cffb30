//! The driver's inbox: two lanes that never block whoever fills them.
//!
//! ```text
//! first   votes, before all else; what the disk and slow jobs report; ACK, PING and the handshake
//!         of learners, and whether sessions are alive; on a learner everything that its leader says
//! then    what clients ask for, here or through a learner; that a learner's link is gone
//! ```
//!
//! Each lane keeps the order in which things came. So of one learner's link its REQUESTs keep their
//! order, and are taken before the link's end; what it acknowledges may overtake them. And of a
//! leader's link everything keeps its order. However much comes first, clients get a share of each
//! turn.
//!
//! The bound stands at admission: a connection looks whether the inbox is full before it reads on.
//! A link is not read on while much of what came over it waits in the first lane; but REQUESTs wait
//! behind what others ask for, and what comes behind them must not: a learner's link ends when too
//! many of its REQUESTs wait.
//!
//! Of what elections bring the newest waits (`elections`). On a leader the second lane may be shut while
//! its disk writes, and a moment after that, so that clients share a write (`rounds`); what is no request
//! opens it.
//!
//! The driver's thread waits here; but whoever brings something while it waits, and nothing else
//! does, is told so, and may turn the driver in its place: a client's task, a link's, the disk's
//! thread.

mod elections;
mod rounds;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use smallvec::SmallVec;

use self::elections::Elections;
use self::rounds::Rounds;
use crate::processor::request::Submission;
use crate::proto::{LinkId, QuorumPacket, SessionId};
use crate::quorum::effect::Input;
use crate::time::Clock;

/// Bytes of submissions above which the inbox calls itself full.
const FULL_BYTES: usize = 16 << 20;

/// Submissions of one turn, at most, in bytes; the last message may pass it.
const MOST_BYTES: usize = 256 << 10;

/// A learner's REQUESTs may wait up to so many bytes.
const MOST_BYTES_OF_A_LINK: usize = 64 << 20;

/// Of what else came over a link so many bytes may wait before it is not read on …
const FULL_BYTES_OF_A_LINK: usize = 4 << 20;

/// … until no more than this waits.
const ENOUGH_BYTES_OF_A_LINK: usize = 1 << 20;

/// More REQUESTs of a learner wait than may: this one is not taken, and its link must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MOST_BYTES_OF_A_LINK} bytes of its requests wait")]
pub struct TooManyRequests;

/// The queue in front of the driver.
#[derive(Debug, Default)]
pub struct Inbox {
    lanes: Mutex<Lanes>,
    filled: Condvar,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Lanes {
    elections: Elections,
    /// With the weights of packets.
    first: VecDeque<(Input, usize)>,
    /// With their weights.
    then: VecDeque<(Input, usize)>,
    /// Whether they must wait; `None` where they never do.
    rounds: Option<Rounds>,
    /// What waits of links.
    links: BTreeMap<LinkId, OfLink>,
    /// The driver's thread waits, until that many milliseconds on the monotonic clock.
    waiting: Option<u64>,
    /// It is to look again, though nothing may be here for it.
    woken: bool,
    /// Somebody turns the driver in the thread's place, and looks here when that is done: until
    /// then nobody wakes the thread, which could only wait for the driver.
    in_place: bool,
    stopped: bool,
}

/// The weights of what came over a link and waits, and who waits for room.
#[derive(Debug, Default)]
struct OfLink {
    requests: usize,
    first: usize,
    reader: Option<Waker>,
}

impl Lanes {
    fn is_empty(&self) -> bool {
        self.elections.is_empty() && self.first.is_empty() && self.then.is_empty()
    }

    /// Whether nothing may be taken now.
    fn has_nothing_to_take(&self) -> bool {
        self.elections.is_empty() && self.first.is_empty() && self.then_is_shut()
    }

    /// Whether nothing of the second lane may be taken now.
    fn then_is_shut(&self) -> bool {
        self.then.is_empty() || self.rounds.as_ref().is_some_and(Rounds::must_wait)
    }

    /// Whether the thread waits, and nothing is here that it has been woken for: then whoever asks
    /// has its place from now on.
    fn take_place(&mut self) -> bool {
        let free =
            self.has_nothing_to_take() && self.waiting.is_some() && !self.woken && !self.in_place;
        self.in_place |= free;
        free
    }

    /// Whether the thread is to be woken for something.
    fn has_a_sleeper(&self) -> bool {
        self.waiting.is_some() && !self.in_place
    }

    /// Whether it is to be woken for what is here.
    fn has_a_sleeper_for_this(&self) -> bool {
        self.has_a_sleeper() && !self.has_nothing_to_take()
    }

    /// Whether whoever was told to be the `only` one has to turn the driver. Where what was brought must
    /// wait there is nothing to turn it for, and the thread has its place back.
    fn keeps_place(&mut self, only: bool) -> bool {
        let keeps = only && !self.has_nothing_to_take();
        self.in_place &= keeps || !only;
        keeps
    }

    /// When the thread is to look again: by `deadline`, and when the disk is late for which something
    /// waits.
    fn deadline(&self, deadline: Option<u64>) -> Option<u64> {
        let late = self.rounds.as_ref().and_then(Rounds::is_late_at_ms);
        deadline.into_iter().chain(late).min()
    }

    /// Something is about to wait in the second lane.
    fn comes_then(&mut self, input: &Input, weight: usize) {
        let Some(rounds) = &mut self.rounds else { return };
        match input {
            Input::Submitted(submissions) => {
                for submission in submissions {
                    rounds.asked(session(submission), submission.weight());
                }
            }
            Input::Packet { packet: QuorumPacket::Request(request), .. } => {
                rounds.asked(Some(request.session), weight);
            }
            _ => rounds.open(),
        }
    }

    /// Something waits no longer in the second lane.
    fn is_taken(&mut self, input: &Input) {
        let Some(rounds) = &mut self.rounds else { return };
        match input {
            Input::Submitted(submissions) => {
                submissions.iter().filter_map(session).for_each(|session| rounds.taken(session));
            }
            Input::Packet { packet: QuorumPacket::Request(request), .. } => {
                rounds.taken(request.session);
            }
            _ => {}
        }
    }

    /// As much was taken as a turn takes.
    fn were_taken(&mut self) {
        let Some(rounds) = &mut self.rounds else { return };
        match self.then.is_empty() {
            true => rounds.all_have_passed(),
            false if rounds.must_wait() => {}
            false => rounds.open(),
        }
    }

    /// Adds an input in its lane.
    fn push(&mut self, input: Input) -> Result<(), TooManyRequests> {
        match Lane::of(&input) {
            Lane::Elections => self.elections.push(input),
            Lane::First => self.first.push_back((input, 0)),
            Lane::Then => {
                self.comes_then(&input, 0);
                self.then.push_back((input, 0));
            }
            Lane::Packet(link, weight) => {
                self.links.entry(link).or_default().first += weight;
                self.first.push_back((input, weight));
            }
            Lane::Request(link, weight) => {
                let waiting = &mut self.links.entry(link).or_default().requests;
                // One that is alone is taken: its size has a limit of its own.
                if *waiting > 0 && *waiting + weight > MOST_BYTES_OF_A_LINK {
                    return Err(TooManyRequests);
                }
                *waiting += weight;
                self.comes_then(&input, weight);
                self.then.push_back((input, weight));
            }
        }
        Ok(())
    }

    /// So much of what came over the link no longer waits. Returns who waits for that.
    fn forget(&mut self, link: LinkId, first: usize, requests: usize) -> Option<Waker> {
        let waiting = self.links.get_mut(&link).expect("what waits was counted");
        waiting.first -= first;
        waiting.requests -= requests;
        let reader = match waiting.first <= ENOUGH_BYTES_OF_A_LINK {
            true => waiting.reader.take(),
            false => None,
        };
        if waiting.first == 0 && waiting.requests == 0 {
            self.links.remove(&link);
        }
        reader
    }
}

/// What became of packets that were pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// As with [`Inbox::submit`].
    pub only: bool,
    /// So much of what came over the link waits that it must not be read on before there is
    /// [room](Inbox::room).
    pub full: bool,
}

/// Where an input waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// Of which the newest waits.
    Elections,
    First,
    Then,
    /// A packet of that link, of that weight, in the first lane.
    Packet(LinkId, usize),
    /// A REQUEST of that link, of that weight: behind what others have asked for.
    Request(LinkId, usize),
}

impl Lane {
    fn of(input: &Input) -> Self {
        match input {
            Input::Notified { .. } | Input::Mesh { .. } => Lane::Elections,
            Input::Persisted(_)
            | Input::Applied(_)
            | Input::Tick
            | Input::LinkOpened(_)
            | Input::SnapshotArrived(_)
            | Input::BytesMoved(_)
            | Input::LogSurveyed { .. }
            | Input::Reloaded(_)
            | Input::Stop => Lane::First,
            Input::Submitted(_) | Input::ListSessions { .. } => Lane::Then,
            Input::Packet { link, packet: packet @ QuorumPacket::Request(_) }
                if link.is_accepted() =>
            {
                Lane::Request(*link, packet.weight())
            }
            Input::Packet { link, packet } => Lane::Packet(*link, packet.weight()),
            Input::LinkClosed { link, .. } if link.is_accepted() => Lane::Then,
            Input::LinkClosed { .. } => Lane::First,
        }
    }
}

/// The session of what a client has submitted, if it has one yet.
fn session(submission: &Submission) -> Option<SessionId> {
    match submission {
        Submission::Request(request) => Some(request.session),
        Submission::Connect(_) | Submission::Dropped(_) => None,
    }
}

/// What the disk's report is to whoever brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// As with [`Inbox::submit`].
    pub only: bool,
    /// What is asked waits for more: unless the disk is given something before, it does so no longer
    /// than for this, and then [`Inbox::patience_is_over`] is to be called.
    pub patience: Option<Duration>,
}

impl Inbox {
    /// An inbox where what is asked may wait while a leader's disk writes (`rounds`).
    pub fn in_rounds(clock: Arc<dyn Clock>) -> Self {
        let lanes = Lanes { rounds: Some(Rounds::new(clock)), ..Lanes::default() };
        Inbox { lanes: Mutex::new(lanes), ..Inbox::default() }
    }

    /// Adds what another server says, or what was found out about it, in its lane.
    ///
    /// # Errors
    /// A REQUEST that is too much. Nothing may be pushed behind it but the link's end.
    pub fn push(&self, input: Input) -> Result<(), TooManyRequests> {
        let mut lanes = self.lanes.lock();
        lanes.push(input)?;
        self.wake_if(lanes.has_a_sleeper_for_this());
        Ok(())
    }

    /// Adds packets that came over a link, each in its lane.
    ///
    /// # Errors
    /// A REQUEST among them that is too much; what came before it is added. Nothing may be pushed
    /// behind it but the link's end.
    pub fn push_packets(
        &self,
        link: LinkId,
        packets: impl IntoIterator<Item = QuorumPacket>,
    ) -> Result<Pushed, TooManyRequests> {
        let mut lanes = self.lanes.lock();
        let only = lanes.take_place();
        let mut inputs = packets.into_iter().map(|packet| Input::Packet { link, packet });
        let pushed = inputs.try_for_each(|input| lanes.push(input));
        let waiting = lanes.links.get(&link).map_or(0, |waiting| waiting.first);
        // Who cannot go on does not turn the driver either.
        lanes.in_place &= !(only && pushed.is_err());
        let only = lanes.keeps_place(only);
        self.wake_if(lanes.has_a_sleeper_for_this());
        pushed.map(|()| Pushed { only, full: waiting > FULL_BYTES_OF_A_LINK })
    }

    /// Waits until little of what came over the link waits. To be called by the one who reads it.
    pub async fn room(&self, link: LinkId) {
        std::future::poll_fn(|cx| {
            let mut lanes = self.lanes.lock();
            match lanes.links.get_mut(&link) {
                Some(waiting) if waiting.first > ENOUGH_BYTES_OF_A_LINK => {
                    waiting.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Adds an operator's question behind what clients have asked so far.
    pub fn ask(&self, question: Input) {
        let mut lanes = self.lanes.lock();
        lanes.comes_then(&question, 0);
        lanes.then.push_back((question, 0));
        self.wake_if(lanes.has_a_sleeper());
    }

    /// Adds a report of the disk, which may be `done` with all that it was given.
    pub fn report(&self, input: Input, done: bool) -> Reported {
        let mut lanes = self.lanes.lock();
        let only = lanes.take_place();
        lanes.first.push_back((input, 0));
        let patience = if done { lanes.rounds.as_mut().and_then(Rounds::ends) } else { None };
        self.wake_if(lanes.has_a_sleeper());
        Reported { only, patience }
    }

    /// What is asked waits no longer for more. True as with [`submit`](Self::submit).
    pub fn patience_is_over(&self) -> bool {
        let mut lanes = self.lanes.lock();
        let only = lanes.take_place();
        if let Some(rounds) = &mut lanes.rounds {
            rounds.stop_waiting();
        }
        let only = lanes.keeps_place(only);
        self.wake_if(lanes.has_a_sleeper_for_this());
        only
    }

    /// The disk goes on before its thread could wait: to be called if it was to, by
    /// [`Reported::patience`], and has something to write instead.
    pub fn disk_goes_on(&self) {
        let mut lanes = self.lanes.lock();
        if let Some(rounds) = &mut lanes.rounds {
            rounds.disk_goes_on();
        }
        self.wake_if(lanes.has_a_sleeper_for_this());
    }

    /// The disk of a leader is given something to write, by whoever turns the driver.
    pub fn round_begins(&self) {
        if let Some(rounds) = &mut self.lanes.lock().rounds {
            rounds.begins();
        }
    }

    /// The leader does not lead any longer: nothing has to wait.
    pub fn rounds_are_over(&self) {
        let mut lanes = self.lanes.lock();
        if let Some(rounds) = &mut lanes.rounds {
            rounds.forget();
        }
        self.wake_if(lanes.has_a_sleeper_for_this());
    }

    /// Adds what elections bring, a report of slow work, or something as urgent.
    pub fn push_first(&self, input: Input) {
        self.push(input).expect("only a learner's requests can be too many");
    }

    /// Adds what a client asks for. True if the thread waits and nothing else is here: then neither
    /// this nor what others bring from now on wakes it, until whoever was told so has turned the
    /// driver and looks whether to [wake](Self::wake_before) the thread.
    pub fn submit(&self, submissions: Vec<Submission>) -> bool {
        let weight = submissions.iter().map(Submission::weight).sum();
        self.bytes.fetch_add(weight, Ordering::Relaxed);
        let mut lanes = self.lanes.lock();
        let only = lanes.take_place();
        let input = Input::Submitted(submissions);
        lanes.comes_then(&input, weight);
        lanes.then.push_back((input, weight));
        let only = lanes.keeps_place(only);
        self.wake_if(lanes.has_a_sleeper_for_this());
        only
    }

    /// Whether so much waits that only connections with nothing unfinished may submit.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > FULL_BYTES
    }

    /// Gives the thread its place back, and has it look at the inbox if there is something for it, or
    /// if it would wait for longer than until `deadline`. Where it does not wait, it may have asked
    /// already when it is due, before that was changed: it asks again.
    pub fn wake_before(&self, deadline: Option<u64>) {
        let mut lanes = self.lanes.lock();
        lanes.in_place = false;
        let until = lanes.waiting.unwrap_or(u64::MAX);
        let deadline = lanes.deadline(deadline);
        let sleeps_on = deadline.is_some_and(|at| at < until);
        if sleeps_on || !lanes.has_nothing_to_take() {
            lanes.woken = true;
            self.wake_if(lanes.has_a_sleeper());
        }
    }

    /// Wakes the driver for good: it takes what is left and ends.
    pub fn stop(&self) {
        let mut lanes = self.lanes.lock();
        lanes.stopped = true;
        lanes.rounds = None;
        self.wake_if(lanes.waiting.is_some());
    }

    /// Waits until something is here, or has been said to be due by then, `deadline` in
    /// milliseconds on the monotonic clock; `None` waits for ever. Returns false once the inbox
    /// is stopped and empty.
    pub fn wait(&self, deadline: Option<u64>, clock: &dyn Clock) -> bool {
        let mut lanes = self.lanes.lock();
        while lanes.has_nothing_to_take() && !lanes.woken {
            if lanes.stopped {
                return false;
            }
            let deadline = lanes.deadline(deadline);
            lanes.waiting = Some(deadline.unwrap_or(u64::MAX));
            let timed_out = match deadline {
                Some(deadline) => {
                    let patience = deadline.saturating_sub(clock.now().mono_ms);
                    self.filled.wait_for(&mut lanes, Duration::from_millis(patience)).timed_out()
                }
                None => {
                    self.filled.wait(&mut lanes);
                    false
                }
            };
            lanes.waiting = None;
            if timed_out {
                break;
            }
        }
        lanes.woken = false;
        true
    }

    /// Moves at most `most` inputs to `inputs` and returns whether more wait.
    pub fn take(&self, inputs: &mut Vec<Input>, most: usize) -> bool {
        let mut readers = SmallVec::<[Waker; 4]>::new();
        let mut lanes = self.lanes.lock();
        if let Some(rounds) = &mut lanes.rounds {
            rounds.look_at_the_clock();
        }
        let share = if lanes.then_is_shut() { 0 } else { lanes.then.len().min(most / 4) };
        while inputs.len() < most - share
            && let Some(input) = lanes.elections.next()
        {
            inputs.push(input);
        }
        // Packets of one link come in a row.
        let mut run = (LinkId(0), 0);
        while inputs.len() < most - share
            && let Some((input, weight)) = lanes.first.pop_front()
        {
            if let Input::Packet { link, .. } = &input {
                if run.0 != *link && run.1 > 0 {
                    readers.extend(lanes.forget(run.0, run.1, 0));
                    run.1 = 0;
                }
                run = (*link, run.1 + weight);
            }
            inputs.push(input);
        }
        if run.1 > 0 {
            readers.extend(lanes.forget(run.0, run.1, 0));
        }
        let (mut taken, mut of_links) = (0, 0);
        while inputs.len() < most
            && taken < MOST_BYTES
            && !lanes.then_is_shut()
            && let Some((input, weight)) = lanes.then.pop_front()
        {
            lanes.is_taken(&input);
            if let Input::Packet { link, .. } = &input {
                readers.extend(lanes.forget(*link, 0, weight));
                of_links += weight;
            }
            inputs.push(input);
            taken += weight;
        }
        self.bytes.fetch_sub(taken - of_links, Ordering::Relaxed);
        lanes.were_taken();
        let more = !lanes.has_nothing_to_take();
        drop(lanes);
        readers.into_iter().for_each(Waker::wake);
        more
    }

    /// Bytes that were taken and wait elsewhere still count as here, or count no longer.
    pub fn hold(&self, before: usize, after: usize) {
        // In this order, so that the sum never falls below zero.
        self.bytes.fetch_add(after, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Whether the driver's thread waits, and whoever brings the next input has its place.
    #[cfg(test)]
    pub fn is_waited_on(&self) -> bool {
        let lanes = self.lanes.lock();
        lanes.waiting.is_some() && !lanes.woken && !lanes.in_place
    }

    /// Whether nothing waits that may be taken now.
    pub fn has_nothing_to_take(&self) -> bool {
        self.lanes.lock().has_nothing_to_take()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.lock().is_empty()
    }

    /// Whether reports of the disk wait.
    pub fn has_reports(&self) -> bool {
        !self.lanes.lock().first.is_empty()
    }

    fn wake_if(&self, waiting: bool) {
        if waiting {
            self.filled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
