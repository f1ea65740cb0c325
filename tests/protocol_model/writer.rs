//! The writer and the reader: `Parts::store` and `advance_head`, `Shared::protected`, `Shared::begin_read`.

use crate::disk::Content;
use crate::explore::{Model, Steps};
use crate::options::LeftOut;
use crate::state::{DATA_PAGES, Reader, Snapshot, State, Word, Writer, bit};

impl Model {
    fn order_of_words(&self) -> [Word; 5] {
        use Word::*;
        match self.options.left_out {
            Some(LeftOut::TargetReadFirst) => [Durable, Visible, Target, Hazard, Readers],
            Some(LeftOut::ReadersReadLast) => [Target, Hazard, Durable, Readers, Visible],
            _ => [Target, Hazard, Durable, Visible, Readers],
        }
    }

    fn read_word(&self, state: &State, word: Word) -> u32 {
        let protects = |rule| self.options.keeps(rule);
        match word {
            Word::Target if protects(LeftOut::TargetProtected) => bit(state.target) | state.dead_targets,
            Word::Hazard => bit(state.hazard),
            Word::Durable if protects(LeftOut::DurableProtected) => bit(state.durable),
            Word::Visible if protects(LeftOut::VisibleProtected) => bit(state.visible),
            Word::Readers if protects(LeftOut::ReadersProtected) => match state.reader {
                Reader::Published(id) | Reader::Reading(id) => bit(id),
                _ => 0,
            },
            _ => 0,
        }
    }

    pub(crate) fn writer_steps(&mut self, state: &State, steps: &mut Steps) {
        match state.writer {
            Writer::Idle if state.commits < self.options.bounds.commits => {
                let is_head_protected = self.options.keeps(LeftOut::HeadProtected);
                let protected = if is_head_protected { bit(state.head) } else { 0 };
                let mut next = state.clone();
                next.writer = Writer::Scanning { words_read: 0, protected };
                steps.add("writer begins on head", state.head, next);
            }
            Writer::Idle => {}
            Writer::Scanning { words_read, protected } => {
                match self.order_of_words().get(usize::from(words_read)) {
                    Some(&word) => {
                        let protected = protected | self.read_word(state, word);
                        let mut next = state.clone();
                        next.writer = Writer::Scanning { words_read: words_read + 1, protected };
                        steps.add("writer reads a protected word, the", words_read, next);
                    }
                    None => self.store_pages(state, protected, steps),
                }
            }
            Writer::Stored(snapshot) => {
                let mut next = state.clone();
                next.writer = Writer::Announced(snapshot);
                if snapshot.wants_durable {
                    next.pending = snapshot.id;
                }
                steps.add("writer announces", snapshot.id, next);
            }
            Writer::Announced(snapshot) => {
                let mut next = state.clone();
                next.snapshots.push(snapshot);
                next.head = snapshot.id;
                next.writer = Writer::HeadSet { id: snapshot.id };
                steps.add("head :=", snapshot.id, next);
            }
            Writer::HeadSet { id } => {
                let mut next = state.clone();
                let is_pending = state.pending > state.durable;
                next.writer = if is_pending { Writer::Idle } else { Writer::MayShow { id } };
                steps.add("writer looks whether a durable commit is pending", is_pending as u8, next);
            }
            Writer::MayShow { id } => {
                let mut next = state.clone();
                next.writer = Writer::Idle;
                next.show(id);
                steps.add("writer sets visible to", id, next);
            }
        }
    }

    /// A transaction changes the root, and the leaf or not; it is durable or lazy; after a recovery it may store
    /// what another stored under the same id before, or something else.
    fn store_pages(&mut self, state: &State, protected: u32, steps: &mut Steps) {
        let head = *state.snapshot(state.head).expect("head is kept");
        for changes_leaf in [false, true] {
            let Some((root, leaf)) = free_pages(state, protected, head, changes_leaf) else { continue };
            let versions: &[u8] = if state.epoch == 0 { &[0] } else { &[0, state.epoch] };
            for (&version, wants_durable) in
                versions.iter().flat_map(|version| [(version, true), (version, false)])
            {
                let id = state.next_id;
                let root_content = self.contents.id(Content::Root { birth: id, version, leaf });
                let mut next = state.clone();
                let mut snapshot = Snapshot { id, wants_durable, root, leaf, root_content, ..head };
                if changes_leaf {
                    snapshot.leaf_content = self.contents.id(Content::Leaf { birth: id, version });
                    snapshot.leaf_birth = id;
                    next.places[usize::from(leaf)].store(snapshot.leaf_content);
                }
                next.places[usize::from(root)].store(root_content);
                next.next_id += 1;
                next.commits += 1;
                next.writer = Writer::Stored(snapshot);
                let kind = if wants_durable { "writer stores durable" } else { "writer stores lazy" };
                steps.add(kind, id, next);
            }
        }
    }

    pub(crate) fn reader_steps(&mut self, state: &State, steps: &mut Steps) {
        if !self.options.bounds.has_reader {
            return;
        }
        let mut next = state.clone();
        let step = match state.reader {
            Reader::None => {
                next.reader = Reader::Looked(state.visible);
                "reader looks at visible"
            }
            Reader::Looked(id) => {
                next.reader = Reader::Published(id);
                "reader publishes"
            }
            Reader::Published(id) if state.visible == id => {
                next.reader = Reader::Reading(id);
                "reader looks again, and reads"
            }
            Reader::Published(_) => {
                next.reader = Reader::Looked(state.visible);
                "reader looks again: visible has moved"
            }
            Reader::Reading(_) => {
                next.reader = Reader::None;
                "reader ends"
            }
        };
        steps.add(step, state.visible, next);
    }
}

/// Places for the new root and, if the leaf changes, the new leaf: the lowest that no protected snapshot needs.
fn free_pages(state: &State, protected: u32, head: Snapshot, changes_leaf: bool) -> Option<(u8, u8)> {
    let mut used = if changes_leaf { 0 } else { 1u32 << head.leaf };
    for snapshot in &state.snapshots {
        if protected & bit(snapshot.id) != 0 {
            used |= 1 << snapshot.root | 1 << snapshot.leaf;
        }
    }
    let mut free = (0..DATA_PAGES as u8).filter(|page| used >> page & 1 == 0);
    let root = free.next()?;
    let leaf = if changes_leaf { free.next()? } else { head.leaf };
    Some((root, leaf))
}
