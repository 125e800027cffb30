//! What the arguments and the environment come to.

use std::net::{Ipv4Addr, TcpListener};

use crate::process::{BINARY, Place, stderr, stdout};

#[test]
fn a_configuration_is_checked_without_touching_anything() {
    let place = Place::new();
    let file = place.zoo_cfg("zoo.cfg", "snapCuont=7\nadmin.serverPort=8081\n");
    let mut command = place.command(BINARY, &["--check-config", &file]);
    command.env("JVMFLAGS", "-Xmx1g -Dzookeeper.snapCount=5000");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told = stdout(&output);
    let words: Vec<String> =
        told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        format!("clientPort={} # {file}, line 2", place.port),
        "snapCount=5000 # JVMFLAGS".to_owned(),
        "maxClientCnxns=60 # default".to_owned(),
        format!("{file}: line 4: snapCuont is unknown and has no effect; did you mean snapCount?"),
        format!("{file}: line 5: admin.serverPort is known but not yet in effect in this version"),
        "JVMFLAGS: -Xmx1g is ignored: there is no Java virtual machine here".to_owned(),
    ] {
        assert!(words.contains(&line), "{line}\n{told}");
    }
    assert!(!place.path("data").exists());
}

#[test]
fn a_member_is_checked_as_the_one_that_its_myid_says() {
    let place = Place::new();
    let data = place.path("data").display().to_string();
    let lines = "server.1=a:1:2;2181\nserver.2=b:1:2;2182\nserver.3=c:1:2;2183\n";
    let members = place.write("zoo.cfg.dynamic.100000000", lines);
    let file = place.write(
        "zoo.cfg",
        &format!("dataDir={data}\ninitLimit=10\nsyncLimit=5\ndynamicConfigFile={members}\n"),
    );
    let told = || stdout(&place.run(&["--check-config", &file]));
    let missing = format!(
        "{file}: {data}/myid is missing: it must have this server's number, the N of its line \
         server.N (there are 1, 2, 3)"
    );
    assert!(told().contains(&missing), "{}", told());
    assert!(!place.path("data").exists());

    place.write("data/myid", "2\n");
    let words: Vec<String> =
        told().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let port = format!("clientPort=2182 # {file}, dynamicConfigFile, line 2");
    assert!(words.contains(&port), "{words:?}");

    for (myid, what) in [("4\n", "server.4 is not among the members"), ("two", "myid has \"two\"")]
    {
        place.write("data/myid", myid);
        for arguments in [&["--check-config", &file][..], &[&file]] {
            let output = place.run(arguments);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            let told = stdout(&output) + &stderr(&output);
            assert!(told.contains(what), "{arguments:?}: {told}");
        }
    }
    std::fs::remove_file(&members).unwrap();
    let output = place.run(&[&file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains(&format!("cannot read {members}")), "{}", stdout(&output));
}

#[test]
fn a_wrong_configuration_is_told_and_ends_with_2() {
    let place = Place::new();
    let file = place.zoo_cfg("zoo.cfg", "snapCount=many\nforceSync=perhaps\n");
    let output = place.run(&["--check-config", &file]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert_eq!(stdout(&output), "");
    assert!(told.contains(&format!("{file}: line 4: snapCount must be")), "{told}");
    assert!(told.contains(&format!("{file}: line 5: forceSync must be yes or no")), "{told}");

    let output = place.run(&[&file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("ERROR"), "{output:?}");
    assert!(!place.path("data").exists());

    for (name, told) in [("not-there.cfg", "cannot read not-there.cfg"), ("2181", "as the port")] {
        let output = place.run(&["--check-config", name]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(told), "{output:?}");
    }

    // What is missing may be there, misspelt.
    let file = place.write("zoo.cfg", "dataDir=/x\nclientport=2181\n");
    let told = stdout(&place.run(&[&file]));
    let hint = told.find("WARN").expect("a warning");
    assert!(told[hint..].contains("line 2: clientport is unknown"), "{told}");
    assert!(told[hint..].contains("did you mean clientPort?"), "{told}");
    assert!(told[hint..].contains("ERROR"), "{told}");
}

#[test]
fn strict_refuses_unknown_keys_also_for_serving() {
    let place = Place::new();
    let file = place.zoo_cfg("zoo.cfg", "snapCuont=7\n");
    for arguments in [["--strict", "--check-config", &file], ["--strict", "--config", &file]] {
        let output = place.run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let told = stdout(&output) + &stderr(&output);
        assert!(told.contains("line 4: snapCuont is unknown"), "{told}");
    }
    assert!(!place.path("data").exists());
}

#[test]
fn wrong_arguments_end_with_2_and_say_how_it_goes() {
    let place = Place::new();
    for arguments in [&["--confg", "x"][..], &["1", "2", "3", "4", "5"], &["--config"]] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains("--help"), "{output:?}");
    }
    let output = place.run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    for word in ["--check-config", "--strict", "<PORT> <DATA_DIR>", "Examples:", "Exit codes:"] {
        assert!(stdout(&output).contains(word), "{output:?}");
    }
}

#[test]
fn the_short_form_serves_and_a_property_goes_along() {
    let mut place = Place::new();
    let data = place.path("data").display().to_string();
    let port = place.port.to_string();
    let define = "-Dzookeeper.4lw.commands.whitelist=conf,srvr";
    let command = place.command(BINARY, &[define, &port, &data, "1500", "7"]);
    place.spawn(command, "log");
    place.until_serving();
    let told = place.word("conf").unwrap();
    for line in ["tickTime=1500", "maxClientCnxns=7", &format!("dataDir={data}/version-2")] {
        assert!(told.contains(line), "{told}");
    }
    assert!(place.text("log").contains("tickTime=1500 (command line)"));
    assert_eq!(place.terminate(), Some(0));
}

#[test]
fn a_file_in_toml_serves() {
    let mut place = Place::new();
    let data = place.path("data").display().to_string();
    let text = format!(
        "dataDir = \"{data}\"\nclientPort = {}\n[4lw.commands]\nwhitelist = [\"conf\"]\n",
        place.port
    );
    let file = place.write("zoo.toml", &text);
    let command = place.command(BINARY, &["--config", &file]);
    place.spawn(command, "log");
    place.until_serving();
    assert!(place.word("conf").unwrap().contains("tickTime=3000"));
    assert_eq!(place.terminate(), Some(0));

    let wrong = place.write("wrong.toml", "dataDir = \"/x\"\nclientPort = \"2181\"\n");
    let output = place.run(&["--check-config", &wrong]);
    assert_eq!(output.status.code(), Some(2));
    let told = format!("{wrong}: line 2, column 1: clientPort must be without quotes");
    assert!(stderr(&output).starts_with(&told), "{output:?}");
}

#[test]
fn the_log_is_json_and_has_levels_when_asked() {
    let mut place = Place::new();
    let file = place.zoo_cfg("zoo.cfg", "log.format=json\nlog.level=info,net=off\nnonsense=1\n");
    let command = place.command(BINARY, &[&file]);
    place.spawn(command, "log");
    place.until_serving();
    assert_eq!(place.terminate(), Some(0));
    let log = place.text("log");
    let objects: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let message = |text: &str| objects.iter().find(|object| object["message"] == text);
    let serving = message("serving standalone").expect("the line");
    assert_eq!((&serving["level"], &serving["module"]), (&"INFO".into(), &"server".into()));
    assert!(serving["millis"].is_u64(), "{serving}");
    assert!(objects.iter().any(|object| object["level"] == "WARN"), "{log}");

    let quiet = place.zoo_cfg("quiet.cfg", "log.level=error\n");
    let command = place.command(BINARY, &[&quiet]);
    place.spawn(command, "quiet.log");
    place.until_serving();
    assert_eq!(place.terminate(), Some(0));
    assert_eq!(place.text("quiet.log"), "");
}

#[test]
fn a_port_in_use_is_said_in_words() {
    let place = Place::new();
    let _taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, place.port)).unwrap();
    let file = place.zoo_cfg("zoo.cfg", "clientPortAddress=0.0.0.0\n");
    let output = place.run(&[&file]);
    assert_eq!(output.status.code(), Some(1));
    let told = stdout(&output);
    assert!(told.contains(&format!("port {} of 0.0.0.0", place.port)), "{told}");
    assert!(told.contains("in use"), "{told}");
}
