//! What a disk may hold after a loss of power, computed from the calls that were made to the storage.
//!
//! The disk guarantees this, and no more:
//! - What a barrier covers is on the disk once the barrier has returned: what was stored before it began in the blocks
//!   of 4096 bytes that its range lies in. Two barriers may be in flight, one through each description of the file.
//! - Each sector of 512 bytes holds what was durable, or any of the contents that the page cache had for it since,
//!   independently of the other sectors. So a store may be there, lost, or torn, and stores reach the disk in any
//!   order. A sector may also be torn itself, at some byte: one part is new, the rest is as it was before, in the
//!   cache or on the disk. (Of all the torn contents, each store has one, chosen at random.)
//! - Where that is asked for, a store that is not durable may have taken away the whole block that it went to, what was
//!   durable there included ([`Disk::sample_with_lost_blocks`]).
//! - A change of length is on the disk once a barrier that includes the length has returned; other barriers do not
//!   cover it. Before that it may be there or not, in the order in which the changes were made.
//! - After a failed sync, what it covered is *clean* in the cache, as on Linux: each sector may be on the disk or
//!   not, and no later barrier changes that, unless the sector is stored again. A barrier that fails covers what was
//!   stored in its range until it fails.
//! - The system may drop a clean page from the cache at any time, and read it again from the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::random::Random;
use crate::base::TransactionId;
use crate::sys::WriteMode;

pub(crate) const SECTOR: usize = 512;
/// The page cache writes and drops pages of this many sectors, and an interrupted write may destroy as many.
const SECTORS_OF_BLOCK: usize = 8;
const BLOCK: usize = SECTORS_OF_BLOCK * SECTOR;

/// The open file descriptions that barriers go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Description {
    Log,
    Checkpoint,
}

impl Description {
    /// The other one.
    pub(super) fn other(self) -> Description {
        match self {
            Description::Log => Description::Checkpoint,
            Description::Checkpoint => Description::Log,
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Description::Log => "barrier",
            Description::Checkpoint => "checkpoint's barrier",
        })
    }
}

/// What happened to a storage, or in the process that uses it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Store {
        offset: u64,
        bytes: Arc<[u8]>,
    },
    /// The file was made longer; the next barrier with [`Event::LengthSynced`] makes that durable.
    Lengthened {
        to: u64,
    },
    /// The barrier that is about to end has made durable the length that the file had when the barrier began.
    LengthSynced(Description),
    Cut {
        to: u64,
    },
    /// The end of the barrier makes durable what was stored up to here in the blocks that `range` lies in.
    BarrierBegins {
        through: Description,
        range: Range<u64>,
    },
    BarrierEnds(Description),
    BarrierFails(Description),
    /// The commit of this transaction has reported that the transaction, and all before it, are durable.
    Acknowledged(TransactionId),
    /// A step of the script begins.
    StepBegins,
    StepEnds,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Store { offset, bytes } => write!(f, "store {} bytes at {offset}", bytes.len()),
            Event::Lengthened { to } => write!(f, "lengthen the file to {to}"),
            Event::LengthSynced(_) => f.write_str("the length is durable"),
            Event::Cut { to } => write!(f, "cut the file to {to}"),
            Event::BarrierBegins { through, range } => {
                write!(f, "a {through} for bytes {} to {} begins", range.start, range.end)
            }
            Event::BarrierEnds(through) => write!(f, "the {through} ends"),
            Event::BarrierFails(through) => write!(f, "the {through} fails"),
            Event::Acknowledged(id) => write!(f, "transaction {id} is acknowledged"),
            Event::StepBegins => f.write_str("a step begins"),
            Event::StepEnds => f.write_str("the step ends"),
        }
    }
}

/// A content of a sector that the disk may hold.
#[derive(Clone, Debug)]
struct Version {
    bytes: Box<[u8]>,
    stored_at: u64,
    /// Whether the next barrier writes it.
    is_dirty: bool,
}

#[derive(Clone, Copy, Debug)]
struct Resize {
    at: u64,
    length: u64,
}

/// A barrier in flight.
#[derive(Clone, Debug, Default)]
struct Barrier {
    /// It covers what happened up to this time,
    until: u64,
    /// in these sectors.
    sectors: Range<usize>,
}

/// The disk below one file, and the page cache above it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    write_mode: WriteMode,
    /// Both are shared among copies of the disk, and with each other, for as long as they are equal.
    durable: Arc<Vec<u8>>,
    cache: Arc<Vec<u8>>,
    /// For each sector by its number, what it may hold instead of the durable content, oldest first.
    doubts: BTreeMap<usize, Vec<Version>>,
    /// Changes of length that may not be durable.
    resizes: Vec<Resize>,
    /// The number of events so far.
    clock: u64,
    /// The barriers in flight, by description. One that has ended covers nothing.
    barriers: [Barrier; 2],
}

impl Disk {
    /// Returns a disk on which `image` is durable.
    pub(crate) fn new(image: Vec<u8>, write_mode: WriteMode) -> Disk {
        let image = Arc::new(image);
        Disk {
            write_mode,
            durable: Arc::clone(&image),
            cache: image,
            doubts: BTreeMap::new(),
            resizes: Vec::new(),
            clock: 0,
            barriers: Default::default(),
        }
    }

    /// Returns what processes see: all that was stored.
    pub(crate) fn cache(&self) -> &[u8] {
        &self.cache
    }

    /// Returns a hash of what processes see.
    pub(crate) fn image_hash(&self) -> u64 {
        // Each word is multiplied into 128 bits, whose halves are combined, as in wyhash (Wang Yi).
        const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15;
        let (words, rest) = self.cache.as_chunks::<8>();
        let mix = |hash: u64, word: u64| {
            let product = (u128::from(hash ^ word) + 1) * FACTOR;
            (product as u64) ^ (product >> 64) as u64
        };
        let hash =
            words.iter().fold(self.cache.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
        rest.iter().fold(hash, |hash, &byte| mix(hash, u64::from(byte)))
    }

    /// Returns the durable content, without the later versions that the disk may hold instead.
    pub(crate) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Whether the disk may differ from the cache.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.doubts.is_empty() || !self.resizes.is_empty()
    }

    pub(crate) fn write_mode(&self) -> WriteMode {
        self.write_mode
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        self.clock += 1;
        match event {
            Event::Store { offset, bytes } => self.store(*offset as usize, bytes),
            Event::Lengthened { to } => {
                let length = (*to as usize).max(self.cache.len());
                Arc::make_mut(&mut self.cache).resize(length, 0);
                self.resize_to(length as u64);
            }
            Event::Cut { to } => {
                Arc::make_mut(&mut self.cache).truncate(*to as usize);
                self.resize_to(*to);
            }
            Event::LengthSynced(through) => self.settle_lengths(self.barriers[*through as usize].until),
            Event::BarrierBegins { through, range } => {
                let sectors = sectors_of_blocks(range);
                self.barriers[*through as usize] = Barrier { until: self.clock, sectors };
            }
            Event::BarrierEnds(through) => {
                let barrier = std::mem::take(&mut self.barriers[*through as usize]);
                self.settle_sectors(&barrier);
            }
            Event::BarrierFails(through) => {
                let barrier = std::mem::take(&mut self.barriers[*through as usize]);
                let versions = self.doubts.range_mut(barrier.sectors).flat_map(|(_, of)| of);
                versions.for_each(|version| version.is_dirty = false);
            }
            Event::Acknowledged(_) | Event::StepBegins | Event::StepEnds => {}
        }
    }

    fn store(&mut self, offset: usize, bytes: &[u8]) {
        let end = (offset + bytes.len()).min(self.cache.len());
        let mut at = offset;
        while at < end {
            let sector = at / SECTOR;
            let piece = at..end.min((sector + 1) * SECTOR);
            let whole = sector * SECTOR..((sector + 1) * SECTOR).min(self.cache.len());
            let new = &bytes[piece.start - offset..piece.end - offset];
            if self.cache[piece.clone()] == *new {
                self.dirty_again(sector);
            } else {
                let before = self.cache[whole.clone()].to_vec();
                let cache = Arc::make_mut(&mut self.cache);
                cache[piece.clone()].copy_from_slice(new);
                let after = cache[whole].to_vec();
                self.dirty(sector, &before, after);
            }
            at = piece.end;
        }
    }

    /// Makes a clean sector dirty although its content does not change: this is the purpose of storing again.
    fn dirty_again(&mut self, sector: usize) {
        match self.doubts.get_mut(&sector).and_then(|versions| versions.last_mut()) {
            Some(last) if !last.is_dirty => (last.is_dirty, last.stored_at) = (true, self.clock),
            _ => {}
        }
    }

    /// Records a new content of a sector in the cache.
    fn dirty(&mut self, sector: usize, before: &[u8], after: Vec<u8>) {
        let durable_start = (sector * SECTOR).min(self.durable.len());
        let durable = &self.durable[durable_start..(durable_start + SECTOR).min(self.durable.len())];
        let torn = torn(&after, before, durable, self.clock << 32 | sector as u64);
        let torn = Some(torn).filter(|torn| *torn != after && torn != before && torn != durable);
        let versions = self.doubts.entry(sector).or_default();
        for bytes in torn.into_iter().chain([after]) {
            let bytes = bytes.into_boxed_slice();
            versions.push(Version { bytes, stored_at: self.clock, is_dirty: true });
        }
    }

    fn resize_to(&mut self, length: u64) {
        let last = self.resizes.last().map_or(self.durable.len() as u64, |last| last.length);
        if last != length {
            self.resizes.push(Resize { at: self.clock, length });
        }
    }

    /// Makes all changes of length up to the time `covered` durable.
    fn settle_lengths(&mut self, covered: u64) {
        let settled = self.resizes.partition_point(|resize| resize.at <= covered);
        for resize in self.resizes.drain(..settled) {
            resize_image(Arc::make_mut(&mut self.durable), resize);
            let first_behind = (resize.length as usize).div_ceil(SECTOR);
            for (_, versions) in self.doubts.range_mut(first_behind..) {
                versions.retain(|version| version.stored_at > resize.at);
            }
        }
        self.doubts.retain(|_, versions| !versions.is_empty());
    }

    /// Makes durable, for each sector that `barrier` covers, the last content that is dirty and that it covers, except
    /// for sectors after the end of the file on the disk.
    fn settle_sectors(&mut self, barrier: &Barrier) {
        let end = self.settled_length().div_ceil(SECTOR);
        let durable = &mut self.durable;
        self.doubts.retain(|sector, versions| {
            let is_covered = *sector < end && barrier.sectors.contains(sector);
            let is_written =
                |version: &Version| is_covered && version.is_dirty && version.stored_at <= barrier.until;
            if let Some(last) = versions.iter().rposition(is_written) {
                store_in_image(Arc::make_mut(durable).as_mut_slice(), *sector, &versions[last].bytes);
                versions.drain(..=last);
            }
            !versions.is_empty()
        });
    }

    /// Returns the least length that the file has on the disk now or after its pending cuts. When a cut becomes
    /// durable, it removes what is after its end from the durable content, but not what was stored there after the
    /// cut.
    fn settled_length(&self) -> usize {
        let cut = self.resizes.iter().map(|resize| resize.length as usize).min();
        cut.map_or(self.durable.len(), |cut| cut.min(self.durable.len()))
    }

    /// Whether the cache has pages that are clean and not on the disk, which the system may drop.
    pub(crate) fn has_clean_doubts(&self) -> bool {
        self.clean_pages().next().is_some()
    }

    /// Returns, for each clean page of the cache, its sectors that may differ from the disk.
    fn clean_pages(&self) -> impl Iterator<Item = Vec<usize>> + '_ {
        let end = self.settled_length().min(self.cache.len()) / SECTOR;
        let mut sectors = self.doubts.range(..end).peekable();
        std::iter::from_fn(move || {
            loop {
                let page = sectors.peek()?.0 / SECTORS_OF_BLOCK;
                let (mut of_page, mut is_clean) = (Vec::new(), true);
                while let Some((&sector, versions)) =
                    sectors.next_if(|next| next.0 / SECTORS_OF_BLOCK == page)
                {
                    of_page.push(sector);
                    is_clean &= versions.iter().all(|version| !version.is_dirty);
                }
                if is_clean {
                    return Some(of_page);
                }
            }
        })
    }

    /// Returns the disk after some or all of its clean pages were dropped from the cache and read again.
    pub(crate) fn with_dropped_pages(&self, random: &mut Random) -> Disk {
        let mut disk = self.clone();
        let drops_all = random.one_in(2);
        for page in self.clean_pages() {
            if !drops_all && random.one_in(2) {
                continue;
            }
            for sector in page {
                let versions = disk.doubts.remove(&sector).unwrap_or_default();
                if let Some(chosen) = random.below(1 + versions.len()).checked_sub(1) {
                    store_in_image(
                        Arc::make_mut(&mut disk.durable).as_mut_slice(),
                        sector,
                        &versions[chosen].bytes,
                    );
                }
                let bytes = sector * SECTOR..(sector + 1) * SECTOR;
                Arc::make_mut(&mut disk.cache)[bytes.clone()].copy_from_slice(&disk.durable[bytes]);
            }
        }
        disk
    }

    /// Returns how many states the disk may be in, at most `u64::MAX`. Some of them may be equal.
    pub(crate) fn state_count(&self) -> u64 {
        let lengths = 1 + self.resizes.len() as u64;
        self.doubts.values().fold(lengths, |count, versions| count.saturating_mul(1 + versions.len() as u64))
    }

    /// Returns the state with this number. State 0 is what is durable; in the last one everything stored is there.
    pub(crate) fn state(&self, mut number: u64) -> Vec<u8> {
        if number + 1 == self.state_count() {
            return self.image(self.resizes.len(), |_, versions| versions.len());
        }
        let mut choose = |count: usize| {
            let choice = number % count as u64;
            number /= count as u64;
            choice as usize
        };
        let versions: Vec<usize> = self.doubts.values().map(|versions| choose(1 + versions.len())).collect();
        self.image(choose(1 + self.resizes.len()), |at, _| versions[at])
    }

    /// Returns a random state. The styles are those in which protocols fail: one sector missing, one sector too many,
    /// everything up to some time, and any mixture.
    pub(crate) fn sample(&self, random: &mut Random) -> Vec<u8> {
        let resizes = random.below(2 + self.resizes.len()).min(self.resizes.len());
        let (style, chosen) = (random.below(8), random.below(self.doubts.len()));
        let moments: Vec<u64> = self.doubts.values().flatten().map(|version| version.stored_at).collect();
        let moment = moments.get(random.below(moments.len())).copied().unwrap_or(0);
        let newest_until = |versions: &[Version]| versions.iter().filter(|v| v.stored_at <= moment).count();
        self.image(resizes, |at, versions| {
            let any = random.below(1 + versions.len());
            match style {
                0 if at == chosen => any,
                0 => versions.len(),
                1 if at == chosen => any,
                1 => 0,
                2 => newest_until(versions),
                // Everything that one call stored is missing.
                3 => match versions.last() {
                    Some(last) if last.stored_at == moment => any.min(versions.len() - 1),
                    _ => versions.len(),
                },
                4 if random.one_in(8) => any,
                4 => versions.len(),
                5 if random.one_in(8) => any,
                5 => newest_until(versions),
                _ => any,
            }
        })
    }

    /// Whether there are blocks that a write may be under way to, or has failed.
    pub(crate) fn has_stores_in_doubt(&self) -> bool {
        !self.doubts.is_empty()
    }

    /// Returns a random state in which one or more of the blocks that have a store in doubt are lost as a whole: they
    /// hold zeros, or anything.
    pub(crate) fn sample_with_lost_blocks(&self, random: &mut Random) -> Vec<u8> {
        let mut image = self.sample(random);
        let mut blocks: Vec<usize> = self.doubts.keys().map(|sector| sector / SECTORS_OF_BLOCK).collect();
        blocks.dedup();
        let (chosen, loses_more) = (random.below(blocks.len()), random.one_in(2));
        for (at, block) in blocks.into_iter().enumerate() {
            if at != chosen && !(loses_more && random.one_in(4)) {
                continue;
            }
            let end = ((block + 1) * BLOCK).min(image.len());
            let lost = &mut image[(block * BLOCK).min(end)..end];
            match random.one_in(2) {
                true => lost.fill(0),
                false => lost.fill_with(|| random.next() as u8),
            }
        }
        image
    }

    /// Returns the image with the first `resizes` changes of length and, for each sector that may differ, the content
    /// that `choose` returns: 0 for the durable one.
    fn image(&self, resizes: usize, mut choose: impl FnMut(usize, &[Version]) -> usize) -> Vec<u8> {
        let mut image = self.durable.to_vec();
        let applied = &self.resizes[..resizes];
        applied.iter().for_each(|&resize| resize_image(&mut image, resize));
        for (at, (&sector, versions)) in self.doubts.iter().enumerate() {
            let Some(version) = choose(at, versions).checked_sub(1).map(|index| &versions[index]) else {
                continue;
            };
            let is_behind = |resize: &Resize| (sector * SECTOR) as u64 >= resize.length;
            let is_cut_off = applied.iter().any(|resize| resize.at >= version.stored_at && is_behind(resize));
            if !is_cut_off {
                store_in_image(&mut image, sector, &version.bytes);
            }
        }
        image
    }
}

/// Returns the sectors of the blocks that `range`, in bytes, lies in.
fn sectors_of_blocks(range: &Range<u64>) -> Range<usize> {
    let (start, end) = (range.start as usize / BLOCK, (range.end as usize).div_ceil(BLOCK));
    start * SECTORS_OF_BLOCK..end * SECTORS_OF_BLOCK
}

/// Returns a content that is new in part: up to some byte, or from there on. The rest is as it was before.
fn torn(new: &[u8], before: &[u8], durable: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let cut = 1 + random.below(new.len() - 1);
    let mut bytes = before.to_vec();
    if random.one_in(2) {
        bytes.fill(0); // what the disk has after its end
        let there = durable.len().min(bytes.len());
        bytes[..there].copy_from_slice(&durable[..there]);
    }
    let part = if random.one_in(2) { 0..cut.min(new.len()) } else { cut..new.len() };
    bytes[part.clone()].copy_from_slice(&new[part]);
    bytes
}

fn resize_image(image: &mut Vec<u8>, resize: Resize) {
    image.resize(resize.length as usize, 0);
}

fn store_in_image(image: &mut [u8], sector: usize, bytes: &[u8]) {
    let start = (sector * SECTOR).min(image.len());
    let end = (start + bytes.len()).min(image.len());
    image[start..end].copy_from_slice(&bytes[..end - start]);
}
