//! What a member has promised: the files `acceptedEpoch` and `currentEpoch`, the mark of one that may
//! have forgotten, and that of a member, who has these files or has lost them.
//!
//! ```text
//! version-2/acceptedEpoch          decimal digits: the last epoch it promised to follow
//! version-2/currentEpoch           the epoch of the leader it was last synchronized with
//! version-2/*Epoch.tmp             being written
//! version-2/zkserver.may-not-vote  why it may not vote before it is synchronized again, in words
//! version-2/zkserver.member        empty: a member has started here
//! ```
//!
//! A file is replaced as a whole: written beside, synced, renamed, the directory synced. So at any
//! moment a start finds the old number or the new one. The names are Apache ZooKeeper's, those of
//! the unfinished files too.

use std::path::Path;

use super::disk::{Disk, DiskError};
use crate::proto::Epoch;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EpochFile {
    Accepted,
    Current,
}

/// Why an epoch file cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum EpochFileError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "{path} does not hold a number but \"{content}\"; if the data beside it is right, remove \
         the file: {then}"
    )]
    NotANumber { path: String, content: String, then: &'static str },
}

const MAY_NOT_VOTE: &str = "zkserver.may-not-vote";
const MEMBER: &str = "zkserver.member";

impl EpochFile {
    /// Its name in the snapshot directory.
    pub fn name(self) -> &'static str {
        match self {
            EpochFile::Accepted => "acceptedEpoch",
            EpochFile::Current => "currentEpoch",
        }
    }

    fn unfinished(self) -> String {
        format!("{}.tmp", self.name())
    }

    /// Its content; `None` if there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn read(self, disk: &dyn Disk, dir: &Path) -> Result<Option<Epoch>, EpochFileError> {
        let path = dir.join(self.name());
        let Some(content) = read_if_there(disk, &path)? else { return Ok(None) };
        let epoch = number(&content).ok_or_else(|| EpochFileError::NotANumber {
            path: path.display().to_string(),
            content: content.get(..40).unwrap_or(&content).escape_ascii().to_string(),
            then: match self {
                EpochFile::Accepted => {
                    "the server then joins its ensemble without a vote and is synchronized first"
                }
                EpochFile::Current => "the epoch of the last transaction then takes its place",
            },
        })?;
        Ok(Some(epoch))
    }

    /// What was to become its content when the server died, if that can be read.
    ///
    /// # Errors
    /// The disk's.
    pub fn read_unfinished(self, disk: &dyn Disk, dir: &Path) -> Result<Option<Epoch>, DiskError> {
        let content = read_if_there(disk, &dir.join(self.unfinished()))?;
        Ok(content.and_then(|content| number(&content)))
    }

    /// Replaces its content, durably.
    ///
    /// # Errors
    /// The disk's: the file is then the old or the new one.
    pub fn write(self, disk: &dyn Disk, dir: &Path, epoch: Epoch) -> Result<(), DiskError> {
        let text = epoch.0.to_string();
        write_whole(disk, dir, &self.unfinished(), self.name(), text.as_bytes())
    }
}

/// Marks a member that may have forgotten what it acknowledged, durably: it must not vote before it
/// is synchronized.
///
/// # Errors
/// The disk's.
pub fn forbid_vote(disk: &dyn Disk, dir: &Path, why: &str) -> Result<(), DiskError> {
    write_whole(disk, dir, &format!("tmp.{MAY_NOT_VOTE}"), MAY_NOT_VOTE, why.as_bytes())
}

/// Why the member may not vote; `None` if it may.
///
/// # Errors
/// The disk's.
pub fn vote_forbidden(disk: &dyn Disk, dir: &Path) -> Result<Option<String>, DiskError> {
    let why = read_if_there(disk, &dir.join(MAY_NOT_VOTE))?;
    Ok(why.map(|why| String::from_utf8_lossy(&why).into_owned()))
}

/// Takes the mark away: the member is synchronized.
///
/// # Errors
/// The disk's.
pub fn allow_vote(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let path = dir.join(MAY_NOT_VOTE);
    if disk.exists(&path)? {
        disk.remove(&path)?;
        disk.sync_dir(dir)?;
    }
    Ok(())
}

/// Says that a member has started here, and has its files, durably: where they are missing from now
/// on, they were lost.
///
/// # Errors
/// The disk's.
pub fn mark_member(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    if was_member(disk, dir)? {
        return Ok(());
    }
    write_whole(disk, dir, &format!("tmp.{MEMBER}"), MEMBER, b"")
}

/// Whether a member has started here before.
///
/// # Errors
/// The disk's.
pub fn was_member(disk: &dyn Disk, dir: &Path) -> Result<bool, DiskError> {
    disk.exists(&dir.join(MEMBER))
}

/// Replaces the file `name` in `dir` as a whole, durably; until then it is called `unfinished`.
pub(super) fn write_whole(
    disk: &dyn Disk,
    dir: &Path,
    unfinished: &str,
    name: &str,
    content: &[u8],
) -> Result<(), DiskError> {
    let unfinished = dir.join(unfinished);
    if disk.exists(&unfinished)? {
        // Of a server that died.
        disk.remove(&unfinished)?;
    }
    let file = disk.create_new(&unfinished)?;
    file.write_all_at(0, content)?;
    file.sync_all()?;
    disk.rename(&unfinished, &dir.join(name))?;
    disk.sync_dir(dir)
}

pub(super) fn read_if_there(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    // What cannot be read is never taken for absent: only a name that is not there is.
    if !disk.exists(path)? {
        return Ok(None);
    }
    disk.read(path).map(Some)
}

fn number(content: &[u8]) -> Option<Epoch> {
    let text = std::str::from_utf8(content).ok()?.trim();
    // Rust takes a plus sign for part of a number, as Java does.
    text.parse().ok().map(Epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::disk::RealDisk;

    /// C-251.
    #[test]
    fn what_was_written_is_read_and_garbage_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let read = |file: EpochFile| file.read(&RealDisk, dir.path());
        assert_eq!(read(EpochFile::Current).unwrap(), None);
        EpochFile::Current.write(&RealDisk, dir.path(), Epoch(12)).unwrap();
        EpochFile::Current.write(&RealDisk, dir.path(), Epoch(13)).unwrap();
        EpochFile::Accepted.write(&RealDisk, dir.path(), Epoch(u32::MAX)).unwrap();
        assert_eq!(read(EpochFile::Current).unwrap(), Some(Epoch(13)));
        assert_eq!(read(EpochFile::Accepted).unwrap(), Some(Epoch(u32::MAX)));
        let bytes = RealDisk.read(&dir.path().join("currentEpoch")).unwrap();
        assert_eq!(bytes, b"13", "digits and nothing else, as Apache writes it");
        for garbage in [&b""[..], b"x", b"1 2", b"-1", b"4294967296", b"\0\0"] {
            write_whole(&RealDisk, dir.path(), "t", "currentEpoch", garbage).unwrap();
            let error = read(EpochFile::Current).unwrap_err().to_string();
            assert!(error.contains("currentEpoch does not hold a number but"), "{error}");
        }
        for with_newline in [&b"7\n"[..], b" 7 \r\n"] {
            write_whole(&RealDisk, dir.path(), "t", "currentEpoch", with_newline).unwrap();
            assert_eq!(read(EpochFile::Current).unwrap(), Some(Epoch(7)));
        }
    }

    #[test]
    fn the_mark_stays_until_it_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(vote_forbidden(&RealDisk, dir.path()).unwrap(), None);
        forbid_vote(&RealDisk, dir.path(), "once").unwrap();
        forbid_vote(&RealDisk, dir.path(), "it was wiped").unwrap();
        assert_eq!(vote_forbidden(&RealDisk, dir.path()).unwrap().as_deref(), Some("it was wiped"));
        allow_vote(&RealDisk, dir.path()).unwrap();
        allow_vote(&RealDisk, dir.path()).unwrap();
        assert_eq!(vote_forbidden(&RealDisk, dir.path()).unwrap(), None);
    }
}
