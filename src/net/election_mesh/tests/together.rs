//! Meshes with each other.

use super::*;

#[tokio::test]
async fn two_hear_each_other_whoever_is_first() {
    for first in [1, 2] {
        let ensemble = Ensemble::new();
        let second = 3 - first;
        let one = ensemble.start(first, &[1, 2]);
        one.notify(second, 7);
        let other = ensemble.start(second, &[1, 2]);
        other.until(&format!("{first} in round 7")).await;
        other.notify(first, 8);
        one.until(&format!("{second} in round 8")).await;
        for (server, peer) in [(one, second), (other, first)] {
            assert_eq!(server.heard.all()[0], format!("{peer} up"));
        }
    }
}

#[tokio::test]
async fn three_are_connected_without_anybody_asking() {
    let ensemble = Ensemble::new();
    let servers = [1, 2, 3].map(|me| ensemble.start(me, &[1, 2, 3]));
    for (server, others) in servers.iter().zip([[2, 3], [1, 3], [1, 2]]) {
        for other in others {
            server.until(&format!("{other} up")).await;
        }
    }
}

#[tokio::test]
async fn what_one_says_to_oneself_is_heard_at_once() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1]);
    server.notify(1, 5);
    assert_eq!(server.heard.all(), ["1 in round 5"]);
}

#[tokio::test]
async fn who_restarts_is_connected_again_and_told_the_last_message_again() {
    for restarted in [1, 2] {
        let ensemble = Ensemble::new();
        let other = 3 - restarted;
        let stays = ensemble.start(other, &[1, 2]);
        let first = ensemble.start(restarted, &[1, 2]);
        stays.notify(restarted, 7);
        first.until(&format!("{other} in round 7")).await;
        drop(first);
        stays.until(&format!("{restarted} down")).await;
        let second = ensemble.start(restarted, &[1, 2]);
        second.until(&format!("{other} in round 7")).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_in_the_configuration_is_heard_and_answered() {
    // Whichever of the two has to call.
    for (member, joiner) in [(1, 2), (2, 1)] {
        let ensemble = Ensemble::new();
        let member_only = ensemble.start(member, &[member]);
        let joins = ensemble.start(joiner, &[1, 2]);
        joins.notify(member, 3);
        member_only.until(&format!("{joiner} in round 3")).await;
        member_only.notify(joiner, 4);
        joins.until(&format!("{member} in round 4")).await;
        drop(joins);
        member_only.until(&format!("{joiner} down")).await;
        // Its place is given up.
        let forgotten = async {
            while member_only.mesh.mesh.peer(Sid(joiner)).is_some() {
                tokio::task::yield_now().await;
            }
        };
        soon("oblivion", forgotten).await;
    }
}

#[tokio::test]
async fn members_come_move_and_go() {
    let ensemble = Ensemble::new();
    let one = ensemble.start(1, &[1]);
    let two = ensemble.start(2, &[2]);
    let both = ensemble.members(&[1, 2]);
    one.mesh.set_members(both.clone());
    two.mesh.set_members(both);
    one.until("2 up").await;
    two.until("1 up").await;
    // One that moves is found at its new address.
    let mut moved = ensemble.members(&[1, 2]);
    moved.insert(Sid(1), vec![ensemble.address(3)]);
    drop(one);
    two.until("1 down").await;
    two.mesh.set_members(moved.clone());
    let one = Server::start(options(1), moved);
    one.until("2 up").await;
    two.notify(1, 9);
    one.until("2 in round 9").await;
    // Who has gone is not dialled again.
    two.mesh.set_members(ensemble.members(&[2]));
    drop(one);
    two.heard.until("down again", |told| told.last().is_some_and(|last| last == "1 down")).await;
    let gone = async {
        while two.mesh.mesh.peer(Sid(1)).is_some() {
            tokio::task::yield_now().await;
        }
    };
    soon("oblivion", gone).await;
}

#[tokio::test]
async fn the_own_port_moves_with_the_configuration() {
    let ensemble = Ensemble::new();
    let one = ensemble.start(1, &[1]);
    ensemble.connect_to(1).await;
    one.mesh.set_members([(Sid(1), vec![ensemble.address(2)])].into());
    ensemble.connect_to(2).await;
    let left = async {
        while TcpStream::connect((ensemble.host(1), PORT)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of the old port", left).await;
}

#[tokio::test]
async fn after_the_end_nothing_is_told_and_nobody_listens() {
    let ensemble = Ensemble::new();
    let one = ensemble.start(1, &[1, 2]);
    let two = ensemble.start(2, &[1, 2]);
    one.until("2 up").await;
    two.until("1 up").await;
    one.mesh.stop();
    two.until("1 down").await;
    let told = one.heard.all();
    one.notify(2, 5);
    one.mesh.connect_all();
    one.mesh.set_members(ensemble.members(&[1, 2]));
    assert_eq!(one.heard.all(), told);
    assert!(!told.contains(&"2 down".to_owned()));
    TcpListener::bind((ensemble.host(1), PORT)).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_waited_for_and_given_up_in_words() {
    let ensemble = Ensemble::new();
    let taken = ensemble.listen_as(1).await;
    let gives_up =
        Server::start(MeshOptions { bind_retries: 1, ..options(1) }, ensemble.members(&[1]));
    let waits = ensemble.start(1, &[1, 2]);
    let words = |told: &[String]| told.iter().any(|one| one.starts_with("deaf: the election"));
    gives_up.heard.until("words", words).await;
    assert!(gives_up.heard.all()[0].contains("electionPortBindRetry"));
    drop(taken);
    ensemble.connect_to(1).await.say(&[&bare(2)[..], &message(1)].concat()).await;
    waits.until("2 in round 1").await;
}

#[tokio::test]
async fn who_is_no_member_cannot_begin() {
    let members = Ensemble::new().members(&[1, 2]);
    let heard = Arc::new(Heard::default());
    let error = ElectionMesh::start(&Handle::current(), options(3), members, heard).unwrap_err();
    assert!(error.to_string().starts_with("server 3 is not among the servers"), "{error}");
}

/// Who stands back hears what is said, and says the newest when the time has come.
#[tokio::test]
async fn who_stands_back_listens_and_speaks_later() {
    let ensemble = Ensemble::new();
    let (one, two) = (ensemble.start(1, &[1, 2]), ensemble.start(2, &[1, 2]));
    one.until("2 up").await;
    let began = tokio::time::Instant::now();
    two.mesh.stand_back(300);
    (1..=3).for_each(|round| two.notify(1, round));
    one.notify(2, 7);
    two.until("1 in round 7").await;
    one.until("2 in round 3").await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    let of_two = one.heard.all().into_iter().filter(|line| line.contains("round"));
    assert_eq!(of_two.collect::<Vec<_>>(), ["2 in round 3"]);
}
