//! How many connections one address may hold open (`maxClientCnxns`).

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// Counts open connections by client address.
#[derive(Debug)]
pub struct ConnectionLimits {
    max_per_address: u32,
    open: Mutex<HashMap<IpAddr, u32, FixedState>>,
}

impl ConnectionLimits {
    /// At most `max_per_address` from each address; 0 means no limit (C-032).
    pub fn new(max_per_address: u32, hash_seed: u64) -> Self {
        let open = HashMap::with_hasher(FixedState::with_seed(hash_seed));
        ConnectionLimits { max_per_address, open: Mutex::new(open) }
    }

    /// Counts one more from `address`, unless it has as many as it may.
    pub fn admit(&self, address: IpAddr) -> bool {
        let mut open = self.open.lock();
        let count = open.entry(address).or_insert(0);
        if self.max_per_address != 0 && *count >= self.max_per_address {
            return false;
        }
        *count += 1;
        true
    }

    /// One of `address` is closed.
    pub fn release(&self, address: IpAddr) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_the_limit_is_refused_until_one_leaves() {
        let limits = ConnectionLimits::new(2, 1);
        let address = IpAddr::from([127, 0, 0, 1]);
        assert!(limits.admit(address) && limits.admit(address));
        assert!(!limits.admit(address));
        assert!(limits.admit(IpAddr::from([127, 0, 0, 2])));
        limits.release(address);
        assert!(limits.admit(address));
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = ConnectionLimits::new(0, 1);
        assert!((0..1000).all(|_| limits.admit(IpAddr::from([127, 0, 0, 1]))));
    }
}
