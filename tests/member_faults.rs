//! A member's history is cut and replaced, its epochs and configurations are written, and the
//! machine stops at every single operation of that, with the power or without. A restart must find
//! the old state or the new one, and the new one once it was reported (C-216).
//!
//! The restart is stopped somewhere, too, now and then. Each scenario is run for every operation it
//! has, until one comes that it has not; for each, with a kill and with a power cut that keeps any of
//! what was not synced, drawn from a few seeds. What is found must also go on: transactions are
//! appended, and a second restart must find those and nothing of what was cut.
//!
//! `ZKSERVER_FAULT_SEEDS=<n>` takes that many seeds instead of six.
//!
//! The code under test is production's: `SyncQueue`, `SnapshotSpool`, `restore_member`.

#[path = "disk_faults/disk.rs"]
#[allow(dead_code)]
mod disk;
#[path = "member_faults/home.rs"]
mod home;
#[path = "crash/random.rs"]
mod random;

use std::io::ErrorKind::Other;
use std::path::Path;

use disk::{Fault, How, Op};
use home::{Home, Leader, Outcome, config};
use zkserver::persistence::{Disk, DiskRequest};
use zkserver::proto::{Epoch, LinkId, Ticket, Zxid};

const CHANGES: &[Op] =
    &[Op::Write, Op::SetLen, Op::Sync, Op::SyncDir, Op::Create, Op::Rename, Op::Remove];
const LINK: LinkId = LinkId(3);

/// Runs `scenario` with a stop at each of its operations, and once without; it answers whether what
/// it asked for was reported. `judge` looks at the home after the restart. Returns how many
/// operations there were.
fn at_every_operation(
    build: impl Fn(u64) -> Home,
    scenario: impl Fn(&mut Home) -> bool,
    judge: impl Fn(&mut Home, Outcome),
) -> u64 {
    let seeds = std::env::var("ZKSERVER_FAULT_SEEDS");
    let seeds = seeds.map_or(6, |seeds| seeds.parse().expect("a number"));
    let mut at = 0;
    loop {
        let mut hits = 0;
        for seed in 0..seeds {
            for how in [How::PowerCut, How::Kill] {
                let mut home = build(seed * 1000 + at);
                let fault = Fault { hits: CHANGES.to_vec(), at, for_ever: false, how, kind: Other };
                home.disk.plan(Some(fault.clone()));
                let reported = scenario(&mut home);
                let hit = home.disk.has_hit();
                assert!(hit || reported, "without a fault it is done");
                home.disk.plan(None);
                // A power cut may also come when all is said and done.
                home.disk.restart(seed % 2 == 0);
                if seed % 3 > 0 {
                    let at = seed * 7 % 11;
                    home.disk.plan(Some(Fault { at, ..fault }));
                    let _ = home.try_restart();
                    home.disk.plan(None);
                    home.disk.restart(seed % 4 == 0);
                }
                println!("operation {at}, {how:?}, seed {seed}: reported {reported}");
                judge(&mut home, Outcome { reported });
                hits += u64::from(hit);
            }
        }
        if hits == 0 {
            return at;
        }
        at += 1;
    }
}

/// What a restart finds is the old history or the new one, and it goes on.
fn assert_old_or_new(home: &mut Home, outcome: Outcome, new: (Zxid, u64)) {
    let old = home.last();
    let found = home.restart();
    let is = (found.history.last_zxid, found.history.database.tree.digest());
    if outcome.reported {
        assert_eq!(is, new, "it was reported");
    } else {
        assert!(is == old || is == new, "found {is:x?}, was {old:x?}, should be {new:x?}");
    }
    assert_eq!(found.history.report.digest_mismatches, 0);
    let recent: Vec<u64> = found.history.recent.iter().map(|(zxid, _)| zxid.0).collect();
    assert!(recent.last().is_none_or(|last| *last == is.0.0), "{recent:x?}");
    home.go_on(found, 7);
}

/// C-215, C-216, C-262: TRUNC leaves the whole history or the cut one, whichever file the cut is in
/// and whatever snapshots are newer; nothing of what was cut ever comes back.
#[test]
fn a_truncation_is_done_or_not() {
    let mut operations = 0;
    for (snapshots, to) in [
        // In the last file; in the middle one, with a newer snapshot; at a file's last record; at the
        // end of everything; down to the first snapshot.
        (&[0, 9][..], 0x1_0000_001b_u64),
        (&[0, 9, 22], 0x1_0000_000e),
        (&[0, 14, 25, 29], 0x1_0000_000a),
        (&[0, 9], 0x1_0000_001e),
        (&[0, 29], 0x1_0000_0000),
    ] {
        let to = Zxid(to);
        operations += at_every_operation(
            |seed| Home::new(seed, 30, 10, snapshots),
            |home| home.process(vec![DiskRequest::Truncate { ticket: Ticket(1), to }]),
            |home, outcome| {
                let new = home.state_at(to);
                assert_old_or_new(home, outcome, new);
            },
        );
    }
    assert!(operations > 40, "{operations} operations");
}

/// C-216: SNAP leaves the old history or the leader's tree, and no log is ever replayed on a snapshot
/// that it does not belong to: the old one goes further than the leader's, or is shorter.
#[test]
fn a_snapshot_is_installed_or_not() {
    let mut operations = 0;
    for (own, leaders) in [(30, 12), (12, 30)] {
        let leader = Leader::new(leaders, 0x2_0000_0005);
        operations += at_every_operation(
            |seed| Home::new(seed, own, 10, &[0, 9]),
            |home| {
                if !home.spool(LINK, &leader) {
                    return false;
                }
                let zxid = leader.zxid;
                home.process(vec![DiskRequest::InstallSnapshot {
                    ticket: Ticket(1),
                    link: LINK,
                    zxid,
                }])
            },
            |home, outcome| {
                home.know(leader.zxid, leader.digest);
                assert_old_or_new(home, outcome, (leader.zxid, leader.digest));
            },
        );
    }
    assert!(operations > 20, "{operations} operations");
}

/// C-216: what a synchronization asks for at once is done in that order, so that no epoch is ever
/// ahead of the history it was given for.
#[test]
fn a_synchronization_is_a_prefix_of_what_was_asked_for() {
    let to = Zxid(0x1_0000_000e);
    at_every_operation(
        |seed| Home::new(seed, 30, 10, &[0, 9, 22]),
        |home| {
            let appends = home.fork(to, 3);
            let mut batch = vec![
                DiskRequest::AcceptedEpoch { ticket: Ticket(1), epoch: Epoch(5) },
                DiskRequest::Truncate { ticket: Ticket(2), to },
            ];
            batch.extend(appends);
            batch.push(DiskRequest::CurrentEpoch { ticket: Ticket(6), epoch: Epoch(5) });
            home.process(batch)
        },
        |home, outcome| {
            let old = home.last();
            let found = home.restart();
            let last = found.history.last_zxid;
            assert_eq!(home.state_at(last).1, found.history.database.tree.digest());
            let new_end = home.forked_end();
            let is_new = last == new_end;
            assert!(last == old.0 || (to..=new_end).contains(&last), "{last}");
            assert!(!outcome.reported || is_new && found.current_epoch == Epoch(5));
            assert!(found.current_epoch < Epoch(5) || is_new, "synchronized without its history");
            assert!(found.accepted_epoch == Epoch(5) || last == old.0);
            assert!(found.may_vote);
            home.go_on(found, 9);
        },
    );
}

/// C-216, C-251: an epoch file holds the old number or the new one, and the new one once reported.
#[test]
fn an_epoch_is_written_or_not() {
    let operations = at_every_operation(
        |seed| Home::new(seed, 5, 10, &[0]),
        |home| {
            home.process(vec![
                DiskRequest::AcceptedEpoch { ticket: Ticket(1), epoch: Epoch(123) },
                DiskRequest::CurrentEpoch { ticket: Ticket(2), epoch: Epoch(123) },
            ])
        },
        |home, outcome| {
            let found = home.restart();
            let epochs = (found.accepted_epoch.0, found.current_epoch.0);
            assert!([(1, 1), (123, 1), (123, 123)].contains(&epochs), "{epochs:?}");
            assert!(!outcome.reported || epochs == (123, 123), "{epochs:?}");
            assert!(found.may_vote, "{:?}", found.history.report.notices);
        },
    );
    assert!(operations >= 10, "{operations} operations");
}

/// C-216: a configuration is written or not; the one that was proposed goes only when the one in
/// force is there.
#[test]
fn a_configuration_is_written_or_not() {
    let file = Path::new("/conf/zoo.cfg");
    let (old, new) = (config(3, 0x1_0000_0000), config(4, 0x1_0000_0007));
    at_every_operation(
        |seed| {
            let mut home = Home::new(seed, 5, 10, &[0]);
            let ticket = Ticket(1);
            assert!(
                home.process(vec![DiskRequest::LastSeenConfig { ticket, config: old.clone() }])
            );
            home
        },
        |home| {
            home.process(vec![
                DiskRequest::LastSeenConfig { ticket: Ticket(1), config: new.clone() },
                DiskRequest::ActivateConfig { ticket: Ticket(2), config: new.clone() },
            ])
        },
        |home, outcome| {
            let read = |suffix: &str| {
                let path = format!("{}{suffix}", file.display());
                home.disk.read(Path::new(&path)).ok().map(|text| String::from_utf8(text).unwrap())
            };
            let (next, active) = (read(".dynamic.next"), read(".dynamic.100000007"));
            let lines = |text: &str| text.lines().filter(|l| l.starts_with("server.")).count();
            if let Some(active) = &active {
                assert_eq!(lines(active), 4, "{active}");
                assert!(!active.contains("version") && !active.ends_with('\n'));
            }
            match &next {
                Some(next) if next.ends_with("version=100000000") => {
                    assert!(lines(next) == 3 && active.is_none());
                }
                Some(next) => assert!(lines(next) == 4 && next.ends_with("version=100000007")),
                None => assert!(active.is_some(), "nothing is left of it"),
            }
            assert!(!outcome.reported || (next.is_none() && active.is_some()));
        },
    );
}

/// C-242: a rotten log in a member: whenever its healing is interrupted, the member comes back with
/// the history before the rot, and without a vote.
#[test]
fn a_rotten_log_is_healed_and_the_vote_withheld() {
    at_every_operation(
        |seed| {
            let mut home = Home::new(seed, 30, 10, &[0, 9]);
            home.rot("log.10000000b", 3);
            home
        },
        |home| home.try_restart().is_ok(),
        |home, _| {
            let found = home.restart();
            let last = found.history.last_zxid;
            assert_eq!(last, Zxid(0x1_0000_000d), "the record before the rot");
            assert_eq!(home.state_at(last).1, found.history.database.tree.digest());
            assert!(!found.may_vote);
            assert!(home.files().iter().any(|f| f.contains("zkserver.aside.rotten.log.10000000b")));
            home.go_on(found, 5);
            assert!(!home.restart().may_vote, "nobody has synchronized it");
            home.process(vec![
                DiskRequest::AcceptedEpoch { ticket: Ticket(1), epoch: Epoch(9) },
                DiskRequest::CurrentEpoch { ticket: Ticket(2), epoch: Epoch(9) },
            ]);
            assert!(home.restart().may_vote);
        },
    );
}

/// A truncation that reaches behind the oldest snapshot is refused in words, and what is left joins
/// without a vote instead of being told the same for ever.
#[test]
fn a_history_that_begins_later_is_given_up() {
    at_every_operation(
        |seed| {
            let home = Home::new(seed, 30, 10, &[0, 14]);
            home.remove_snapshot("snapshot.0");
            home.remove_snapshot("snapshot.100000000");
            home
        },
        |home| {
            let to = Zxid(0x1_0000_0003);
            let refused = home
                .queue(Zxid(0x1_0000_001e))
                .process(&mut vec![DiskRequest::Truncate { ticket: Ticket(1), to }])
                .unwrap_err();
            refused.to_string().contains("begins later")
        },
        |home, outcome| {
            let found = home.restart();
            if found.history.last_zxid != home.last().0 {
                assert_eq!(found.history.last_zxid, Zxid::ZERO);
                assert!(!found.may_vote && !home.restart().may_vote);
            }
            assert!(!outcome.reported || found.history.last_zxid == Zxid::ZERO);
        },
    );
}

/// A tree whose leader's epoch was never entered: told to go back behind it, the member has the
/// history before it again, with its vote, and later trees that came meanwhile change nothing. When
/// the power goes it has one or the other. Nothing of a tree that is given up comes back.
#[test]
fn a_history_begins_with_a_tree_on_trial() {
    let trees = [Leader::new(20, 0x3_0000_0004), Leader::new(22, 0x3_0000_0009)];
    let install = |number: u64| DiskRequest::InstallSnapshot {
        ticket: Ticket(number),
        link: LinkId(number),
        zxid: trees[number as usize - 1].zxid,
    };
    let cut = |ticket, to| DiskRequest::Truncate { ticket: Ticket(ticket), to: Zxid(to) };
    let last_tree = trees[1].zxid;
    let operations = at_every_operation(
        |seed| {
            let mut home = Home::new(seed, 30, 10, &[0, 14]);
            let (ticket, epoch) = (Ticket(1), Epoch(4));
            assert!(home.process(vec![DiskRequest::AcceptedEpoch { ticket, epoch }]));
            home
        },
        |home| {
            let mut queue = home.queue(home.last().0);
            (1..=2).all(|number| {
                home.spool(LinkId(number), &trees[number as usize - 1])
                    && queue.process(&mut vec![install(number)]).is_ok()
            }) && {
                let mut batch = home.fork_of(&trees[1], 3);
                // What follows a tree is on trial with it, and so is what is left of that.
                batch.extend([cut(20, last_tree.0), cut(21, 0x3_0000_0001)]);
                queue.process(&mut batch).is_ok()
            }
        },
        |home, outcome| {
            let found = home.restart();
            let (last, digest) = (found.history.last_zxid, found.history.database.tree.digest());
            let is_before = (last, digest) == home.last();
            let is_tree = trees.iter().any(|tree| (tree.zxid, tree.digest) == (last, digest));
            let follows_tree = last > last_tree && home.state_at(last).1 == digest;
            assert!(is_before || is_tree || follows_tree, "{last}");
            assert!(found.may_vote, "{:?}", found.history.report.notices);
            assert!(!outcome.reported || is_before, "it had gone back");
            home.go_on(found, 5);
        },
    );
    assert!(operations >= 40, "{operations} operations");
}

/// The way back ends where something was promised on the ground of the tree, and with the process:
/// nobody knows what another server made of the directory meanwhile.
#[test]
fn from_a_tree_that_counts_there_is_no_way_back() {
    let tree = Leader::new(20, 0x3_0000_0004);
    let enter = DiskRequest::CurrentEpoch { ticket: Ticket(2), epoch: Epoch(4) };
    let install =
        DiskRequest::InstallSnapshot { ticket: Ticket(1), link: LinkId(1), zxid: tree.zxid };
    let cut = DiskRequest::Truncate { ticket: Ticket(3), to: Zxid(0x3_0000_0001) };
    for entered in [true, false] {
        let mut home = Home::new(1, 30, 10, &[0, 14]);
        assert!(home.spool(LinkId(1), &tree));
        let mut queue = home.queue(home.last().0);
        queue.process(&mut vec![install.clone()]).unwrap();
        match entered {
            true => drop(queue.process(&mut vec![enter.clone()]).unwrap()),
            false => {
                drop(queue);
                let last = home.restart().history.last_zxid;
                queue = home.queue(last);
            }
        }
        let refused = queue.process(&mut vec![cut.clone()]).unwrap_err().to_string();
        assert!(refused.contains("cannot be cut behind 0x300000001"), "{refused}");
        drop(queue);
        let found = home.restart();
        assert_eq!((found.history.last_zxid, found.may_vote), (Zxid::ZERO, false));
    }
}

/// Files that lie aside are nobody's history, and somebody may have removed one, or the disk changed
/// it. With less than there was the member would forget what it has acknowledged: it is given up as
/// before, without the vote.
#[test]
fn what_lies_aside_is_gone_back_to_only_as_a_whole() {
    let tree = Leader::new(20, 0x3_0000_0004);
    let install =
        DiskRequest::InstallSnapshot { ticket: Ticket(1), link: LinkId(1), zxid: tree.zxid };
    let cut = DiskRequest::Truncate { ticket: Ticket(3), to: Zxid(0x3_0000_0001) };
    let aside = |home: &Home, name: &str| {
        let dir = home.dir();
        let name = format!("zkserver.aside.{name}");
        let of = if name.contains("log") { dir.log_dir() } else { dir.snapshot_dir() };
        home.disk.open_for_write(&of.join(&name)).map(|_| of.join(name)).expect("it lies aside")
    };
    let remove = |name: &'static str| {
        move |home: &Home, path: &Path| home.disk.remove(path).unwrap_or_else(|_| panic!("{name}"))
    };
    type Damage = Box<dyn Fn(&Home, &Path)>;
    let cases: [(&str, Damage); 5] = [
        ("log.100000015", Box::new(remove("the last log"))),
        ("log.10000000b", Box::new(remove("one in the middle"))),
        ("snapshot.10000000e", Box::new(remove("the only snapshot"))),
        (
            "log.100000015",
            Box::new(|home, path| {
                // Its last record is torn, though it was durable.
                let file = home.disk.open_for_write(path).expect("the log");
                let size = file.size().expect("a size");
                file.set_len(size - 20).expect("a working disk");
            }),
        ),
        (
            "log.10000000b",
            Box::new(|home, path| {
                let file = home.disk.open_for_write(path).expect("the log");
                file.write_all_at(400, &[0xa5; 7]).expect("a working disk");
            }),
        ),
    ];
    for (name, damage) in &cases {
        let mut home = Home::new(1, 30, 10, &[14]);
        home.remove_snapshot("snapshot.0");
        home.remove_snapshot("snapshot.100000000");
        assert!(home.spool(LinkId(1), &tree));
        let mut queue = home.queue(home.last().0);
        queue.process(&mut vec![install.clone()]).unwrap();
        damage(&home, &aside(&home, name));
        let refused = queue.process(&mut vec![cut.clone()]).unwrap_err().to_string();
        assert!(refused.contains("cannot be cut behind 0x300000001"), "{refused}");
        drop(queue);
        let found = home.restart();
        assert_eq!((found.history.last_zxid, found.may_vote), (Zxid::ZERO, false), "{name}");
    }
}

/// With directories of their own, the logs' alone may be lost, or not mounted: what is missing is not
/// seen in the snapshot, and the member has forgotten what it acknowledged behind it. A tree that came
/// from a leader, and no transaction behind it, is no such case.
#[test]
fn a_lost_log_directory_costs_the_vote() {
    let separate = 1000;
    let mut home = Home::new(separate, 30, 10, &[0, 14]);
    for path in home.files().iter().filter(|path| path.starts_with("/log/")) {
        home.disk.remove(Path::new(path)).unwrap();
    }
    let found = home.restart();
    assert_eq!((found.history.last_zxid, found.may_vote), (Zxid(0x1_0000_000e), false));
    let notices = found.history.report.notices.join("\n");
    assert!(notices.contains("/log/version-2 has none of this member's logs"), "{notices}");
    assert!(!home.restart().may_vote, "nobody has synchronized it");

    let mut home = Home::new(separate, 30, 10, &[0, 14]);
    let tree = Leader::new(20, 0x3_0000_0004);
    let install = DiskRequest::InstallSnapshot { ticket: Ticket(2), link: LINK, zxid: tree.zxid };
    assert!(home.spool(LINK, &tree));
    let (ticket, epoch) = (Ticket(1), Epoch(4));
    let accept = DiskRequest::AcceptedEpoch { ticket, epoch };
    let enter = DiskRequest::CurrentEpoch { ticket: Ticket(3), epoch };
    assert!(home.process(vec![accept, install, enter]));
    for path in home.files().iter().filter(|path| path.contains("zkserver.aside.")) {
        home.disk.remove(Path::new(path)).unwrap();
    }
    let found = home.restart();
    assert_eq!((found.history.last_zxid, found.may_vote), (tree.zxid, true));
}

/// Two changes behind each other keep what the last one set aside, not what the first did.
#[test]
fn only_the_last_change_is_kept_aside() {
    let mut home = Home::new(1, 30, 10, &[0, 9]);
    let cut = |zxid| DiskRequest::Truncate { ticket: Ticket(1), to: Zxid(zxid) };
    assert!(home.process(vec![cut(0x1_0000_0011)]));
    let aside = |home: &Home| {
        let files = home.files();
        files.iter().filter(|name| name.contains("zkserver.aside.")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(aside(&home).len(), 1, "{:?}", home.files());
    let found = home.restart();
    home.queue(found.history.last_zxid).process(&mut vec![cut(0x1_0000_000a)]).unwrap();
    assert!(aside(&home)[0].contains("log.10000000b"), "{:?}", home.files());
    assert!(home.files().iter().any(|name| name.contains("zkserver.removed.log.100000015")));
}
