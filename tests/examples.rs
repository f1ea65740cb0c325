//! The examples, run as a user runs them: as programs, in a directory of their own.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::example::example;
use mapleaf::{Db, Table, WriteTxn};
use tempfile::TempDir;

/// What a program said, and its exit code.
#[derive(Debug)]
struct Said {
    out: String,
    error: String,
    code: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { out: text(output.stdout), error: text(output.stderr), code: output.status.code() }
    }
}

impl Said {
    /// Its output, if it went well.
    #[track_caller]
    fn well(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.out
    }

    /// That it failed, with a message that has `expected` in it, in one line.
    #[track_caller]
    fn failed(&self, expected: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.error.contains(expected), "{self:?}");
        assert_eq!(self.error.trim_end().lines().count(), 1, "{self:?}");
        assert_eq!(self.out, "");
    }
}

fn run(folder: &Path, name: &str, arguments: &[&str]) -> Said {
    run_with_input(folder, name, arguments, b"")
}

fn run_with_input(folder: &Path, name: &str, arguments: &[&str], input: &[u8]) -> Said {
    let mut child = Command::new(example(name))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input has closed it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}

/// That the database is whole, whatever was done to it.
#[track_caller]
fn check(path: PathBuf) {
    let report = Db::options().create(false).open(path).unwrap().check().unwrap();
    assert!(report.is_clean(), "{report}");
}

// ---- first ----

#[test]
fn the_first_program_is_the_one_in_the_readme_and_prints_what_it_says() {
    let program = include_str!("../examples/first.rs").split_once("\n\n").unwrap().1;
    let readme = include_str!("../README.md");
    assert!(readme.contains(&format!("```rust,no_run\n{program}```")), "they differ");

    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let said = run(folder.path(), "first", &[]);
        assert!(readme.contains(&format!("```text\n{}```", said.well())), "{said:?}");
    }
    check(folder.path().join("first.mapleaf"));
}

// ---- parallel_scan ----

#[test]
fn parallel_scan_finds_the_same_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), "parallel_scan", &["--count", "5000", "--threads", "3", "--rounds", "1"]);
    assert!(said.well().contains("3 rayon threads:") && said.out.contains("a sample of 100:"), "{said:?}");
}

// ---- word_index ----

fn some_files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("poem.txt", "The maple drops a leaf.\nLeaf by leaf\nthe tree grows bare\n"),
        ("notes/tree.md", "A leaf page has entries; a branch page has children. Größe: Café\n"),
        ("notes/picture.raw", "not\0text leaf\n"),
        ("target/out.txt", "built leaf\n"),
        (".hidden/secret.txt", "hidden leaf\n"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// The rows of `--find`, with paths as they are printed in the indexed directory.
#[track_caller]
fn found(folder: &Path, words: &[&str]) -> Vec<String> {
    let said = run(folder, "word_index", &[&["--find"], words].concat());
    said.well().lines().map(|row| row.replace('\t', " ")).collect()
}

#[test]
fn word_index_indexes_finds_and_follows_changes() {
    let files = some_files();
    let folder = files.path();
    let index = |counts: &str| {
        let said = run(folder, "word_index", &[]);
        assert!(said.well().contains(counts), "{said:?}");
        check(folder.join("app.mapleaf"));
    };

    index("3 new, 0 changed, 0 removed, 0 unchanged; 1 of them binary");
    assert_eq!(
        found(folder, &["LEAF"]),
        ["notes/tree.md:1 1 leaf", "poem.txt:1 1 leaf", "poem.txt:2 2 leaf"]
    );
    assert_eq!(found(folder, &["tre*"]), ["poem.txt:3 1 tree"]);
    assert_eq!(
        found(folder, &["café", "GRÖSSE", "größe"]),
        ["notes/tree.md:1 1 café", "notes/tree.md:1 1 größe"]
    );
    index("0 new, 0 changed, 0 removed, 3 unchanged; 1 of them binary");

    fs::write(folder.join("poem.txt"), "Every line is another one now\n").unwrap();
    fs::write(folder.join("notes/added.txt"), "a new leaf\n").unwrap();
    fs::remove_file(folder.join("notes/tree.md")).unwrap();
    index("1 new, 1 changed, 1 removed, 1 unchanged; 1 of them binary");
    assert_eq!(found(folder, &["leaf"]), ["notes/added.txt:1 1 leaf"]);
    assert_eq!(found(folder, &["another"]), ["poem.txt:1 1 another"]);

    // Written again with the same content: read, and found to be the same.
    fs::write(folder.join("poem.txt"), "Every line is another one now\n").unwrap();
    index("0 new, 0 changed, 0 removed, 3 unchanged");

    // From text to binary and back.
    fs::write(folder.join("poem.txt"), "another\0").unwrap();
    index("0 new, 1 changed, 0 removed, 2 unchanged; 2 of them binary");
    assert_eq!(run(folder, "word_index", &["--find", "another"]).code, Some(1));
    fs::write(folder.join("poem.txt"), "another poem").unwrap();
    index("0 new, 1 changed, 0 removed, 2 unchanged; 1 of them binary");
    assert_eq!(found(folder, &["another"]), ["poem.txt:1 1 another"]);
}

#[test]
fn word_index_finds_several_words() {
    let files = some_files();
    run(files.path(), "word_index", &[]).well();

    let each = found(files.path(), &["leaf", "tree", "lea*"]);
    let expected = ["notes/tree.md:1 1 leaf", "poem.txt:1 1 leaf", "poem.txt:2 2 leaf", "poem.txt:3 1 tree"];
    assert_eq!(each, expected);
    let all = found(files.path(), &["leaf", "tree", "--all"]);
    assert_eq!(all, expected[1..]);

    let said = run(files.path(), "word_index", &["--find", "leaf", "xyzzy"]);
    assert_eq!(said.well().lines().count(), 3);
    assert_eq!(
        said.error,
        "leaf: 4 times, on 3 lines, in 2 files\nxyzzy: in no file\nall of them: in 0 files\n"
    );
    let said = run(files.path(), "word_index", &["--find", "xyzzy"]);
    assert_eq!((said.code, said.out.as_str(), said.error.as_str()), (Some(1), "", "xyzzy: in no file\n"));
}

#[test]
fn word_index_keeps_its_index_elsewhere_and_says_what_is_in_it() {
    let (files, elsewhere) = (some_files(), tempfile::tempdir().unwrap());
    let directory = files.path().to_str().unwrap();
    run(elsewhere.path(), "word_index", &["--database", "words.mapleaf", directory]).well();
    assert!(!files.path().join("app.mapleaf").exists());

    let said = run(elsewhere.path(), "word_index", &["--database", "words.mapleaf", "--find", "maple"]);
    let path = files.path().canonicalize().unwrap().join("poem.txt");
    assert_eq!(said.well(), format!("{}:1\t1\tmaple\n", path.display()));

    let said = run(elsewhere.path(), "word_index", &["--database", "words.mapleaf", "--stats"]);
    for expected in
        ["4096 bytes", "tables       5", "files                 3 entries", "(str,u32,u32) -> u32"]
    {
        assert!(said.well().contains(expected), "{expected:?} is not in {said:?}");
    }
}

#[test]
fn word_index_refuses_clearly() {
    let files = some_files();
    let folder = files.path();
    run(folder, "word_index", &["no/such/directory"]).failed("cannot index no/such/directory: No such file");
    run(folder, "word_index", &["poem.txt"]).failed("it is not a directory");
    run(folder, "word_index", &["--find", "leaf"]).failed("there is no app.mapleaf");
    run(folder, "word_index", &["--stats"]).failed("there is no app.mapleaf");
    run(folder, "word_index", &["--database", "poem.txt"]).failed("poem.txt is not a mapleaf database");
    run(folder, "word_index", &["--database", "notes"]).failed("cannot open notes: Is a directory");
    assert!(!folder.join("app.mapleaf").exists());
    assert!(!folder.join("poem.txt-lock").exists());

    run(folder, "word_index", &[]).well();
    run(folder, "word_index", &["notes"]).failed("give another --database to index");
    run(folder, "word_index", &["--find", "b+tree"]).failed("\"b+tree\" is not a word");

    let db = Db::open(folder.join("app.mapleaf")).unwrap();
    run(folder, "word_index", &[]).well(); // others may have it open
    run(folder, "word_index", &["--find", "leaf"]).well();
    drop(db);

    run_with_input(folder, "packages", &["load"], PACKAGES.as_bytes()).well();
    run(folder, "word_index", &["--database", "packages.mapleaf"]).failed("not a word index");
}

#[test]
#[cfg(unix)]
fn word_index_leaves_what_it_cannot_read_as_it_was() {
    use std::os::unix::fs::PermissionsExt;
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    let files = some_files();
    let notes = files.path().join("notes");
    run(files.path(), "word_index", &[]).well();
    allow(&notes, 0o000);
    if fs::read_dir(&notes).is_ok() {
        return; // This user may read everything.
    }
    let said = run(files.path(), "word_index", &[]);
    allow(&notes, 0o755);
    assert_eq!(said.code, Some(2));
    assert!(said.error.contains("Permission denied"), "{said:?}");
    assert!(said.out.contains("0 removed, 3 unchanged"), "{said:?}");
    assert_eq!(found(files.path(), &["branch"]), ["notes/tree.md:1 1 branch"]);
}

#[test]
#[cfg(unix)]
fn a_closed_pipe_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("long.txt"), "again\n".repeat(100_000)).unwrap();
    run(folder.path(), "word_index", &[]).well();
    let mut child = Command::new(example("word_index"))
        .args(["--find", "again"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let said = Said::from(child.wait_with_output().unwrap());
    said.well();
    assert_eq!(said.error, "again: 100000 times, on 100000 lines, in 1 file\n");
}

// ---- packages ----

const PACKAGES: &str = "\
libant\t1.0\tlibs\t300\tlibc6\tants
ant\t1.10\tjava\t2048\tjava-runtime (>= 8), libant\tbuild tool
bat\t0.22\tutils\t5120\tlibc6\tcat with wings
libbat\t0.2\tlibs\t\t\tof unknown size
cat\t9.1\tutils\t40\tlibc6\tcat
";

fn packages(folder: &Path, question: &str) -> Said {
    run(folder, "packages", &question.split(' ').collect::<Vec<_>>())
}

#[track_caller]
fn names(folder: &Path, question: &str) -> Vec<String> {
    let said = packages(folder, question);
    said.well().lines().map(|row| row.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn packages_finds_in_both_directions() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    let said = run_with_input(folder, "packages", &["load"], PACKAGES.as_bytes());
    assert!(said.well().starts_with("5 packages loaded"), "{said:?}");

    let said = packages(folder, "get ant");
    for expected in ["1.10", "java", "2048 KiB", "java-runtime (>= 8), libant", "build tool"] {
        assert!(said.well().contains(expected), "{said:?}");
    }
    assert_eq!(packages(folder, "prefix cat").well(), "cat\t9.1\tutils\t40\tcat\n");
    assert_eq!(names(folder, "prefix lib"), ["libant", "libbat"]);
    assert_eq!(names(folder, "prefix lib --reverse"), ["libbat", "libant"]);
    assert_eq!(names(folder, "prefix lib --reverse --limit 1"), ["libbat"]);
    assert_eq!(names(folder, "range ant cat"), ["ant", "bat"]);
    assert_eq!(names(folder, "range b z --reverse"), ["libbat", "libant", "cat", "bat"]);
    assert_eq!(names(folder, "section utils"), ["bat", "cat"]);
    assert_eq!(names(folder, "section utils --reverse"), ["cat", "bat"]);
    assert_eq!(names(folder, "largest 2"), ["bat", "ant"]);
    assert_eq!(names(folder, "largest 2 --reverse"), ["cat", "libant"]);
    assert_eq!(names(folder, "largest 100"), ["bat", "ant", "libant", "cat"]);
    assert_eq!(packages(folder, "sections").well(), "java\t1\nlibs\t2\nutils\t2\n");
    for question in ["get dog", "prefix dog", "range z a", "section dogs"] {
        let said = packages(folder, question);
        assert_eq!((said.code, said.error.as_str()), (Some(1), "packages: nothing found\n"), "{question}");
    }
    check(folder.join("packages.mapleaf"));
}

#[test]
fn packages_loads_all_lines_or_none() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    packages(folder, "get ant").failed("there is no packages.mapleaf");
    run_with_input(folder, "packages", &["load"], PACKAGES.as_bytes()).well();

    let wrong: [(&[u8], &str); 6] = [
        (b"", "there is no package on standard input"),
        (b"new\t1\tx\t1\t\t\ntwo\tfields\n", "line 2: expected 6 fields with tabs between them, found 2"),
        (b"new\t1\tx\tbig\t\t\n", "line 1: \"big\" is not a size in KiB"),
        (b"new\t1\tx\t1\t\t\n\t1\tx\t1\t\t\n", "line 2: the package has no name"),
        (b"new\t1\tx\t1\t\t\nnew\t1\tx\t1\t\t\n", "line 2: package new is on an earlier line already"),
        (b"new\t1\tx\t1\t\t\nn\xff\t1\tx\t1\t\t\n", "line 2: it is not UTF-8"),
    ];
    for (input, message) in wrong {
        run_with_input(folder, "packages", &["load"], input).failed(message);
        assert_eq!(names(folder, "range a z"), ["ant", "bat", "cat", "libant", "libbat"], "{message}");
        check(folder.join("packages.mapleaf"));
    }
    let long = format!("{}\t1\tx\t1\t\t\n", "k".repeat(3000));
    run_with_input(folder, "packages", &["load"], long.as_bytes()).failed("a key of 3000 bytes is too long");

    run_with_input(folder, "packages", &["load"], b"dog\t1\tpets\t7\t\tbarks\n").well();
    assert_eq!(names(folder, "range a z"), ["dog"]);
    assert_eq!(packages(folder, "sections").well(), "pets\t1\n");
    assert_eq!(names(folder, "largest 9"), ["dog"]);
    check(folder.join("packages.mapleaf"));
}

// ---- shared_lookup ----

/// The rest of the row that begins with `name`, in columns.
#[track_caller]
fn row<'said>(said: &'said Said, name: &str) -> Vec<&'said str> {
    let row = said.well().lines().find_map(|line| line.strip_prefix(name));
    row.unwrap_or_else(|| panic!("no {name}: {said:?}")).split_whitespace().skip(2).collect()
}

#[test]
fn shared_lookup_runs_readers_and_a_writer_over_the_same_pages() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--entries", "2000", "--seconds", "0.3", "--readers", "3"];
    let said = run(folder.path(), "shared_lookup", &arguments);
    assert!(said.well().starts_with("2,000 entries loaded into shared.mapleaf in "), "{said:?}");
    assert!(said.out.contains("for 300.0ms: 3 processes to look them up, 1 process to write\n"), "{said:?}");
    assert!(said.out.contains(" lookups a second; each value was as it should be\n"), "{said:?}");
    assert!(said.out.contains("the writer has made "), "{said:?}");
    for number in 1..=3 {
        let columns = row(&said, &format!("reader {number} "));
        assert_ne!(columns[0], "0", "{said:?}");
        if cfg!(target_os = "linux") {
            assert_ne!(columns[3], "0", "it shares pages: {said:?}");
        }
    }
    check(folder.path().join("shared.mapleaf"));

    let said = run(folder.path(), "shared_lookup", &["--no-writer", "--seconds", "0.1", "--entries", "1"]);
    assert!(said.well().contains("2 processes to look them up, none to write\n"), "{said:?}");
    assert!(!said.out.contains("writer"), "{said:?}");
}

#[test]
fn shared_lookup_reads_lines_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let lookup = |file: &str| run(folder.path(), "shared_lookup", &["--seconds", "0.1", "--from", file]);
    fs::write(folder.path().join("packages.tsv"), PACKAGES).unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    fs::write(folder.path().join("binary"), b"text\n\xff\n").unwrap();
    let said = lookup("packages.tsv");
    let count = PACKAGES.lines().count();
    assert!(said.well().starts_with(&format!("{count} entries loaded into ")), "{said:?}");

    lookup("nowhere").failed("cannot read nowhere: No such file");
    lookup("empty").failed("there is no line in the file");
    lookup("binary").failed("line 2 of binary: it is not UTF-8");
    run(folder.path(), "shared_lookup", &["--database", "packages.tsv"])
        .failed("packages.tsv is not a mapleaf database");
    check(folder.path().join("shared.mapleaf"));
}

// ---- live_config ----

fn live_config(folder: &Path, question: &str) -> Said {
    run(folder, "live_config", &question.split(' ').collect::<Vec<_>>())
}

/// A process that goes on until this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Waits until the file is as it should be.
#[track_caller]
fn wait_for_content(path: &Path, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while fs::read_to_string(path).unwrap() != expected {
        assert!(Instant::now() < deadline, "{:?}", fs::read_to_string(path));
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn live_config_tells_watchers_what_other_processes_change() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    live_config(folder, "get").failed("there is no config.mapleaf");
    live_config(folder, "watch").failed("there is no config.mapleaf");
    live_config(folder, "set port 80").well();
    live_config(folder, "set host localhost").well();

    let (output, other_output) = (folder.join("output"), folder.join("other output"));
    let start = |output: &Path| {
        let mut command = Command::new(example("live_config"));
        command.arg("watch").current_dir(folder).stdout(fs::File::create(output).unwrap());
        Running(command.spawn().unwrap())
    };
    let first = start(&output);
    wait_for_content(&output, "host = localhost\nport = 80\n");
    live_config(folder, "set port 8080").well();
    wait_for_content(&output, "host = localhost\nport = 80\nport = 8080\n");
    let second = start(&other_output);
    wait_for_content(&other_output, "host = localhost\nport = 8080\n");
    live_config(folder, "unset host").well();
    wait_for_content(&other_output, "host = localhost\nport = 8080\nhost is unset\n");
    wait_for_content(&output, "host = localhost\nport = 80\nport = 8080\nhost is unset\n");

    drop(first); // killed, as by Ctrl-C: the other does not notice
    live_config(folder, "set port 443").well();
    wait_for_content(&other_output, "host = localhost\nport = 8080\nhost is unset\nport = 443\n");
    drop(second);

    assert_eq!(live_config(folder, "get").well(), "port = 443\n");
    assert_eq!(live_config(folder, "get port").well(), "443\n");
    for question in ["get host", "unset host"] {
        let said = live_config(folder, question);
        assert_eq!((said.code, said.error.as_str()), (Some(1), "live_config: host is not set\n"));
    }
    check(folder.join("config.mapleaf"));
}

#[test]
fn live_config_demonstrates_itself() {
    let folder = tempfile::tempdir().unwrap();
    let said = live_config(folder.path(), "demo --watchers 2 --changes 4");
    assert!(said.well().starts_with("watching: processes "), "{said:?}");
    assert!(said.out.contains("\nchange 4: durable after "), "{said:?}");
    assert!(said.out.ends_with("\nevery watcher saw every change\n"), "{said:?}");
    assert_eq!(live_config(folder.path(), "get").well(), "");
    check(folder.path().join("config.mapleaf"));
}

#[test]
fn an_error_is_told_once_and_names_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let said = live_config(folder.path(), "--database nowhere/a.mapleaf set port 80");
    said.failed("nowhere/a.mapleaf: No such file or directory");
    assert!(said.error.starts_with("live_config: cannot create nowhere/"), "{said:?}");
    assert_eq!(said.error.matches("No such file").count(), 1, "{said:?}");
    assert!(!said.error.contains("-lock"), "{said:?}");
}

// ---- torture ----

fn torture(folder: &Path, question: &str) -> Said {
    run(folder, "torture", &question.split_whitespace().collect::<Vec<_>>())
}

impl Said {
    /// That something was found to be wrong, and what.
    #[track_caller]
    fn found_wrong(&self, expected: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.error.starts_with("torture: ") && self.error.contains(expected), "{self:?}");
        assert_eq!(self.out, "");
    }
}

#[test]
fn torture_acknowledges_each_commit_and_finds_them_all() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    let lines =
        |numbers: std::ops::RangeInclusive<u64>| numbers.map(|n| format!("ACK {n}\n")).collect::<String>();
    assert_eq!(torture(folder, "run --database a --commits 30").well(), lines(1..=30));
    assert_eq!(torture(folder, "run --database a --commits 5 --durability deferred").well(), lines(31..=35));
    let said = torture(folder, "verify --database a --acknowledged 35");
    assert_eq!(said.well(), "found 35, acknowledged 35: all there\n");

    // So many that each entry was written again and again: verifying goes back only as far as it must.
    let said = torture(folder, "run --database a --commits 2000 --durability lazy");
    assert!(said.well().ends_with("ACK 2035\n") && said.out.lines().count() < 1000, "not after each commit");
    fs::write(folder.join("log"), said.out).unwrap();
    let said = torture(folder, "verify --database a --log log");
    assert_eq!(said.well(), "found 2035, acknowledged 2035: all there\n");
    check(folder.join("a"));
}

#[test]
fn torture_runs_several_workers_with_every_durability() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    for arguments in
        ["--durability mixed", "--durability mixed --write-mode mapped", "--first-worker 3 --seconds 0.2"]
    {
        let command = format!(
            "run --database a --workers 3 --commits 60 --page-size 8192 --value-size 900 {arguments}"
        );
        let said = torture(folder, &command);
        fs::write(folder.join("log"), format!("the console says\r\n{}", said.well())).unwrap();
        torture(folder, "verify --database a --log log").well();
    }
    let said = torture(folder, "verify --database a --acknowledged 0=120 --acknowledged 2=120 --log log");
    assert!(said.well().starts_with("found 0=120 1=120 2=120 3="), "{said:?}");
    torture(folder, "verify --database a --acknowledged 0=120 --acknowledged 2=121")
        .found_wrong("LOST: found 0=120 1=120 2=120 3=");
    torture(folder, "verify --database a --acknowledged 7=1").found_wrong("LOST");
}

#[test]
fn torture_reads_acknowledgements_among_other_lines() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    torture(folder, "run --database a --commits 7 --durability lazy").well();
    let verify = |log: &[u8]| {
        fs::write(folder.join("log"), log).unwrap();
        torture(folder, "verify --database a --log log")
    };
    // Broken in two by another message, not whole, not text, with more after it: none of them counts.
    let noise = b"[1.0] up\r\nACK 6\r\nACK 8[1.1] sd\r\n1\r\nACK \xff9\nACK 0 8 9\nACK 9x\nACK 5\nACK 12";
    assert_eq!(verify(noise).well(), "found 7, acknowledged 6: all there\n");
    assert_eq!(verify(b"").well(), "found 7, acknowledged nothing: all there\n");
    verify(b"ACK 8\n").found_wrong("LOST: found 7, acknowledged 8");
}

#[test]
fn torture_notices_a_database_that_is_too_old_or_not_there() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    assert!(
        torture(folder, "verify --database a --acknowledged 0").well().contains("nothing was acknowledged")
    );
    torture(folder, "verify --database a --acknowledged 1")
        .found_wrong("LOST: there is no a, acknowledged 1");
    assert!(!folder.join("a").exists());

    torture(folder, "run --database a --commits 20").well();
    fs::copy(folder.join("a"), folder.join("older")).unwrap();
    torture(folder, "run --database a --commits 20").well();
    torture(folder, "verify --database a --acknowledged 40").well();
    torture(folder, "verify --database older --acknowledged 40")
        .found_wrong("LOST: found 20, acknowledged 40");
    torture(folder, "verify --database older --acknowledged 20").well();
}

#[test]
fn torture_notices_whatever_was_tampered_with() {
    const ENTRIES: Table<(u64, u64), [u8]> = Table::new("entries");
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    // With this seed the worker's own table has 72 entries after 300 commits, which commit 282 made.
    torture(folder, "run --database sound --commits 300 --durability lazy --seed 6").well();
    let tampered = |acknowledged: u64, change: &dyn Fn(&WriteTxn) -> mapleaf::Result<()>, expected: &str| {
        fs::copy(folder.join("sound"), folder.join("a")).unwrap();
        Db::open(folder.join("a")).unwrap().update(|tx| change(tx)).unwrap();
        torture(folder, &format!("verify --database a --acknowledged {acknowledged}")).found_wrong(expected);
        fs::remove_file(folder.join("a-lock")).unwrap();
    };
    let number = |tx: &WriteTxn, number: u64| tx.table(&Table::<u64, u64>::new("numbers"))?.insert(0, number);
    tampered(300, &|tx| tx.table(&ENTRIES)?.pop_first().map(drop), "WRONG: worker 0 at 300: expected entry");
    tampered(300, &|tx| tx.table(&ENTRIES)?.pop_last().map(drop), "found no more entries");
    tampered(
        300,
        &|tx| tx.table(&ENTRIES)?.insert((0, 5000), &[1][..]).map(drop),
        "after all entries: found entry 5000",
    );
    tampered(
        300,
        &|tx| {
            let mut entries = tx.table(&ENTRIES)?;
            let (key, mut value) = entries.pop_last()?.unwrap();
            value[0] ^= 1;
            entries.insert(key, &value[..]).map(drop)
        },
        "WRONG: worker 0 at 300: expected entry",
    );
    tampered(300, &|tx| number(tx, 299).map(drop), "LOST: found 299, acknowledged 300");
    tampered(300, &|tx| number(tx, 301).map(drop), "WRONG: worker 0 at 301: ");
    tampered(300, &|tx| tx.drop_table("numbers").map(drop), "LOST: found nothing, acknowledged 300");
    tampered(0, &|tx| tx.drop_table("numbers").map(drop), "WRONG: no commit has a number");
    tampered(300, &|tx| tx.drop_table("settings").map(drop), "WRONG: the seed is missing");
    tampered(300, &|tx| tx.drop_table("refilled-0").map(drop), "no table refilled-0");
    let refilled = Table::<u64, [u8]>::new("refilled-0");
    tampered(300, &|tx| tx.table(&refilled)?.pop_last().map(drop), "71 entries of 72 that commit 282 made");
    tampered(
        300,
        &|tx| tx.table(&refilled)?.pop_first().map(drop),
        "WRONG: worker 0 at 300: entry 0 that commit 282",
    );
    tampered(300, &|tx| tx.table(&Table::<u64, u64>::new("more")).map(drop), "WRONG: tables ");

    // A flipped bit in some pages; those of free pages are no matter.
    let sound = fs::read(folder.join("sound")).unwrap();
    let mut noticed = 0;
    for page in (2..sound.len() / 4096).step_by(7) {
        let mut bytes = sound.clone();
        bytes[page * 4096 + 2000] ^= 4;
        fs::write(folder.join("a"), bytes).unwrap();
        let said = torture(folder, "verify --database a --acknowledged 300");
        if said.code != Some(0) {
            said.found_wrong(""); // wrong; or lost, if the older record was chosen
            noticed += 1;
        }
        let _ = fs::remove_file(folder.join("a-lock"));
    }
    assert!(noticed > 3, "{noticed} of {} pages", sound.len() / 4096);
}

#[test]
fn torture_refuses_what_it_cannot_try() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    torture(folder, "run --database a --commits 1 --seed 5 --value-size 70").well();
    torture(folder, "run --database a --commits 1 --seed 6").failed("a was begun with seed 5");
    torture(folder, "run --database a --commits 1 --value-size 71")
        .failed("a was begun with values of 70 bytes");
    torture(folder, "run --database no/a").failed("cannot create no/a: No such file");
    torture(folder, "verify --database a --log nowhere").failed("cannot read nowhere: No such file");
    for usage in
        ["verify --database a", "verify --database a --acknowledged x", "run --database a --seconds -1"]
    {
        assert_eq!(torture(folder, usage).code, Some(2), "{usage}");
    }
    let said = torture(folder, "kill --database a --rounds 3 --seed 6 --longest-life 60");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.error.contains("a was begun with seed 5") && said.error.contains("ended by itself"),
        "{said:?}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn torture_kills_and_looks_until_it_has_had_enough_or_ctrl_c_comes() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    let said = torture(folder, "kill --database a --rounds 6 --processes 2 --workers 2 --durability mixed");
    assert!(said.well().starts_with("6 rounds, 12 processes killed, "), "{said:?}");
    assert!(said.out.ends_with(": all there\n"), "{said:?}");

    let child = Command::new(example("torture"))
        .args(["kill", "--database", "a", "--rounds", "1000000", "--longest-life", "600"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(700));
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let said = Said::from(child.wait_with_output().unwrap());
    assert!(said.well().ends_with(": all there\n"), "{said:?}");
    // No process has it open any more.
    assert!(mapleaf::salvage(folder.join("a"), folder.join("rescued")).unwrap().is_complete());
}
