//! A relay's line: how long it is, and that it is one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use zkload::relay::{Delay, Road};

const PORT: u16 = 24196;
const ONE_WAY: Duration = Duration::from_millis(50);

/// Sends everything back until the end, and then ends.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut copy = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut copy);
    });
    port
}

#[test]
fn what_is_sent_comes_after_the_delay_in_order_however_much_is_on_its_way() {
    let delay = Delay::default();
    delay.set_micros(ONE_WAY.as_micros() as u64);
    Road { port: PORT, target: echo(), back: None }.open(&delay).unwrap();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap();
    stream.set_nodelay(true).unwrap();

    let begin = Instant::now();
    let mut sender = stream.try_clone().unwrap();
    let pieces = 2000u32;
    let sends = std::thread::spawn(move || {
        for i in 0..pieces {
            sender.write_all(&i.to_be_bytes()).unwrap();
        }
    });
    for i in 0..pieces {
        let mut piece = [0; 4];
        stream.read_exact(&mut piece).unwrap();
        assert_eq!(u32::from_be_bytes(piece), i);
        if i == 0 {
            assert!(begin.elapsed() >= 2 * ONE_WAY, "{:?}", begin.elapsed());
        }
    }
    sends.join().unwrap();
    // One after the other they would take 200 s.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());

    // The end is delayed as well, and comes through.
    let begin = Instant::now();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 4]).unwrap(), 0);
    assert!(begin.elapsed() >= ONE_WAY, "{:?}", begin.elapsed());
}
