//! Names that mean nothing yet, or something else than before.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;

/// Names that a test can change.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, String>>>, Arc<Mutex<Vec<String>>>);

impl Book {
    fn names(&self) -> Names {
        let book = self.clone();
        Names::new(move |host| book.look_up(host))
    }

    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.1.lock().push(host.to_owned());
        match self.0.lock().get(host) {
            Some(address) => Ok(vec![address.parse().unwrap()]),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "unknown name")),
        }
    }

    fn write(&self, name: &str, address: String) {
        self.0.lock().insert(name.to_owned(), address);
    }
}

fn named(names: &[&str]) -> BTreeMap<Sid, Vec<HostPort>> {
    let named = |name: &&str| vec![HostPort { host: (*name).to_owned(), port: PORT }];
    (1..).map(Sid).zip(names.iter().map(named)).collect()
}

#[tokio::test]
async fn a_server_begins_before_any_name_means_something() {
    let ensemble = Ensemble::new();
    let book = Book::default();
    let members = named(&["zk-1", "zk-2"]);
    let options = |me| MeshOptions { bind_retries: 1, ..options(me) };
    let one = Server::start_with(options(1), members.clone(), book.names());
    let two = Server::start_with(options(2), members, book.names());
    one.notify(2, 7);
    book.write("zk-2", ensemble.host(2));
    book.write("zk-1", ensemble.host(1));
    two.until("1 in round 7").await;
    assert!(!one.heard.all().iter().any(|line| line.starts_with("deaf")));
}

/// The others would elect it, since they hear it, and could not find it.
#[tokio::test]
async fn who_does_not_know_its_own_address_does_not_call_others() {
    let ensemble = Ensemble::new();
    let book = Book::default();
    let members = named(&["zk-1", "zk-2"]);
    book.write("zk-1", ensemble.host(1));
    let one = Server::start_with(options(1), members.clone(), book.names());
    let asks_for_itself = Book(book.0.clone(), Arc::default());
    let two = Server::start_with(options(2), members, asks_for_itself.names());
    two.notify(1, 7);
    let asked = async {
        while asks_for_itself.1.lock().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    soon("the third question", asked).await;
    assert_eq!(asks_for_itself.1.lock()[..3], ["zk-2", "zk-2", "zk-2"]);
    book.write("zk-2", ensemble.host(2));
    one.until("2 in round 7").await;
}

/// C-235.
#[tokio::test]
async fn a_server_is_followed_to_where_its_name_leads() {
    let ensemble = Ensemble::new();
    let book = Book::default();
    let members = named(&["zk-1", "zk-2"]);
    for sid in [1, 2] {
        book.write(&format!("zk-{sid}"), ensemble.host(sid));
    }
    let two = Server::start_with(options(2), members.clone(), book.names());
    let one = Server::start_with(options(1), members.clone(), book.names());
    two.until("1 up").await;
    drop(one);
    two.until("1 down").await;
    book.write("zk-1", ensemble.host(3));
    let one = Server::start_with(options(1), members, book.names());
    one.until("2 up").await;
    two.notify(1, 9);
    one.until("2 in round 9").await;
}

#[tokio::test]
async fn of_several_addresses_one_that_answers_is_enough() {
    let ensemble = Ensemble::new();
    let mut members = ensemble.members(&[1, 2]);
    members.insert(Sid(1), vec![ensemble.address(4), ensemble.address(1)]);
    let two = Server::start(options(2), members);
    let one = ensemble.start(1, &[1, 2]);
    one.until("2 up").await;
    two.until("1 up").await;
}

#[tokio::test]
async fn all_addresses_of_the_machine_are_listened_on_if_that_is_wanted() {
    let ensemble = Ensemble::new();
    let port =
        ensemble.listen_as(5).await.local_addr().unwrap().port() + 1 + u16::from(ensemble.number);
    let own = HostPort { host: "not.a.name.of.this.machine".to_owned(), port };
    let options = MeshOptions { listen_on_all_ips: true, ..options(1) };
    let members = [(Sid(1), vec![own]), (Sid(2), vec![ensemble.address(2)])].into();
    let server = Server::start(options, members);
    let connected = async {
        loop {
            if let Ok(stream) = TcpStream::connect((ensemble.host(7), port)).await {
                return Remote::new(stream);
            }
            tokio::task::yield_now().await;
        }
    };
    soon("a listener", connected).await.say(&[&bare(2)[..], &message(1)].concat()).await;
    server.until("2 in round 1").await;
}

/// There are more slow names than threads to look names up.
#[test]
fn slow_names_that_strangers_tell_hold_up_no_member() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(12).build().unwrap();
    runtime.block_on(async {
        let ensemble = Ensemble::new();
        let (let_go, held) = mpsc::channel::<()>();
        let (held, asked, book) =
            (Mutex::new(held), Arc::new(AtomicUsize::new(0)), Book::default());
        book.write("zk-2", ensemble.host(2));
        let (counted, known) = (asked.clone(), book.clone());
        let names = Names::new(move |host| match host.starts_with("slow") {
            true => {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = held.lock().recv();
                Err(io::ErrorKind::TimedOut.into())
            }
            false => known.look_up(host),
        });
        let options = MeshOptions { connect_timeout_ms: 100, ..options(2) };
        let _two = Server::start_with(options, named(&["zk-1", "zk-2"]), names);
        for sid in -100..-60 {
            let mut stranger = ensemble.connect_to(2).await;
            let told = HostPort { host: format!("slow{sid}"), port: PORT };
            stranger.say(&greeting(sid, &told)).await;
            stranger.is_closed().await;
        }
        let asked = async {
            while asked.load(Ordering::SeqCst) < 8 {
                tokio::task::yield_now().await;
            }
        };
        soon("the slow names' turn", asked).await;
        let listener = ensemble.listen_as(1).await;
        book.write("zk-1", ensemble.host(1));
        let mut two = Remote::accept(&listener).await;
        assert_eq!(two.bytes(16).await[8..], bare(2));
        drop(let_go);
    });
}
