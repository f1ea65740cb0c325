//! The page cache and the disk: what the processes see, and what the disk may hold.
//!
//! A store goes to the cache. It may reach the disk at any time, or not until a barrier has finished, torn or
//! whole, in any order with other stores. A failed barrier leaves the cache clean, whether the disk has the
//! bytes or not.

use std::collections::HashMap;

/// What a page or a record slot may hold. Checksums are ideal: different contents are never taken for each other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Content {
    Zeros,
    Torn,
    Leaf { birth: u8, version: u8 },
    Root { birth: u8, version: u8, leaf: u8 },
    Record { id: u8, root: u8, listed: Vec<(u8, ContentId)> },
}

/// A content's number.
pub(crate) type ContentId = u16;
pub(crate) const ZEROS: ContentId = 0;
pub(crate) const TORN: ContentId = 1;

/// All contents that have come up.
pub(crate) struct Contents {
    all: Vec<Content>,
    ids: HashMap<Content, ContentId>,
}

impl Contents {
    pub(crate) fn new() -> Contents {
        let mut contents = Contents { all: Vec::new(), ids: HashMap::new() };
        assert_eq!((contents.id(Content::Zeros), contents.id(Content::Torn)), (ZEROS, TORN));
        contents
    }

    pub(crate) fn id(&mut self, content: Content) -> ContentId {
        if let Some(&id) = self.ids.get(&content) {
            return id;
        }
        let id = ContentId::try_from(self.all.len()).expect("few contents");
        self.all.push(content.clone());
        self.ids.insert(content, id);
        id
    }

    pub(crate) fn get(&self, id: ContentId) -> &Content {
        &self.all[usize::from(id)]
    }
}

/// A small set of contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Set {
    count: u8,
    sorted: [ContentId; 7],
}

impl Set {
    pub(crate) fn of(id: ContentId) -> Set {
        let mut set = Set::default();
        set.add(id);
        set
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ContentId> + use<> {
        let set = *self;
        (0..set.len()).map(move |index| set.sorted[index])
    }

    pub(crate) fn has(&self, id: ContentId) -> bool {
        self.sorted[..self.len()].contains(&id)
    }

    pub(crate) fn add(&mut self, id: ContentId) {
        if !self.has(id) {
            let end = self.len();
            self.sorted[end] = id;
            self.count += 1;
            self.sorted[..=end].sort_unstable();
        }
    }

    pub(crate) fn without(self, id: ContentId) -> Set {
        let mut rest = Set::default();
        self.iter().filter(|&other| other != id).for_each(|other| rest.add(other));
        rest
    }
}

/// One page or slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct KeyPosition {
    /// What every process sees.
    pub(crate) cache: ContentId,
    /// May be on the disk until the barrier in flight has finished.
    before: Set,
    /// May be on the disk, during that barrier and after it. If the cache's content is not among these, the
    /// cache is clean and the content lost: a barrier has failed.
    after: Set,
}

impl KeyPosition {
    /// A place that has this content, durably.
    pub(crate) fn durable(content: ContentId) -> KeyPosition {
        KeyPosition { cache: content, before: Set::default(), after: Set::of(content) }
    }

    pub(crate) fn store(&mut self, content: ContentId) {
        self.after.add(content);
        self.cache = content;
    }

    pub(crate) fn start_barrier(&mut self) {
        if self.after.has(self.cache) {
            self.before = self.after.without(self.cache);
            self.after = Set::of(self.cache);
        }
    }

    pub(crate) fn finish_barrier(&mut self) {
        self.before = Set::default();
    }

    /// No process waits for the barrier in flight any more.
    pub(crate) fn abandon_barrier(&mut self) {
        self.before.iter().for_each(|content| self.after.add(content));
        self.before = Set::default();
    }

    /// What the disk may hold now.
    fn possible(&self) -> Set {
        let mut possible = self.after;
        self.before.iter().for_each(|content| possible.add(content));
        possible
    }

    /// What loss of power may leave here.
    pub(crate) fn after_power_loss(&self, may_tear: bool) -> impl Iterator<Item = KeyPosition> + use<> {
        let mut possible = self.possible();
        if may_tear && possible.len() > 1 {
            possible.add(TORN);
        }
        possible.iter().map(KeyPosition::durable)
    }

    /// What a failed barrier may leave here: cache and disk agree, or the cache is clean and the disk has
    /// something else.
    pub(crate) fn after_failed_barrier(&self) -> Vec<KeyPosition> {
        let others = self.possible().without(self.cache);
        let place = |after| KeyPosition { cache: self.cache, before: Set::default(), after };
        let mut outcomes = Vec::new();
        if self.after.has(self.cache) {
            outcomes.push(place(Set::of(self.cache)));
        }
        if others.len() > 0 {
            outcomes.push(place(others));
        }
        outcomes
    }

    /// For traces: what the disk may hold that is not in the cache.
    pub(crate) fn disk_differs(&self) -> Vec<ContentId> {
        let is_clean_and_right = self.after == Set::of(self.cache) && self.before.len() == 0;
        if is_clean_and_right { Vec::new() } else { self.possible().iter().collect() }
    }
}
