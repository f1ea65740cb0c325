//! Hostile files: databases that are damaged with knowledge of the format, most of them with right checksums, and then
//! salvaged, opened, read, checked and written to. Each result is a value or an error: never a panic, a crash, an
//! endless loop, an access out of bounds, or memory without bound. (I5)
//!
//! An execution depends only on a number, its seed (except for the databases' random identities): which sound database
//! is taken, which steps of damage are done to it, and what is then done with it. Executions run in a child process, so
//! that the seed of one that ends the process is known; this process limits the time of each.
//!
//! ```sh
//! cargo test --test hostile_files                                               # some thousands of executions
//! MAPLEAF_FUZZ_SECONDS=600 cargo test --release --test hostile_files            # ten minutes, other seeds each time
//! MAPLEAF_SEED=17 cargo test --test hostile_files -- --nocapture                # that one again
//! ```

#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod exercise;
mod guide;
mod layout;
mod log;
mod memory;
mod mutations;
mod places;
mod regressions;
mod rescue;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::Random;
use corpus::{SMALL_SAMPLES, Sample, lock_path};
use exercise::{Findings, Plan, exercise};
use guide::{Guide, Input};
use layout::Image;
use mapleaf::{Verify, WriteMode};

/// An execution that takes longer has no end. (They take milliseconds.)
const PATIENCE: Duration = Duration::from_secs(60);
/// Executions of the short form.
const SHORT: u64 = if cfg!(debug_assertions) { 2000 } else { 10_000 };
/// A long run gives up after this many failures.
const MAX_FAILURES: usize = 12;

/// Memory that an execution may take: this many times the file, and this many bytes more, of which most are for the
/// large values that it writes.
const MEMORY_FACTOR: usize = 12;
const MEMORY_CONSTANT: usize = 16 << 20;

/// What is in the lock file's place when the damaged file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LockFile {
    None,
    /// As a killed process has left it.
    Left,
    /// The same with some bytes changed.
    LeftDamaged,
    Noise,
}

/// One execution.
struct Case {
    sample: usize,
    lock: LockFile,
    plan: Plan,
    /// A seed for each step of damage.
    steps: Vec<u64>,
    /// Whether metas that list pages list them still: such pages are compared when the database is opened.
    keeps_lists: bool,
    renews_digests: bool,
    /// Whether the file is salvaged before it is opened.
    salvages: bool,
}

impl Case {
    fn new(input: &Input) -> Case {
        let mut random = Random::new(input.seed);
        let all = corpus::samples_count();
        let sample = if random.one_in(12) { random.below(all) } else { random.below(SMALL_SAMPLES) };
        let lock = match random.below(10) {
            0..=5 => LockFile::None,
            6 | 7 => LockFile::Left,
            8 => LockFile::LeftDamaged,
            _ => LockFile::Noise,
        };
        // Large pages are not compared each time: that takes most of the time then, and finds nothing more.
        let verifies = match sample < SMALL_SAMPLES {
            true => &[Verify::FirstTouch, Verify::FirstTouch, Verify::Never, Verify::Always][..],
            false => &[Verify::FirstTouch, Verify::Never],
        };
        let plan = Plan {
            verify: *random.pick(verifies),
            verify_again: *random.pick(verifies),
            write_mode: *random.pick(&[WriteMode::Syscall, WriteMode::Mapped]),
            reads_first: random.one_in(3),
            reads_for_itself: random.one_in(4),
            dirty_memory: if random.one_in(4) { 1 << 15 } else { 256 << 20 },
            seed: random.next(),
        };
        let steps = input.steps.clone();
        let (keeps_lists, renews_digests) = (random.one_in(4), random.one_in(2));
        Case { sample, lock, plan, steps, keeps_lists, renews_digests, salvages: random.one_in(8) }
    }

    /// The damaged file, and what was done to it.
    fn image(&self, samples: &[Sample]) -> (Image, Vec<String>) {
        let sample = &samples[self.sample];
        let mut image = sample.image.clone();
        let donors: Vec<&Image> = samples.iter().map(|sample| &sample.image).collect();
        let mut words: Vec<String> =
            self.steps.iter().map(|&step| mutations::mutate(&mut image, &donors, step)).collect();
        for slot in image.meta_slots() {
            if !image.lists_pages(slot) {
                continue;
            }
            if !self.keeps_lists {
                image.forget_list(slot);
                words.push(format!("meta {slot} lists nothing"));
            } else if self.renews_digests {
                image.renew_digest(slot);
                words.push(format!("meta {slot} has its digest renewed"));
            }
        }
        (image, words)
    }

    fn put(&self, samples: &[Sample], image: &Image) {
        let sample = &samples[self.sample];
        overwrite(&sample.path, &image.bytes);
        let lock_path = lock_path(&sample.path);
        let mut random = Random::new(self.plan.seed);
        match self.lock {
            LockFile::None => drop(fs::remove_file(lock_path)),
            LockFile::Left => overwrite(&lock_path, &sample.lock),
            LockFile::LeftDamaged => {
                let mut lock = sample.lock.clone();
                for _ in 0..1 + random.below(3) {
                    let reach = *random.pick(&[512, 1600, 17_920, 27_000, lock.len()]);
                    lock[8 + random.below(reach - 8)] = *random.pick(&[0, 1, 2, 0x40, 0x80, 0xff]);
                }
                overwrite(&lock_path, &lock);
            }
            LockFile::Noise => {
                let length = *random.pick(&[0, 8, 4096, 362_240, 400_000]);
                let mut lock = random.bytes(length);
                // What does not begin as a lock file does is refused as another program's.
                let first = 8.min(length);
                lock[..first].copy_from_slice(&sample.lock[..first]);
                overwrite(&lock_path, &lock);
            }
        }
    }
}

/// The file stays the same one: it is neither removed nor replaced.
fn overwrite(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

/// In memory, if there is a place for that: syncs cost nothing there.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// `read_only` is where the samples' folder is mounted a second time, so that nothing can be written there.
fn run_case(input: &Input, samples: &[Sample], read_only: Option<&Path>, findings: &mut Findings) {
    let case = Case::new(input);
    let (image, _) = case.image(samples);
    case.put(samples, &image);
    let sample = &samples[case.sample];
    let before = memory::begin();
    let rescued = match case.salvages {
        true => {
            rescue::inspect(&sample.path, image.page_size);
            rescue::salvage(&sample.path, &image.bytes, &case.plan, &sample.probes, findings)
        }
        false => None,
    };
    if let Some(read_only) = read_only.filter(|_| case.plan.reads_for_itself) {
        let path = read_only.join(sample.path.parent().unwrap().file_name().unwrap()).join("data.mapleaf");
        exercise::read_for_itself(&path, &case.plan, &sample.probes, findings);
        assert!(fs::read(&sample.path).unwrap() == image.bytes, "a reader has changed the file");
    }
    // What the lock file knows besides, a salvage does not ask.
    let rescued = rescued.filter(|_| case.lock == LockFile::None);
    exercise(&sample.path, &case.plan, &sample.probes, rescued.as_ref(), findings);
    let taken = memory::most_since(before);
    let most = MEMORY_FACTOR * image.bytes.len() + MEMORY_CONSTANT;
    assert!(taken <= most, "it took {taken} bytes of memory, with a file of {}", image.bytes.len());
    exercise::assert_bounds(&sample.path);
    findings.most_memory = findings.most_memory.max(taken);
}

// ---- the child ----

#[test]
#[ignore = "run by the other tests as another process"]
fn hostile_files_child() {
    let Some(folder) = common::child_task() else { return };
    let samples = corpus::samples(&folder);
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (first, count, seconds) =
        (number("MAPLEAF_FIRST"), number("MAPLEAF_COUNT"), number("MAPLEAF_SECONDS"));
    let read_only = std::env::var_os("MAPLEAF_MODE").map(PathBuf::from);
    let progress = File::create(folder.join("progress")).unwrap();
    let (start, mut slowest, mut findings) = (Instant::now(), (Duration::ZERO, 0), Findings::default());
    let mut guide = Guide::new(first);
    for done in 0..count {
        let begin = Instant::now();
        if begin - start > Duration::from_secs(seconds) {
            break;
        }
        let input = given_steps(first).filter(|_| done == 0).unwrap_or_else(|| guide.next());
        let bytes = input.to_bytes();
        progress.set_len(bytes.len() as u64).unwrap();
        progress.write_all_at(&bytes, 0).unwrap();
        run_case(&input, &samples, read_only.as_deref(), &mut findings);
        slowest = slowest.max((begin.elapsed(), input.seed));
        guide.learn(input);
    }
    let mut report = File::create(folder.join("report")).unwrap();
    writeln!(
        report,
        "{findings}\n{:?} in all; the slowest was {slowest:?}{}",
        start.elapsed(),
        guide.report()
    )
    .unwrap();
    if count >= SHORT && first == 0 {
        findings.assert_reach();
    }
}

// ---- the parent ----

struct Failure {
    input: Input,
    how: String,
}

/// The steps of damage, if they are given besides a seed.
fn given_steps(seed: u64) -> Option<Input> {
    let steps = std::env::var("MAPLEAF_STEPS").ok()?;
    Some(Input { seed, steps: steps.split(',').map(|step| step.parse().expect("numbers")).collect() })
}

/// Runs executions in a child. Returns how the first one failed that did.
fn run_child(first: u64, count: u64, seconds: u64) -> Result<String, Failure> {
    let folder = scratch();
    let errors = File::create(folder.path().join("errors")).unwrap();
    let elsewhere = scratch();
    let read_only =
        common::mounted::Mounted::new("none", "bind,ro", folder.path(), elsewhere.path().join("read-only"));
    let mut child = common::child("hostile_files_child", folder.path());
    if let Some(read_only) = &read_only {
        child.env("MAPLEAF_MODE", read_only.path());
    }
    let mut child = child
        .env("MAPLEAF_FIRST", first.to_string())
        .env("MAPLEAF_COUNT", count.to_string())
        .env("MAPLEAF_SECONDS", seconds.to_string())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .unwrap();
    let now = || fs::read(folder.path().join("progress")).unwrap_or_default();
    let (mut seen, mut since, mut hangs) = (Vec::new(), Instant::now(), false);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
        if now() != seen {
            (seen, since) = (now(), Instant::now());
        } else if since.elapsed() > PATIENCE {
            hangs = true;
            child.kill().unwrap();
        }
    };
    if status.success() {
        return Ok(fs::read_to_string(folder.path().join("report")).unwrap());
    }
    let how = match hangs {
        true => format!("it does not come to an end within {PATIENCE:?}"),
        false => fs::read_to_string(folder.path().join("errors")).unwrap(),
    };
    let input = Input::from_bytes(&now()).unwrap_or(Input::of_seed(first));
    Err(Failure { input, how: format!("{status}: {how}") })
}

/// Prints what is done in an execution and how to repeat it, and keeps the file.
fn describe(input: &Input) -> String {
    let folder = scratch();
    let samples = corpus::samples(folder.path());
    let case = Case::new(input);
    let (image, words) = case.image(&samples);
    let kept: PathBuf = std::env::temp_dir().join(format!("hostile-{}.mapleaf", input.seed));
    fs::write(&kept, &image.bytes).unwrap();
    format!(
        "the database {:?}, lock file {:?}, {:?}, {}salvaged; then\n  {}\nkept as {}; to replay:\n  {}\n",
        samples[case.sample].name,
        case.lock,
        case.plan,
        if case.salvages { "" } else { "not " },
        words.join("\n  "),
        kept.display(),
        input.replay(),
    )
}

#[test]
fn hostile_files_are_values_or_errors() {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seconds = variable("MAPLEAF_FUZZ_SECONDS").or(common::is_long().then_some(600));
    let (mut first, mut count, seconds) = match (variable("MAPLEAF_SEED"), seconds) {
        (Some(seed), _) => {
            println!("{}", describe(&given_steps(seed).unwrap_or(Input::of_seed(seed))));
            (seed, 1, u64::MAX)
        }
        (None, None) => (0, SHORT, u64::MAX),
        // Other seeds than those of the last time.
        (None, Some(seconds)) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            (now.as_secs() << 20, u64::MAX >> 1, seconds)
        }
    };
    println!("seeds from {first} on");
    let (start, end) = (Instant::now(), first.saturating_add(count));
    let mut failures = Vec::new();
    while count > 0 && failures.len() < MAX_FAILURES {
        let left = seconds.saturating_sub(start.elapsed().as_secs());
        match run_child(first, count, left) {
            Ok(report) => {
                println!("{report}");
                break;
            }
            Err(failure) => {
                let Failure { input, how } = failure;
                println!("{input:?}: {how}\n{}", describe(&input));
                first = first.max(input.seed).wrapping_add(1);
                count = end.saturating_sub(first);
                failures.push(input.seed);
            }
        }
    }
    assert!(failures.is_empty(), "seeds that failed: {failures:?}; what was done stands above");
}
