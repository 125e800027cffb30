//! Clients that write at the same time share the writes of the disks, and wait for no disk that is late.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Ensemble;
use crate::common::flag;
use crate::doors::{self, Order};
use crate::roads::Id;

/// Three members whose disks are as slow as they are told to be, and `/x`.
fn members() -> Option<(Ensemble, Id)> {
    if !doors::exist() {
        println!("skipped: only zkserver has doors that open");
        return None;
    }
    // On a machine with too much to do a member may wait for longer than is usual here.
    let mut ensemble = Ensemble::new(3, 0, &[("syncLimit", "50")]);
    ensemble.members.values_mut().for_each(|member| member.has_doors = true);
    ensemble.members.values_mut().for_each(|member| member.start());
    let leader = ensemble.leader();
    ensemble.members[&leader].client().create("/x", b"", flag::PERSISTENT);
    Some((ensemble, leader))
}

/// Batches that the leader's disk has written, and transactions in them.
fn written(ensemble: &Ensemble, leader: Id) -> (f64, f64) {
    let tell = |what: &str| {
        let key = format!("zk_{what}_sync_processor_batch_size");
        let value = ensemble.members[&leader].mntr(&key).expect("a leader that serves");
        value.parse::<f64>().expect("a number")
    };
    (tell("cnt"), tell("sum"))
}

/// Three that write alone, one in flight each, would take turns at the leader, one and then the other
/// two: no more than one and a half transactions to a write of its disk.
#[test]
fn clients_of_three_members_meet() {
    let Some((ensemble, leader)) = members() else { return };
    // A disk that is faster than its clients needs no company.
    ensemble.members.values().for_each(|it| it.order(Order::Slow(Duration::from_millis(4))));
    let stop = AtomicBool::new(false);
    let mut seen = Vec::new();
    thread::scope(|scope| {
        for member in ensemble.members.values() {
            let mut client = member.client();
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.set_data("/x", b"1", -1);
                }
                client.close();
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut before = written(&ensemble, leader);
        while Instant::now() < deadline && seen.last() < Some(&2.0) {
            thread::sleep(Duration::from_millis(20));
            let now = written(&ensemble, leader);
            if now.0 - before.0 >= 50.0 {
                seen.push((now.1 - before.1) / (now.0 - before.0));
                before = now;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(seen.last() >= Some(&2.0), "transactions to a write: {seen:?}");
}

/// The others commit without it, as ever.
#[test]
fn nobody_waits_for_a_leader_whose_disk_is_late() {
    let Some((mut ensemble, leader)) = members() else { return };
    // With disks like that clients meet.
    ensemble.members.values().for_each(|it| it.order(Order::Slow(Duration::from_millis(4))));
    let others = ensemble.others(leader);
    let mut clients: Vec<_> = others.iter().map(|id| ensemble.members[id].client()).collect();
    let mut write = |times: usize| {
        let begin = Instant::now();
        thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(move || {
                    (0..times).for_each(|_| drop(client.set_data("/x", b"1", -1)));
                });
            }
        });
        begin.elapsed()
    };
    write(50);
    ensemble.members[&leader].order(Order::Slow(Duration::from_secs(3)));
    let took = write(20);
    assert!(took < Duration::from_secs(30), "20 writes of two clients took {took:?}");
    assert_eq!(ensemble.leader(), leader);
}
