//! What a server says first on a connection of the election mesh: who it is and where it listens.
//!
//! ```text
//! protocolVersion long   -65536: one address; -65535: several, joined by '|'
//! sid             long
//! length          int    1..2048
//! address         bytes  host:port, an IPv6 host in brackets
//! ```
//!
//! Servers of 3.4 send their sid alone: a first long that is not negative is the sid, and there is
//! no address. Apache ZooKeeper takes the address with a single read, so the greeting must leave in
//! one write.

use super::Sid;
use super::host_port::{Delimited, is_wildcard, split_host_port};
use crate::jute::{JuteError, Reader, Writer};

/// Which of the three forms a greeting has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GreetingForm {
    /// The sid alone, of before 3.5.
    Bare,
    /// What everybody understands.
    OneAddress,
    /// While `multiAddress.enabled` is true; understood since 3.6.
    SeveralAddresses,
}

/// The first message on an election connection; nothing answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectionGreeting {
    /// Its form.
    pub form: GreetingForm,
    /// Who has connected.
    pub sid: Sid,
    /// Where it listens for elections: host and port. None in the bare form.
    pub addresses: Vec<(String, u16)>,
}

const ONE_ADDRESS: i64 = -65536;
const SEVERAL_ADDRESSES: i64 = -65535;

/// The longest address text.
const MAX_ADDRESS_LENGTH: usize = 2048;

/// The sid of "some observer", from before observers had ids. Such a server gets a private one.
pub const ANONYMOUS_OBSERVER: Sid = Sid(i64::MAX);

impl ElectionGreeting {
    /// The longest greeting, in bytes.
    pub const MAX_SIZE: usize = 8 + 8 + 4 + MAX_ADDRESS_LENGTH;

    /// Reads the greeting at the start of `input`, with the number of bytes it takes; `None` when
    /// more bytes are needed.
    ///
    /// # Errors
    /// In words: an unknown version, an impossible length, or an address that is none.
    pub fn read(input: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let mut r = Reader::unlimited(input);
        match Self::read_from(&mut r) {
            Ok(greeting) => Ok(Some((greeting?, r.position()))),
            Err(_) => Ok(None),
        }
    }

    /// The outer error is the end of the bytes: there is no other that plain fields can have.
    fn read_from(r: &mut Reader<'_>) -> Result<Result<Self, String>, JuteError> {
        let first = r.long()?;
        let form = match first {
            0.. => {
                let (form, addresses) = (GreetingForm::Bare, Vec::new());
                return Ok(Ok(ElectionGreeting { form, sid: Sid(first), addresses }));
            }
            ONE_ADDRESS => GreetingForm::OneAddress,
            SEVERAL_ADDRESSES => GreetingForm::SeveralAddresses,
            other => {
                return Ok(Err(format!(
                    "expected an election greeting of version {ONE_ADDRESS} or \
                     {SEVERAL_ADDRESSES}, or a sid; got {other}"
                )));
            }
        };
        let sid = Sid(r.long()?);
        let length = r.int()?;
        let Some(length) =
            usize::try_from(length).ok().filter(|n| (1..=MAX_ADDRESS_LENGTH).contains(n))
        else {
            return Ok(Err(format!(
                "expected an election address of 1 to {MAX_ADDRESS_LENGTH} bytes from {sid}, got a \
                 length of {length}"
            )));
        };
        let addresses = read_addresses(r.take(length)?);
        Ok(addresses.map(|addresses| ElectionGreeting { form, sid, addresses }))
    }

    /// Appends the greeting.
    ///
    /// # Panics
    /// If a form with addresses has none, or more than fit.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.form {
            GreetingForm::Bare => return out.put_long(self.sid.0),
            GreetingForm::OneAddress => out.put_long(ONE_ADDRESS),
            GreetingForm::SeveralAddresses => out.put_long(SEVERAL_ADDRESSES),
        }
        out.put_long(self.sid.0);
        let texts = self.addresses.iter().map(|(host, port)| format!("{}:{port}", Delimited(host)));
        let text = texts.collect::<Vec<_>>().join("|");
        assert!(!text.is_empty() && text.len() <= MAX_ADDRESS_LENGTH, "a server has an address");
        out.put_ustring(text.as_bytes());
    }

    /// The addresses that somebody else can dial: one that stands for all of a host's says nothing
    /// to others.
    pub fn reachable(&self) -> impl Iterator<Item = &(String, u16)> + '_ {
        self.addresses.iter().filter(|(host, _)| !is_wildcard(host))
    }
}

fn read_addresses(bytes: &[u8]) -> Result<Vec<(String, u16)>, String> {
    let text = String::from_utf8_lossy(bytes);
    text.split('|')
        .map(|address| {
            split_host_port(address).ok_or_else(|| {
                format!("expected an election address host:port, got {:?}", printable(address))
            })
        })
        .collect()
}

fn printable(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: GreetingForm, addresses: &[(&str, u16)]) -> (ElectionGreeting, Vec<u8>) {
        let addresses = addresses.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        let greeting = ElectionGreeting { form, sid: Sid(2), addresses };
        let mut out = Vec::new();
        greeting.write(&mut out);
        (greeting, out)
    }

    #[test]
    fn every_form_is_read_back_and_waits_for_all_its_bytes() {
        for (form, addresses) in [
            (GreetingForm::Bare, &[][..]),
            (GreetingForm::OneAddress, &[("127.0.0.1", 23122)]),
            (GreetingForm::SeveralAddresses, &[("10.0.0.1", 1), ("0:0:0:0:0:0:0:1", 2)]),
        ] {
            let (greeting, mut out) = written(form, addresses);
            for end in 0..out.len() {
                assert_eq!(ElectionGreeting::read(&out[..end]), Ok(None), "{form:?} cut at {end}");
            }
            let size = out.len();
            out.extend_from_slice(b"next");
            assert_eq!(ElectionGreeting::read(&out), Ok(Some((greeting, size))));
        }
    }

    #[test]
    fn a_wildcard_is_no_address_to_call_back() {
        let (greeting, _) =
            written(GreetingForm::SeveralAddresses, &[("0.0.0.0", 1), ("h", 2), ("::", 3)]);
        assert_eq!(greeting.reachable().collect::<Vec<_>>(), [&("h".to_owned(), 2)]);
    }

    #[test]
    fn what_is_no_greeting_is_refused_with_what_was_expected() {
        let (_, good) = written(GreetingForm::OneAddress, &[("h", 1)]);
        for (at, bytes, words) in [
            (0, &(-65537_i64).to_be_bytes()[..], "a sid; got -65537"),
            (16, &0_i32.to_be_bytes(), "1 to 2048 bytes from server 2, got a length of 0"),
            (16, &2049_i32.to_be_bytes(), "got a length of 2049"),
            (16, &(-1_i32).to_be_bytes(), "got a length of -1"),
            (20, b"h;1", "host:port, got \"h;1\""),
            (20, b"h:x", "host:port, got \"h:x\""),
            (20, &[0xff, 0xff, 0xff], "host:port, got"),
        ] {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            let error = ElectionGreeting::read(&bad).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
