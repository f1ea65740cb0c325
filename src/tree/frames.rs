//! The frames of a write transaction: private buffers for nodes and overflow extents that have no page number yet.
//!
//! Invariants:
//! - A frame's node was written by this program, or copied from a page that passed `check_before_change`: its
//!   structure is sound. (Its keys may still be out of order, if they were in the file.)
//! - A reference to a frame stands in the tree's top or in another frame, never in a page of the file, so
//!   that no page's content can reach a frame.
//! - While there is a level ([`FramesLevel`]), each frame that existed when it began is saved there before its first
//!   change, and its index is given to no other frame. So the level can be gone back to whatever has happened since,
//!   even if a change has ended half-way.

use crate::base::ChildRef;
use crate::error::{Error, Result, corrupt};
use crate::format::node;
use crate::tree::level::FramesLevel;
use crate::tree::nodes::Nodes;
use crate::tree::pages::PageSource;

/// The maximum of buffers that are kept for reuse, in bytes. A continuing load needs no more. More would be uncounted
/// memory: long values return buffers, but take none.
const MAX_SPARE_BYTES: usize = 1 << 20;

/// All frames of one tree.
pub(super) struct Frames {
    page_size: usize,
    slots: Vec<Option<Box<[u8]>>>,
    /// Slots that are empty.
    vacant: Vec<u32>,
    /// Buffers of one page, to be used again: [`MAX_SPARE_BYTES`] of them at most.
    spare: Vec<Box<[u8]>>,
    page_count: usize,
    /// The states to go back to, oldest first.
    levels: Vec<FramesLevel>,
    /// Bytes that the levels hold.
    saved_bytes: usize,
}

impl Frames {
    pub(super) const fn new(page_size: usize) -> Frames {
        Frames {
            page_size,
            slots: Vec::new(),
            vacant: Vec::new(),
            spare: Vec::new(),
            page_count: 0,
            levels: Vec::new(),
            saved_bytes: 0,
        }
    }

    /// Pages that the frames will take in the file.
    pub(super) fn page_count(&self) -> usize {
        self.page_count
    }

    /// Makes a frame from `buffer`, whose length is a whole number of pages.
    pub(super) fn add(&mut self, buffer: Box<[u8]>) -> ChildRef {
        self.page_count += buffer.len() / self.page_size;
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[index as usize] = Some(buffer);
        ChildRef::to_frame(index)
    }

    /// A frame for a node, with arbitrary content: it is to be built.
    pub(super) fn add_node(&mut self) -> ChildRef {
        let buffer = self.spare_buffer();
        self.add(buffer)
    }

    fn spare_buffer(&mut self) -> Box<[u8]> {
        self.spare.pop().unwrap_or_else(|| vec![0; self.page_size].into_boxed_slice())
    }

    /// A frame with a copy of `page`.
    pub(super) fn add_copy(&mut self, page: &[u8]) -> ChildRef {
        let buffer = match self.spare.pop() {
            Some(mut buffer) => {
                buffer.copy_from_slice(page);
                buffer
            }
            None => Box::from(page),
        };
        self.add(buffer)
    }

    #[inline]
    pub(super) fn get(&self, at: ChildRef) -> Result<&[u8]> {
        let slot = at.frame().and_then(|index| self.slots.get(index as usize));
        slot.and_then(|slot| slot.as_deref()).ok_or_else(|| no_such_frame(at))
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: ChildRef) -> Result<&mut [u8]> {
        if !self.levels.is_empty() {
            self.save(at);
        }
        let slot = at.frame().and_then(|index| self.slots.get_mut(index as usize));
        slot.and_then(|slot| slot.as_deref_mut()).ok_or_else(|| no_such_frame(at))
    }

    /// Two frames at once.
    pub(super) fn get_two_mut(&mut self, at: [ChildRef; 2]) -> Result<[&mut [u8]; 2]> {
        if !self.levels.is_empty() {
            at.into_iter().for_each(|at| self.save(at));
        }
        let index = |at: ChildRef| at.frame().map_or(usize::MAX, |index| index as usize);
        match self.slots.get_disjoint_mut(at.map(index)) {
            Ok([Some(one), Some(other)]) => Ok([one, other]),
            _ => Err(no_such_frame(at[0])),
        }
    }

    /// Takes a frame's buffer out; the frame is gone.
    pub(super) fn take(&mut self, at: ChildRef) -> Result<Box<[u8]>> {
        if !self.levels.is_empty() {
            self.save(at);
        }
        self.remove(at)
    }

    fn remove(&mut self, at: ChildRef) -> Result<Box<[u8]>> {
        let slot = at.frame().and_then(|index| self.slots.get_mut(index as usize));
        let buffer = slot.and_then(Option::take).ok_or_else(|| no_such_frame(at))?;
        let is_reserved = |index: &u32| self.levels.last().is_some_and(|level| level.had(*index));
        self.vacant.extend(at.frame().filter(|index| !is_reserved(index)));
        self.page_count -= buffer.len() / self.page_size;
        Ok(buffer)
    }

    /// Takes the content out of a node's frame. The frame remains, with arbitrary content, and is to be rebuilt.
    pub(super) fn lift(&mut self, at: ChildRef) -> Result<Box<[u8]>> {
        let buffer = self.spare_buffer();
        self.exchange(at, buffer)
    }

    /// Puts back what was lifted.
    pub(super) fn put_back(&mut self, at: ChildRef, lifted: Box<[u8]>) -> Result<()> {
        let buffer = self.exchange(at, lifted)?;
        self.recycle(buffer);
        Ok(())
    }

    fn exchange(&mut self, at: ChildRef, buffer: Box<[u8]>) -> Result<Box<[u8]>> {
        if !self.levels.is_empty() {
            self.save(at);
        }
        let slot = at.frame().and_then(|index| self.slots.get_mut(index as usize));
        let place = slot.and_then(Option::as_mut).ok_or_else(|| no_such_frame(at))?;
        Ok(std::mem::replace(place, buffer))
    }

    /// Keeps an unneeded buffer for later frames, unless there are already enough.
    pub(super) fn recycle(&mut self, buffer: Box<[u8]>) {
        if buffer.len() == self.page_size && self.spare.len() < MAX_SPARE_BYTES / self.page_size {
            self.spare.push(buffer);
        }
    }

    pub(super) fn free(&mut self, at: ChildRef) -> Result<()> {
        let buffer = self.remove(at)?;
        match self.levels.last_mut().zip(at.frame()) {
            Some((level, index)) if level.lacks(index) => {
                self.saved_bytes += buffer.len();
                level.save(index, buffer);
            }
            _ => self.recycle(buffer),
        }
        Ok(())
    }

    // ---- levels ----

    /// Bytes that the levels hold.
    pub(super) fn saved_bytes(&self) -> usize {
        self.saved_bytes
    }

    /// Begins a level: the present state is one to go back to.
    pub(super) fn begin_level(&mut self) {
        let vacant = std::mem::take(&mut self.vacant);
        self.levels.push(FramesLevel::new(self.slots.len(), vacant, self.page_count));
    }

    /// Saves a frame that is about to change, unless the newest level has it or it is younger than the level.
    #[cold]
    fn save(&mut self, at: ChildRef) {
        let Some((level, index)) = self.levels.last_mut().zip(at.frame()) else { return };
        let Some(Some(bytes)) = self.slots.get(index as usize).filter(|_| level.lacks(index)) else { return };
        let copy = match self.spare.pop_if(|spare| spare.len() == bytes.len()) {
            Some(mut spare) => {
                spare.copy_from_slice(bytes);
                spare
            }
            None => bytes.clone(),
        };
        self.saved_bytes += copy.len();
        level.save(index, copy);
    }

    /// Goes back to where the newest level began, and ends it.
    pub(super) fn roll_back_level(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        for buffer in self.slots.drain(level.slot_count..).flatten().collect::<Vec<_>>() {
            self.recycle(buffer);
        }
        for (index, bytes) in level.saved {
            self.saved_bytes -= bytes.len();
            if let Some(buffer) = self.slots[index as usize].replace(bytes) {
                self.recycle(buffer);
            }
        }
        (self.vacant, self.page_count) = (level.vacant, level.page_count);
    }

    /// Ends the newest level, and keeps the present state. What the level before it needs goes there.
    pub(super) fn merge_level(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        self.vacant.extend(level.vacant);
        for (index, bytes) in level.saved {
            match self.levels.last_mut() {
                Some(before) if before.lacks(index) => before.save(index, bytes),
                before => {
                    let is_reserved = before.is_some_and(|before| before.had(index));
                    if !is_reserved && self.slots[index as usize].is_none() {
                        self.vacant.push(index);
                    }
                    self.saved_bytes -= bytes.len();
                    self.recycle(bytes);
                }
            }
        }
    }
}

#[cold]
fn no_such_frame(at: ChildRef) -> Error {
    corrupt(None, "frame of the transaction", "one in use", at.0 & (u32::MAX >> 1))
}

/// The nodes as a write transaction sees them: its frames, and finished pages for all that it has not changed.
pub(crate) struct FramesOverPages<'a, S> {
    pub(super) source: &'a S,
    pub(super) frames: &'a Frames,
}

/// Of a tree that is not changed.
static NO_FRAMES: Frames = Frames::new(0);

impl<'a, S> FramesOverPages<'a, S> {
    /// The nodes of a tree that the transaction has not changed.
    pub(crate) fn without_frames(source: &'a S) -> FramesOverPages<'a, S> {
        FramesOverPages { source, frames: &NO_FRAMES }
    }
}

impl<S> Clone for FramesOverPages<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for FramesOverPages<'_, S> {}

impl<'a, S: PageSource> Nodes<'a> for FramesOverPages<'a, S> {
    #[inline]
    fn node(self, at: ChildRef) -> Result<&'a [u8]> {
        match at.page() {
            Some(number) => self.source.page(number),
            None => self.frames.get(at),
        }
    }

    fn overflow_run(self, at: ChildRef) -> Result<&'a [u8]> {
        match at.page() {
            Some(number) => self.source.overflow(number),
            None => self.frames.get(at),
        }
    }

    fn most_nodes(self) -> usize {
        self.source.page_count() as usize + self.frames.slots.len()
    }

    #[inline]
    fn prefetch(self, at: ChildRef) {
        match at.page() {
            Some(number) => self.source.prefetch(number),
            None => {
                let _ = self.frames.get(at).map(node::prefetch_ends); // no frame: the read returns the error
            }
        }
    }

    fn peek(self, at: ChildRef) -> &'a [u8] {
        match at.page() {
            Some(number) => self.source.peek(number),
            None => self.frames.get(at).unwrap_or(&[]), // no frame: the read returns the error
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::page::MIN_PAGE_SIZE;

    #[test]
    fn buffers_that_nobody_needs_are_given_back() {
        let mut frames = Frames::new(MIN_PAGE_SIZE);
        // A value of one page is replaced repeatedly. Its buffer is new each time.
        for _ in 0..2 * MAX_SPARE_BYTES / MIN_PAGE_SIZE {
            let run = frames.add(vec![0; MIN_PAGE_SIZE].into_boxed_slice());
            frames.free(run).unwrap();
        }
        assert_eq!(frames.spare.len() * MIN_PAGE_SIZE, MAX_SPARE_BYTES);
    }
}
