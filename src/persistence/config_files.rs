//! The files of the dynamic configuration, beside the configuration file.
//!
//! ```text
//! zoo.cfg.dynamic.<version, hex>   the configuration in force: the members' lines, sorted
//! zoo.cfg.dynamic.next             the one that was proposed last: its text, with the version
//! ```
//!
//! Where nothing can be written (a read-only folder, a configuration that is mounted) the server
//! goes on, as Apache ZooKeeper does: the configuration is in the history as well.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskError};
use super::epoch_files::{read_if_there, write_whole};
use crate::proto::QuorumVerifier;

/// Keeps the configuration that was proposed last, durably. Without a configuration file nothing is
/// written.
///
/// # Errors
/// The disk's.
pub fn keep_last_seen(
    disk: &dyn Disk,
    file: Option<&Path>,
    config: &QuorumVerifier,
) -> Result<(), DiskError> {
    let Some(file) = file else { return Ok(()) };
    tolerate(write_beside(disk, file, ".dynamic.next", &config.to_text()))
}

/// Writes the configuration that is in force now, durably, and forgets the one that was proposed.
/// Without a configuration file nothing is written.
///
/// # Errors
/// The disk's.
pub fn activate(
    disk: &dyn Disk,
    file: Option<&Path>,
    config: &QuorumVerifier,
) -> Result<(), DiskError> {
    let Some(file) = file else { return Ok(()) };
    let text = config.to_text();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("version=")).collect();
    lines.sort_unstable();
    let suffix = format!(".dynamic.{:x}", config.version);
    tolerate(write_beside(disk, file, &suffix, &lines.join("\n")).and_then(|()| {
        let next = beside(file, ".dynamic.next");
        if disk.exists(&next)? {
            disk.remove(&next)?;
            disk.sync_dir(parent(file))?;
        }
        Ok(())
    }))
}

/// The text of the configuration that was proposed last, if one was kept.
///
/// # Errors
/// The disk's.
pub fn last_seen(disk: &dyn Disk, file: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    read_if_there(disk, &beside(file, ".dynamic.next"))
}

fn write_beside(disk: &dyn Disk, file: &Path, suffix: &str, text: &str) -> Result<(), DiskError> {
    let name = beside(file, suffix);
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    write_whole(disk, parent(file), &format!("{name}.tmp"), &name, text.as_bytes())
}

/// Goes on where the folder may not be written to, and says so.
fn tolerate(written: Result<(), DiskError>) -> Result<(), DiskError> {
    match written {
        Err(error)
            if matches!(
                error.source.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            tracing::warn!("{error}: the dynamic configuration is not written beside the file");
            Ok(())
        }
        written => written,
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
