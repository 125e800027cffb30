//! The scripts in `bin/`, called as roles of Ansible and the clients' own test harnesses call them.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Output;

use crate::process::{BINARY, Place, stderr, stdout};

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bin").join(name)
}

/// Calls `zkServer.sh` from a directory that has nothing to do with it.
fn zk_server(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = place.command(script("zkServer.sh"), arguments);
    command.current_dir("/").env("ZKSERVER", BINARY).envs(variables.iter().copied());
    command.output().expect("the script runs")
}

#[test]
fn start_status_restart_stop() {
    let place = Place::new();
    place.zoo_cfg("conf/zoo.cfg", "");
    let conf = place.path("conf").display().to_string();
    let logs = place.path("logs").display().to_string();
    // Roles set them in the environment or in this file.
    place.write("conf/zookeeper-env.sh", &format!("ZOO_LOG_DIR={logs}\n"));
    let call = |word: &str| zk_server(&place, &[word], &[("ZOOCFGDIR", &conf)]);

    let output = call("status");
    assert_eq!(output.status.code(), Some(1));
    let found = format!("Client port found: {}. Client address: localhost.", place.port);
    assert!(stdout(&output).starts_with(&format!("{found} Client SSL: false.\n")), "{output:?}");
    assert!(
        stdout(&output).ends_with("Error contacting service. It is probably not running.\n"),
        "{output:?}"
    );

    let output = call("start");
    assert_eq!(stdout(&output), "Starting zookeeper ... STARTED\n", "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), format!("Using config: {conf}/zoo.cfg\n"));
    let pid = place.text("data/zookeeper_server.pid");
    assert!(pid.parse::<u32>().is_ok(), "{pid}");
    let output = call("status");
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("\nMode: standalone\n"), "{output:?}");

    let output = call("start");
    assert_eq!(output.status.code(), Some(1));
    let already = format!("Starting zookeeper ... already running as process {pid}.\n");
    assert_eq!(stdout(&output), already);

    let output = call("restart");
    assert_eq!(
        stdout(&output),
        "Stopping zookeeper ... STOPPED\nStarting zookeeper ... STARTED\n",
        "{output:?}"
    );
    assert_ne!(place.text("data/zookeeper_server.pid"), pid);

    let output = call("stop");
    assert_eq!(stdout(&output), "Stopping zookeeper ... STOPPED\n");
    assert!(place.word("srvr").is_none(), "the port is free again");
    let output = call("stop");
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("no zookeeper to stop (could not find file"), "{output:?}");
    let out = std::fs::read_dir(&logs).unwrap().next().unwrap().unwrap().file_name();
    let out = out.into_string().unwrap();
    assert!(out.starts_with("zookeeper-") && out.ends_with(".out"), "{out}");
}

#[test]
fn start_foreground_as_the_test_server_of_go_zookeeper() {
    let mut place = Place::new();
    // Its environment is this one variable, and its configuration is named by an absolute path.
    let file = place.zoo_cfg(
        "srv0.cfg",
        "admin.enableServer=false\ninitLimit=10\nsyncLimit=5\nreconfigEnabled=true\n\
         4lw.commands.whitelist=*\n",
    );
    let mut command = place.command(script("zkServer.sh"), &["start-foreground", &file]);
    command.current_dir("/").env_clear().env("ZKSERVER", BINARY).env(
        "SERVER_JVMFLAGS",
        "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU= \
         -Dzookeeper.extendedTypesEnabled=true -Dzookeeper.emulate353TTLNodes=true",
    );
    place.spawn(command, "log");
    place.until_serving();
    let log = place.text("log");
    for line in [
        "extendedTypesEnabled=true (SERVER_JVMFLAGS)",
        "emulate353TTLNodes=true (SERVER_JVMFLAGS)",
        "DigestAuthenticationProvider.superDigest=*** (SERVER_JVMFLAGS)",
    ] {
        assert!(log.contains(line), "{log}");
    }
    // The script has become the server: ending the process ends it in order.
    assert_eq!(place.terminate(), Some(0));
    assert!(place.word("srvr").is_none());
}

#[test]
fn the_shim_for_java_serves_as_kazoos_harness_starts_it() {
    let mut place = Place::new();
    let file = place.zoo_cfg("zoo.cfg", "maxClientCnxns=0\nadmin.serverPort=20003\n");
    std::fs::create_dir(place.path("shim")).unwrap();
    symlink(script("java-shim.sh"), place.path("shim/java")).unwrap();
    let log_dir = format!("-Dzookeeper.log.dir={}", place.path("log").display());
    let mut command = place.command(
        place.path("shim/java"),
        &[
            "-cp",
            "/opt/zookeeper/zookeeper-3.9.5.jar:/opt/zookeeper/lib/x.jar",
            "-Dreadonlymode.enabled=true",
            &log_dir,
            "-Dzookeeper.root.logger=INFO,CONSOLE",
            "-Dlog4j.configuration=file:/tmp/log4j.properties",
            "-Djava.awt.headless=true",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            &file,
        ],
    );
    command.env("ZKSERVER", BINARY);
    place.spawn(command, "out");
    place.until_serving();
    assert_eq!(place.word("isro").as_deref(), Some("rw"));
    assert_eq!(place.terminate(), Some(0));
}

#[test]
fn a_start_that_fails_says_why() {
    let place = Place::new();
    let file = place.zoo_cfg("zoo.cfg", "snapCount=many\n");
    let output = zk_server(&place, &["start", &file], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 4: snapCount must be a whole number"), "{output:?}");
    assert!(!place.path("data").exists());

    let file = place.zoo_cfg("zoo.cfg", "clientPortAddress=203.0.113.1\n");
    let logs = place.path("logs").display().to_string();
    let output = zk_server(&place, &["start", &file], &[("ZOO_LOG_DIR", &logs)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "Starting zookeeper ... FAILED TO START\n");
    assert!(stderr(&output).contains("203.0.113.1"), "{output:?}");

    let output = zk_server(&place, &["start", "absent.cfg"], &[("ZOOCFGDIR", "/nowhere")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("Error: there is no configuration /nowhere/absent.cfg"),
        "{output:?}"
    );
}

#[test]
fn directories_that_may_not_be_created_must_exist() {
    let place = Place::new();
    let file = place.zoo_cfg("zoo.cfg", "");
    let variables = [("ZOO_DATADIR_AUTOCREATE_DISABLE", "1")];
    for word in ["start", "start-foreground"] {
        let output = zk_server(&place, &[word, &file], &variables);
        assert_eq!(output.status.code(), Some(1));
        assert!(stdout(&output).contains("ZooKeeper data directory is missing at"), "{output:?}");
        assert!(!place.path("data").exists());
    }
    let output = zk_server(&place, &["print-cmd", &file], &variables);
    let expected = format!("\"{BINARY}\" \"-Dzookeeper.datadir.autocreate=false\" \"--config\" ");
    assert!(stdout(&output).starts_with(&expected), "{output:?}");
}

#[test]
fn a_process_id_of_somebody_else_is_left_alone() {
    let place = Place::new();
    let file = place.zoo_cfg("zoo.cfg", "");
    // This test's own.
    place.write("data/zookeeper_server.pid", &std::process::id().to_string());
    let output = zk_server(&place, &["stop", &file], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("no zookeeper to stop (the process of"), "{output:?}");
}

#[test]
fn the_script_says_how_it_is_called() {
    let place = Place::new();
    let output = zk_server(&place, &["begin"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("{start|start-foreground|stop"), "{output:?}");
    let output = zk_server(&place, &["version"], &[]);
    assert!(stdout(&output).contains("Apache ZooKeeper, version 3.9.5"), "{output:?}");
}
