//! What monitoring tools expect of the words (`expressions`), run against real answers.

use crate::common::{RawClient, TestServer, flag};
use crate::expressions::{complaint, tools};

/// Every expression of every tool fits what the server answers.
#[test]
fn the_expressions_of_monitoring_tools_fit() {
    let server = TestServer::start(&[]);
    let mut c = RawClient::new(&server);
    c.create("/app", b"12345", 0).ok();
    // A name that tools' expressions have no letters for.
    c.create("/app @ \u{e9}", b"", 0).ok();
    c.create("/monitored_ephemeral", b"", flag::EPHEMERAL).ok();
    c.get_data("/app", true).ok();
    c.get_data("/app @ \u{e9}", false).ok();
    let tools = tools();
    assert!(tools.len() >= 15, "all are there");
    for (name, tool) in tools {
        for field in ["project", "file", "version"] {
            assert!(tool["origin"][field].is_string(), "{name}: where is it from?");
        }
        for expected in tool["expects"].as_array().expect("a list") {
            let word = expected["word"].as_str().expect("a word");
            let answer = server.word(word);
            // What resets must not leave others without their lines.
            if word == "crst" || word == "srst" {
                c.get_data("/app", true).ok();
            }
            let complaint = complaint(expected, &answer);
            match expected["apache_fails_too"].as_str() {
                None => assert_eq!(complaint, None, "{name}, {word}:\n{answer}"),
                Some(why) => assert!(complaint.is_some(), "{name}, {word} fits, though {why}"),
            }
        }
    }
}

/// A tool that finds its expressions unmet is heard of.
#[test]
fn a_complaint_is_made_where_one_is_due() {
    let answer = "zk_version\t3\nzk_a\tb c\n";
    let due = [
        r#"{"keys": ["zk_version", "zk_b"]}"#,
        r#"{"floats": ["zk_a"]}"#,
        r#"{"every_line": "^\\w+\t\\d+$"}"#,
        r#"{"within_bytes": 10, "keys": ["zk_a"]}"#,
        r#"{"value_of": "zk_version", "matches": "[a-z]"}"#,
        r#"{"lines_in_order": ["zk_a", "zk_version"]}"#,
        r#"{"every_session": "."}"#,
        r#"{"exactly": "zk_version"}"#,
    ];
    for expected in due {
        let expected = serde_json::from_str(expected).expect(expected);
        assert!(complaint(&expected, answer).is_some(), "{expected}");
    }
    let fine = r#"{"keys": ["zk_a"], "floats": ["zk_version"], "whole": "(?s)3.*c"}"#;
    assert_eq!(complaint(&serde_json::from_str(fine).expect(fine), answer), None);
}
