//! The sweep: closes connections that should be gone, those that never ask for a session
//! (`nio.sessionlessCnxnTimeout`) and those whose clients do not take their last bytes.

use std::sync::Arc;
use std::time::Duration;

use crate::net::client_connection::Shared;
use crate::processor::connection_queue::CloseReason;

/// How long a connection that ends waits for its client to take what is left.
const LAST_BYTES_PATIENCE_MS: u64 = 5_000;

/// Looks from time to time for connections that were opened longer than `patience` ago and have
/// no session (C-031). One task for all of them: an idle connection needs no timer.
pub async fn sweep_forever(shared: Arc<Shared>, patience: Duration) {
    let period = (patience / 10).clamp(Duration::from_millis(20), Duration::from_secs(1));
    let patience_ms = patience.as_millis() as u64;
    loop {
        tokio::time::sleep(period).await;
        let now_ms = shared.clock.now().mono_ms;
        for connection in shared.connections.all() {
            if let Some(since) = connection.ending_since_ms() {
                if now_ms.saturating_sub(since) > LAST_BYTES_PATIENCE_MS {
                    connection.abandon();
                }
                continue;
            }
            let age_ms = now_ms.saturating_sub(connection.opened_ms());
            if age_ms > patience_ms && !connection.is_established() {
                shared.metrics.sessionless_connections_expired.add(1);
                connection.close(CloseReason::NoHandshake);
            }
        }
    }
}
