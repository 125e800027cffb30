//! What lines about members come to.

use super::super::{EnsembleConfig, File, Given, Parsed, dynamic_config_file, parse, resolve};
use super::*;

const BASE: &str = "dataDir=/data\nclientPort=2181\n";
const LIMITS: &str = "initLimit=10\nsyncLimit=5\n";
const THREE: &str = "server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";

/// The lines begin on line 3.
fn parsed(lines: &str) -> Result<Parsed, Vec<String>> {
    parse(format!("{BASE}{lines}").as_bytes(), "zoo.cfg")
        .map_err(|errors| errors.errors.iter().map(ToString::to_string).collect())
}

fn standalone(lines: &str) -> (Option<String>, Option<u16>) {
    let config = parsed(lines).unwrap_or_else(|errors| panic!("{lines}: {errors:?}")).config;
    assert_eq!(config.ensemble, None, "{lines}");
    (config.client_port_address, config.client_port)
}

fn errors(lines: &str) -> Vec<String> {
    parsed(lines).map(|parsed| parsed.config.ensemble).expect_err(lines)
}

/// The lines begin on line 5.
fn ensemble(lines: &str) -> EnsembleConfig {
    let parsed = parsed(&format!("{LIMITS}{lines}"));
    let ensemble = parsed.unwrap_or_else(|errors| panic!("{lines}: {errors:?}")).config.ensemble;
    ensemble.unwrap_or_else(|| panic!("{lines} is standalone"))
}

/// What is said of the lines, which begin on line 5.
fn told(lines: &str) -> Vec<String> {
    let parsed = parsed(&format!("{LIMITS}{lines}"));
    let parsed = parsed.unwrap_or_else(|errors| panic!("{lines}: {errors:?}"));
    parsed.notices.iter().map(ToString::to_string).collect()
}

/// With `lines` in a file of their own, called `name`.
fn with_dynamic(beside: &str, name: &str, lines: &str) -> Result<Parsed, Vec<String>> {
    let text = format!("{BASE}{LIMITS}{beside}dynamicConfigFile={name}\n");
    let mut given =
        Given { file: Some(File { name: "zoo.cfg", text: text.as_bytes() }), ..Given::default() };
    assert_eq!(dynamic_config_file(&given).as_deref(), Some(name).filter(|name| !name.is_empty()));
    given.dynamic = Some(File { name, text: lines.as_bytes() });
    resolve(&given).map_err(|errors| errors.lines().collect())
}

#[test]
fn one_participant_is_standalone_and_may_name_the_client_port() {
    let port = Some(2181);
    assert_eq!(standalone(""), (None, port));
    assert_eq!(standalone("standaloneEnabled=TRUE"), (None, port));
    for (line, host) in [
        ("localhost:2888:3888", None),
        ("localhost:2888:3888:participant", None),
        ("zk-0.zk.svc:2888:3888:PARTICIPANT;2181", None),
        ("localhost:2888:3888;", None),
        ("localhost:2888:3888;0.0.0.0:2181", None),
        ("localhost:2888:3888;[::]:2181", None),
        ("10.0.0.1:2888:3888;10.0.0.2:2181", Some("10.0.0.2")),
        ("[fd00::1]:2888:3888;[::1]:2181", Some("0:0:0:0:0:0:0:1")),
        ("a:2888:3888|b:2888:3888:participant;2181\nmultiAddress.enabled=true", None),
        ("a:2888:3888\ngroup.1=1\nweight.1=3", None),
    ] {
        let host = host.map(str::to_owned);
        assert_eq!(standalone(&format!("server.1={line}")), (host, port), "{line}");
    }
}

#[test]
fn what_is_no_member_is_refused_where_it_stands() {
    for (line, words) in [
        ("server.1=", "must be host:quorumPort:electionPort"),
        ("server.1=localhost:2888", "must be host:quorumPort:electionPort"),
        ("server.1=localhost:2888:2888", "different ports"),
        ("server.1=localhost:2888:3888:leader", "must be host:quorumPort"),
        ("server.1=localhost:0:3888", "must be host:quorumPort"),
        ("server.1=localhost:2888:70000", "must be host:quorumPort"),
        ("server.1=::1:2888:3888", "must be host:quorumPort"),
        ("server.1=localhost:2888:3888;x", "clientPort"),
        ("server.1=localhost:2888:3888;0", "clientPort"),
        ("server.1=a:2888:3888|", "must be host:quorumPort"),
        ("server.1=a:1:2:observer|b:1:2:participant", "different roles"),
        ("server.1=h:1:2;2181;2281", "TLS"),
        ("server.1=h:1:2;;2281", "TLS"),
        ("server.1=a:1:2|b:1:2", "has several addresses, which needs multiAddress.enabled=true"),
        ("server.one=a:1:2", "must be server. and a number"),
        ("server.-9223372036854775808=a:1:2", "must be server. and a number"),
        ("group.1=1:x", "must be numbers of servers with colons between them, not \"1:x\""),
        ("group.1=1,2", "must be numbers of servers"),
        ("group.1=", "must be numbers of servers"),
        ("group.x=1", "must be group. and a number"),
        ("group.1=1:1", "must not have server 1: it has it twice"),
        ("weight.x=1", "must be weight. and the number of a server"),
        ("weight.1=-1", "must be a whole number, at least 0, not \"-1\""),
        ("weight.1=heavy", "must be a whole number, at least 0, not \"heavy\""),
    ] {
        let told = errors(line);
        let key = line.split('=').next().unwrap();
        assert_eq!(told.len(), 1, "{line}: {told:?}");
        assert!(told[0].starts_with(&format!("line 3: {key} ")), "{told:?}");
        assert!(told[0].contains(words), "{told:?}");
    }
}

#[test]
fn a_number_that_two_lines_have_is_refused_with_both() {
    assert_eq!(
        errors("server.1=a:1:2\nserver.01=b:1:2"),
        ["line 4: server.01 is server 1 once more; server.1 (line 3) has it too"]
    );
    assert_eq!(
        errors(&format!("{THREE}group.1=1:2\ngroup.2=3:2")),
        ["line 7: group.2 must not have server 2: group.1 (line 6) has it too"]
    );
    assert_eq!(
        errors("weight.1=1\nweight.+1=2"),
        ["line 4: weight.+1 is the weight of server 1 once more; weight.1 (line 3) has it too"]
    );
    // As in Apache ZooKeeper the same line twice is one.
    assert_eq!(
        told(&format!("{THREE}server.3=d:2888:3888\n")),
        ["line 8: server.3 stands on line 7 too; this later line counts"]
    );
}

#[test]
fn several_participants_are_an_ensemble() {
    let three = ensemble(THREE);
    assert_eq!(three.members.voters().map(|sid| sid.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((three.members.version, &three.dynamic_config_file), (0, &None));
    assert_eq!(told(THREE), [""; 0]);

    let with_observer = ensemble(&format!("{THREE}server.4=d:2888:3888:observer;2181\n"));
    assert_eq!(
        with_observer.members.to_text(),
        "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
         server.3=c:2888:3888:participant\nserver.4=d:2888:3888:observer;0.0.0.0:2181\nversion=0"
    );
    let lone = ensemble("standaloneEnabled=false\nserver.1=a:1:2\n");
    assert!(!lone.standalone_enabled && lone.members.voters().count() == 1);
    let observed = "standaloneEnabled=false\nserver.1=a:1:2\nserver.2=b:1:2:observer\n";
    assert_eq!(ensemble(observed).members.members.len(), 2);
}

#[test]
fn addresses_may_be_several_once_that_is_enabled() {
    let lines = "multiAddress.enabled=true\nserver.1=a:1:2|b:1:2\nserver.2=c:1:2\nserver.3=d:1:2\n";
    assert!(ensemble(lines).members.has_several_addresses());
}

#[test]
fn too_few_voters_are_warned_of_and_an_even_number_too() {
    let servers = |n: usize| (1..=n).map(|n| format!("server.{n}=h{n}:1:2\n")).collect::<String>();
    assert_eq!(
        told(&servers(2)),
        ["line 6: server.2 is one of 2 that vote: the failure of one stops the ensemble; there \
          should be at least 3"]
    );
    assert_eq!(
        told(&servers(4)),
        ["line 8: server.4 is one of 4 that vote, which survive no more failures than 3 would"]
    );
    assert_eq!((told(&servers(3)), told(&servers(5))), (vec![], vec![]));
    let lone = told(&format!("standaloneEnabled=false\n{}", servers(1)));
    assert!(lone[0].contains("is one of 1 that vote"), "{lone:?}");
    let observed = format!("{}server.4=h4:1:2:observer\n", servers(3));
    assert_eq!(told(&observed), [""; 0], "an observer does not vote");
}

#[test]
fn observers_need_participants() {
    let observer = "server.4=d:1:2:observer";
    assert_eq!(
        errors(observer),
        [
            "line 3: server.4 is an observer, and there is no participant: add the server.N lines of \
          those who vote"
        ]
    );
    let beside_one = errors(&format!("server.1=a:1:2\n{observer}"));
    assert_eq!(beside_one.len(), 1);
    assert!(
        beside_one[0].starts_with("line 4: server.4 is an observer beside a single participant"),
        "{beside_one:?}"
    );
    for lines in ["standaloneEnabled=false", "standaloneEnabled=false\nserver.4=d:1:2:observer"] {
        assert_eq!(
            errors(lines),
            ["line 3: standaloneEnabled is false, which asks for an ensemble, but no server.N \
              line names a participant"]
        );
    }
}

#[test]
fn with_groups_every_participant_is_in_one() {
    let six = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\nserver.5=e:1:2\n";
    let members = ensemble(&format!("{six}group.1=1:2:3\ngroup.2=4:5:\nweight.4=3\n")).members;
    assert!(members.hierarchy.is_some());
    assert_eq!((members.weight(Sid(4)), members.weight(Sid(5))), (3, 1));
    assert!(members.contains_quorum(|sid| [1, 2, 4].contains(&sid.0)), "two of three, 3 of 4");

    let outside = "is a participant in no group; where there are group.N or weight.N, every \
                   participant must be in one group.N: add";
    assert_eq!(errors(&format!("{THREE}group.1=1:2\n")), [format!("line 5: server.3 {outside} 3")]);
    let weights_alone = errors(&format!("{THREE}weight.2=1\n"));
    assert_eq!(weights_alone.len(), 3, "{weights_alone:?}");
    assert_eq!(weights_alone[0], format!("line 3: server.1 {outside} 1"));
}

#[test]
fn who_cannot_vote_is_in_no_group_without_a_weight() {
    let lines = format!("{THREE}server.4=d:1:2:observer\n");
    assert_eq!(
        errors(&format!("{lines}group.1=1:2:3:4\n")),
        ["line 7: group.1 has server 4, which is an observer; take it out"]
    );
    assert_eq!(
        errors(&format!("{THREE}group.1=1:2:3:9\n")),
        ["line 6: group.1 has server 9, which has no server line; take it out"]
    );
    // Apache ZooKeeper takes these.
    assert_eq!(
        told(&format!("{THREE}group.1=1:2:3:9\nweight.9=2\n")),
        ["line 8: group.1 has server 9, which has no server line: its weight counts against the \
          group"]
    );
    assert_eq!(
        told(&format!("{THREE}group.1=1:2:3\nweight.9=2\n")),
        ["line 9: weight.9 has no effect: the server is in no group"]
    );
}

#[test]
fn two_members_at_one_address_are_warned_of() {
    assert_eq!(
        told("server.1=a:2888:3888\nserver.2=A:2889:2888\nserver.3=c:2888:3888\n"),
        ["line 6: server.2 has A:2888, which server.1 (line 5) has too: only one of them can \
          have it"]
    );
    let own = "server.1=0.0.0.0:2888:3888;2181\nserver.2=b:2888:3888;2181\nserver.3=0.0.0.0:2888:3888;2181\n";
    assert_eq!(told(own), [""; 0], "a wildcard is another address on every machine");
    let localhost = "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\nserver.3=127.0.0.1:5:6\n";
    assert_eq!(told(localhost), [""; 0]);
}

#[test]
fn the_members_may_stand_in_a_file_of_their_own() {
    let config = with_dynamic("", "/conf/zoo.cfg.dynamic", THREE).unwrap().config;
    let ensemble = config.ensemble.unwrap();
    assert_eq!((ensemble.members.members.len(), ensemble.members.version), (3, 0));
    assert_eq!(ensemble.dynamic_config_file.unwrap().to_str(), Some("/conf/zoo.cfg.dynamic"));
    for (name, version) in [
        ("zoo.cfg.dynamic.100000000", 0x1_0000_0000),
        ("zoo.cfg.dynamic.aF", 0xaf),
        ("members", 0),
        ("zoo.cfg.dynamic.-1", 0),
        ("zoo.cfg.dynamic.10000000000000000", 0),
        ("zoo.cfg.dynamic.", 0),
    ] {
        let ensemble = with_dynamic("", name, THREE).unwrap().config.ensemble.unwrap();
        assert_eq!(ensemble.members.version, version, "{name}");
    }
    let alone = with_dynamic("", "zoo.cfg.dynamic", "server.1=a:1:2;2181").unwrap();
    assert_eq!(
        alone.notices[0].to_string(),
        "line 5: dynamicConfigFile is relative to the directory the server is started in"
    );
    assert_eq!((alone.config.ensemble, alone.config.client_port), (None, Some(2181)));
}

#[test]
fn a_dynamic_file_has_members_and_nothing_else() {
    let refused = |beside: &str, lines: &str| {
        with_dynamic(beside, "/zoo.dynamic", lines).map(|parsed| parsed.config).unwrap_err()
    };
    assert_eq!(
        refused("", &format!("{THREE}version=1\ntickTime=2000\nserver.x=a:1:2\n")),
        [
            "zoo.cfg: dynamicConfigFile, line 4: version must not stand in this file: its version \
             is the end of its name, in hexadecimal",
            "zoo.cfg: dynamicConfigFile, line 5: tickTime must not stand in this file: it has \
             server.N, group.N and weight.N, and nothing else",
            "zoo.cfg: dynamicConfigFile, line 6: server.x must be server. and a number",
        ]
    );
    assert_eq!(
        refused("server.9=x:1:2\nweight.9=1\n", THREE),
        [
            "zoo.cfg: line 5: server.9 must stand in the file that dynamicConfigFile (line 7) \
             names, or dynamicConfigFile must go",
            "zoo.cfg: line 6: weight.9 must stand in the file that dynamicConfigFile (line 7) \
             names, or dynamicConfigFile must go",
        ]
    );
    assert_eq!(
        refused("", "a=\\u1"),
        [
            "zoo.cfg: dynamicConfigFile, line 1: has a \\u that is not followed by four hexadecimal digits (a backslash itself is written \\\\)"
        ]
    );
}

#[test]
fn a_dynamic_file_that_nobody_read_is_refused() {
    let told = with_dynamic("", "", THREE).map(|parsed| parsed.config).unwrap_err();
    assert_eq!(told, ["zoo.cfg: line 5: dynamicConfigFile must be the path of a file, not \"\""]);
    let told = errors("dynamicConfigFile=/zoo.dynamic");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("was not read"), "{told:?}");
}

#[test]
fn no_bytes_of_a_dynamic_file_make_it_panic() {
    let text = "server.1=[::1]:2888:3888;[::]:2181\ngroup.1=1\nweight.1=1\n";
    for at in 0..text.len() {
        for byte in [0, b'\n', b'\\', b'=', b':', b'[', b';', b'|', b'-', 0xff] {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = byte;
            let given = Given {
                file: Some(File { name: "f", text: b"dataDir=/d\ndynamicConfigFile=/x\n" }),
                dynamic: Some(File { name: "/x", text: &changed }),
                ..Given::default()
            };
            if let Err(errors) = resolve(&given) {
                assert!(!errors.errors.is_empty());
            }
        }
    }
}
