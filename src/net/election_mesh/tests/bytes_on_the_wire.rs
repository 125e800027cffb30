//! What a mesh says and does, byte by byte, as Apache ZooKeeper would see it.

use super::*;

#[tokio::test]
async fn the_larger_id_keeps_what_it_has_dialled_and_says_who_it_is() {
    let ensemble = Ensemble::new();
    let listener = ensemble.listen_as(1).await;
    let server = ensemble.start(2, &[1, 2]);
    let mut one = Remote::accept(&listener).await;
    let expected = greeting(2, &ensemble.address(2));
    assert_eq!(one.bytes(expected.len()).await, expected);
    server.notify(1, 6);
    assert_eq!(one.bytes(message(6).len()).await, message(6));
    one.say(&message(7)).await;
    server.until("1 in round 7").await;
}

#[tokio::test]
async fn the_smaller_id_says_who_it_is_and_hangs_up() {
    let ensemble = Ensemble::new();
    let listener = ensemble.listen_as(2).await;
    let server = ensemble.start(1, &[1, 2]);
    server.notify(2, 6);
    let mut asked = Remote::accept(&listener).await;
    let expected = greeting(1, &ensemble.address(1));
    assert_eq!(asked.bytes(expected.len()).await, expected);
    asked.is_closed().await;
    let mut two = ensemble.connect_to(1).await;
    two.say(&greeting(2, &ensemble.address(2))).await;
    assert_eq!(two.bytes(message(6).len()).await, message(6));
    server.until("2 up").await;
}

/// The greetings are as Apache ZooKeeper 3.8.0 sent them, but for the addresses.
#[tokio::test]
async fn with_several_addresses_all_are_told() {
    let ensemble = Ensemble::new();
    let listener = ensemble.listen_as(1).await;
    let mut members = ensemble.members(&[1]);
    members.insert(Sid(3), vec![ensemble.address(3), ensemble.address(4)]);
    let options = MeshOptions { multi_address: true, ..options(3) };
    let _server = Server::start(options, members);
    let mut one = Remote::accept(&listener).await;
    let both = format!("{}|{}", ensemble.address(3), ensemble.address(4));
    let expected = [
        &decode("ffffffffffff00010000000000000003")[..],
        &u32::try_from(both.len()).unwrap().to_be_bytes(),
        both.as_bytes(),
    ];
    let expected = expected.concat();
    assert_eq!(one.bytes(expected.len()).await, expected);
    for sid in [3, 4] {
        ensemble.connect_to(sid).await;
    }
}

#[tokio::test]
async fn a_smaller_id_is_hung_up_and_called_back_where_the_configuration_says() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(2, &[1, 2]);
    let mut asks = ensemble.connect_to(2).await;
    let listener = ensemble.listen_as(1).await;
    let elsewhere = ensemble.listen_as(3).await;
    asks.say(&greeting(1, &ensemble.address(3))).await;
    asks.is_closed().await;
    let mut called = Remote::accept(&listener).await;
    let expected = greeting(2, &ensemble.address(2));
    assert_eq!(called.bytes(expected.len()).await, expected);
    server.until("1 up").await;
    // Only if it is not there it is called where it said it is.
    drop(listener);
    drop(called);
    server.until("1 down").await;
    ensemble.connect_to(2).await.say(&greeting(1, &ensemble.address(3))).await;
    let mut called = Remote::accept(&elsewhere).await;
    assert_eq!(called.bytes(expected.len()).await, expected);
}

#[tokio::test]
async fn a_server_of_before_3_5_says_only_its_id() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(2, &[1, 2, 3]);
    let mut three = ensemble.connect_to(2).await;
    three.say(&bare(3)).await;
    server.until("3 up").await;
    server.notify(3, 4);
    assert_eq!(three.round().await, 4);
    let listener = ensemble.listen_as(1).await;
    let mut asks = ensemble.connect_to(2).await;
    asks.say(&bare(1)).await;
    asks.is_closed().await;
    Remote::accept(&listener).await;
}

#[tokio::test]
async fn what_waits_is_replaced_by_what_is_newer() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2]);
    for round in 1..=3 {
        server.notify(2, round);
    }
    let mut two = ensemble.connect_to(1).await;
    two.say(&bare(2)).await;
    assert_eq!(two.round().await, 3);
    for round in 4..=5 {
        server.notify(2, round);
        assert_eq!(two.round().await, round);
    }
}

#[tokio::test]
async fn when_nothing_waits_the_last_message_is_sent_again() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2]);
    server.notify(2, 7);
    for _ in 0..3 {
        let mut two = ensemble.connect_to(1).await;
        two.say(&bare(2)).await;
        assert_eq!(two.round().await, 7);
    }
    drop(server);
}

#[tokio::test]
async fn a_newer_connection_takes_the_place_of_the_older() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2]);
    let mut older = ensemble.connect_to(1).await;
    older.say(&[&bare(2)[..], &message(1)].concat()).await;
    server.until("2 in round 1").await;
    let mut newer = ensemble.connect_to(1).await;
    newer.say(&[&bare(2)[..], &message(2)].concat()).await;
    server.until("2 in round 2").await;
    older.is_closed().await;
    server.notify(2, 3);
    assert_eq!(newer.round().await, 3);
    drop(newer);
    server.until("2 down").await;
    assert_eq!(server.heard.all(), ["2 up", "2 in round 1", "2 up", "2 in round 2", "2 down"]);
}

#[tokio::test]
async fn messages_may_come_in_pieces_and_several_at_once() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2]);
    let two = ensemble.connect_to(1).await;
    let all = [greeting(2, &ensemble.address(2)), message(1), message(2), message(3)].concat();
    for piece in all.chunks(7) {
        two.say(piece).await;
        tokio::task::yield_now().await;
    }
    server.until("2 in round 3").await;
    let rounds = ["2 up", "2 in round 1", "2 in round 2", "2 in round 3"];
    assert_eq!(server.heard.all(), rounds);
}
