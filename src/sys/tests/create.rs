//! A new file is there whole, or not at all.

use super::*;
use crate::sys::{Rights, StagedFile, create_file, create_file_with};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

#[test]
fn a_new_file_has_its_contents_and_no_other_name() {
    let folder = folder();
    let path = folder.path().join("data");
    create_file(&path, Rights::default(), &[b"first", b"", b"second"]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"firstsecond");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_exists_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("data");
    fs::write(&path, "precious").unwrap();
    assert_eq!(
        create_file(&path, Rights::default(), &[b"new"]).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Names under which an earlier version made files. A link, and one that leads nowhere, has the file's own name.
#[test]
fn files_of_others_are_left_alone_whatever_they_are_called() {
    let folder = folder();
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::write(folder.path().join("data-new"), "precious").unwrap();
    symlink(&victim, folder.path().join("other-new")).unwrap();
    for name in ["data", "other"] {
        create_file(&folder.path().join(name), Rights::default(), &[b"new"]).unwrap();
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"new");
    }
    assert_eq!(fs::read(folder.path().join("data-new")).unwrap(), b"precious");
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    for target in ["victim", "nowhere"] {
        let link = folder.path().join(format!("link to {target}"));
        symlink(folder.path().join(target), &link).unwrap();
        let error = create_file(&link, Rights::default(), &[b"new"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn a_file_that_is_not_finished_leaves_nothing() {
    let folder = folder();
    let path = folder.path().join("data");
    let error = create_file_with(&path, Rights::default(), |_| Err(ErrorKind::Other.into())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    let staged = StagedFile::begin(&path, Rights::default()).unwrap();
    staged.file().write_all_at(b"half", 0).unwrap();
    drop(staged);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_mode_is_that_of_the_model_and_never_wider_before() {
    let folder = folder();
    let model = File::create(folder.path().join("model")).unwrap();
    for mode in [0o600, 0o640, 0o644, 0o666, 0o400, 0o444] {
        model.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
        let rights = Rights::of(&model).unwrap();
        let path = folder.path().join(format!("{mode:o}"));
        create_file_with(&path, rights, |file| {
            assert_eq!(file.metadata()?.mode() & 0o777, 0o600);
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
    }
}

#[test]
fn of_many_creators_one_wins() {
    for _ in 0..20 {
        let folder = folder();
        let path = folder.path().join("data");
        let created: Vec<bool> = std::thread::scope(|scope| {
            let creators: Vec<_> = (0..6u8)
                .map(|creator| {
                    let path = &path;
                    scope.spawn(move || match create_file(path, Rights::default(), &[&[creator; 10_000]]) {
                        Ok(()) => true,
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
                        Err(error) => panic!("{error}"),
                    })
                })
                .collect();
            creators.into_iter().map(|creator| creator.join().unwrap()).collect()
        });
        let winner = created.iter().position(|&won| won).unwrap() as u8;
        assert_eq!(created.iter().filter(|&&won| won).count(), 1);
        assert_eq!(fs::read(&path).unwrap(), vec![winner; 10_000]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_folder_that_is_missing_is_an_error() {
    let folder = folder();
    let error = create_file(&folder.path().join("no/data"), Rights::default(), &[b"new"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
