//! A new file is there whole, or not at all.

use super::*;
use crate::sys::create_file;
use std::fs;
use std::io::ErrorKind;

#[test]
fn a_new_file_has_its_contents_and_no_other_name() {
    let folder = folder();
    let path = folder.path().join("data");
    create_file(&path, &[b"first", b"", b"second"]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"firstsecond");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_exists_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("data");
    fs::write(&path, "precious").unwrap();
    assert_eq!(create_file(&path, &[b"new"]).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_creator_left_is_used_again() {
    let folder = folder();
    let path = folder.path().join("data");
    fs::write(folder.path().join("data-new"), vec![7; 100_000]).unwrap();
    create_file(&path, &[b"new"]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_second_name_of_another_file_is_not_written_through() {
    let folder = folder();
    let finished = folder.path().join("finished");
    fs::write(&finished, "precious").unwrap();
    fs::hard_link(&finished, folder.path().join("data-new")).unwrap();
    create_file(&folder.path().join("data"), &[b"new"]).unwrap();
    assert_eq!(fs::read(&finished).unwrap(), b"precious");
    assert_eq!(fs::read(folder.path().join("data")).unwrap(), b"new");
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
                    scope.spawn(move || match create_file(path, &[&[creator; 10_000]]) {
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
    let error = create_file(&folder.path().join("no/data"), &[b"new"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
