//! Which file a path means.

use super::rights::effective_user;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most links that lead nowhere, one to the next, that are followed: as many as the system follows.
const MAX_LINKS: usize = 40;

/// The file to which `path` leads, or would lead if it were created, by an absolute path in which no part is a
/// symbolic link. So it means the same file when a link is switched, or the process changes its folder.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match path.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        let name = match path.file_name() {
            Some(name) if !path.as_os_str().as_bytes().ends_with(b"/") => name,
            _ => return Err(ErrorKind::IsADirectory.into()),
        };
        let folder = folder_of(&path).canonicalize()?;
        let named = folder.join(name);
        match named.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(named),
            Ok(found) if found.file_type().is_symlink() => {
                check_link(&found, &folder)?;
                path = folder.join(named.read_link()?);
            }
            other => _ = other?, // it has come into being
        }
    }
    Err(io::Error::other("too many symbolic links, one leading to the next"))
}

/// Returns an error if another user may have put `link` into the folder, to make this process create a file elsewhere.
/// The system has the same rule for links that it follows (`fs.protected_symlinks`).
fn check_link(link: &Metadata, folder: &Path) -> io::Result<()> {
    let folder = folder.metadata()?;
    let may_all_write = folder.mode() & 0o1002 == 0o1002;
    if !may_all_write || [effective_user(), folder.uid()].contains(&link.uid()) {
        return Ok(());
    }
    let problem =
        format!("user {} has put a symbolic link there, in a folder that all may write", link.uid());
    Err(io::Error::new(ErrorKind::PermissionDenied, problem))
}

/// The folder in which `path` is.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `path` with `suffix` after its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
