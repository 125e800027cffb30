//! From the command line and the environment to a configuration.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;

use super::fatal::ExitCode;
use crate::config::{self, File, Given, Notice, NoticeKind, Parsed, member_id};
use crate::persistence::{Disk, RealDisk};
use crate::proto::Sid;

/// What the command line asks for.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Apache's short form, `port dataDir [tickTime [maxClientCnxns]]`, in place of a file.
    pub short_form: Vec<String>,
    /// `name=value` of each `-D`.
    pub defines: Vec<String>,
    /// Refuse what nobody knows.
    pub strict: bool,
}

impl CommandLine {
    /// Whether nothing says where the data is or who may connect.
    pub fn is_bare(&self) -> bool {
        self.file.is_none() && self.short_form.is_empty()
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub struct Refusal {
    /// What may be the cause, as lines.
    pub hints: Vec<String>,
    /// The reasons, as lines.
    pub errors: Vec<String>,
}

/// The configuration that a server started with `command` would have.
///
/// # Errors
/// Every reason not to start.
pub fn configuration(command: &CommandLine) -> Result<Parsed, Refusal> {
    let text = match &command.file {
        Some(path) => Some(RealDisk.read(path).map_err(|error| unreadable(path, &error))?),
        None => None,
    };
    let name = command.file.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    // What is no UTF-8 is not passed over: it may ask for protection.
    let variable = |name| Some((name, std::env::var_os(name)?.to_string_lossy().into_owned()));
    let mut given = Given {
        file: text.as_deref().map(|text| File { name: &name, text }),
        short_form: command.short_form.clone(),
        // As Apache's script joins them: of two that set the same property JVMFLAGS has it.
        variables: ["SERVER_JVMFLAGS", "JVMFLAGS"].into_iter().filter_map(variable).collect(),
        defines: command.defines.clone(),
        dynamic: None,
    };
    // The members may stand in a file of their own.
    let members = match config::dynamic_config_file(&given) {
        Some(name) => {
            let path = Path::new(&name);
            let text = RealDisk.read(path).map_err(|error| unreadable(path, &error))?;
            Some((name, text))
        }
        None => None,
    };
    given.dynamic = members.as_ref().map(|(name, text)| File { name, text });
    let parsed = config::resolve(&given);
    let parsed = if command.strict { parsed.and_then(Parsed::strict) } else { parsed };
    let mut parsed = parsed.map_err(|errors| Refusal {
        hints: errors.hints().collect(),
        errors: errors.lines().collect(),
    })?;
    if parsed.config.ensemble.is_some() {
        parsed.notices.extend(command.file.as_deref().and_then(unfinished_change));
    }
    Ok(parsed)
}

/// What there is to say if a change of the members was begun and is not heeded: members do not change
/// while they run (`reconfigEnabled` is off), so what lies beside the file says nothing.
fn unfinished_change(file: &Path) -> Option<Notice> {
    let mut next = file.as_os_str().to_owned();
    next.push(".dynamic.next");
    // What cannot be looked for is not there: nothing depends on it.
    if !matches!(RealDisk.exists(Path::new(&next)), Ok(true)) {
        return None;
    }
    let what = format!(
        "{} is there, a change of the members that was begun and perhaps not finished; it is not \
         heeded, since reconfigEnabled is off: the server lines given are those that count. If \
         they are right, remove it; if the change was finished elsewhere, give what it has",
        Path::new(&next).display()
    );
    Some(Notice { kind: NoticeKind::Warning, key: String::new(), origin: None, what })
}

/// Which member of its ensemble the server is, by the file `myid`; `None` for a server that is
/// alone.
///
/// # Errors
/// Every reason why it is none of them.
pub fn who_is_it(parsed: Parsed) -> Result<(Parsed, Option<Sid>), Refusal> {
    let Some(ensemble) = &parsed.config.ensemble else { return Ok((parsed, None)) };
    let refused = |error: String| Refusal { hints: Vec::new(), errors: vec![error] };
    let path = parsed.config.data_dir.join("myid");
    let is_there = RealDisk.exists(&path).map_err(|error| refused(error.to_string()))?;
    let text = is_there.then(|| RealDisk.read(&path)).transpose();
    let text = text.map_err(|error| refused(error.to_string()))?;
    let me = member_id(ensemble, &path, text.as_deref()).map_err(refused)?;
    let parsed = parsed.as_member(me).map_err(|errors| Refusal {
        hints: errors.hints().collect(),
        errors: errors.lines().collect(),
    })?;
    Ok((parsed, Some(me)))
}

/// The same for who only looks at the configuration, perhaps where there is no `myid` yet.
fn who_it_would_be(mut parsed: Parsed) -> Result<Parsed, Refusal> {
    let path = parsed.config.data_dir.join("myid");
    match &parsed.config.ensemble {
        Some(ensemble) if matches!(RealDisk.exists(&path), Ok(false)) => {
            let missing = member_id(ensemble, &path, None).expect_err("it is not there");
            parsed.notices.push(Notice {
                kind: NoticeKind::Warning,
                key: String::new(),
                origin: None,
                what: missing,
            });
            Ok(parsed)
        }
        _ => who_is_it(parsed).map(|(parsed, _)| parsed),
    }
}

fn unreadable(path: &Path, error: &dyn Display) -> Refusal {
    let mut told = error.to_string();
    let name = path.to_string_lossy();
    if name.chars().all(|c| c.is_ascii_digit()) {
        told.push_str(&format!(
            "; if {name} is meant as the port, the directory of the data goes behind it"
        ));
    }
    Refusal { hints: Vec::new(), errors: vec![told] }
}

/// Tells what `command` comes to, and touches nothing.
pub fn check(command: &CommandLine) -> process::ExitCode {
    match configuration(command).and_then(who_it_would_be) {
        Ok(parsed) => {
            // Whoever closes the pipe early has seen enough.
            let _ = write!(std::io::stdout(), "{}", parsed.report());
            process::ExitCode::SUCCESS
        }
        Err(Refusal { hints, errors }) => {
            for line in hints.iter().chain(&errors) {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            let _ = writeln!(std::io::stderr(), "the configuration is refused");
            process::ExitCode::from(ExitCode::InvalidInvocation as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a configuration with that file beside it.
    fn notices_beside(lines: &str, suffix: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zoo.cfg");
        let data = dir.path().display();
        let text = format!("dataDir={data}\nclientPort=2181\n{lines}");
        for (path, text) in [(file.clone(), &*text), (dir.path().join(suffix), "version=1\n")] {
            std::fs::write(path, text).unwrap();
        }
        let command = CommandLine { file: Some(file), ..CommandLine::default() };
        let parsed = configuration(&command).unwrap();
        parsed.notices.iter().map(|notice| notice.what.clone()).collect()
    }

    #[test]
    fn a_change_of_the_members_that_is_not_heeded_is_told_of() {
        let ensemble = "initLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
        let is_told = |what: &String| what.contains("zoo.cfg.dynamic.next is there");
        let told = notices_beside(ensemble, "zoo.cfg.dynamic.next");
        assert_eq!(told.iter().filter(|what| is_told(what)).count(), 1, "{told:?}");
        for (lines, beside) in [(ensemble, "zoo.cfg.dynamic.1"), ("", "zoo.cfg.dynamic.next")] {
            assert!(!notices_beside(lines, beside).iter().any(&is_told), "{beside}");
        }
    }
}
