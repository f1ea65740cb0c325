//! An increment: the pages that have changed between two transactions, written to a stream or a file.

use std::io::{self, Write};
use std::path::Path;

use crate::base::{Extent, PageNumber, TransactionId};
use crate::check::VerifyingSource;
use crate::copy::changes::Changes;
use crate::copy::{Copied, PIECE_BYTES, check_length};
use crate::error::{Error, Result};
use crate::format::free_log::FIRST_PAGE;
use crate::format::increment::{IncrementHeader, encode_pair};
use crate::sys;
use crate::txn::read::SnapshotReader;

/// Writes the changes since transaction `since` to a stream.
pub(crate) fn increment_to_writer(
    reader: &SnapshotReader,
    since: TransactionId,
    writer: &mut impl Write,
) -> Result<Copied> {
    let (parts, increment) = Parts::find(reader, since)?;
    parts
        .write(reader, writer)
        .map_err(|source| Error::io("write an increment of", &reader.pages().path, source))?;
    Ok(increment)
}

/// Writes the changes since transaction `since` to a new file, which gets its name when it is complete and durable.
pub(crate) fn increment_to_file(
    reader: &SnapshotReader,
    since: TransactionId,
    path: &Path,
) -> Result<Copied> {
    let (parts, increment) = Parts::find(reader, since)?;
    let fill = |file: &std::fs::File| {
        let mut writer = io::BufWriter::with_capacity(PIECE_BYTES, sys::FileWriter::new(file));
        parts.write(reader, &mut writer)
    };
    let writing = |source| Error::io("write an increment to", path, source);
    sys::create_file_with(path, reader.pages().rights()?, fill).map_err(writing)?;
    Ok(increment)
}

struct Parts {
    header: IncrementHeader,
    runs: Vec<Extent>,
    kept: Vec<(PageNumber, u32)>,
}

impl Parts {
    fn find(reader: &SnapshotReader, since: TransactionId) -> Result<(Parts, Copied)> {
        reader.check_not_forked()?;
        check_length(reader)?;
        let snapshot = &reader.snapshot;
        if since.get() == 0 || since > snapshot.id {
            let problem = format!(
                "an increment since transaction {since}: it must be from 1 to {}, the snapshot's transaction",
                snapshot.id
            );
            return Err(Error::InvalidOption { problem });
        }
        let source = VerifyingSource { pages: reader.pages(), length_pages: snapshot.length_pages };
        let Changes { young, kept } = Changes::find(source, snapshot, since)?;
        let runs: Vec<Extent> = young.runs_from(PageNumber(FIRST_PAGE)).collect();
        let header = IncrementHeader {
            page_size: reader.pages().page_size,
            origin: reader.identity(),
            since,
            id: snapshot.id,
            length_pages: snapshot.length_pages,
            catalog: snapshot.catalog,
            may_be_followed: reader.is_checkpointed(),
            kept_count: kept.len() as u32,
            run_count: runs.len() as u32,
        };
        let pages = runs.iter().map(|run| run.count).sum();
        let pairs = (runs.len() + kept.len()) as u64 * crate::format::increment::PAIR_LEN as u64;
        let increment = Copied {
            since: Some(since),
            transaction: snapshot.id,
            pages,
            bytes: header.encode().len() as u64 + pairs + u64::from(pages) * header.page_size as u64 + 4,
            may_be_followed: header.may_be_followed,
        };
        Ok((Parts { header, runs, kept }, increment))
    }

    fn write(&self, reader: &SnapshotReader, writer: &mut impl Write) -> io::Result<()> {
        let page_size = self.header.page_size;
        writer.write_all(&self.header.encode())?;
        let mut hasher = crc32fast::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(bytes);
            writer.write_all(bytes)
        };
        let pairs = |pairs: &[(PageNumber, u32)]| -> Vec<u8> {
            pairs.iter().flat_map(|(number, checksum)| encode_pair(number.0, *checksum)).collect()
        };
        self.kept.chunks(PIECE_BYTES / 8).try_for_each(|piece| put(&pairs(piece)))?;
        for run in &self.runs {
            put(&encode_pair(run.first.0, run.count))?;
            let (mut at, mut left) = (run.first.offset(page_size), run.count as usize * page_size);
            while left > 0 {
                let piece = PIECE_BYTES.min(left);
                let bytes = reader.pages().storage.mapping().slice(at, piece);
                put(bytes.ok_or(io::ErrorKind::UnexpectedEof)?)?;
                at += piece as u64;
                left -= piece;
            }
        }
        writer.write_all(&hasher.finalize().to_le_bytes())?;
        writer.flush()
    }
}
