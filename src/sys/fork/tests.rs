//! Children, some of which outlive a parent that is killed.

use super::*;
use crate::sys::{LockKind, Locks};
use std::fs::OpenOptions;
use std::path::Path;

/// Forks, or makes a child by the bare system call, where no handler runs. The child runs `work` and ends with its
/// result.
fn child(is_forked: bool, work: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child runs `work`, which each test below keeps async-signal-safe, and leaves by _exit.
    unsafe {
        let child = match is_forked {
            true => libc::fork(),
            false => libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t,
        };
        assert!(child >= 0);
        if child == 0 {
            libc::_exit(work());
        }
        child
    }
}

fn wait(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status lives through the call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    libc::WEXITSTATUS(status)
}

fn sleep_until_killed() -> i32 {
    // SAFETY: neither call has preconditions. The alarm ends the process when every test has given up.
    unsafe {
        libc::alarm(240);
        loop {
            libc::pause();
        }
    }
}

fn kill(process: libc::pid_t) {
    // SAFETY: kill has no preconditions.
    unsafe { libc::kill(process, libc::SIGKILL) };
}

fn lock_description(path: &Path) -> Locks {
    Locks::new(path, || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path))
        .unwrap()
}

#[test]
fn a_child_knows_that_it_is_one_however_it_was_made() {
    let mark = ForkMark::new().unwrap();
    assert!(!mark.is_inherited());
    for is_forked in [true, false] {
        let is_one = || if mark.is_inherited() { 7 } else { 1 };
        assert_eq!(wait(child(is_forked, is_one)), 7);
        assert!(!mark.is_inherited());
    }
}

#[test]
fn a_mark_of_the_child_is_its_own_and_its_child_knows_both() {
    let mark = ForkMark::new().unwrap();
    let status = wait(child(true, || {
        let own = ForkMark::new().unwrap();
        let knows = wait(child(true, || i32::from(own.is_inherited() && mark.is_inherited())));
        i32::from(knows == 1 && mark.is_inherited() && !own.is_inherited())
    }));
    assert_eq!(status, 1);
    assert!(!mark.is_inherited());
}

/// The locks of a process that is killed are free, though its child lives on.
#[test]
fn a_forked_child_keeps_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks");
    let (from_child, to_parent) = io::pipe().unwrap();
    let parent = child(true, || {
        let locks = lock_description(&path);
        let is_held = locks.try_lock_whole(LockKind::Exclusive).unwrap()
            && locks.try_lock(LockKind::Exclusive, 5..6).unwrap();
        assert!(is_held);
        child(true, || {
            // Written by the child itself: by now it has closed what it has inherited.
            io::Write::write_all(&mut &to_parent, &std::process::id().to_le_bytes()).unwrap();
            sleep_until_killed()
        });
        sleep_until_killed()
    });
    let mut worker = [0; 4];
    io::Read::read_exact(&mut &from_child, &mut worker).unwrap();
    let worker = libc::pid_t::from_le_bytes(worker);
    let locks = lock_description(&path);
    assert!(!locks.try_lock_whole(LockKind::Exclusive).unwrap(), "the parent lives");
    kill(parent);
    wait(parent);
    let whole = locks.try_lock_whole(LockKind::Exclusive).unwrap();
    let range = locks.try_lock(LockKind::Exclusive, 5..6).unwrap();
    kill(worker);
    assert!(whole && range);
}

/// In the child the number may soon mean another file, which is then neither locked nor closed.
#[test]
fn the_number_of_a_closed_descriptor_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let locks = lock_description(&folder.path().join("locks"));
    let number = locks.file().unwrap().as_raw_fd();
    let mut locks = Some(locks);
    let status = wait(child(true, || {
        // SAFETY: the calls take numbers only.
        unsafe {
            if libc::fcntl(number, libc::F_GETFD) != -1 || libc::dup2(0, number) != number {
                return 1;
            }
            if locks.as_ref().unwrap().file().is_ok() {
                return 2;
            }
            drop(locks.take());
            i32::from(libc::fcntl(number, libc::F_GETFD) == -1) * 3
        }
    }));
    assert_eq!(status, 0);
    assert!(locks.unwrap().try_lock_whole(LockKind::Exclusive).unwrap());
}

/// A child that has copies of the descriptors, since no handler has run in it, does not unlock for its parent.
#[test]
fn a_bare_clone_unlocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks");
    let mut locks = Some(lock_description(&path));
    assert!(locks.as_ref().unwrap().try_lock_whole(LockKind::Exclusive).unwrap());
    assert_eq!(
        wait(child(false, || {
            drop(locks.take());
            0
        })),
        0
    );
    let other = lock_description(&path);
    assert!(!other.try_lock_whole(LockKind::Exclusive).unwrap());
    // What the parent gives up is free at once, although the child still has a copy of the descriptor.
    let copy = child(false, sleep_until_killed);
    drop(locks);
    let is_free = other.try_lock_whole(LockKind::Exclusive).unwrap();
    kill(copy);
    wait(copy);
    assert!(is_free);
}

/// While threads open and close descriptions, each child that is forked finds those that it has inherited, and all
/// others are unchanged.
#[test]
fn forks_among_openings() {
    let folder = tempfile::tempdir().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (path, is_over) = (folder.path().join(format!("{thread}")), &is_over);
            scope.spawn(move || {
                while !is_over.load(SeqCst) {
                    let locks = lock_description(&path);
                    assert!(locks.try_lock_whole(LockKind::Exclusive).unwrap());
                    assert!(locks.file().unwrap().metadata().is_ok());
                }
            });
        }
        for _ in 0..50 {
            let in_folder = |number: &libc::c_int| {
                let name = std::fs::read_link(format!("/proc/self/fd/{number}"));
                name.is_ok_and(|name| name.starts_with(folder.path()))
            };
            let status = wait(child(true, || (0..200).filter(in_folder).count() as i32));
            assert_eq!(status, 0, "the child has descriptors of its parent's locks");
        }
        is_over.store(true, SeqCst);
    });
}
