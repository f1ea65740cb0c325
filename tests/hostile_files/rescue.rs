//! A damaged file, salvaged before any process opens it.
//!
//! Besides what counts as a failure of any execution (main.rs), so does a violation of these:
//! - The damaged file and its lock file are the same afterwards, and nothing is left beside them.
//! - It ends with `NotADatabase` or `NewerFormat`, or with a database in which `check` finds nothing, that has the
//!   tables and entries that the report says, and that can be read without an error.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use mapleaf::admin::Inspector;
use mapleaf::{Db, Error, SalvageOptions, SalvageReport};

use crate::common::Random;
use crate::corpus::lock_path;
use crate::exercise::{Exercise, Findings, Plan, advice_of};

/// What is salvaged of a damaged file is at most this many times as long, and this many bytes longer.
const LENGTH_FACTOR: u64 = 4;
const LENGTH_CONSTANT: u64 = 4 << 20;

/// Salvages the file at `path`, which holds `bytes`, into a database beside it, reads and removes that.
pub(crate) fn salvage(
    path: &Path,
    bytes: &[u8],
    plan: &Plan,
    probes: &[Vec<u8>],
    findings: &mut Findings,
) -> Option<SalvageReport> {
    let mut random = Random::new(!plan.seed);
    let folder = path.parent().unwrap();
    let (names, lock) = (names_in(folder), fs::read(lock_path(path)).ok());
    let page_size = random.one_in(6).then(|| 4096 << random.below(5));
    let mut options = SalvageOptions::default();
    if let Some(page_size) = page_size {
        options = options.page_size(page_size);
    }
    let new_path = path.with_extension("salvaged");
    let result = mapleaf::salvage_with(path, &new_path, &options);
    assert!(fs::read(path).unwrap() == bytes, "the damaged file is not what it was");
    assert!(fs::read(lock_path(path)).ok() == lock, "its lock file is not what it was");
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            let is_due = match &error {
                Error::NotADatabase { .. } | Error::NewerFormat { .. } => true,
                Error::PageSizeMismatch { .. } => page_size.is_some(),
                _ => false,
            };
            assert!(is_due, "salvage returns {error:?}");
            assert_eq!(names_in(folder), names, "something is left");
            *findings.errors.entry(format!("salvage: {}", advice_of(&error))).or_default() += 1;
            return None;
        }
    };
    let _ = report.to_string();
    for problem in report.problems() {
        *findings.errors.entry(format!("salvage: {}", problem.what)).or_default() += 1;
    }
    let length = fs::metadata(&new_path).unwrap().len();
    let most = LENGTH_FACTOR * bytes.len() as u64 + LENGTH_CONSTANT;
    assert!(length <= most, "{} bytes are salvaged to {length}", bytes.len());
    let db = Db::open(&new_path).unwrap();
    let check = db.check().unwrap();
    assert!(check.is_clean(), "what has been salvaged is damaged: {check}");
    let entries: u64 = report.tables.iter().map(|table| table.entries).sum();
    assert_eq!((check.counts().tables, check.counts().entries), (report.tables.len() as u64, entries));
    findings.salvaged += 1;
    findings.entries_rescued += entries;
    Exercise { random, probes, findings, is_clean: true, has_failed_commit: false }.read(&db);
    drop(db);
    fs::remove_file(&new_path).unwrap();
    let _ = fs::remove_file(lock_path(&new_path));
    assert_eq!(names_in(folder), names, "something is left");
    Some(report)
}

/// Takes each page of a damaged file apart, as `mapleaf page` and `mapleaf map --raw` do.
pub(crate) fn inspect(path: &Path, page_size: usize) {
    let inspector = Inspector::open(path, None).or_else(|_| Inspector::open(path, Some(page_size)));
    match inspector {
        Ok(inspector) => {
            for number in 0..inspector.page_count() {
                drop(inspector.page(number).unwrap());
            }
        }
        Err(error) => assert!(!matches!(error, Error::Io { .. }), "{error:?}"),
    }
}

fn names_in(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_unstable();
    names
}
