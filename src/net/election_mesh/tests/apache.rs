//! A mesh with a server of Apache ZooKeeper that looks for a leader.
//!
//! `APACHE_ZOOKEEPER_LIB` names the directory with its jars; without it the test is not run:
//! `APACHE_ZOOKEEPER_LIB=… cargo test --lib election_mesh::tests::apache -- --ignored`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

struct Apache {
    process: Child,
}

impl Apache {
    /// Starts server `me` of three with its data in `dir`.
    fn start(ensemble: &Ensemble, me: i64, dir: &Path) -> Self {
        let lib = std::env::var("APACHE_ZOOKEEPER_LIB").expect("APACHE_ZOOKEEPER_LIB is set");
        std::fs::write(dir.join("myid"), me.to_string()).unwrap();
        let config = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\nclientPort=0\n\
             dataDir={}\n{}",
            dir.display(),
            lines(ensemble).replace("version=0", "")
        );
        std::fs::write(dir.join("zoo.cfg"), config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let process = Command::new("java")
            .args(["-cp", &format!("{lib}/*"), "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
            .arg(dir.join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Apache { process }
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The configuration as text.
fn lines(ensemble: &Ensemble) -> String {
    let line = |sid| format!("server.{sid}={}:12888:{PORT}:participant\n", ensemble.host(sid));
    let lines: String = (1..=3).map(line).collect();
    format!("{lines}version=0")
}

#[tokio::test]
#[ignore = "needs Apache ZooKeeper"]
async fn votes_are_exchanged_whichever_of_the_two_has_to_call() {
    for (ours, apaches) in [(2, 1), (2, 3)] {
        let ensemble = Ensemble::new();
        let server = ensemble.start(ours, &[1, 2, 3]);
        let vote = Notification {
            vote: Vote { leader: Sid(ours), zxid: 0, peer_epoch: 0 },
            // A quorum of two that agrees would end the election: nobody sees this round twice.
            config: Some(lines(&ensemble).into()),
            ..notification(1)
        };
        let dir = tempfile::tempdir().unwrap();
        for restart in 0..2 {
            let round = 100 * (restart + 1);
            server.mesh.notify(Sid(apaches), &Notification { round, ..vote.clone() });
            let apache = Apache::start(&ensemble, apaches, dir.path());
            // It joins the later round, and says so.
            server.until(&format!("{apaches} in round {round}")).await;
            drop(apache);
            let down = format!("{apaches} down");
            let again = |told: &[String]| told.last() == Some(&down);
            server.heard.until("the end of the connection", again).await;
            println!("{:?}", server.heard.all());
        }
        println!("{}", std::fs::read_to_string(dir.path().join("log")).unwrap());
    }
}
