//! How many connections may be open: of one address (`maxClientCnxns`), in all (`maxCnxns`), and
//! by the descriptors that the system grants the process.
//!
//! A connection counts until its descriptor is closed. Clients never get the last descriptors: the
//! next log file and the next snapshot need some, and a server that cannot open them must stop.

use std::fmt;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// Descriptors that are kept from clients, where so many can be.
const KEPT_DESCRIPTORS: u64 = 64;

/// Counts open connections.
#[derive(Debug)]
pub struct ConnectionLimits {
    max_per_address: u32,
    max: u32,
    max_by_descriptors: u64,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    all: u64,
    by_address: HashMap<IpAddr, u32, FixedState>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its address has as many as it may.
    PerAddress(u32),
    /// There are as many as there may be.
    InAll(u32),
    /// There are as many as the process has descriptors for.
    Descriptors(u64),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::PerAddress(max) => {
                write!(f, "its address has {max} connections already (maxClientCnxns)")
            }
            Refused::InAll(max) => write!(f, "{max} connections are open already (maxCnxns)"),
            Refused::Descriptors(max) => write!(
                f,
                "{max} connections are open already, and the remaining file descriptors are kept \
                 for the server's own files; to take more clients raise the hard limit of the \
                 process (ulimit -Hn, or LimitNOFILE of its systemd unit)"
            ),
        }
    }
}

impl ConnectionLimits {
    /// At most `max_per_address` from each address and `max` in all; 0 means no limit (C-032).
    /// `descriptors` is what the process may have open, if that is known.
    pub fn new(max_per_address: u32, max: u32, descriptors: Option<u64>, hash_seed: u64) -> Self {
        let by_address = HashMap::with_hasher(FixedState::with_seed(hash_seed));
        let max_by_descriptors = descriptors
            .map_or(u64::MAX, |descriptors| descriptors - KEPT_DESCRIPTORS.min(descriptors / 2));
        let open = Mutex::new(Open { all: 0, by_address });
        ConnectionLimits { max_per_address, max, max_by_descriptors, open }
    }

    /// Counts one more from `address`, unless there are as many as there may be.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(&self, address: IpAddr) -> Result<(), Refused> {
        let mut open = self.open.lock();
        if open.all >= self.max_by_descriptors {
            return Err(Refused::Descriptors(self.max_by_descriptors));
        }
        if self.max != 0 && open.all >= u64::from(self.max) {
            return Err(Refused::InAll(self.max));
        }
        let count = open.by_address.entry(address).or_insert(0);
        if self.max_per_address != 0 && *count >= self.max_per_address {
            return Err(Refused::PerAddress(self.max_per_address));
        }
        *count += 1;
        open.all += 1;
        Ok(())
    }

    /// One of `address` is closed.
    pub fn release(&self, address: IpAddr) {
        let mut open = self.open.lock();
        open.all -= 1;
        if let Some(count) = open.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn one_more_than_the_limit_is_refused_until_one_leaves() {
        let limits = ConnectionLimits::new(2, 0, None, 1);
        limits.admit(address(1)).unwrap();
        limits.admit(address(1)).unwrap();
        assert_eq!(limits.admit(address(1)), Err(Refused::PerAddress(2)));
        limits.admit(address(2)).unwrap();
        limits.release(address(1));
        limits.admit(address(1)).unwrap();
    }

    #[test]
    fn all_addresses_together_have_a_limit_too() {
        let limits = ConnectionLimits::new(2, 3, None, 1);
        for last in 1..4 {
            limits.admit(address(last)).unwrap();
        }
        assert_eq!(limits.admit(address(1)), Err(Refused::InAll(3)));
        limits.release(address(3));
        limits.admit(address(1)).unwrap();
    }

    #[test]
    fn clients_do_not_get_the_last_descriptors() {
        for (descriptors, most) in [(1024, 960), (100, 50)] {
            let limits = ConnectionLimits::new(0, 0, Some(descriptors), 1);
            let admitted = (0..2000).filter(|_| limits.admit(address(1)).is_ok()).count();
            assert_eq!(admitted, most);
            let refused = limits.admit(address(2)).unwrap_err();
            assert!(refused.to_string().contains("ulimit -Hn"), "{refused}");
        }
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = ConnectionLimits::new(0, 0, None, 1);
        assert!((0..1000).all(|_| limits.admit(address(1)).is_ok()));
    }
}
