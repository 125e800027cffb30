//! A server's keeper: it dials while there is no connection, and when the other asks to be called.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::Mesh;
use super::connection::write_some;
use super::peer::{Errand, Peer};
use crate::net::peer_addresses::{HostPort, Listed};
use crate::net::race::race;
use crate::proto::ElectionGreeting;
use crate::proto::election_greeting::GreetingForm;

/// Between two dials there is always so much, in whatever hurry somebody is …
const LEAST_PAUSE: Duration = Duration::from_millis(20);
/// … and when nobody is, at first so much and in the end so much.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// The same for a server that is asked to call back. Apache ZooKeeper accepts nobody else while it
/// tries, which takes long if it cannot reach this server.
const LAST_PAUSE_OF_ASKING: Duration = Duration::from_secs(60);
/// A connection that lasted so long was one: when it breaks, it is made anew at once. In
/// milliseconds.
const STABLE_MS: u64 = 1_000;
/// How long a server with a larger id has to call back before it is asked again.
const CALL_BACK: Duration = Duration::from_millis(500);

/// Keeps up the connection with `peer` until that is no member and has left.
pub async fn keep(mesh: Arc<Mesh>, peer: Arc<Peer>) {
    let mut wanted = peer.wanted();
    // Who cannot be called does not call: others would elect it, and look for it in vain.
    let mut listening = mesh.listening.subscribe();
    let _ = listening.wait_for(|is| *is).await;
    let now_ms = || mesh.options.clock.now().mono_ms;
    let is_asked = peer.sid() > mesh.options.me;
    let last_pause = if is_asked { LAST_PAUSE_OF_ASKING } else { LAST_PAUSE };
    let mut pause = None;
    let mut said = None;
    loop {
        let since_ms = now_ms();
        if wanted.wait_for(|is| *is).await.is_err() {
            return;
        }
        if now_ms() - since_ms >= STABLE_MS {
            (pause, said) = (None, None);
        }
        if let Some(pause) = pause {
            tokio::time::sleep(LEAST_PAUSE).await;
            let sooner = race(peer.hurried(), wanted.wait_for(|is| !*is));
            let _ = tokio::time::timeout(pause, sooner).await;
            if !*wanted.borrow() {
                continue;
            }
        }
        pause = Some(pause.map_or(FIRST_PAUSE, |pause| last_pause.min(pause * 2)));
        let (configured, told) = match peer.errand() {
            Errand::Dial { configured, told } => (configured, told),
            Errand::Leave if mesh.forget(&peer) => return,
            Errand::Leave => continue,
        };
        let words = match dial(&mesh, &peer, &configured, &told).await {
            Ok(()) if !is_asked => continue,
            Ok(()) => match tokio::time::timeout(CALL_BACK, wanted.wait_for(|is| !*is)).await {
                Ok(_) => continue,
                Err(_) => "it does not call back".to_owned(),
            },
            Err(error) => {
                peer.unreachable(&*mesh.events);
                error.to_string()
            }
        };
        if said.as_ref() != Some(&words) {
            let (to, at) = (peer.sid(), [configured, told].concat());
            let at = Listed(&at);
            tracing::warn!(%to, %at, "election connection cannot be made: {words}");
            said = Some(words);
        }
    }
}

/// Makes a connection, or asks for one.
async fn dial(
    mesh: &Arc<Mesh>,
    peer: &Arc<Peer>,
    configured: &[HostPort],
    told: &[HostPort],
) -> io::Result<()> {
    let stream = mesh.names.dial(configured, told, mesh.connect_timeout()).await?;
    if !*peer.wanted().borrow() {
        // It has called meanwhile, and would take this for another wish.
        return Ok(());
    }
    mesh.socket_options().set(&stream);
    let greeting = greeting(mesh);
    // Apache ZooKeeper reads it with a single read: it must leave in one piece.
    let written =
        tokio::time::timeout(mesh.connect_timeout(), write_some(&stream, &greeting)).await;
    if written.map_err(io::Error::from).flatten()? != greeting.len() {
        return Err(io::Error::other("the greeting did not leave in one piece"));
    }
    if peer.sid() < mesh.options.me {
        let _ = peer.begin(mesh, stream, BytesMut::new());
    }
    Ok(())
}

/// Who this is and where it can be called back.
fn greeting(mesh: &Mesh) -> Vec<u8> {
    let own = mesh.places.lock().own.clone();
    let (form, count) = match mesh.options.multi_address {
        true => (GreetingForm::SeveralAddresses, own.len()),
        false => (GreetingForm::OneAddress, 1),
    };
    let addresses = own.into_iter().take(count).map(|own| (own.host, own.port)).collect();
    let mut bytes = Vec::new();
    ElectionGreeting { form, sid: mesh.options.me, addresses }.write(&mut bytes);
    bytes
}
