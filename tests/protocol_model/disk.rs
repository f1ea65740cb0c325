//! The page cache and the disk: what the processes see, and what the disk may hold.
//!
//! - A store goes to the cache. It may reach the disk at any time, or not until a barrier has finished, in any order
//!   with other stores.
//! - Two barriers may be in flight at once: the syncer's over bytes of the log, the checkpointer's over everything.
//!   Each makes durable what was stored before it began.
//! - A failed write leaves the cache clean, whether the disk has the bytes or not.

use std::collections::HashMap;

use crate::intern::{FastHash, Interner};
use crate::state::Ring;

/// A meta: the snapshot that a checkpoint made durable, and where the log that follows it begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Meta {
    pub(crate) id: u8,
    pub(crate) root: u8,
    pub(crate) leaf: u8,
    pub(crate) root_content: ContentId,
    pub(crate) leaf_content: ContentId,
    pub(crate) tree: Tree,
    pub(crate) log_start: u8,
    pub(crate) chain: ContentId,
    /// The ring that the log start lies in.
    pub(crate) ring: Ring,
}

/// What a tree says, whatever pages it lies in: the values of root and leaf, and of which changes they are made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) root_value: u8,
    pub(crate) leaf_value: u8,
    pub(crate) history: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// The change of the root's value, and of the leaf's unless that is 0.
    Changes,
    /// The transaction changed nothing.
    Empty,
}

/// A redo record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Record {
    pub(crate) id: u8,
    pub(crate) sequence_number: u8,
    /// The record before it, by which its checksum is seeded.
    pub(crate) chain: ContentId,
    pub(crate) kind: Kind,
    pub(crate) root_value: u8,
    pub(crate) leaf_value: u8,
    /// The next record begins in the next page (L14).
    pub(crate) seals: bool,
}

/// What a page may hold. Checksums are ideal: different contents are never taken for each other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Content {
    Zeros,
    Torn,
    /// A page of a ring that was given up, in use for something else.
    UsedAgain,
    Leaf {
        birth: u8,
        value: u8,
    },
    Root {
        birth: u8,
        value: u8,
        leaf: u8,
    },
    Meta(Meta),
    Record(Record),
    /// A page of the ring that holds two records.
    Pair([ContentId; 2]),
    /// Of the place that stands for the file's length: the file has the second area.
    Long,
}

pub(crate) type ContentId = u16;
pub(crate) const ZEROS: ContentId = 0;
pub(crate) const TORN: ContentId = 1;
pub(crate) const USED_AGAIN: ContentId = 2;
pub(crate) const LONG: ContentId = 3;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Barrier {
    Log,
    Checkpoint,
}

/// A content that the disk may hold; whether it may still when the barrier in flight of each kind has finished.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Possible {
    content: ContentId,
    survives: [bool; 2],
}

/// One page.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct KeyPosition {
    /// What every process sees. If it is not among the possible ones, the page is clean and its content lost.
    pub(crate) cache: ContentId,
    possible: Vec<Possible>,
}

impl KeyPosition {
    pub(crate) fn durable(content: ContentId) -> KeyPosition {
        KeyPosition { cache: content, possible: vec![Possible { content, survives: [true; 2] }] }
    }

    /// A clean page whose content is lost: the disk has one of these.
    fn lost(cache: ContentId, contents: Vec<ContentId>) -> KeyPosition {
        let mut place = KeyPosition { cache, possible: Vec::new() };
        contents.into_iter().for_each(|content| place.add(content));
        place
    }

    pub(crate) fn on_disk(&self) -> impl Iterator<Item = ContentId> + '_ {
        self.possible.iter().map(|possible| possible.content)
    }

    pub(crate) fn may_be_on_disk(&self, content: ContentId) -> bool {
        self.on_disk().any(|other| other == content)
    }

    /// Whether cache and disk agree for certain.
    pub(crate) fn is_settled(&self) -> bool {
        self.possible.len() == 1 && self.possible[0].content == self.cache
    }

    pub(crate) fn is_lost(&self) -> bool {
        !self.may_be_on_disk(self.cache)
    }

    fn add(&mut self, content: ContentId) {
        match self.possible.binary_search_by_key(&content, |possible| possible.content) {
            Ok(at) => self.possible[at].survives = [true; 2],
            Err(at) => self.possible.insert(at, Possible { content, survives: [true; 2] }),
        }
    }

    fn changed(&self, change: Change) -> KeyPosition {
        let mut place = self.clone();
        match change {
            Change::Store(content) => {
                place.cache = content;
                place.add(content);
            }
            Change::StartBarrier(_) if self.is_lost() => {}
            Change::StartBarrier(kind) => {
                let cache = place.cache;
                place.possible.iter_mut().for_each(|p| p.survives[kind as usize] = p.content == cache);
            }
            Change::FinishBarrier(kind) => place.possible.retain(|p| p.survives[kind as usize]),
            Change::AbandonBarrier(kind) => {
                place.possible.iter_mut().for_each(|p| p.survives[kind as usize] = true);
            }
        }
        if place.is_settled() {
            place.possible[0].survives = [true; 2];
        }
        place
    }

    /// The page with contents replaced by others that differ in nothing that matters any more.
    pub(crate) fn renamed(&self, rename: impl Fn(ContentId) -> ContentId) -> KeyPosition {
        let mut renamed = KeyPosition { cache: rename(self.cache), possible: Vec::new() };
        for possible in &self.possible {
            let content = rename(possible.content);
            match renamed.possible.iter_mut().find(|other| other.content == content) {
                Some(other) => (0..2).for_each(|kind| other.survives[kind] |= possible.survives[kind]),
                None => renamed.possible.push(Possible { content, ..*possible }),
            }
        }
        renamed.possible.sort_unstable();
        if renamed.is_settled() {
            renamed.possible[0].survives = [true; 2];
        }
        renamed
    }
}

/// What may be done to a page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Change {
    Store(ContentId),
    StartBarrier(Barrier),
    FinishBarrier(Barrier),
    /// No process waits for the barrier in flight any more.
    AbandonBarrier(Barrier),
}

/// What a page consists of, for tearing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Tearing {
    /// A torn page of a tree is like any other page that nothing refers to.
    None,
    Whole,
    Sectors,
}

pub(crate) type PlaceId = u16;

/// All pages and contents that have come up, by number, and what became of them.
pub(crate) struct Disk {
    contents: Interner<Content>,
    places: Interner<KeyPosition>,
    changes: HashMap<(PlaceId, Change), PlaceId, FastHash>,
    losses: HashMap<(PlaceId, Tearing), Vec<PlaceId>, FastHash>,
    failures: HashMap<(PlaceId, Tearing), Vec<PlaceId>, FastHash>,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        let mut disk = Disk {
            contents: Interner::new(),
            places: Interner::new(),
            changes: HashMap::default(),
            losses: HashMap::default(),
            failures: HashMap::default(),
        };
        let first = [Content::Zeros, Content::Torn, Content::UsedAgain, Content::Long];
        for (expected, content) in first.into_iter().enumerate() {
            assert_eq!(usize::from(disk.content_id(content)), expected);
        }
        disk
    }

    pub(crate) fn content_id(&mut self, content: Content) -> ContentId {
        self.contents.number(content)
    }

    pub(crate) fn content(&self, id: ContentId) -> &Content {
        self.contents.get(id)
    }

    pub(crate) fn meta(&self, id: ContentId) -> Option<Meta> {
        if let Content::Meta(meta) = self.content(id) { Some(*meta) } else { None }
    }

    pub(crate) fn record(&self, id: ContentId) -> Option<Record> {
        if let Content::Record(record) = self.content(id) { Some(*record) } else { None }
    }

    pub(crate) fn place(&self, id: PlaceId) -> &KeyPosition {
        self.places.get(id)
    }

    pub(crate) fn place_id(&mut self, place: KeyPosition) -> PlaceId {
        self.places.number(place)
    }

    pub(crate) fn changed(&mut self, place: PlaceId, change: Change) -> PlaceId {
        if let Some(&changed) = self.changes.get(&(place, change)) {
            return changed;
        }
        let changed = self.places.get(place).changed(change);
        let changed = self.places.number(changed);
        self.changes.insert((place, change), changed);
        changed
    }

    /// One record's part of a page of the ring with two records.
    pub(crate) fn sector(&self, page: ContentId, sector: u8) -> ContentId {
        match self.content(page) {
            Content::Pair(sectors) => sectors[usize::from(sector)],
            _ => page,
        }
    }

    pub(crate) fn with_sector(&mut self, page: ContentId, sector: u8, content: ContentId) -> ContentId {
        let mut sectors = [self.sector(page, 0), self.sector(page, 1)];
        sectors[usize::from(sector)] = content;
        self.pair(sectors)
    }

    pub(crate) fn pair(&mut self, sectors: [ContentId; 2]) -> ContentId {
        let is_one = sectors[0] == sectors[1] && sectors[0] <= USED_AGAIN;
        if is_one { sectors[0] } else { self.content_id(Content::Pair(sectors)) }
    }

    /// What an interrupted store may leave of a page that may hold each of these contents, besides these.
    fn torn_forms(&mut self, contents: &[ContentId], tearing: Tearing) -> Vec<ContentId> {
        match tearing {
            _ if contents.len() < 2 => Vec::new(),
            Tearing::None => Vec::new(),
            Tearing::Whole => vec![TORN],
            Tearing::Sectors => {
                let choices = |sector| -> Vec<ContentId> {
                    let mut choices: Vec<ContentId> =
                        contents.iter().map(|&content| self.sector(content, sector)).collect();
                    choices.sort_unstable();
                    choices.dedup();
                    if choices.len() > 1 && !choices.contains(&TORN) {
                        choices.push(TORN);
                    }
                    choices
                };
                let (first, second) = (choices(0), choices(1));
                let pairs = first.iter().flat_map(|&one| second.iter().map(move |&other| [one, other]));
                pairs.map(|pair| self.pair(pair)).collect()
            }
        }
    }

    /// What loss of power may leave of a page.
    pub(crate) fn after_power_loss(&mut self, place: PlaceId, tearing: Tearing) -> Vec<PlaceId> {
        if let Some(outcomes) = self.losses.get(&(place, tearing)) {
            return outcomes.clone();
        }
        let mut contents: Vec<ContentId> = self.place(place).on_disk().collect();
        contents.extend(self.torn_forms(&contents.clone(), tearing));
        contents.sort_unstable();
        contents.dedup();
        let outcomes: Vec<PlaceId> =
            contents.into_iter().map(|content| self.place_id(KeyPosition::durable(content))).collect();
        self.losses.insert((place, tearing), outcomes.clone());
        outcomes
    }

    /// What a failed write may leave of a page: cache and disk agree, or the page is clean and the disk has something
    /// else.
    pub(crate) fn after_failed_write(&mut self, place: PlaceId, tearing: Tearing) -> Vec<PlaceId> {
        if let Some(outcomes) = self.failures.get(&(place, tearing)) {
            return outcomes.clone();
        }
        let KeyPosition { cache, .. } = *self.place(place);
        let contents: Vec<ContentId> = self.place(place).on_disk().collect();
        let mut others = self.torn_forms(&contents, tearing);
        others.extend(&contents);
        others.retain(|&content| content != cache);
        let mut outcomes = Vec::new();
        if contents.contains(&cache) {
            outcomes.push(self.place_id(KeyPosition::durable(cache)));
        }
        if !others.is_empty() {
            outcomes.push(self.place_id(KeyPosition::lost(cache, others)));
        }
        self.failures.insert((place, tearing), outcomes.clone());
        outcomes
    }
}
