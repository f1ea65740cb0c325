//! Which users may use the files that mapleaf makes: their mode, owner and group.
//!
//! Invariants:
//! - A file beside a database, or made from one, gives no user a right that the database's own file does not give:
//!   it has the same mode, and the same user and group. Where the system refuses to give it to that user or group,
//!   the mode grants what is left without them ([`narrowed`]).
//! - From its creation on, such a file never has a wider mode than it ends with.

#![allow(unsafe_code)]

use super::system::platform;
use std::ffi::CString;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// The bits of a mode that matter here: files of mapleaf are never executed.
const MODE_BITS: u32 = 0o666;

/// The rights that a file is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rights {
    mode: u32,
    /// `None` for a file that is modelled on no other: it belongs to its creator, and the system takes the bits of the
    /// umask out of its mode.
    owner: Option<Owner>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owner {
    user: u32,
    group: u32,
}

impl Default for Rights {
    fn default() -> Rights {
        Rights::new(MODE_BITS)
    }
}

impl Rights {
    /// Those of a new file, as `open` would create it with this mode.
    pub(crate) const fn new(mode: u32) -> Rights {
        Rights { mode, owner: None }
    }

    /// Those of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Rights> {
        let found = file.metadata()?;
        let owner = Owner { user: found.uid(), group: found.gid() };
        Ok(Rights { mode: mode_of(&found), owner: Some(owner) })
    }

    /// Those of the lock file beside a database that has these. The owner may change the database's mode, and so may
    /// always write the lock file.
    pub(super) fn for_lock_file(self) -> Rights {
        Rights { mode: self.mode | 0o600, ..self }
    }

    /// Whether the database belongs to this process's effective user.
    pub(crate) fn is_own(&self) -> bool {
        self.owner.is_none_or(|owner| owner.user == effective_user())
    }

    /// Returns an error if a lock file beside a database that has these rights belongs to a user that may not write the
    /// database: that user could cut or change the file while others have it mapped.
    pub(super) fn check_owner_of_lock_file(&self, file: &File) -> io::Result<()> {
        self.check_owner(file.metadata()?.uid())
    }

    /// The same for a file that belongs to the user `found`.
    pub(super) fn check_owner(&self, found: u32) -> io::Result<()> {
        let own = self.owner.map_or_else(effective_user, |owner| owner.user);
        let is_shared = self.owner.is_some() && self.mode & 0o022 != 0;
        if found == own || found == 0 || is_shared {
            return Ok(());
        }
        let problem = format!(
            "it belongs to user {found}, which may not write the database; \
             remove it while no process has the database open"
        );
        Err(io::Error::new(ErrorKind::PermissionDenied, problem))
    }

    /// Gives the lock file of a database that has these rights its owner and mode, if this process may. Users that may
    /// read the database may have been given the right to write the lock file, to be seen as readers: that stays.
    pub(super) fn give_to_lock_file(&self, file: &File) -> io::Result<()> {
        let found = file.metadata()?;
        if ![0, found.uid()].contains(&effective_user()) {
            return Ok(());
        }
        let readable = self.mode & 0o444;
        let kept = mode_of(&found) & (readable | readable >> 1);
        Rights { mode: self.mode | kept, ..*self }.for_lock_file().give_to(file)
    }

    /// Gives a folder of locks to the users of a file that has these rights: those that may write the file may create
    /// and remove files in the folder, those that may read it may look. The folder has mode 0700 until then.
    #[cfg_attr(not(mapleaf_portable), allow(dead_code, reason = "for systems without locks on ranges"))]
    pub(super) fn give_to_folder(&self, folder: &File) -> io::Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        let has_group = fchown(folder, None, Some(owner.group)).is_ok();
        let has_user = fchown(folder, Some(owner.user), None).is_ok();
        let mode = narrowed(self.mode | 0o600, has_user, has_group) | 0o600;
        folder.set_permissions(Permissions::from_mode(mode | (mode & 0o444) >> 2))
    }

    /// The mode with which the file is created.
    pub(super) fn first_mode(&self) -> u32 {
        match self.owner {
            None => self.mode,
            Some(_) => 0o600,
        }
    }

    /// Gives these rights to an open file of this process's user. Returns `Ok` also where the file system keeps no
    /// modes.
    pub(super) fn give_to(&self, file: &File) -> io::Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        let found = file.metadata()?;
        // What exceeds the mode is taken away first: the bits of its group are not for another group.
        set_mode(file, &found, mode_of(&found) & self.mode)?;
        let has_group = found.gid() == owner.group || fchown(file, None, Some(owner.group)).is_ok();
        let has_user = found.uid() == owner.user || fchown(file, Some(owner.user), None).is_ok();
        set_mode(file, &file.metadata()?, narrowed(self.mode, has_user, has_group))
    }
}

/// The effective user of this process.
pub(super) fn effective_user() -> u32 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this process may write the file at `path`. It is not opened for that: opening a file for writing has effects
/// of its own on some file systems.
pub(crate) fn may_write(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path is a C string that lives through the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, platform::EFFECTIVE_USER) == 0 }
}

/// What is left of a mode for a file that could not be given to its user, or its group, so that no user has more rights
/// than under the mode itself. Members of the group count as others under another group; the user counts as a member
/// of the group, or as one of the others.
fn narrowed(mode: u32, has_user: bool, has_group: bool) -> u32 {
    let (user, mut group, mut others) = (mode >> 6 & 6, mode >> 3 & 6, mode & 6);
    if !has_group {
        group &= others;
        others = group;
    }
    if !has_user {
        group &= user;
        others &= user;
    }
    user << 6 | group << 3 | others
}

fn mode_of(found: &Metadata) -> u32 {
    found.mode() & MODE_BITS
}

fn set_mode(file: &File, found: &Metadata, mode: u32) -> io::Result<()> {
    if mode_of(found) == mode {
        return Ok(());
    }
    match file.set_permissions(Permissions::from_mode(mode)) {
        // The owner of a file may change its mode, except where the file system has the same mode for all files.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::narrowed;

    /// Every user, whether in the group or not, has no more rights than under the mode itself.
    #[test]
    fn a_narrowed_mode_gives_no_user_more() {
        assert_eq!(narrowed(0o640, true, true), 0o640);
        assert_eq!(narrowed(0o640, true, false), 0o600);
        assert_eq!(narrowed(0o644, true, false), 0o644);
        assert_eq!(narrowed(0o660, false, true), 0o660);
        assert_eq!(narrowed(0o604, true, false), 0o600, "the old group is one of the others now");
        for mode in (0..=0o777).filter(|mode| mode & 0o111 == 0) {
            for (has_user, has_group) in [(true, false), (false, true), (false, false)] {
                let left = narrowed(mode, has_user, has_group);
                // A member of the old group, and one of the new.
                let old = |in_group: bool| if in_group { mode >> 3 & 6 } else { mode & 6 };
                for (in_old, in_new) in [(false, false), (false, true), (true, false), (true, true)] {
                    if has_group && in_old != in_new {
                        continue;
                    }
                    let new = if in_new { left >> 3 & 6 } else { left & 6 };
                    assert_eq!(new & !old(in_old), 0, "{mode:o} {has_user} {has_group}");
                    assert!(has_user || new & !(mode >> 6 & 6) == 0, "{mode:o}: the user that it was");
                }
            }
        }
    }
}
