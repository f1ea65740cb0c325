//! The ring: where a log sequence number lies, whether there is room, how a record is stored and found.
//!
//! - A log sequence number never goes back. It lies in the ring at its distance from the ring's base, modulo the ring's
//!   length (L4). Numbers count records here: `records_per_page` to a page.
//! - Bytes at or above the log start, and the page that holds it, are not overwritten (L7).
//! - A record that seals its page is the last in it; a sync promises nothing after such a record (L14).

use crate::disk::{Change, Content, ContentId, Kind, Record};
use crate::model::Model;
use crate::options::{LeftOut, Torn};
use crate::state::{Lsn, RINGS, Ring, SECOND_RING, SECOND_RING_PAGES, Snapshot, State};

/// The page and the part of it in which a log sequence number lies.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    pub(crate) page: usize,
    pub(crate) sector: u8,
}

impl Model {
    fn per_page(&self) -> Lsn {
        self.options.bounds.records_per_page
    }

    pub(crate) fn position(&self, lsn: Lsn, ring: Ring) -> Position {
        let pages = self.area_pages(ring.area);
        let distance = (lsn - ring.base) / self.per_page();
        Position { page: pages.start + usize::from(distance) % pages.len(), sector: lsn % self.per_page() }
    }

    /// The pages of an area that may be a ring.
    pub(crate) fn area_pages(&self, area: u8) -> std::ops::Range<usize> {
        match area {
            0 => RINGS..RINGS + usize::from(self.options.bounds.ring_pages),
            _ => SECOND_RING..SECOND_RING + SECOND_RING_PAGES,
        }
    }

    fn page_floor(&self, lsn: Lsn) -> Lsn {
        lsn / self.per_page() * self.per_page()
    }

    pub(crate) fn page_ceiling(&self, lsn: Lsn) -> Lsn {
        lsn.div_ceil(self.per_page()) * self.per_page()
    }

    pub(crate) fn ring_length(&self, ring: Ring) -> Lsn {
        self.area_pages(ring.area).len() as Lsn * self.per_page()
    }

    /// What lies in the log at this number.
    pub(crate) fn log_content(&self, state: &State, lsn: Lsn, ring: Ring) -> ContentId {
        let Position { page, sector } = self.position(lsn, ring);
        self.disk.sector(self.cache(state, page), sector)
    }

    /// Stores these bytes in the log, and nothing else in their page.
    pub(crate) fn store_in_log(&mut self, state: &mut State, lsn: Lsn, ring: Ring, content: ContentId) {
        let Position { page, sector } = self.position(lsn, ring);
        let cache = self.cache(state, page);
        let content =
            if self.per_page() == 1 { content } else { self.disk.with_sector(cache, sector, content) };
        self.store(state, page, content);
    }

    /// Does this to each page of the log in which one of these numbers lies.
    pub(crate) fn change_log(&mut self, state: &mut State, from: Lsn, end: Lsn, ring: Ring, change: Change) {
        for lsn in from..end {
            let Position { page, .. } = self.position(lsn, ring);
            self.change(state, page, change);
        }
    }

    /// Whether the record that follows the newest snapshot fits the ring (L7).
    pub(crate) fn has_room(&self, state: &State, newest: &Snapshot) -> bool {
        if !self.keeps(LeftOut::Room) {
            return true;
        }
        let target = state.words.checkpoint_target;
        let log_start = if self.keeps(LeftOut::RoomByDurableCheckpoint) || target == 0 {
            state.words.log_start
        } else {
            self.snapshot(state, target).log_end
        };
        let needs_whole_pages = self.needs_own_pages() && self.keeps(LeftOut::RoomInWholePages);
        let first = if needs_whole_pages { self.page_floor(log_start) } else { log_start };
        newest.log_end < first.max(newest.ring.base) + self.ring_length(newest.ring)
    }

    /// L14 is for disks that may lose a whole page which is being written.
    fn needs_own_pages(&self) -> bool {
        self.options.bounds.torn == Torn::Pages
    }

    /// Whether a record is the last of its page.
    fn seals(&self, snapshot: &Snapshot) -> bool {
        let by_durable = self.needs_own_pages() && self.keeps(LeftOut::OwnPage) && snapshot.wants_durable;
        self.per_page() == 1 || by_durable
    }

    /// The record of a snapshot that follows the newest one, and the snapshot with the log's new end.
    pub(crate) fn with_record(&mut self, newest: &Snapshot, snapshot: Snapshot) -> (Snapshot, ContentId) {
        let lsn = newest.log_end;
        let seals = self.seals(&snapshot);
        let has_changes = snapshot.root_birth == snapshot.id;
        let has_leaf = has_changes && snapshot.tree.leaf_value != newest.tree.leaf_value;
        let record = self.disk.content_id(Content::Record(Record {
            id: snapshot.id,
            sequence_number: lsn,
            chain: newest.chain,
            kind: if has_changes { Kind::Changes } else { Kind::Empty },
            root_value: if has_changes { snapshot.tree.root_value } else { 0 },
            leaf_value: if has_leaf { snapshot.tree.leaf_value } else { 0 },
            seals,
        }));
        (self.after_record(newest, snapshot, record), record)
    }

    /// The snapshot with the log's end after its record, which lies at the newest snapshot's end.
    pub(crate) fn after_record(&self, newest: &Snapshot, snapshot: Snapshot, content: ContentId) -> Snapshot {
        let record = self.disk.record(content).expect("a record");
        let log_end = self.end_of(&record, newest.log_end);
        let ends_page = record.seals || !self.needs_own_pages() || !self.keeps(LeftOut::OwnPage);
        let (sealed, sealed_end) =
            if ends_page { (snapshot.id, log_end) } else { (newest.sealed, newest.sealed_end) };
        Snapshot { log_end, chain: content, sealed, sealed_end, ..snapshot }
    }

    /// Where the record that follows one at `lsn` begins.
    pub(crate) fn end_of(&self, record: &Record, lsn: Lsn) -> Lsn {
        if record.seals { self.page_ceiling(lsn + 1) } else { lsn + 1 }
    }

    /// Whether a record continues the log here (L4, L5).
    pub(crate) fn continues(&self, record: &Record, lsn: Lsn, chain: ContentId) -> bool {
        let is_at_its_place = record.sequence_number == lsn || !self.keeps(LeftOut::SequenceNumber);
        is_at_its_place && (record.chain == chain || !self.keeps(LeftOut::Chain))
    }
}
