//! Our elections with Apache ZooKeeper's notifications.

use zkserver::proto::{ServerState, Sid};
use zkserver::quorum::effect::Input;

use crate::recording::connections;
use crate::server::{Beginning, Server};

/// A server of three with nothing, after the captured first election, in which server 3 is not
/// there: 2 leads.
pub fn elected_fresh(sid: i64) -> Server {
    let capture = connections("election-fresh").remove(0);
    let mut server = Beginning::empty(sid).start();
    let other = Sid(3 - sid);
    server.take(Input::Mesh { peer: other, up: true });
    // The connection was opened by 2.
    for notification in capture.notifications(sid == 1) {
        server.take(Input::Notified { from: other, notification });
    }
    let wanted = if sid == 2 { ServerState::Leading } else { ServerState::Following };
    assert_eq!(server.state(), wanted);
    server
}
