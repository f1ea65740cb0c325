//! What the disk may hold after a loss of power: made from a journal of calls.
//!
//! The disk promises nothing but this: what a barrier has covered is there, and a longer file is longer
//! once `grow` has returned. Each store since may be there whole, in part (by sectors of 512 bytes, in
//! any order), or not at all.

use super::fixture::{Call, Random};

const SECTOR: usize = 512;

/// The disk, while a journal is replayed.
pub(super) struct Disk {
    durable: Vec<u8>,
    /// Stores that no barrier has covered: offset and bytes. A truncation is a store of nothing at its new end.
    pending: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    pub(super) fn new(image: &[u8]) -> Disk {
        Disk { durable: image.to_vec(), pending: Vec::new() }
    }

    pub(super) fn apply(&mut self, call: &Call) {
        match call {
            Call::Write { offset, bytes } => self.pending.push((*offset, bytes.clone())),
            Call::Barrier => {
                for (offset, bytes) in std::mem::take(&mut self.pending) {
                    store(&mut self.durable, offset, &bytes);
                }
            }
            // Two rooms for doubt at once (a cut not yet durable, and growth over it) there are not: growth syncs
            // the file's length.
            Call::Truncate { to } => self.pending.push((*to, Vec::new())),
            Call::Grow { from, to, zero } => {
                if let Some(cut) = self.pending.iter().rposition(|(_, bytes)| bytes.is_empty()) {
                    let (end, _) = self.pending.remove(cut);
                    self.durable.truncate(end as usize);
                    self.pending.retain(|(offset, bytes)| offset + bytes.len() as u64 <= end);
                }
                self.durable.resize(self.durable.len().max(*to as usize), 0);
                if *zero {
                    self.pending.push((*from, vec![0; (to - from) as usize]));
                }
            }
        }
    }

    /// One of the images that a loss of power may leave now.
    pub(super) fn image(&self, random: &mut Random) -> Vec<u8> {
        let mut image = self.durable.clone();
        let style = random.below(6);
        let chosen = random.below(self.pending.len().max(1));
        for (at, (offset, bytes)) in self.pending.iter().enumerate() {
            let fate = match style {
                0 => 0,
                1 if at == chosen => 2 + random.below(2),
                1 => 0,
                2 if at == chosen => random.below(2),
                2 => 3,
                3 if at < chosen => 0,
                3 => 3,
                _ => random.below(4),
            };
            match fate {
                0 | 1 if fate == 0 || bytes.len() <= SECTOR => store(&mut image, *offset, bytes),
                3 => {}
                _ => {
                    for (sector, piece) in bytes.chunks(SECTOR).enumerate() {
                        if random.one_in(2) {
                            store(&mut image, offset + (sector * SECTOR) as u64, piece);
                        }
                    }
                }
            }
        }
        image
    }

    /// The images that differ from the one before the last store by its first sectors only: a record that was half
    /// written. All that came before is there.
    pub(super) fn images_of_half_written_store(&self) -> Vec<Vec<u8>> {
        let Some(((offset, bytes), before)) = self.pending.split_last() else { return Vec::new() };
        let mut whole = self.durable.clone();
        before.iter().for_each(|(offset, bytes)| store(&mut whole, *offset, bytes));
        let cuts = (0..bytes.len()).step_by(64);
        cuts.map(|cut| {
            let mut image = whole.clone();
            store(&mut image, *offset, &bytes[..cut.max(1)]);
            image
        })
        .collect()
    }
}

fn store(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = offset as usize;
    if bytes.is_empty() {
        image.truncate(offset);
    } else if offset + bytes.len() <= image.len() {
        image[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}
