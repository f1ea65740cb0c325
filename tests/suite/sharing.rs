//! One database, several processes: what each sees of the others, and what is left of those that end badly.
//!
//! The other processes are *peers*: this test binary again, which carries out orders, a line at a time.
//! Nothing here depends on how fast anything is: what must come about is waited for, for minutes if need be.
#![cfg(target_os = "linux")]

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::common::process::{self, PATIENCE};
use crate::common::{Random, assert_clean, child_task, run_child, scratch};
use mapleaf::{Db, Durability, Error, MultimapTable, ReadTxn, Table, TransactionId, Watch, WriteTxn};

const NUMBERS: Table<u64, u64> = Table::new("numbers");
const BYTES: Table<u64, [u8]> = Table::new("bytes");

// ---- peers ----

/// Another process, with the database open.
struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a process that opens `path` when it is ordered to.
    fn start(path: &Path) -> Peer {
        Peer::spawn(&mut crate::common::child(concat!(module_path!(), "::peer"), path))
    }

    fn spawn(command: &mut Command) -> Peer {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::die_with_parent(command).spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Peer { child, orders, answers }
    }

    /// Starts a process that has `path` open.
    fn open(path: &Path) -> Peer {
        let mut peer = Peer::start(path);
        peer.ask("open");
        peer
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    #[track_caller]
    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the peer has ended");
            if let Some((_, answer)) = line.split_once("= ") {
                return answer.trim_end().to_owned();
            }
        }
    }

    #[track_caller]
    fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.hear()
    }

    #[track_caller]
    /// Gives an order that is answered with a transaction's id.
    fn transaction(&mut self, order: &str) -> TransactionId {
        TransactionId::new(self.number(order))
    }

    fn number(&mut self, order: &str) -> u64 {
        let answer = self.ask(order);
        answer.parse().unwrap_or_else(|_| panic!("{order}: {answer}"))
    }

    /// SIGKILL.
    fn kill(mut self) {
        process::kill(&mut self.child);
    }

    fn end(mut self) {
        self.tell("end");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        process::signal(self.child.id(), libc::SIGKILL);
        let _ = self.child.wait();
    }
}

/// What a peer has.
#[derive(Default)]
struct Belongings {
    db: Option<Db>,
    watch: Option<Watch>,
    parked: VecDeque<ReadTxn>,
    writing: Option<WriteTxn>,
}

#[test]
#[ignore = "a process of other tests"]
fn peer() {
    let Some(path) = child_task() else { return };
    let mut own = Belongings::default();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        if line == "end" {
            break;
        }
        match own.obey(&path, &line) {
            Ok(answer) => println!("= {answer}"),
            Err(error) => println!("= {}: {error}", name_of(&error)),
        }
    }
}

/// A word by which tests know an error that a peer reports.
fn name_of(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => format!("Io {:?}", source.kind()),
        Error::InUse { .. } => "InUse".to_owned(),
        Error::ReadersFull { .. } => "ReadersFull".to_owned(),
        _ => "other".to_owned(),
    }
}

fn visit(path: &Path, key: u64, count: u64) -> mapleaf::Result<()> {
    let db = Db::open(path)?;
    let before = db.view(|rx| Ok(rx.table(&NUMBERS)?.get(key)?.unwrap_or(0)))?;
    assert_eq!(before, count - 1, "what was acknowledged is there");
    put(&db, key, count);
    db.close()
}

impl Belongings {
    fn obey(&mut self, path: &Path, line: &str) -> mapleaf::Result<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "open" => self.db = Some(Db::open(path)?),
            "open-read-only" => self.db = Some(Db::options().read_only(true).open(path)?),
            "close" => *self = Belongings::default(),
            // Opens, counts one further, and closes, that many times; prints each count.
            "visit" => {
                for count in number(2) + 1..number(2) + number(3) {
                    visit(path, number(1), count)?;
                    println!("= {count}");
                }
                visit(path, number(1), number(2) + number(3))?;
                return Ok((number(2) + number(3)).to_string());
            }
            "park" => self.parked.push_back(self.db().read()?),
            "park-all" => loop {
                self.parked.push_back(self.db().read()?);
            },
            "release" => drop(self.parked.pop_front()),
            "release-all" => self.parked.clear(),
            "forget-writing" => self.writing = None,
            "pester" => process::pester(Duration::from_micros(300)),
            "fork" => return Ok(process::fork_idle_child().to_string()),
            // A child, the first process of a PID namespace, that drops all it has inherited. Prints its process id.
            "drop-in-child" => {
                process::enter_new_pid_namespace();
                let status = process::in_forked_child(|| {
                    drop(std::mem::take(self));
                    std::process::id() as i32
                });
                return Ok(status.code().unwrap().to_string());
            }
            _ => return self.answer(&words, number),
        }
        Ok("done".into())
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("the peer was ordered to open the database before")
    }

    fn answer(&mut self, words: &[&str], number: impl Fn(usize) -> u64) -> mapleaf::Result<String> {
        let db = self.db().clone();
        Ok(match words[0] {
            "digest" => self.parked.iter().fold(0, |sum: u64, rx| sum.wrapping_add(digest(rx))).to_string(),
            "snapshot" => self.parked[number(1) as usize].id().to_string(),
            "get" => {
                db.view(|rx| rx.table(&NUMBERS)?.get(number(1)))?.map_or("none".into(), |n| n.to_string())
            }
            "put" => {
                let tx = db.write()?;
                tx.table(&NUMBERS)?.insert(number(1), number(2))?;
                let durability = if words[3] == "lazy" { Durability::Lazy } else { Durability::Durable };
                tx.commit_with(durability)?.to_string()
            }
            "overwrite" => {
                overwrite(&db, number(1), number(2), number(3));
                "done".into()
            }
            // Durable commits, by that many threads, that many each.
            "commit" => {
                std::thread::scope(|scope| {
                    for thread in 0..number(1) {
                        let (db, count, key) = (db.clone(), number(2), number(3) + thread);
                        scope.spawn(move || (0..count).for_each(|_| add_one(&db, key)));
                    }
                });
                "done".into()
            }
            "add" => {
                (0..number(1)).for_each(|_| add_one(&db, number(2)));
                "done".into()
            }
            "copy" => db.read()?.copy().to_path(words[1]).map(|_| "copied".to_owned())?,
            "write-until-told" => {
                while db.view(|rx| rx.table(&NUMBERS)?.get(999))?.is_none() {
                    put_lazy(&db, number(1), 0);
                }
                "done".into()
            }
            // Commits until it is stopped.
            "commit-until-told" => {
                while db.view(|rx| rx.table(&NUMBERS)?.get(999))?.is_none() {
                    add_one(&db, number(1));
                }
                "done".into()
            }
            "barriers" => db.stats()?.syncs.to_string(),
            "readers" => db.readers()?.len().to_string(),
            "try-write" => db.try_write()?.is_some().to_string(),
            "write" => {
                let tx = db.write()?;
                tx.table(&NUMBERS)?.insert(number(1), 0)?;
                self.writing = Some(tx);
                "done".into()
            }
            "wait" => {
                let timeout = (words[2] != "forever").then(|| Duration::from_millis(number(2)));
                db.wait_for_commit(TransactionId::new(number(1)), timeout)?
                    .map_or("none".into(), |id| id.to_string())
            }
            "watch" => {
                let watch = self.watch.get_or_insert_with(|| db.watch());
                watch
                    .next_timeout(Duration::from_millis(number(1)))?
                    .map_or("none".into(), |id| id.to_string())
            }
            other => panic!("no order {other}"),
        })
    }
}

fn digest(rx: &ReadTxn) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for entry in rx.table(&BYTES).unwrap().iter() {
        let (key, value) = entry.unwrap();
        for &byte in key.to_le_bytes().iter().chain(value) {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    digest
}

fn add_one(db: &Db, key: u64) {
    db.update(|tx| {
        let mut numbers = tx.table(&NUMBERS)?;
        let before = numbers.get(key)?.unwrap_or(0);
        numbers.insert(key, before + 1)?;
        Ok(())
    })
    .unwrap();
}

fn put_lazy(db: &Db, key: u64, value: u64) -> TransactionId {
    let tx = db.write().unwrap();
    tx.table(&NUMBERS).unwrap().insert(key, value).unwrap();
    tx.commit_with(Durability::Lazy).unwrap()
}

fn put(db: &Db, key: u64, value: u64) -> TransactionId {
    let tx = db.write().unwrap();
    tx.table(&NUMBERS).unwrap().insert(key, value).unwrap();
    tx.commit().unwrap()
}

fn get(db: &Db, key: u64) -> Option<u64> {
    db.view(|rx| rx.table(&NUMBERS)?.get(key)).unwrap()
}

const ENTRIES: u64 = 10_000;

/// Fills the database with entries of about a hundred bytes.
fn load(db: &Db) {
    db.update(|tx| {
        let mut bytes = tx.table(&BYTES)?;
        for key in 0..ENTRIES {
            bytes.insert(key, &Random::new(key).bytes(100)[..])?;
        }
        tx.table(&NUMBERS)?.insert(0, 0)?;
        Ok(())
    })
    .unwrap();
}

/// Lazy commits, each of which overwrites some entries here and there.
fn overwrite(db: &Db, commits: u64, in_each: u64, seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..commits {
        let tx = db.write().unwrap();
        let mut bytes = tx.table(&BYTES).unwrap();
        for _ in 0..in_each {
            bytes.insert(random.next() % ENTRIES, &random.bytes(100)[..]).unwrap();
        }
        drop(bytes);
        tx.commit_with(Durability::Lazy).unwrap();
    }
}

fn file_bytes(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn lock_path(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-lock", path.display()))
}

// ---- readers ----

#[test]
fn a_parked_reader_pins_its_own_snapshot_and_comes_back_by_itself_when_killed() {
    let (_folder, path) = scratch();
    // A ring that grows in the end would make the file longer.
    let db = Db::options().log_size(256 << 10).open(&path).unwrap();
    load(&db);
    overwrite(&db, 100, 200, 1);
    let snapshot_bytes = u64::from(db.check().unwrap().counts().leaves) * 4096;
    let mut peer = Peer::open(&path);
    peer.ask("park");
    let digest = peer.ask("digest");
    let before = file_bytes(&path);
    overwrite(&db, 400, 200, 2);
    let parked = file_bytes(&path);
    let grown = parked - before;
    // As much as its snapshot, and what growing ahead adds; not as much as was written, which is ten times that.
    assert!(grown <= snapshot_bytes * 3 / 2 + (4 << 20), "{before} bytes, then {parked}");
    assert_eq!(peer.ask("digest"), digest, "its old values, bit for bit");
    let readers = db.readers().unwrap();
    assert_eq!(readers.len(), 1);
    let pinned = readers[0].pinned_pages.unwrap();
    assert!(u64::from(pinned) * 4096 >= snapshot_bytes / 2, "{pinned} pages");
    peer.kill();

    overwrite(&db, 200, 200, 3);
    // Another ring of the redo log may have been taken since; the one before is free.
    let most = || parked + db.stats().unwrap().log_bytes;
    assert!(file_bytes(&path) <= most(), "its pages are used again, without anyone asking for that");
    process::until("what it kept has become free", || {
        overwrite(&db, 10, 10, 4);
        u64::from(db.stats().unwrap().free_pages) * 4096 >= snapshot_bytes / 2
    });
    assert!(file_bytes(&path) <= most());
    assert_clean(&db);
}

/// The reader keeps the file from being cut, and nothing else needs its pages: dead readers must be reaped without a
/// request, whatever else takes the writer lock.
#[test]
fn a_file_is_cut_short_when_the_reader_in_the_way_has_died() {
    type Ask = fn(Db);
    let rows: [(&str, Ask); 4] = [
        ("durable commits", |db| (0..200).for_each(|_| add_one(&db, 0))),
        ("after one turn more", |db| {
            drop(db.write().unwrap());
            (0..200).for_each(|_| add_one(&db, 0));
        }),
        ("sync", |db| db.sync().unwrap()),
        ("closing", drop),
    ];
    for (name, ask) in rows {
        let (_folder, path) = scratch();
        // A ring that grows would be as long as what is cut.
        let db = Db::options().log_size(64 << 10).open(&path).unwrap();
        load(&db);
        db.update(|tx| tx.table(&BYTES)?.remove_range(100..)).unwrap();
        put(&db, 0, 0); // now those pages are free,
        put(&db, 0, 0);
        let rewrite = |tx: &WriteTxn| {
            let mut bytes = tx.table(&BYTES)?;
            (0..100).try_for_each(|key| bytes.insert(key, &[1; 100][..]).map(drop))
        };
        db.update(|tx| rewrite(tx)).unwrap(); // and what came after them is among them.
        let mut peer = Peer::open(&path);
        peer.ask("park");
        (0..4).for_each(|_| _ = put(&db, 0, 0)); // gives the end of the file up, and the ring if that is in the way
        let long = file_bytes(&path);
        assert!(
            u64::from(db.stats().unwrap().pages) * 4096 < long / 2,
            "{name}: the reader keeps the file long: {:?}",
            db.stats()
        );
        peer.kill();
        ask(db);
        let short = file_bytes(&path);
        assert!(short < long / 2, "{name}: {short} bytes of {long}");
    }
}

#[test]
fn a_suspended_reader_reads_its_old_values_when_it_wakes_up() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    load(&db);
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::open(&path)).collect();
    let mut digests = Vec::new();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.ask("park");
        digests.push(peer.ask("digest"));
        process::stop(&peer.child);
        overwrite(&db, 1000, 5, number as u64);
    }
    for (peer, digest) in peers.iter_mut().zip(digests) {
        process::signal(peer.child.id(), libc::SIGCONT);
        assert_eq!(peer.ask("digest"), digest);
        peer.ask("release");
        assert_eq!(peer.ask("get 0"), "0");
    }
    assert_clean(&db);
}

#[test]
fn readers_are_seen_with_process_snapshot_age_and_pages() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    load(&db);
    let mut peer = Peer::open(&path);
    peer.ask("park");
    let snapshot = peer.number("snapshot 0");
    overwrite(&db, 50, 100, 1);
    let own = db.read().unwrap();
    process::until("it gets older", || db.readers().unwrap()[0].age >= Duration::from_millis(20));
    let readers = db.readers().unwrap();
    assert_eq!(readers.len(), 2);
    assert_eq!((readers[0].pid, readers[0].snapshot), (peer.child.id(), TransactionId::new(snapshot)));
    assert_eq!((readers[1].pid, readers[1].snapshot), (std::process::id(), own.id()));
    assert!(readers[0].pinned_pages.unwrap() > 100 && readers[1].pinned_pages == Some(0), "{readers:?}");
    assert_eq!(peer.ask("readers"), "2");
    let writing = db.write().unwrap();
    assert_eq!(db.readers().unwrap()[0].pinned_pages, None, "not known while another process writes");
    drop(writing);
    peer.ask("release");
    assert_eq!(db.readers().unwrap().len(), 1);
    let stats = db.stats().unwrap();
    assert_eq!((stats.readers, stats.oldest_reader), (1, Some(own.id())));
}

#[test]
fn old_readers_are_reported_once_each() {
    let (_folder, path) = scratch();
    let reported: Arc<report_log::Log> = Arc::default();
    let log = Arc::clone(&reported);
    let db = Db::options()
        .on_stale_reader(Duration::from_millis(30), move |reader| {
            log.push((reader.pid, reader.snapshot.get()))
        })
        .open(&path)
        .unwrap();
    load(&db);
    let mut peer = Peer::open(&path);
    let mut expected = Vec::new();
    for number in 0..2 {
        peer.ask("park");
        expected.push((peer.child.id(), peer.number(&format!("snapshot {number}"))));
        put(&db, 1, number);
    }
    process::until("both are reported", || {
        put_lazy(&db, 1, 5);
        reported.all().len() >= 2
    });
    for number in 0..50 {
        put_lazy(&db, 1, number);
    }
    let mut all = reported.all();
    all.sort_unstable();
    assert_eq!(all, expected);
    // Another one is another report.
    peer.ask("release");
    peer.ask("park");
    process::until("the new one is reported", || {
        put_lazy(&db, 1, 5);
        reported.all().len() >= 3
    });
    assert_eq!(reported.all().len(), 3);
}

/// A list that threads add to.
mod report_log {
    use std::sync::Mutex;

    #[derive(Default)]
    pub(super) struct Log(Mutex<Vec<(u32, u64)>>);

    impl Log {
        pub(super) fn push(&self, item: (u32, u64)) {
            self.0.lock().unwrap().push(item);
        }

        pub(super) fn all(&self) -> Vec<(u32, u64)> {
            self.0.lock().unwrap().clone()
        }
    }
}

#[test]
fn five_thousand_readers_at_once() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    load(&db);
    let mut readers = Vec::new();
    for number in 0..5000 {
        readers.push(db.read().unwrap());
        if number % 50 == 0 {
            overwrite(&db, 1, 20, number);
        }
    }
    assert_eq!(db.stats().unwrap().readers, 5000);
    let mut peer = Peer::open(&path);
    peer.ask("park");
    assert_eq!(peer.ask("readers"), "5001");
    let digests: Vec<u64> = readers.iter().step_by(499).map(digest).collect();
    overwrite(&db, 100, 50, 1);
    let again: Vec<u64> = readers.iter().step_by(499).map(digest).collect();
    assert_eq!(digests, again);
    drop(readers);
    assert_eq!(peer.ask("readers"), "1");
    assert_clean(&db);
}

#[test]
fn too_many_readers_are_an_error_until_some_end() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    load(&db);
    let mut peer = Peer::open(&path);
    let mut readers = Vec::new();
    let error = loop {
        match db.read() {
            Ok(reader) => readers.push(reader),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::ReadersFull { slots } if slots == readers.len()), "{error}");
    assert!(peer.ask("park").contains("ReadersFull"));
    // A writer goes on.
    overwrite(&db, 10, 10, 1);
    readers.pop();
    assert_eq!(peer.ask("park"), "done", "the slot of each reader that ends is free for all");
    assert!(matches!(db.read(), Err(Error::ReadersFull { .. })));
    readers.truncate(100);
    // The others are the peer's now, and its death frees them.
    assert!(peer.ask("park-all").contains("ReadersFull"));
    assert_eq!(db.readers().unwrap().len(), 16384);
    peer.ask("release");
    readers.push(db.read().unwrap());
    assert!(peer.ask("park").contains("ReadersFull"));
    peer.kill();
    overwrite(&db, 130, 10, 2);
    assert_eq!(db.stats().unwrap().readers, 101, "a writer reaps the dead");
    for _ in 0..3 {
        let other = Db::open(&path).unwrap();
        let all: Vec<ReadTxn> = (0..16384 - 101).map(|_| other.read().unwrap()).collect();
        assert!(matches!(db.read(), Err(Error::ReadersFull { .. })));
        drop(all);
        drop(db.read().unwrap());
    }
    drop(readers);
    assert_eq!(db.stats().unwrap().readers, 0);
    assert_clean(&db);
}

// ---- locks, forks, namespaces ----

/// Process-owned POSIX locks would be gone: that is why there are none.
#[test]
fn locks_survive_closing_another_descriptor() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    load(&db);
    let mut peer = Peer::open(&path);
    let reader = db.read().unwrap();
    let before = digest(&reader);
    let writing = db.write().unwrap();
    for file in [&path, &lock_path(&path)] {
        drop(fs::File::open(file).unwrap());
        drop(fs::OpenOptions::new().read(true).write(true).open(file).unwrap());
        fs::read(file).unwrap();
    }
    assert_eq!(peer.ask("try-write"), "false", "the writer's turn is still held");
    drop(writing);
    assert_eq!(peer.ask("readers"), "1", "the reader is not taken for dead");
    peer.ask("overwrite 300 100 1");
    assert_eq!(digest(&reader), before);
    // Presence is there too: a newcomer joins, and does not recover.
    let mut newcomer = Peer::open(&path);
    assert_eq!(newcomer.ask("readers"), "1");
    assert_clean(&db);
}

/// As with a profiler, or a timer of the application's. (The peers work in their main threads, which get the signals.)
#[test]
fn the_signals_of_a_timer_end_no_call() {
    let (folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    load(&db);
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::start(&path)).collect();
    let all = |peers: &mut [Peer], order: &str| -> Vec<String> {
        peers.iter_mut().for_each(|peer| peer.tell(order));
        peers.iter_mut().map(Peer::hear).collect()
    };
    all(&mut peers, "pester");
    for round in 0..5 {
        assert_eq!(all(&mut peers, "open"), ["done"; 3]);
        assert_eq!(all(&mut peers, "add 40 7"), ["done"; 3]);
        assert_eq!(all(&mut peers, "overwrite 10 300 1"), ["done"; 3]);
        let copy = folder.path().join(format!("copy-{round}"));
        let answers = all(&mut peers, &format!("copy {}", copy.display()));
        assert_eq!(answers.iter().filter(|&answer| answer == "copied").count(), 1, "{answers:?}");
        let came_late = |answer: &&String| answer.contains("AlreadyExists");
        assert_eq!(answers.iter().filter(came_late).count(), 2, "{answers:?}");
        assert_clean(&Db::open(copy).unwrap());
        assert_eq!(all(&mut peers, "close"), ["done"; 3]);
    }
    assert_eq!(get(&db, 7), Some(5 * 3 * 40));
    assert_clean(&db);
}

fn is_forked<T>(result: mapleaf::Result<T>) -> bool {
    matches!(result, Err(Error::Forked))
}

#[test]
fn a_forked_child_is_refused_and_harms_no_other() {
    let (_folder, path) = scratch();
    run_child(concat!(module_path!(), "::forks"), &path);
}

#[test]
#[ignore = "a process of `a_forked_child_is_refused_and_harms_no_other`"]
fn forks() {
    let Some(path) = child_task() else { return };
    let mut peer = Peer::start(&path);
    let db = Db::open(&path).unwrap();
    load(&db);
    peer.ask("open");

    // A child in the middle of everything.
    let reader = db.read().unwrap();
    let before = digest(&reader);
    let deferred = db.write().unwrap();
    deferred.table(&NUMBERS).unwrap().insert(7, 7).unwrap();
    let ticket = deferred.commit_deferred().unwrap();
    let mut writing = db.write().unwrap();
    writing.table(&NUMBERS).unwrap().insert(8, 8).unwrap();
    let tags = MultimapTable::<u64, u64>::new("tags");
    writing.multimap(&tags).unwrap().insert(1, 2).unwrap();
    let view = writing.view().unwrap();
    let (numbers, viewed_tags) = (view.table(&NUMBERS).unwrap(), view.multimap(&tags).unwrap());
    let status = process::in_forked_child(|| {
        let refused = [
            is_forked(view.tables()),
            is_forked(view.table(&NUMBERS)),
            is_forked(numbers.get(8)),
            is_forked(numbers.count(..)),
            is_forked(numbers.iter().next().unwrap()),
            is_forked(viewed_tags.get(1).next().unwrap()),
        ];
        refused.iter().position(|&refused| !refused).map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(status.code(), Some(0), "the number of the call of a view that was not refused");
    let owned = Arc::new(db.read().unwrap()).owned_table(&NUMBERS).unwrap();
    let mut all = Some((reader, ticket, writing, db.clone()));
    let status = process::in_forked_child(|| {
        let (reader, ticket, writing, clone) = all.take().unwrap();
        // This thread has a copy of its parent's transaction, and waits for its parent, not for itself.
        let own = Db::open(&path).unwrap();
        assert!(own.write_timeout(Duration::from_millis(20)).unwrap().is_none());
        drop(own);
        let refused = [
            is_forked(clone.read()),
            is_forked(clone.write()),
            is_forked(clone.try_write()),
            is_forked(clone.write_timeout(Duration::from_millis(1))),
            is_forked(clone.sync()),
            is_forked(clone.wait_for_commit(TransactionId::new(0), Some(Duration::from_millis(1)))),
            is_forked(clone.readers()),
            is_forked(clone.stats()),
            is_forked(clone.watch().next().unwrap()),
            is_forked(clone.clone().close()),
            is_forked(owned.iter().next().unwrap()),
            is_forked(owned.as_ref().iter().next_back().unwrap()),
            is_forked(writing.table(&NUMBERS)),
            is_forked(writing.savepoint()),
            is_forked(writing.commit()),
            is_forked(ticket.wait()),
            is_forked(clone.check()),
        ];
        drop((reader, clone));
        refused.iter().position(|&refused| !refused).map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(status.code(), Some(0), "the number of the call that was not refused");
    drop(owned);
    let (reader, ticket, writing, clone) = all.unwrap();
    assert_eq!(peer.ask("try-write"), "false", "the child has not ended its parent's turn");
    assert_eq!(peer.ask("readers"), "1", "nor its reading");
    writing.commit().unwrap();
    ticket.wait().unwrap();
    peer.ask("overwrite 300 100 1");
    assert_eq!(digest(&reader), before);
    assert_eq!((get(&db, 7), get(&db, 8)), (Some(7), Some(8)));
    drop((reader, clone));

    // A child that drops the last handle, and then opens the database itself.
    let mut last = Some(db);
    let status = process::in_forked_child(|| {
        drop(last.take());
        let db = Db::open(&path).unwrap();
        put(&db, 9, 9);
        0
    });
    assert_eq!(status.code(), Some(0));
    let db = last.unwrap();
    assert_eq!(get(&db, 9), Some(9));
    put(&db, 10, 10);
    assert_eq!(peer.ask("get 10"), "10");

    // A child that is still there, with its copies of all descriptors, when the parent has closed everything.
    let writing = db.write().unwrap();
    let mut pipe_ends = std::io::pipe().unwrap();
    let thread_of_the_child = std::thread::scope(|scope| {
        let (reader_end, writer_end) = (&mut pipe_ends.0, pipe_ends.1.try_clone().unwrap());
        let child = scope.spawn(move || {
            process::in_forked_child(move || {
                use std::io::Read;
                i32::from(reader_end.read(&mut [0]).unwrap() != 1)
            })
        });
        // The parent's transaction and its handle end while the child lives.
        drop(writing);
        drop(db);
        let answer = peer.ask("try-write");
        (&writer_end).write_all(&[1]).unwrap();
        (child.join().unwrap(), answer)
    });
    assert_eq!(thread_of_the_child.0.code(), Some(0));
    assert_eq!(
        thread_of_the_child.1, "true",
        "a lock does not stay with a child that has a copy of its file"
    );
    peer.end();
    assert_clean(&Db::open(&path).unwrap());
}

/// A server that forks workers, and is killed: the workers live on.
#[test]
fn a_forked_child_keeps_nothing_of_a_parent_that_is_killed() {
    let (_folder, path) = scratch();
    let mut peer = Peer::open(&path);
    put(&Db::open(&path).unwrap(), 1, 1);
    peer.ask("park");
    peer.ask("write 2");
    let _worker = process::Orphan(peer.number("fork") as u32);
    let db = Db::open(&path).unwrap();
    assert!(db.try_write().unwrap().is_none() && db.stats().unwrap().readers == 1, "the parent lives");
    peer.kill();
    assert!(db.try_write().unwrap().is_some(), "its turn to write has ended with it");
    assert_eq!(db.readers().unwrap(), [], "and its reading");
    put(&db, 3, 3);
    drop(db);
    // Presence too: this handle is alone, and does not take a lock file that says nothing for that of others.
    fs::remove_file(lock_path(&path)).unwrap();
    let db = Db::open(&path).unwrap();
    assert_eq!([1, 2, 3].map(|key| get(&db, key)), [Some(1), None, Some(3)]);
    assert_clean(&db);
}

/// A peer that is the first process of a PID namespace; `None` if this user may not make one.
fn peer_in_new_pid_namespace(path: &Path) -> Option<Peer> {
    let may = Command::new("unshare").args(["--pid", "--fork", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("skipped: this user may not make PID namespaces");
        return None;
    }
    let inner = crate::common::child(concat!(module_path!(), "::peer"), path);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(inner.get_program()).args(inner.get_args());
    command.env("MAPLEAF_CHILD", path);
    Some(Peer::spawn(&mut command))
}

/// As the first process of a container that forks the first process of another one.
#[test]
fn a_child_with_its_parents_process_id_is_a_child() {
    let (_folder, path) = scratch();
    let Some(mut peer) = peer_in_new_pid_namespace(&path) else { return };
    peer.ask("open");
    let db = Db::open(&path).unwrap();
    put(&db, 1, 1);
    peer.ask("park");
    peer.ask("write 2");
    assert_eq!(peer.ask("drop-in-child"), "1", "the parent's own number");
    assert!(db.try_write().unwrap().is_none(), "it is still the parent's turn");
    assert_eq!(db.readers().unwrap().len(), 1, "the parent still reads");
    peer.ask("forget-writing");
    assert!(db.try_write().unwrap().is_some());
    peer.ask("release");
    assert_eq!(db.readers().unwrap(), []);
}

/// As in two containers that share a volume: process numbers mean nothing across them.
#[test]
fn a_reader_in_another_pid_namespace_is_seen_and_its_death_too() {
    let (_folder, path) = scratch();
    let Some(mut peer) = peer_in_new_pid_namespace(&path) else { return };
    let db = Db::open(&path).unwrap();
    load(&db);
    peer.ask("open");
    peer.ask("park");
    let before = peer.ask("digest");
    // Here a process 1 lives too, or none that we may signal: neither tells anything of that one.
    let readers = db.readers().unwrap();
    assert_eq!((readers.len(), readers[0].pid), (1, 1));
    overwrite(&db, 300, 100, 1);
    assert_eq!(peer.ask("digest"), before);
    assert_eq!(db.readers().unwrap().len(), 1);
    peer.tell("write 1");
    peer.hear();
    assert!(db.try_write().unwrap().is_none());
    peer.kill();
    let tx = db.write().unwrap(); // the lock was released when it ended
    drop(tx);
    process::until("its death is noticed", || db.readers().unwrap().is_empty());
    assert_eq!(get(&db, 1), None, "its transaction never happened");
    assert_clean(&db);
}

// ---- the lock file, the data file ----

/// Leaves a durable commit (1 is 1), and a lazy one over it (1 is 2), of a process that was killed. Returns
/// their ids.
fn leave_a_lazy_commit(path: &Path) -> (TransactionId, TransactionId) {
    drop(Db::open(path).unwrap());
    let mut peer = Peer::open(path);
    let durable = peer.transaction("put 1 1 durable");
    let lazy = peer.transaction("put 1 2 lazy");
    peer.kill();
    (durable, lazy)
}

#[track_caller]
fn assert_stands_at(path: &Path, id: TransactionId, value: u64) {
    for read_only in [true, false] {
        let db = Db::options().read_only(read_only).open(path).unwrap();
        let rx = db.read().unwrap();
        assert_eq!(rx.table(&NUMBERS).unwrap().get(1).unwrap(), Some(value));
        assert!(rx.id() >= id && rx.id().since(id) < 3, "{} after {id}: a recovery adds one", rx.id());
    }
    let db = Db::open(path).unwrap();
    assert_clean(&db);
    put(&db, 2, 2);
    assert_clean(&db);
}

#[test]
fn killed_processes_lose_no_lazy_commit() {
    let (_folder, path) = scratch();
    let (_, lazy) = leave_a_lazy_commit(&path);
    assert_stands_at(&path, lazy, 2);
}

const CLOSED_LENGTH: u64 = 4096;

fn lock_length(path: &Path) -> u64 {
    fs::metadata(lock_path(path)).unwrap().len()
}

#[test]
fn the_last_handle_that_closes_leaves_a_lock_file_of_one_page() {
    if cfg!(mapleaf_portable) {
        return; // the system does not say which boot it is: so each handle that is alone recovers
    }
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let open_length = lock_length(&path);
    assert!(open_length > CLOSED_LENGTH);
    let (other, mut peer) = (Db::open(&path).unwrap(), Peer::open(&path));
    let id = put(&db, 1, 1);
    drop(db);
    assert_eq!((lock_length(&path), get(&other, 1)), (open_length, Some(1)));
    peer.ask("park");
    drop(other);
    assert_eq!((lock_length(&path), peer.number("get 1")), (open_length, 1));
    peer.ask("close");
    assert_eq!(lock_length(&path), CLOSED_LENGTH);
    // Handles that commit nothing need not recover, and leave it long; what is committed follows what was.
    for read_only in [true, false, true] {
        let db = Db::options().read_only(read_only).open(&path).unwrap();
        assert_eq!(lock_length(&path), open_length);
        assert_eq!((db.read().unwrap().id(), get(&db, 1)), (id, Some(1)));
        assert_clean(&db);
        drop(db);
        assert_eq!(lock_length(&path), open_length);
    }
    let db = Db::open(&path).unwrap();
    assert_eq!(put(&db, 1, 2).since(id), 1);
    drop(db);
    assert_eq!(lock_length(&path), CLOSED_LENGTH);
    // A handle that is killed leaves it as it is, and what is in it counts, also if readers close after that.
    peer.ask("open");
    let lazy = peer.transaction("put 1 3 lazy");
    peer.kill();
    for read_only in [true, true, false] {
        assert_eq!(lock_length(&path), open_length);
        let db = Db::options().read_only(read_only).open(&path).unwrap();
        assert_eq!(get(&db, 1), Some(3));
        let found = db.read().unwrap().id();
        assert!(found >= lazy && found.since(lazy) < 3);
    }
    // Another boot: readers recover, and leave it unrecovered.
    let mut lock = fs::read(lock_path(&path)).unwrap();
    lock[8] ^= 1;
    fs::write(lock_path(&path), lock).unwrap();
    drop(Db::options().read_only(true).open(&path).unwrap());
    assert_stands_at(&path, lazy, 3);
}

#[test]
fn handles_that_come_and_go_at_the_same_time_lose_nothing() {
    let (_folder, path) = scratch();
    put(&Db::open(&path).unwrap(), 9, 0);
    let mut random = Random::new(14);
    let mut counts = [0; 3];
    for _ in 0..if crate::common::is_long() { 200 } else { 8 } {
        let mut peers: Vec<Peer> = counts.iter().map(|_| Peer::start(&path)).collect();
        let most = 15;
        for (key, peer) in peers.iter_mut().enumerate() {
            peer.tell(&format!("visit {key} {} {most}", counts[key]));
        }
        // One of them is killed at some moment: while it opens, commits or closes, and others do.
        let mut doomed = peers.swap_remove(2);
        for count in 1..=random.below(most as usize) as u64 {
            assert_eq!(doomed.hear(), (counts[2] + count).to_string());
        }
        std::thread::sleep(Duration::from_micros(random.below(5000) as u64));
        doomed.kill();
        for (key, mut peer) in peers.into_iter().enumerate() {
            for count in 1..=most {
                assert_eq!(peer.hear(), (counts[key] + count).to_string());
            }
            peer.end();
        }
        let db = Db::open(&path).unwrap();
        db.sync().unwrap(); // a commit of the one that was killed may have happened, and not be visible yet
        assert_clean(&db);
        for (key, count) in counts.iter_mut().enumerate() {
            let found = get(&db, key as u64).unwrap_or(0);
            assert!(if key == 2 { found >= *count } else { found == *count + most });
            *count = found;
        }
        drop(db);
    }
    put(&Db::open(&path).unwrap(), 9, 1);
    assert_eq!(lock_length(&path), CLOSED_LENGTH);
}

#[test]
fn a_lock_file_that_is_not_what_was_left_is_never_believed() {
    type Damage = fn(&mut Vec<u8>);
    let rows: [(&str, Damage); 7] = [
        ("emptied", |bytes| bytes.clear()),
        ("cut within its identity", |bytes| bytes.truncate(60)),
        ("cut after its identity", |bytes| bytes.truncate(1000)),
        ("noise after its first word", |bytes| {
            let noise = Random::new(1).bytes(bytes.len() * 2);
            bytes.truncate(8);
            bytes.extend_from_slice(&noise[8..]);
        }),
        ("zeros", |bytes| bytes.fill(0)),
        ("another boot", |bytes| bytes[8] ^= 1),
        ("another version", |bytes| bytes[0] ^= 1),
    ];
    for (name, damage) in rows {
        let (_folder, path) = scratch();
        let (_, lazy) = leave_a_lazy_commit(&path);
        let lock = lock_path(&path);
        let mut bytes = fs::read(&lock).unwrap();
        damage(&mut bytes);
        fs::write(&lock, bytes).unwrap();
        println!("{name}");
        assert_stands_at(&path, lazy, 2); // the log has it
    }
    let (_folder, path) = scratch();
    let (_, lazy) = leave_a_lazy_commit(&path);
    fs::remove_file(lock_path(&path)).unwrap();
    assert_stands_at(&path, lazy, 2);
}

/// An ext4 of its own, in a file.
struct Mounted {
    folder: tempfile::TempDir,
    device: String,
}

impl Mounted {
    /// `None` if this user may not do that.
    fn new() -> Option<Mounted> {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        fs::create_dir(folder.path().join("mounted")).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        let device = Command::new("losetup").args(["-f", "--show"]).arg(&image).output();
        let (Ok(made), Ok(device)) = (made, device) else { return None };
        if !made.success() || !device.status.success() {
            return None;
        }
        let device = String::from_utf8(device.stdout).unwrap().trim().to_owned();
        let mounted = Mounted { folder, device };
        mounted.mount().then_some(mounted)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&self) -> bool {
        Command::new("mount").arg(&self.device).arg(self.path()).status().is_ok_and(|status| status.success())
    }

    fn unmount(&self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.unmount();
        let _ = Command::new("losetup").args(["-d", &self.device]).status();
    }
}

/// The page cache is gone, and the boot is the same. (`MAPLEAF_LONG=1`, as root.)
#[test]
fn a_lock_file_that_is_older_than_the_disk_is_not_believed_when_that_is_mounted_again() {
    let Some(disk) = (crate::common::is_long() && process::is_root()).then(Mounted::new).flatten() else {
        println!("skipped: it mounts a file system");
        return;
    };
    let path = disk.path().join("data.mapleaf");
    let mut peer = Peer::open(&path);
    peer.transaction("put 1 1 durable");
    peer.kill();
    assert!(Command::new("sync").status().unwrap().success()); // the lock file, with all else
    let mut peer = Peer::open(&path);
    let durable = peer.transaction("put 1 2 durable");
    let lazy = peer.transaction("put 1 3 lazy");
    assert!(lazy > durable);
    peer.kill();
    process::shut_file_system_down(&disk.path());
    disk.unmount();
    assert!(disk.mount());
    assert_stands_at(&path, durable, 2);
}

#[test]
fn a_lock_file_of_another_database_is_never_believed() {
    let (folder, path) = scratch();
    let other = folder.path().join("other.mapleaf");
    let (_, lazy) = leave_a_lazy_commit(&path);
    leave_a_lazy_commit(&other);
    fs::copy(lock_path(&other), lock_path(&path)).unwrap();
    assert_stands_at(&path, lazy, 2);
}

#[test]
fn a_copied_database_does_not_believe_its_copied_lock_file() {
    let (folder, path) = scratch();
    let (_, lazy) = leave_a_lazy_commit(&path);
    let copy = folder.path().join("copy.mapleaf");
    fs::copy(&path, &copy).unwrap();
    fs::copy(lock_path(&path), lock_path(&copy)).unwrap();
    assert_stands_at(&copy, lazy, 2);
    assert_stands_at(&path, lazy, 2);
}

/// The lock file names commits that the restored file does not have.
#[test]
fn a_backup_restored_into_the_same_file_is_what_counts() {
    let (folder, path) = scratch();
    let backup = folder.path().join("backup");
    let db = Db::open(&path).unwrap();
    let old = put(&db, 1, 100);
    drop(db);
    fs::copy(&path, &backup).unwrap();
    leave_a_lazy_commit(&path);
    let inode = fs::metadata(&path).unwrap().ino();
    fs::write(&path, fs::read(&backup).unwrap()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert_stands_at(&path, old, 100);
    // By another file of its name, too.
    leave_a_lazy_commit(&path);
    fs::rename(&backup, &path).unwrap();
    assert_stands_at(&path, old, 100);
}

/// The backup has the meta that the lock file names as durable, but not the pages of the lazy commits after it.
#[test]
fn a_backup_that_lacks_the_lazy_commits_only_is_noticed() {
    for commits in [1, 5, 1000] {
        let (folder, path) = scratch();
        let backup = folder.path().join("backup");
        let mut peer = Peer::open(&path);
        let durable = peer.transaction("put 1 1 durable");
        fs::copy(&path, &backup).unwrap();
        for value in 0..commits {
            peer.number(&format!("put 1 {} lazy", value + 2));
        }
        peer.kill();
        fs::write(&path, fs::read(&backup).unwrap()).unwrap();
        assert_stands_at(&path, durable, 1);
    }
}

#[test]
fn another_database_copied_into_the_same_file_is_what_counts() {
    let (folder, path) = scratch();
    let other = folder.path().join("other.mapleaf");
    leave_a_lazy_commit(&path);
    let db = Db::options().page_size(16384).open(&other).unwrap();
    let id = put(&db, 1, 55);
    drop(db);
    fs::write(&path, fs::read(&other).unwrap()).unwrap();
    assert_stands_at(&path, id, 55);
}

// ---- writers ----

#[test]
fn writers_of_all_processes_get_their_turns() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    put(&db, 0, 0);
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::open(&path)).collect();
    for (number, peer) in (1..).zip(&mut peers) {
        peer.tell(&format!("commit-until-told {number}"));
    }
    process::until("each has had many turns", || {
        std::thread::sleep(Duration::from_millis(5));
        (1..=4).all(|key| get(&db, key).is_some_and(|count| count >= 50))
    });
    put(&db, 999, 1); // and so does this one
    for peer in &mut peers {
        assert_eq!(peer.hear(), "done");
    }
    let counts: Vec<Option<u64>> = (1..=4).map(|key| get(&db, key)).collect();
    println!("{counts:?}");
    assert_clean(&db);
}

/// A deadline costs no writer its place: however busy the others are, only those that came before go first.
#[test]
fn a_writer_with_a_deadline_does_not_starve_among_others() {
    const TURNS: u64 = 40;
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    put(&db, 0, 0);
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::open(&path)).collect();
    for (number, peer) in (1..).zip(&mut peers) {
        peer.tell(&format!("write-until-told {number}"));
    }
    process::until("all are at work", || (1..=3).all(|key| get(&db, key).is_some()));
    let mut before: Vec<u64> = Vec::new();
    for _ in 0..TURNS {
        let seen = db.stats().unwrap().newest;
        let tx = db.write_timeout(PATIENCE).unwrap().expect("its turn comes");
        before.push(tx.id().since(seen) - 1);
    }
    put(&db, 999, 1);
    peers.iter_mut().for_each(|peer| assert_eq!(peer.hear(), "done"));
    before.sort_unstable();
    println!("commits of others meanwhile: {before:?}");
    // The three that came before, and those that went while this process did not run.
    assert!(before[TURNS as usize * 3 / 4] <= 10, "most of its turns come at once");
    assert_clean(&db);
}

#[test]
fn waiting_for_a_turn_across_processes() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    put(&db, 0, 0);
    let mut peer = Peer::open(&path);
    assert_eq!(peer.ask("try-write"), "true");
    peer.ask("write 1");
    assert!(db.try_write().unwrap().is_none());
    assert!(db.write_timeout(Duration::from_millis(20)).unwrap().is_none());
    peer.ask("forget-writing");
    assert!(db.try_write().unwrap().is_some());
    peer.ask("write 1");
    // A writer that waits without limit, and one with a long limit, get it when the peer is killed.
    std::thread::scope(|scope| {
        let waiting = [
            scope.spawn(|| drop(db.write().unwrap())),
            scope.spawn(|| assert!(db.write_timeout(PATIENCE).unwrap().is_some())),
        ];
        let other = Db::open(&path).unwrap();
        assert!(other.write_timeout(Duration::from_millis(20)).unwrap().is_none());
        peer.kill();
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(other.write_timeout(PATIENCE).unwrap().is_some());
    });
    assert_eq!(get(&db, 1), None);
}

#[test]
fn processes_share_barriers() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    put(&db, 0, 0);
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::open(&path)).collect();
    let sum = |peers: &mut Vec<Peer>| peers.iter_mut().map(|peer| peer.number("barriers")).sum::<u64>();
    // As soon as two wait they share one: so it happens sooner or later, however many processors there are.
    process::until("fewer barriers than commits", || {
        let before = sum(&mut peers);
        for (number, peer) in (0..).zip(&mut peers) {
            peer.tell(&format!("commit 4 25 {}", number * 10));
        }
        peers.iter_mut().for_each(|peer| assert_eq!(peer.hear(), "done"));
        let barriers = sum(&mut peers) - before;
        println!("{barriers} barriers for 400 commits");
        barriers < 400
    });
    for key in [0, 10, 20, 30] {
        assert!(get(&db, key).unwrap() >= 25 && get(&db, key + 3).unwrap() >= 25);
    }
    assert_clean(&db);
}

#[test]
fn waiting_for_commits_of_other_processes() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let id = put(&db, 0, 0).get();
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::open(&path)).collect();
    for peer in &mut peers {
        assert_eq!(peer.ask(&format!("wait {id} 10")), "none");
        assert_eq!(peer.ask("watch 10"), "none");
        assert_eq!(peer.ask(&format!("wait {} 10", id - 1)), id.to_string(), "that has come already");
    }
    for round in 1..20 {
        let orders = [format!("wait {} forever", id + round - 1), "watch 120000".into()];
        for (peer, order) in peers.iter_mut().zip(orders.iter().cycle()) {
            peer.tell(order);
        }
        let new = if round % 2 == 0 { put(&db, 0, round) } else { put_lazy(&db, 0, round) };
        for (number, peer) in peers.iter_mut().enumerate() {
            assert_eq!(peer.hear(), new.to_string());
            if number != 1 {
                peer.ask("watch 120000"); // so that it has seen this one
            }
        }
    }
}

/// A sleeper is not woken by a process that was killed, but wakes by itself.
#[test]
fn a_killed_sleeper_harms_no_other() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let id = put(&db, 0, 0);
    let mut killed = Peer::open(&path);
    killed.tell(&format!("wait {id} forever"));
    let mut stays = Peer::open(&path);
    stays.tell(&format!("wait {id} forever"));
    killed.kill();
    let new = put(&db, 0, 1);
    assert_eq!(stays.hear(), new.to_string());
}

// ---- want of resources ----

#[test]
fn out_of_file_descriptors() {
    if cfg!(mapleaf_portable) {
        return; // there each lock that is taken needs a descriptor
    }
    let (_folder, path) = scratch();
    drop(Db::open(&path).unwrap());
    run_child(concat!(module_path!(), "::few_descriptors"), &path);
}

#[test]
#[ignore = "a process of `out_of_file_descriptors`"]
fn few_descriptors() {
    let Some(path) = child_task() else { return };
    let db = Db::open(&path).unwrap();
    let reader = Db::options().read_only(true).open(&path).unwrap();
    let mut refused = 0;
    for most in 3..40 {
        process::limit(libc::RLIMIT_NOFILE, most);
        match Db::open(&path) {
            Ok(other) => assert_eq!(put(&other, 1, most), reader.read().unwrap().id()),
            Err(error) => {
                refused += 1;
                assert!(matches!(error, Error::Io { .. }), "{error:?}");
                assert!(error.to_string().contains("(ulimit -n)"), "{error}");
            }
        }
        // A handle that has it open goes on.
        put(&db, 2, most);
        assert_eq!(get(&reader, 2), Some(most));
    }
    assert!(refused > 0);
    process::limit(libc::RLIMIT_NOFILE, 1000);
    // Nothing is left of those that were refused.
    drop((db, reader));
    let db = Db::open(&path).unwrap();
    put(&db, 3, 3);
    assert_clean(&db);
}

#[test]
fn out_of_address_space() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    load(&db);
    for more in [64 << 30, 4 << 30, 1 << 30, 300 << 20, 100 << 20, 30 << 20, 10 << 20, 4 << 20] {
        let mut command = crate::common::child(concat!(module_path!(), "::little_address_space"), &path);
        let output = command.env("MAPLEAF_MORE", u64::to_string(&more)).output().unwrap();
        assert!(output.status.success(), "{more} more bytes: {output:?}");
        print!("{}", String::from_utf8_lossy(&output.stdout));
        put(&db, 2, more);
    }
    assert_clean(&db);
}

#[test]
#[ignore = "a process of `out_of_address_space`"]
fn little_address_space() {
    let Some(path) = child_task() else { return };
    let more: u64 = std::env::var("MAPLEAF_MORE").unwrap().parse().unwrap();
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    process::limit(libc::RLIMIT_AS, pages * 4096 + more);
    match Db::open(&path) {
        Ok(db) => {
            // A smaller range is reserved, but everything works.
            let rx = db.read().unwrap();
            assert_eq!(rx.table(&BYTES).unwrap().len(), ENTRIES);
            digest(&rx);
            put(&db, 1, more);
            println!("{more} more bytes: open");
        }
        Err(error) => {
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
            assert!(error.to_string().contains("ulimit -v"), "{error}");
            assert!(more < 100 << 20, "{more} bytes should do: {error}");
            println!("{more} more bytes: {error}");
        }
    }
}

/// As in two containers that share a volume, one of which has a boot id of its own.
#[test]
fn a_process_with_another_boot_id_is_let_in_beside_others() {
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    let (folder, path) = scratch();
    let boot_id = folder.path().join("boot_id");
    fs::write(&boot_id, "01234567-89ab-4cde-8f01-23456789abcd\n").unwrap();
    let view = format!("mount --bind '{}' {BOOT_ID}", boot_id.display());
    let status = Command::new("unshare").args(["--mount", "sh", "-c", &view]).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: this user may not mount");
        return;
    }
    let db = Db::open(&path).unwrap();
    put(&db, 1, 1);
    let inner = crate::common::child(concat!(module_path!(), "::peer"), &path);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{view} && exec \"$@\"")]).arg("sh");
    command.arg(inner.get_program()).args(inner.get_args()).env("MAPLEAF_CHILD", &path);
    let mut peer = Peer::spawn(&mut command);
    assert_eq!(peer.ask("open"), "done");
    assert_eq!(peer.ask("get 1"), "1");
    peer.transaction("put 1 2 lazy");
    assert_eq!(get(&db, 1), Some(2));
    // And the other way round: those of this boot come while only that one is here.
    drop(db);
    let db = Db::open(&path).unwrap();
    assert_eq!(get(&db, 1), Some(2));
    peer.end();
    assert_clean(&db);
}

// ---- no permission to write ----

/// A peer that sees `folder` read-only, as another file system; `None` if this user may not do that.
fn peer_on_read_only_view(folder: &Path, path: &Path) -> Option<Peer> {
    let view = format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}'", folder.display());
    let status = Command::new("unshare").args(["--mount", "sh", "-c", &view]).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: this user may not mount");
        return None;
    }
    let inner = crate::common::child(concat!(module_path!(), "::peer"), path);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{view} && exec \"$@\"")]).arg("sh");
    command.arg(inner.get_program()).args(inner.get_args()).env("MAPLEAF_CHILD", path);
    Some(Peer::spawn(&mut command))
}

/// No process can see a reader that may not write the lock file: so either it is there or writers are.
fn unseen_reader(mut peer: Peer, path: &Path) {
    let db = Db::open(path).unwrap();
    put(&db, 1, 1);
    for order in ["open", "open-read-only"] {
        let answer = peer.ask(order);
        let expected = if order == "open" { "Io" } else { "InUse" };
        assert!(answer.starts_with(expected), "{order}: {answer}");
    }
    drop(db);
    assert!(peer.ask("open").starts_with("Io"));
    assert_eq!(peer.ask("open-read-only"), "done");
    assert_eq!(peer.ask("get 1"), "1");
    peer.ask("park");
    if cfg!(mapleaf_portable) {
        assert!(
            matches!(Db::open(path), Err(Error::Replaced { .. })),
            "no handle that may write is opened beside it"
        );
        let _worker = process::Orphan(peer.number("fork") as u32);
        peer.kill();
        assert_eq!(
            put(&Db::open(path).unwrap(), 1, 2),
            put_after(path),
            "a forked child of it holds no handle off"
        );
        return;
    }
    let db = Db::open(path).unwrap();
    assert_eq!(get(&db, 1), Some(1));
    assert!(db.try_write().unwrap().is_none(), "writers wait for it");
    let waited = db.write_timeout(Duration::from_millis(10));
    assert!(matches!(waited, Err(Error::HeldOff { .. })), "after the wait it is said why");
    let _worker = process::Orphan(peer.number("fork") as u32);
    peer.kill();
    assert!(db.try_write().unwrap().is_some(), "a forked child of it holds no writer off");
    assert_eq!(put(&db, 1, 2), db.read().unwrap().id());
}

#[test]
fn a_read_only_file_system() {
    let (folder, path) = scratch();
    drop(Db::open(&path).unwrap());
    if let Some(peer) = peer_on_read_only_view(folder.path(), &path) {
        unseen_reader(peer, &path);
    }
}

#[test]
fn a_read_only_file_system_without_a_lock_file() {
    let (folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    put(&db, 1, 1);
    drop(db);
    fs::remove_file(lock_path(&path)).unwrap();
    let Some(mut peer) = peer_on_read_only_view(folder.path(), &path) else { return };
    assert_eq!(peer.ask("open-read-only"), "done");
    assert_eq!(peer.ask("get 1"), "1");
    assert!(!lock_path(&path).exists());
    let mut second = peer_on_read_only_view(folder.path(), &path).unwrap();
    assert_eq!(second.ask("open-read-only"), "done", "several such readers can be there");
    peer.end();
    second.end();
    assert_eq!(put(&Db::open(&path).unwrap(), 1, 2), put_after(&path));
}

/// The id of the newest transaction.
fn put_after(path: &Path) -> TransactionId {
    Db::open(path).unwrap().read().unwrap().id()
}

#[test]
fn a_directory_without_write_permission() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let (folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    put(&db, 1, 1);
    drop(db);
    fs::remove_file(lock_path(&path)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = crate::common::child(concat!(module_path!(), "::peer"), &path);
    if process::is_root() {
        // Root may write everywhere; so this is done as the user `nobody`, if that user may run the test.
        command.uid(65534).gid(65534);
        let may = Command::new(command.get_program()).arg("--list").uid(65534).gid(65534).output();
        if !may.is_ok_and(|output| output.status.success()) {
            println!("skipped: only root may run this program");
            return;
        }
    }
    let mut peer = Peer::spawn(&mut command);
    assert!(peer.ask("open").contains("PermissionDenied"));
    assert_eq!(peer.ask("open-read-only"), "done");
    assert_eq!(peer.ask("get 1"), "1");
    assert!(!lock_path(&path).exists());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if cfg!(mapleaf_portable) {
        assert!(
            matches!(Db::open(&path), Err(Error::Replaced { .. })),
            "no handle that may write is opened beside it"
        );
        peer.end();
        process::until("it has gone", || Db::open(&path).is_ok());
        return;
    }
    let db = Db::open(&path).unwrap();
    assert!(db.try_write().unwrap().is_none(), "writers wait for it");
    peer.end();
    process::until("it has gone", || db.try_write().unwrap().is_some());
}

#[test]
fn a_handle_closed_in_one_process_stays_open_in_others() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    put(&db, 1, 1);
    let mut peer = Peer::open(&path);
    let stop = AtomicBool::new(false);
    let opened = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                let other = Db::open(&path).unwrap();
                assert!(get(&other, 1).is_some());
                opened.fetch_add(1, SeqCst);
            }
        });
        process::until("many openings", || {
            peer.ask("put 1 5 lazy");
            peer.ask("close");
            peer.ask("open");
            opened.load(SeqCst) >= 50
        });
        stop.store(true, SeqCst);
    });
    assert_eq!(get(&db, 1), Some(5));
    assert_clean(&db);
}
