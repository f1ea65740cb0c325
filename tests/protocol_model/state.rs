//! A state of the whole system: disk, shared words, and where writer, syncer and reader stand.

use crate::disk::{Content, ContentId, Contents, KeyPosition, ZEROS};

/// Data pages. The two record slots follow them.
pub(crate) const DATA_PAGES: usize = 5;
const PLACES: usize = DATA_PAGES + 2;

/// What a transaction left: a root and a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: u8,
    pub(crate) wants_durable: bool,
    pub(crate) root: u8,
    pub(crate) leaf: u8,
    pub(crate) root_content: ContentId,
    pub(crate) leaf_content: ContentId,
    pub(crate) leaf_birth: u8,
}

/// Whether the database is open, or how far its recovery is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    Open,
    Closed,
    Chosen { slot: u8, must_erase: bool, newest_seen: u8 },
    StoredAgain { slot: u8, must_erase: bool, newest_seen: u8 },
    Erased { slot: u8, newest_seen: u8 },
}

/// The words that a writer protects, in the order in which it reads them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Word {
    Target,
    Hazard,
    Durable,
    Visible,
    Readers,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Writer {
    Idle,
    /// Has read `words_read` of the words; `protected` is a bit for each snapshot.
    Scanning {
        words_read: u8,
        protected: u32,
    },
    Stored(Snapshot),
    /// Has set pending, is about to set head.
    Announced(Snapshot),
    /// Has set head, is about to look whether something durable is pending.
    HeadSet {
        id: u8,
    },
    /// Nothing was pending: is about to set visible.
    MayShow {
        id: u8,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Syncer {
    Idle,
    /// The first of two barriers is in flight.
    FirstBarrier {
        target: u8,
    },
    /// The barrier that covers the record is in flight.
    LastBarrier {
        target: u8,
    },
    BarrierDone {
        target: u8,
    },
    DurableSet {
        target: u8,
    },
    HeadRead {
        target: u8,
        head: u8,
    },
    HazardSet {
        target: u8,
        head: u8,
    },
    HeadConfirmed {
        target: u8,
        head: u8,
    },
    VisibleKnown {
        target: u8,
        visible: u8,
    },
    VisibleSet {
        target: u8,
    },
    HazardCleared {
        target: u8,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Reader {
    None,
    /// Has read visible.
    Looked(u8),
    /// Has written it into its slot.
    Published(u8),
    /// Has seen visible unchanged.
    Reading(u8),
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) places: [KeyPosition; PLACES],
    /// Snapshots that anything may refer to yet, ascending.
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) phase: Phase,
    pub(crate) head: u8,
    pub(crate) visible: u8,
    pub(crate) durable: u8,
    pub(crate) durable_slot: u8,
    pub(crate) pending: u8,
    pub(crate) target: u8,
    pub(crate) hazard: u8,
    /// If a sync has failed of which no live process knows: the newest transaction of which pages may have been stored
    /// before the handle that syncs next opened the file. Else 0.
    pub(crate) inherited: u8,
    /// Targets of syncers that died: a bit for each.
    pub(crate) dead_targets: u32,
    pub(crate) writer: Writer,
    pub(crate) syncer: Syncer,
    pub(crate) reader: Reader,
    pub(crate) next_id: u8,
    /// How often recovery has opened the database.
    pub(crate) epoch: u8,
    /// The newest durable commit that was acknowledged, or that a reader could see.
    pub(crate) acknowledged: u8,
    pub(crate) commits: u8,
    pub(crate) power_losses: u8,
    pub(crate) kills: u8,
    pub(crate) failed_syncs: u8,
}

pub(crate) fn bit(id: u8) -> u32 {
    if id == 0 { 0 } else { 1 << id }
}

impl State {
    /// A new database: transaction 1 in slot 0.
    pub(crate) fn new(contents: &mut Contents) -> State {
        let leaf_content = contents.id(Content::Leaf { birth: 1, version: 0 });
        let root_content = contents.id(Content::Root { birth: 1, version: 0, leaf: 1 });
        let record = contents.id(Content::Record { id: 1, root: 0, listed: Vec::new() });
        let mut places = [KeyPosition::durable(ZEROS); PLACES];
        places[0] = KeyPosition::durable(root_content);
        places[1] = KeyPosition::durable(leaf_content);
        places[DATA_PAGES] = KeyPosition::durable(record);
        let first = Snapshot {
            id: 1,
            wants_durable: true,
            root: 0,
            leaf: 1,
            root_content,
            leaf_content,
            leaf_birth: 1,
        };
        State {
            places,
            snapshots: vec![first],
            phase: Phase::Open,
            head: 1,
            visible: 1,
            durable: 1,
            durable_slot: 0,
            pending: 0,
            target: 0,
            hazard: 0,
            inherited: 0,
            dead_targets: 0,
            writer: Writer::Idle,
            syncer: Syncer::Idle,
            reader: Reader::None,
            next_id: 2,
            epoch: 0,
            acknowledged: 1,
            commits: 0,
            power_losses: 0,
            kills: 0,
            failed_syncs: 0,
        }
    }

    pub(crate) fn snapshot(&self, id: u8) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.id == id)
    }

    /// Whether all pages of a snapshot are what its transaction stored.
    pub(crate) fn is_intact(&self, id: u8) -> bool {
        self.snapshot(id).is_some_and(|snapshot| {
            self.places[usize::from(snapshot.root)].cache == snapshot.root_content
                && self.places[usize::from(snapshot.leaf)].cache == snapshot.leaf_content
        })
    }

    /// Whether some commit between these two, the second included, asked for durability.
    pub(crate) fn wants_durable_between(&self, after: u8, through: u8) -> bool {
        let is_one =
            |snapshot: &Snapshot| snapshot.wants_durable && snapshot.id > after && snapshot.id <= through;
        self.snapshots.iter().any(is_one)
    }

    /// Moves visible, which a reader may see at once: I3.
    pub(crate) fn show(&mut self, visible: u8) {
        self.visible = self.visible.max(visible);
        let durable = self.snapshots.iter().filter(|s| s.wants_durable && s.id <= self.visible);
        let newest = durable.map(|snapshot| snapshot.id).max().unwrap_or(0);
        self.acknowledged = self.acknowledged.max(newest);
    }

    /// Forgets what nothing can refer to any more, so that equal states look equal.
    pub(crate) fn forget_the_old(&mut self) {
        let mut oldest = self.acknowledged.min(self.durable).min(self.visible).min(self.head);
        let mut bits = bit(self.target) | bit(self.hazard) | self.dead_targets;
        if let Writer::Scanning { protected, .. } = self.writer {
            bits |= protected;
        }
        if bits != 0 {
            oldest = oldest.min(bits.trailing_zeros() as u8);
        }
        match self.syncer {
            Syncer::Idle => {}
            Syncer::FirstBarrier { target }
            | Syncer::LastBarrier { target }
            | Syncer::BarrierDone { target }
            | Syncer::DurableSet { target }
            | Syncer::VisibleSet { target }
            | Syncer::HazardCleared { target } => oldest = oldest.min(target),
            Syncer::HeadRead { target, head: other }
            | Syncer::HazardSet { target, head: other }
            | Syncer::HeadConfirmed { target, head: other }
            | Syncer::VisibleKnown { target, visible: other } => oldest = oldest.min(target).min(other),
        }
        match self.reader {
            Reader::None => {}
            Reader::Looked(id) | Reader::Published(id) | Reader::Reading(id) => oldest = oldest.min(id),
        }
        self.snapshots.retain(|snapshot| snapshot.id >= oldest);
        if self.inherited <= self.durable {
            self.inherited = 0;
        }
    }

    /// What is wrong, if anything is, while the database is open.
    pub(crate) fn violation(&self) -> Option<String> {
        if self.phase != Phase::Open {
            return None;
        }
        if let Reader::Reading(id) = self.reader
            && !self.is_intact(id)
        {
            return Some(format!("I1: snapshot {id} was overwritten under its reader"));
        }
        for (name, id) in [("visible", self.visible), ("head", self.head)] {
            if !self.is_intact(id) {
                return Some(format!("I1: the {name} snapshot {id} was overwritten"));
            }
        }
        let is_at_rest = self.writer == Writer::Idle && self.syncer == Syncer::Idle && self.kills == 0;
        if is_at_rest && self.visible < self.head && !self.wants_durable_between(self.durable, self.head) {
            return Some(format!("visible {} stays below head {}", self.visible, self.head));
        }
        None
    }
}
