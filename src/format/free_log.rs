//! The log of free space on disk: the encoding of its entries, and its pages.
//!
//! The log is one *base* (the whole state of free space) and then one *delta* for each transaction committed since,
//! oldest first. Its newest bytes, the tail, lie in the meta page; when the tail becomes too long, it moves to
//! free-log pages, each of which names the one before it. So the log is the payloads of the chain, oldest page first,
//! and then the tail. An entry may span pages. A base begins in the first payload byte of the page that has the flag
//! for it: that page is the oldest of the chain. A log without pages has its base in the tail.
//!
//! A base is the state *before* the transaction that writes it, whose own delta follows. Pages that the transaction
//! takes for the log itself are part of the delta and do not change the base, and [`page_count`] bounds what they add
//! to the delta. So saving the free list does not change it again.
//!
//! | entry | fields, all LEB128 |
//! |---|---|
//! | base | 1, length in pages, newest death, number of free runs, *free runs*, number of retired runs, *them* |
//! | delta | 2, transaction, length in pages after it, number of taken runs, *them*, number of retired runs, *them* |
//! | free or taken run | pages between it and the run before (from page 2 on), its pages less 1 |
//! | retired run | the same, then in a base newest death - death, then death - birth - 1 |
//! | names | 3 to 5, see [`names`] |
//!
//! Invariants:
//! - I5: [`entries`] and [`read_page`] return [`crate::Error::Corrupt`] for bytes that no writer encodes, and take
//!   memory in proportion to their input. Runs that they return ascend, do not overlap, and lie within
//!   `2..length_pages`, and birth < death.

pub(crate) mod names;

use std::collections::HashSet;

use crate::base::bytes::{get_u16, get_u32, push_varint, put_u16, put_u32, take_varint};
use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::page::{self, HEADER_LEN, PageKind};

use self::names::NamesEntry;

/// The pages before this one are the meta pages and are never free.
pub(crate) const FIRST_PAGE: u32 = 2;

const BASE: u64 = 1;
const DELTA: u64 = 2;
const ALL_NAMES: u64 = 3;
const NAME_GIVEN: u64 = 4;
const NAME_DROPPED: u64 = 5;

/// The most that one more taken run adds to a delta: two varints of 32 bits.
const RUN_LEN_MAX: usize = 10;
/// The most bytes by which the varints of the number of runs and of the file's length grow when runs are added: each
/// has one byte at least and five at most.
const COUNTS_GROWTH_MAX: usize = 8;

const FLAGS_AT: usize = 18;
const PREVIOUS_AT: usize = 20;
const LENGTH_AT: usize = 24;
const RESERVED_AT: usize = 28;
const FLAG_BEGINS_BASE: u16 = 1;

/// A run that was born in one transaction and replaced in another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RetiredRun {
    pub(crate) run: Extent,
    pub(crate) birth: TransactionId,
    pub(crate) death: TransactionId,
}

/// The whole state of free space. Runs ascend.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Base {
    pub(crate) length_pages: u32,
    pub(crate) free: Vec<Extent>,
    pub(crate) retired: Vec<RetiredRun>,
}

/// What one transaction changed. Runs ascend. It is applied in this order: the file grows, `taken` is removed from
/// the free or retired runs, `retired` is added, the file shrinks. Runs that become free by the interval rule are not
/// logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Delta {
    pub(crate) id: TransactionId,
    /// Length of the file after the transaction.
    pub(crate) length_pages: u32,
    pub(crate) taken: Vec<Extent>,
    /// Run and birth; the death is `id`.
    pub(crate) retired: Vec<(Extent, TransactionId)>,
}

/// One entry of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Base(Base),
    Delta(Delta),
    Names(NamesEntry),
}

/// The bytes of a base.
pub(crate) fn encode_base(base: &Base) -> Vec<u8> {
    let newest = base.retired.iter().map(|retired| retired.death.0).max().unwrap_or(0);
    let mut out = Vec::new();
    push_varint(&mut out, BASE);
    push_varint(&mut out, u64::from(base.length_pages));
    push_varint(&mut out, newest);
    push_runs(&mut out, &base.free);
    push_varint(&mut out, base.retired.len() as u64);
    let mut end = FIRST_PAGE;
    for retired in &base.retired {
        push_run(&mut out, &mut end, retired.run);
        push_varint(&mut out, newest - retired.death.0);
        push_life(&mut out, retired.birth, retired.death);
    }
    out
}

/// The bytes of a delta.
pub(crate) fn encode_delta(delta: &Delta) -> Vec<u8> {
    let mut out = Vec::new();
    push_varint(&mut out, DELTA);
    push_varint(&mut out, delta.id.0);
    push_varint(&mut out, u64::from(delta.length_pages));
    push_runs(&mut out, &delta.taken);
    push_varint(&mut out, delta.retired.len() as u64);
    let mut end = FIRST_PAGE;
    for &(run, birth) in &delta.retired {
        push_run(&mut out, &mut end, run);
        push_life(&mut out, birth, delta.id);
    }
    out
}

fn push_runs(out: &mut Vec<u8>, runs: &[Extent]) {
    push_varint(out, runs.len() as u64);
    let mut end = FIRST_PAGE;
    for &run in runs {
        push_run(out, &mut end, run);
    }
}

/// Appends a run as its distance from `end`, the end of the run before.
fn push_run(out: &mut Vec<u8>, end: &mut u32, run: Extent) {
    assert!(run.first.0 >= *end && run.count > 0, "runs ascend and have pages");
    push_varint(out, u64::from(run.first.0 - *end));
    push_varint(out, u64::from(run.count - 1));
    *end = run.end();
}

fn push_life(out: &mut Vec<u8>, birth: TransactionId, death: TransactionId) {
    assert!(birth < death, "a run is born before it dies");
    push_varint(out, death.0 - birth.0 - 1);
}

/// The greatest length of a delta of `delta_len` bytes after up to `more_taken_runs` runs were added to
/// `taken`, and the file has grown for them.
pub(crate) fn longest_delta_len(delta_len: usize, more_taken_runs: usize) -> usize {
    // A run that is added makes the distance of its successor shorter, or makes a neighbour longer.
    delta_len + more_taken_runs * RUN_LEN_MAX + COUNTS_GROWTH_MAX
}

/// How many log pages hold `earlier_len` bytes and then a delta. The delta has `delta_len` bytes before these pages
/// themselves are added to its taken runs, in any number of runs.
pub(crate) fn page_count(earlier_len: usize, delta_len: usize, page_size: usize) -> usize {
    let len = earlier_len + longest_delta_len(delta_len, 0);
    // Each page brings its capacity, and at most one run.
    len.div_ceil(page_capacity(page_size) - RUN_LEN_MAX)
}

/// The entries of a log, oldest first. An error ends the iteration.
pub(crate) fn entries(log: &[u8]) -> Entries<'_> {
    Entries { input: log }
}

/// See [`entries`].
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a> {
    input: &'a [u8],
}

impl Entries<'_> {
    /// The bytes that have not been read yet.
    pub(crate) fn bytes_left(&self) -> usize {
        self.input.len()
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        if self.input.is_empty() {
            return None;
        }
        let entry = take_entry(&mut self.input);
        if entry.is_err() {
            self.input = &[];
        }
        Some(entry)
    }
}

fn take_entry(input: &mut &[u8]) -> Result<Entry> {
    match take_number(input)? {
        BASE => take_base(input).map(Entry::Base),
        DELTA => take_delta(input).map(Entry::Delta),
        tag @ (ALL_NAMES | NAME_GIVEN | NAME_DROPPED) => names::take_names(tag, input).map(Entry::Names),
        tag => Err(corrupt(None, "free-space log entry", "1 (base), 2 (delta), 3 to 5 (names)", tag)),
    }
}

fn take_base(input: &mut &[u8]) -> Result<Base> {
    let length_pages = take_length(input)?;
    let newest = take_number(input)?;
    let free = take_list(input, length_pages, |_, run| Ok(run))?;
    let retired = take_list(input, length_pages, |input, run| {
        let age = take_number(input)?;
        let death = newest.checked_sub(age).ok_or_else(|| bad_life(run, newest, age))?;
        Ok(RetiredRun { run, birth: take_birth(input, run, death)?, death: TransactionId(death) })
    })?;
    Ok(Base { length_pages, free, retired })
}

fn take_delta(input: &mut &[u8]) -> Result<Delta> {
    let id = take_number(input)?;
    let length_pages = take_length(input)?;
    let taken = take_list(input, length_pages, |_, run| Ok(run))?;
    let retired = take_list(input, length_pages, |input, run| Ok((run, take_birth(input, run, id)?)))?;
    Ok(Delta { id: TransactionId(id), length_pages, taken, retired })
}

/// Takes a number of runs and then that many runs; `complete` takes what follows each of them.
fn take_list<'a, T>(
    input: &mut &'a [u8],
    length_pages: u32,
    mut complete: impl FnMut(&mut &'a [u8], Extent) -> Result<T>,
) -> Result<Vec<T>> {
    let count = take_number(input)?;
    // Each run has two bytes at least, so no count reserves more memory than the input can fill.
    let most = (input.len() / 2) as u64;
    if count > most {
        return Err(corrupt(None, "runs in the free-space log", format_args!("at most {most}"), count));
    }
    let mut items = Vec::with_capacity(count as usize);
    let mut end = FIRST_PAGE;
    for _ in 0..count {
        let run = take_run(input, end, length_pages)?;
        end = run.end();
        items.push(complete(input, run)?);
    }
    Ok(items)
}

fn take_run(input: &mut &[u8], end: u32, length_pages: u32) -> Result<Extent> {
    let first = take_number(input)?.checked_add(u64::from(end));
    let less_one = take_number(input)?;
    let run_end = first.and_then(|first| first.checked_add(less_one)).and_then(|last| last.checked_add(1));
    match (first, run_end) {
        (Some(first), Some(run_end)) if run_end <= u64::from(length_pages) => {
            Ok(Extent::new(first as u32, (run_end - first) as u32))
        }
        _ => Err(corrupt(
            None,
            "run in the free-space log",
            format_args!("an end of at most {length_pages}"),
            format_args!("{first:?} and {less_one} pages more"),
        )),
    }
}

fn take_birth(input: &mut &[u8], run: Extent, death: u64) -> Result<TransactionId> {
    let less_one = take_number(input)?;
    let birth = death.checked_sub(less_one).and_then(|birth| birth.checked_sub(1));
    birth.map(TransactionId).ok_or_else(|| bad_life(run, death, less_one))
}

fn take_length(input: &mut &[u8]) -> Result<u32> {
    let length = take_number(input)?;
    if length < u64::from(FIRST_PAGE) || length > u64::from(PageNumber::LIMIT) {
        let expected = format_args!("{FIRST_PAGE} to {} pages", PageNumber::LIMIT);
        return Err(corrupt(None, "file length in the free-space log", expected, length));
    }
    Ok(length as u32)
}

fn take_number(input: &mut &[u8]) -> Result<u64> {
    take_varint(input)
        .ok_or_else(|| corrupt(None, "free-space log", "a whole number of 64 bits", "its end, or more bits"))
}

#[cold]
fn bad_life(run: Extent, newest: u64, age: u64) -> Error {
    corrupt(Some(run.first.0), "life of a retired run", format_args!("less than {newest}"), age)
}

/// A page of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogPage<'a> {
    /// The page before it in the chain, the older one; 0 if there is none.
    pub(crate) previous: PageNumber,
    /// Whether its payload begins with a base: nothing before it is needed.
    pub(crate) begins_base: bool,
    pub(crate) payload: &'a [u8],
}

/// The most payload that a log page holds, in bytes.
pub(crate) fn page_capacity(page_size: usize) -> usize {
    page_size - HEADER_LEN
}

/// Makes `page` a log page, whatever it held. [`page::seal`] adds number, birth and checksum.
pub(crate) fn write_page(page: &mut [u8], log_page: &LogPage<'_>) {
    let LogPage { previous, begins_base, payload } = *log_page;
    assert!(payload.len() <= page_capacity(page.len()), "the payload fits");
    page.fill(0);
    page::init(page, PageKind::FreeLog, 0);
    put_u16(page, FLAGS_AT, if begins_base { FLAG_BEGINS_BASE } else { 0 });
    put_u32(page, PREVIOUS_AT, previous.0);
    put_u32(page, LENGTH_AT, payload.len() as u32);
    page[HEADER_LEN..HEADER_LEN + payload.len()].copy_from_slice(payload);
}

/// Reads a log page. [`page::verify`] checks number and checksum.
pub(crate) fn read_page(page: &[u8]) -> Result<LogPage<'_>> {
    let at = Some(page::number(page).0);
    if page::kind(page) != Some(PageKind::FreeLog) {
        return Err(corrupt(at, "page kind", "4 (free log)", page[16]));
    }
    let flags = get_u16(page, FLAGS_AT);
    if flags > FLAG_BEGINS_BASE || get_u32(page, RESERVED_AT) != 0 {
        return Err(corrupt(at, "flags of a free-log page", "0 or 1", flags));
    }
    let begins_base = flags == FLAG_BEGINS_BASE;
    let previous = PageNumber(get_u32(page, PREVIOUS_AT));
    if begins_base != (previous.0 == 0) {
        return Err(corrupt(at, "page before a free-log page", "0 exactly where a base begins", previous));
    }
    let length = get_u32(page, LENGTH_AT) as usize;
    let payload = page[HEADER_LEN..].get(..length).ok_or_else(|| {
        let most = page_capacity(page.len());
        corrupt(at, "length of a free-log page", format_args!("at most {most}"), length)
    })?;
    Ok(LogPage { previous, begins_base, payload })
}

/// Distributes `bytes`, which follow those of page `previous` (0: they begin with a base), over the pages `numbers`,
/// oldest first. All of these are written, even if the last ones stay empty. [`page::seal`] adds birth and checksum.
pub(crate) fn write_chain(
    bytes: &[u8],
    numbers: &[PageNumber],
    mut previous: PageNumber,
    page_size: usize,
) -> Vec<Box<[u8]>> {
    let capacity = page_capacity(page_size);
    assert!(bytes.len() <= numbers.len() * capacity, "page_count() pages hold the bytes");
    let mut rest = bytes;
    let mut pages = Vec::with_capacity(numbers.len());
    for &number in numbers {
        let (payload, after) = rest.split_at(rest.len().min(capacity));
        let mut page = vec![0; page_size].into_boxed_slice();
        write_page(&mut page, &LogPage { previous, begins_base: previous.0 == 0, payload });
        pages.push(page);
        rest = after;
        previous = number;
    }
    pages
}

/// A whole log, put together from its pages and its tail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Chain {
    /// The pages of the log, newest first, each with its birth: to retire them when a new base is written.
    pub(crate) pages: Vec<(PageNumber, TransactionId)>,
    /// All entries, oldest first: for [`entries`].
    pub(crate) bytes: Vec<u8>,
}

/// Reads the chain that ends in page `newest` (0: there is none), and adds `tail`. `read` returns a page whose
/// number and checksum have been verified.
pub(crate) fn read_chain<B: AsRef<[u8]>>(
    newest: PageNumber,
    tail: &[u8],
    mut read: impl FnMut(PageNumber) -> Result<B>,
) -> Result<Chain> {
    let mut pages = Vec::new();
    let mut payloads = Vec::new();
    let mut seen = HashSet::new();
    let mut number = newest;
    while number.0 != 0 {
        if !seen.insert(number) {
            return Err(corrupt(Some(number.0), "chain of free-log pages", "each page once", "a circle"));
        }
        let bytes = read(number)?;
        let log_page = read_page(bytes.as_ref())?;
        pages.push((number, page::birth(bytes.as_ref())));
        payloads.push(log_page.payload.to_vec());
        number = log_page.previous;
    }
    payloads.reverse();
    payloads.push(tail.to_vec());
    Ok(Chain { pages, bytes: payloads.concat() })
}

#[cfg(test)]
mod tests;
