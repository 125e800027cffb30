//! What this server wants of its sockets, whoever is at the other end.

use socket2::SockRef;
use tokio::net::TcpStream;

/// How a connected socket is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOptions {
    /// TCP_NODELAY: nothing waits for a fuller packet.
    pub nodelay: bool,
    /// SO_KEEPALIVE: whether the system probes a silent connection.
    pub keep_alive: bool,
}

impl SocketOptions {
    /// Sets them. What cannot be set is said and left: the other end may be gone already.
    pub fn set(self, stream: &TcpStream) {
        if let Err(error) = stream.set_nodelay(self.nodelay) {
            tracing::debug!(?stream, %error, "TCP_NODELAY could not be set");
        }
        if self.keep_alive
            && let Err(error) = SockRef::from(stream).set_keepalive(true)
        {
            tracing::debug!(?stream, %error, "SO_KEEPALIVE could not be set");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_is_wanted_is_set() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        for (nodelay, keep_alive) in [(false, false), (true, false), (false, true)] {
            SocketOptions { nodelay, keep_alive }.set(&stream);
            assert_eq!(stream.nodelay().unwrap(), nodelay);
            assert_eq!(SockRef::from(&stream).keepalive().unwrap(), keep_alive);
        }
    }
}
