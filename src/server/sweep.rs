//! The sweep: closes connections that never ask for a session (`nio.sessionlessCnxnTimeout`).

use std::sync::Arc;
use std::time::Duration;

use crate::net::client_connection::Shared;
use crate::processor::connection_queue::CloseReason;

/// Looks from time to time for connections that were opened longer than `patience` ago and have
/// no session (C-031). One task for all of them: an idle connection needs no timer.
pub async fn sweep_forever(shared: Arc<Shared>, patience: Duration) {
    let period = (patience / 10).clamp(Duration::from_millis(20), Duration::from_secs(1));
    let patience_ms = patience.as_millis() as u64;
    loop {
        tokio::time::sleep(period).await;
        let now_ms = shared.clock.now().mono_ms;
        for connection in shared.connections.all() {
            let age_ms = now_ms.saturating_sub(connection.opened_ms());
            if age_ms > patience_ms && !connection.is_established() {
                shared.metrics.sessionless_connections_expired.add(1);
                connection.close(CloseReason::NoHandshake);
            }
        }
    }
}
