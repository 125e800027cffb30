//! What `envi` tells of the process and its machine.

use std::env;
use std::path::Path;

use crate::persistence::Disk;
use crate::proto::CompatibilityLevel;

/// Java's names in Java's order. What only a Java machine has is `None`, and so is what this
/// system does not tell.
pub fn environment(
    disk: &dyn Disk,
    level: CompatibilityLevel,
) -> Vec<(&'static str, Option<String>)> {
    let kernel = |name: &str| line(disk, &format!("/proc/sys/kernel/{name}"));
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let meminfo = text(disk, "/proc/meminfo");
    let memory = level.memory_keys();
    let megabytes = |key: &str| memory_mb(meminfo.as_deref()?, key);
    vec![
        ("host.name", kernel("hostname")),
        ("java.version", None),
        ("java.vendor", None),
        ("java.home", None),
        ("java.class.path", None),
        ("java.library.path", None),
        ("java.io.tmpdir", Some(env::temp_dir().display().to_string())),
        ("java.compiler", None),
        ("os.name", Some(os_name().to_owned())),
        ("os.arch", Some(os_arch().to_owned())),
        ("os.version", kernel("osrelease")),
        ("user.name", variable("USER").or_else(|| variable("LOGNAME"))),
        ("user.home", variable("HOME")),
        ("user.dir", env::current_dir().ok().map(|dir| dir.display().to_string())),
        // Java tells of its heap here; this process has none, and the machine is its bound.
        (memory[0], megabytes("MemAvailable")),
        (memory[1], megabytes("MemTotal")),
        (memory[2], megabytes("MemTotal")),
    ]
}

fn os_name() -> &'static str {
    match env::consts::OS {
        "linux" => "Linux",
        "macos" => "Mac OS X",
        other => other,
    }
}

fn os_arch() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}

fn text(disk: &dyn Disk, path: &str) -> Option<String> {
    String::from_utf8(disk.read(Path::new(path)).ok()?).ok()
}

fn line(disk: &dyn Disk, path: &str) -> Option<String> {
    text(disk, path)?.lines().next().map(str::to_owned)
}

/// A line like `MemTotal:  16318412 kB`, in Java's `NMB`.
fn memory_mb(meminfo: &str, key: &str) -> Option<String> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kilobytes: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(format!("{}MB", kilobytes / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_megabytes() {
        let meminfo = "MemTotal:       16318412 kB\nMemAvailable:    2048 kB\nBad: x kB\n";
        assert_eq!(memory_mb(meminfo, "MemTotal").as_deref(), Some("15935MB"));
        assert_eq!(memory_mb(meminfo, "MemAvailable").as_deref(), Some("2MB"));
        assert_eq!(memory_mb(meminfo, "Bad"), None);
        assert_eq!(memory_mb(meminfo, "Mem"), None);
    }
}
