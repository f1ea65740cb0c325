//! Which file systems a database can be on.
//!
//! The mappings, stores and locks of all processes that use a file must belong to one page cache. This holds for file
//! systems on this machine's own disks and memory. Where several machines, or a server, have the file, there are
//! several page caches, and locks and mappings do not show what the others do. There a database is refused before
//! anything is created.
//!
//! overlayfs has one page cache for each layer. Its file is another one after the first opening for writing has copied
//! it into the upper layer ("copy-up"), but what was mapped before stays mapped. So a handle that reads there, by a
//! descriptor that may be older, compares the two (`Storage::is_mapping_current`).

use super::path::folder_of;
use super::system::folder::Folder;
use super::system::platform;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

const OVERLAYFS: u64 = 0x794c_7630;

/// Numbers that `statfs` returns, and names.
const REFUSED: [(u64, &str); 16] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x2003_0528, "OrangeFS"),
    (0x786f_4256, "vboxsf"),
    (0x564c, "NCP"),
];

/// Returns an error that names the file system of `file` if a database cannot be there.
pub(super) fn check_open_file(file: &File) -> io::Result<()> {
    match platform::remote_file_system(file)? {
        Some(name) => Err(refuse(&name)),
        None => check(platform::file_system_of(file)?),
    }
}

/// The same for the folder of a file that is to be created.
pub(crate) fn check_folder_of(path: &Path) -> io::Result<()> {
    check_open_file(Folder::open(folder_of(path))?.place())
}

/// Whether what is mapped of `file` may be another layer's.
pub(super) fn has_layers(file: &File) -> io::Result<bool> {
    Ok(platform::file_system_of(file)? == OVERLAYFS)
}

fn check(file_system: u64) -> io::Result<()> {
    match REFUSED.iter().find(|(number, _)| *number == file_system) {
        Some((_, name)) => Err(refuse(name)),
        None => Ok(()),
    }
}

fn refuse(name: &str) -> io::Error {
    let problem = format!(
        "it is on {name}, where other machines or a server may have it too, and memory and locks are not shared with \
         them; put it on a disk of this machine, or, if no other has it open, allow it by any_file_system(true)"
    );
    io::Error::new(ErrorKind::Unsupported, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_several_machines_are_refused_by_name() {
        for (number, name) in REFUSED {
            let error = check(number).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(&format!("on {name},")), "{error}");
        }
        // ext4, tmpfs, xfs, btrfs, f2fs, ZFS, overlayfs, vfat, exFAT, squashfs, ISO 9660, and what is not Linux.
        let own = [
            0xef53,
            0x0102_1994,
            0x5846_5342,
            0x9123_683e,
            0xf2f5_2010,
            0x2fc1_2fc1,
            OVERLAYFS,
            0x4d44,
            0x2011_bab0,
            0x7371_7368,
            0x9660,
            0,
        ];
        own.into_iter().for_each(|number| check(number).unwrap());
    }

    #[test]
    #[cfg(all(target_os = "linux", not(mapleaf_portable)))]
    #[cfg_attr(miri, ignore = "asks the real system")]
    fn the_system_says_which_file_system_it_is() {
        assert_eq!(platform::file_system_of(&File::open("/proc").unwrap()).unwrap(), 0x9fa0);
    }
}
