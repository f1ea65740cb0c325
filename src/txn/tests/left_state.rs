//! Lock files and data files of different times, no handle open: a file system was mounted again, a volume put back.
//! Nothing that the lock file says of transactions is believed (L13): what was committed follows from the newest meta
//! and the log.

use std::fs;
use std::path::PathBuf;

use super::fixture::{Engine, Entries, PAGE};
use crate::txn::commit::Durability;

/// The bytes of both files at some moment.
#[derive(Clone)]
struct Moment {
    data: Vec<u8>,
    lock: Vec<u8>,
}

struct Files {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Files {
    fn new() -> (Files, Engine) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mapleaf");
        let engine = Engine::share(&path).unwrap();
        (Files { _folder: folder, path }, engine)
    }

    fn lock_path(&self) -> PathBuf {
        self.path.with_extension("mapleaf-lock")
    }

    fn now(&self) -> Moment {
        Moment { data: fs::read(&self.path).unwrap(), lock: fs::read(self.lock_path()).unwrap() }
    }

    /// Puts the bytes into the same files, which no handle has open, and opens them. It must be one of the `expected`
    /// states, whole, to be written to and to be opened again.
    #[track_caller]
    fn assert_opens_as(&self, moment: &Moment, expected: &[&Entries]) {
        fs::write(&self.path, &moment.data).unwrap();
        fs::write(self.lock_path(), &moment.lock).unwrap();
        let engine = Engine::share(&self.path).unwrap();
        let found = engine.read().unwrap().1;
        assert!(expected.contains(&&found), "{} entries", found.len());
        engine.assert_clean();
        let more = entries(60_000..60_002, 5, 1);
        engine.commit(&more, Durability::Durable).unwrap();
        engine.assert_clean();
        // What was pending has become visible with it.
        let found = engine.read().unwrap().1;
        let is_with_more = |state: &Entries| {
            let mut state = state.clone();
            state.extend(more.clone());
            state == found
        };
        assert!(expected.iter().any(|state| is_with_more(state)));
        drop(engine);
        let engine = Engine::share(&self.path).unwrap();
        assert!(engine.read().unwrap().1 == found);
    }
}

fn entries(numbers: std::ops::Range<u16>, length: usize, byte: u8) -> Entries {
    numbers.map(|number| (number.to_be_bytes().to_vec(), vec![byte; length])).collect()
}

/// The pages of `new` for which `take` returns true, over those of `old`.
fn mixed(old: &[u8], new: &[u8], take: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bytes = old.to_vec();
    bytes.resize(old.len().max(new.len()), 0);
    for (at, page) in new.chunks(PAGE).enumerate().filter(|&(at, _)| take(at)) {
        bytes[at * PAGE..at * PAGE + page.len()].copy_from_slice(page);
    }
    bytes
}

#[test]
fn a_lock_file_that_is_older_than_the_newest_record_is_not_believed() {
    for later_commits in 1..4 {
        let (files, engine) = Files::new();
        let mut all = entries(0..9, 50, 1);
        engine.commit(&all, Durability::Durable).unwrap();
        let old = files.now();
        for commit in 0..later_commits {
            let new = entries(commit..commit + 3, 60, 2);
            engine.commit(&new, Durability::Durable).unwrap();
            all.extend(new);
        }
        let new = files.now();
        drop(engine);
        files.assert_opens_as(&Moment { data: new.data, lock: old.lock }, &[&all]);
    }
}

/// Each page of the lock file reaches the disk by itself.
#[test]
fn a_lock_file_whose_pages_are_of_different_times_is_not_believed() {
    let (files, engine) = Files::new();
    let before = entries(0..90, 50, 1);
    engine.commit(&before, Durability::Durable).unwrap();
    let old = files.now();
    let mut moments = vec![(files.now(), before.clone())];
    let mut all = before;
    for (round, durability) in
        [Durability::Durable, Durability::Lazy, Durability::Lazy].into_iter().enumerate()
    {
        let new = entries(round as u16 * 20..round as u16 * 20 + 30, 70, round as u8);
        engine.commit(&new, durability).unwrap();
        all.extend(new);
        moments.push((files.now(), all.clone()));
    }
    drop(engine);
    for (moment, _) in &moments[1..] {
        // Of what the data file has, all is there: so it is that moment's state, or the one that is durable.
        let states: Vec<&Entries> = moments[1..].iter().map(|(_, entries)| entries).collect();
        let page_count = moment.lock.len().div_ceil(PAGE);
        let differs = |&at: &usize| {
            let page = |bytes: &[u8]| bytes.chunks(PAGE).nth(at).map(<[u8]>::to_vec);
            page(&old.lock) != page(&moment.lock)
        };
        for changed in (0..page_count).filter(differs) {
            for lock in [
                mixed(&old.lock, &moment.lock, |at| at == changed),
                mixed(&old.lock, &moment.lock, |at| at != changed),
                mixed(&old.lock, &moment.lock, |at| at <= changed),
            ] {
                files.assert_opens_as(&Moment { data: moment.data.clone(), lock }, &states);
            }
        }
    }
}

/// Lazy commits after a checkpoint, of which some pages have not reached the disk. Those of the trees are in the log;
/// the log is there up to the first block that is not.
fn lazy_commits_that_lack_pages(commits: u16, in_each: u16, pending: bool) {
    let (files, engine) = Files::new();
    for round in 0..3 {
        engine.commit(&entries(0..900, 300, round), Durability::Durable).unwrap(); // leaves free pages
    }
    engine.checkpoint().unwrap();
    let mut states = vec![engine.read().unwrap().1];
    let old = files.now();
    for commit in 0..commits {
        let mut new = Entries::new();
        for number in (0..in_each).map(|at| (at * 37 + commit) % 900) {
            new.extend(entries(number..number + 1, 310, 100 + commit as u8));
        }
        let is_last = commit + 1 == commits;
        // The last one is killed before it is synced.
        let durability = if pending && is_last { Durability::Durable } else { Durability::Lazy };
        engine.publish(&new, durability).unwrap();
        let mut state = states.last().unwrap().clone();
        state.extend(new);
        states.push(state);
    }
    let new = files.now();
    drop(engine);
    assert_eq!(old.data[..2 * PAGE], new.data[..2 * PAGE], "there was no other checkpoint");
    let states: Vec<&Entries> = states.iter().collect();
    files.assert_opens_as(&new, &states[states.len() - 1..]); // nothing is lost with processes alone
    let page = |bytes: &[u8], at: usize| bytes.get(at * PAGE..(at + 1) * PAGE).map(<[u8]>::to_vec);
    let changed: Vec<usize> =
        (0..new.data.len() / PAGE).filter(|&at| page(&old.data, at) != page(&new.data, at)).collect();
    assert!(changed.len() > usize::from(commits));
    for &lost in changed.iter().step_by(changed.len().div_ceil(25)) {
        for data in [
            mixed(&old.data, &new.data, |at| at != lost),
            mixed(&old.data, &new.data, |at| at.abs_diff(lost) > 2),
            mixed(&old.data, &new.data, |at| at < lost),
        ] {
            files.assert_opens_as(&Moment { data, lock: new.lock.clone() }, &states);
        }
    }
}

#[test]
fn lazy_commits_of_which_pages_are_lost_are_recovered_up_to_the_first_that_the_log_lacks() {
    lazy_commits_that_lack_pages(3, 5, false);
    lazy_commits_that_lack_pages(8, 20, false);
}

/// Readers begin below newest then.
#[test]
fn lazy_commits_below_a_pending_one_are_too() {
    lazy_commits_that_lack_pages(3, 5, true);
}
