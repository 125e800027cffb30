//! Whoever connects and means no good, or does not answer, disturbs nobody else.

use super::*;

/// The mesh still does what it is for.
async fn still_works(ensemble: &Ensemble, server: &Server, round: i64) {
    let mut two = ensemble.connect_to(1).await;
    two.say(&[&greeting(2, &ensemble.address(2))[..], &message(round)].concat()).await;
    server.until(&format!("2 in round {round}")).await;
    server.notify(2, round);
    // What was sent last may come once more.
    while two.round().await != round {}
}

#[tokio::test]
async fn what_is_no_greeting_is_closed() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2]);
    let mut round = 0;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: zookeeper\r\n\r\n"[..],
        &[0xff; 64],
        &[&decode("ffffffffffff0000"), &bare(2)[..], &decode("00000801")].concat(),
        &[&decode("ffffffffffff0000"), &bare(2)[..], &decode("00000000")].concat(),
        &[&decode("ffffffffffff0000"), &bare(2)[..], &decode("00000003"), b"a:b"].concat(),
        // A member's own id; ids that nobody has.
        &bare(1),
        &bare(0),
        &[&bare(77)[..], &decode("00080001")].concat(),
        &[&bare(77)[..], &decode("0000000107")].concat(),
    ] {
        let mut hostile = ensemble.connect_to(1).await;
        hostile.say(bytes).await;
        hostile.is_closed().await;
        round += 1;
        still_works(&ensemble, &server, round).await;
    }
    let of_others = |line: &&String| !line.starts_with("2 ");
    assert_eq!(server.heard.all().iter().find(of_others), None);
}

#[tokio::test]
async fn an_impossible_length_ends_a_connection_and_what_is_no_notification_does_not() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2]);
    for (at, length) in [0, -1, 524_289, i32::MAX].into_iter().enumerate() {
        let mut two = ensemble.connect_to(1).await;
        two.say(&[&bare(2)[..], &1_i32.to_be_bytes(), &[9], &message(1)].concat()).await;
        let ups = |told: &[String]| told.iter().filter(|one| *one == "2 in round 1").count() > at;
        server.heard.until("the notification", ups).await;
        two.say(&length.to_be_bytes()).await;
        two.is_closed().await;
    }
    still_works(&ensemble, &server, 2).await;
}

#[tokio::test]
async fn who_does_not_say_who_it_is_is_closed_in_time() {
    let ensemble = Ensemble::new();
    let options = MeshOptions { greeting_timeout_ms: 50, ..options(1) };
    let server = Server::start(options, ensemble.members(&[1, 2]));
    for bytes in [&[][..], &decode("ffffffffffff000000"), &bare(77)] {
        let mut silent = ensemble.connect_to(1).await;
        silent.say(bytes).await;
        silent.is_closed().await;
    }
    still_works(&ensemble, &server, 1).await;
}

#[tokio::test]
async fn many_who_do_not_say_who_they_are_keep_nobody_out() {
    let ensemble = Ensemble::new();
    let options = MeshOptions { greeting_timeout_ms: 3_600_000, ..options(1) };
    let server = Server::start(options, ensemble.members(&[1, 2]));
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(ensemble.connect_to(1).await);
    }
    still_works(&ensemble, &server, 1).await;
    // The oldest made room.
    silent[0].is_closed().await;
}

#[tokio::test]
async fn servers_that_are_no_members_are_few() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2]);
    let mut strangers = Vec::new();
    for sid in 100..200 {
        let stranger = ensemble.connect_to(1).await;
        stranger.say(&[&bare(sid)[..], &message(1)].concat()).await;
        server.until(&format!("{sid} in round 1")).await;
        strangers.push(stranger);
    }
    server.until("100 down").await;
    strangers[0].is_closed().await;
    let places = server.mesh.mesh.places.lock().peers.len();
    assert_eq!(places, 1 + MOST_STRANGERS);
    server.notify(199, 5);
    assert_eq!(strangers[99].round().await, 5);
    still_works(&ensemble, &server, 2).await;
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2, 3]);
    let mut mute = ensemble.connect_to(1).await;
    mute.say(&bare(3)).await;
    server.until("3 up").await;
    let large = Notification { config: Some(Bytes::from(vec![b'x'; 500_000])), ..notification(1) };
    // More than any socket holds, and a bounded part of it waits here.
    for round in 1..=100 {
        server.mesh.notify(Sid(3), &Notification { round, ..large.clone() });
        tokio::task::yield_now().await;
    }
    still_works(&ensemble, &server, 1).await;
    // It is still heard, and hears the newest in the end.
    mute.say(&message(8)).await;
    server.until("3 in round 8").await;
    while mute.round().await != 100 {}
}

#[tokio::test]
async fn a_member_that_hangs_up_at_once_is_not_dialled_without_a_pause() {
    let ensemble = Ensemble::new();
    let listener = ensemble.listen_as(1).await;
    let server = ensemble.start(2, &[1, 2]);
    for _ in 0..3 {
        drop(Remote::accept(&listener).await);
    }
    server.heard.until("three times", |told| told.len() >= 6).await;
    let told = server.heard.all();
    assert_eq!(told[..6].concat(), "1 up1 down".repeat(3));
    // The third pause is the longest: a storm would have come by now.
    assert!(told.len() <= 8, "{told:?}");
}

/// What it may say at once it may say once: three connections of as much take longer.
#[tokio::test]
async fn who_comes_back_again_and_again_is_heard_no_faster() {
    let ensemble = Ensemble::new();
    let server = ensemble.start(1, &[1, 2]);
    let began = tokio::time::Instant::now();
    for round in 1..=3 {
        let mut two = ensemble.connect_to(1).await;
        let mut said = bare(2).to_vec();
        (0..70).for_each(|_| said.extend(message(0)));
        two.say(&[said, message(round)].concat()).await;
        server.until(&format!("2 in round {round}")).await;
        server.notify(2, round);
        while two.round().await != round {}
    }
    // The clock stands still, so all of it falls into one period.
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}
