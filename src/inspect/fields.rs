//! The names of the fields in page headers and meta pages. docs/FORMAT.md has their meaning, with the same order and
//! lengths.

use super::anatomy::{Field, FieldValue};
use crate::format::leaf;
use crate::format::page::PageKind;

/// How a field is read.
#[derive(Clone, Copy)]
enum Form {
    Number,
    Bytes,
    /// A checksum or digest: a number whose digits matter.
    Digits,
}

use Form::{Bytes, Digits, Number};

/// Offset, length, name.
type Layout = (usize, usize, &'static str, Form);

const META: [Layout; 14] = [
    (0, 8, "magic", Bytes),
    (8, 4, "checksum", Digits),
    (12, 4, "length of the meta", Number),
    (16, 4, "format version", Number),
    (20, 4, "page size", Number),
    (24, 16, "identity of the file", Bytes),
    (40, 8, "transaction", Number),
    (48, 4, "length of the file in pages", Number),
    (52, 4, "catalog: root page", Number),
    (56, 8, "catalog: entries", Number),
    (64, 1, "catalog: depth", Number),
    (68, 4, "free log: newest page", Number),
    (72, 4, "free log: bytes in the tail", Number),
    (76, 4, "free pages", Number),
];

/// What follows.
const META_REDO: [Layout; 7] = [
    (80, 4, "retired pages", Number),
    (84, 4, "redo log: checksum before its start", Digits),
    (88, 8, "redo log: start", Number),
    (96, 8, "redo log: base of the ring", Number),
    (104, 4, "redo log: first page of the ring", Number),
    (108, 4, "redo log: pages of the ring", Number),
    (112, 4, "redo log: bytes of a block", Number),
];

/// The same in formats 1 and 2, from byte 76 on.
const META_LIST: [Layout; 5] = [
    (76, 4, "listed runs", Number),
    (80, 4, "digest of the listed pages", Digits),
    (84, 4, "free pages", Number),
    (88, 4, "retired pages", Number),
    (92, 4, "zero", Number),
];

const COMMON: [Layout; 5] = [
    (0, 4, "checksum", Digits),
    (4, 4, "page number", Number),
    (8, 8, "birth", Number),
    (16, 1, "kind", Number),
    (17, 1, "level", Number),
];

const LEAF: [Layout; 6] = [
    (18, 2, "entries", Number),
    (20, 2, "length of the prefix", Number),
    (22, 2, "length of the heap", Number),
    (24, 2, "dead bytes in the heap", Number),
    (26, 2, "flags", Number),
    (28, 4, "zero", Number),
];

const DENSE_LEAF: [Layout; 6] = [
    (18, 2, "entries", Number),
    (20, 2, "length of the prefix", Number),
    (22, 2, "length of each value", Number),
    (24, 2, "length of each suffix", Number),
    (26, 2, "flags", Number),
    (28, 4, "last head", Digits),
];

const OVERFLOW: [Layout; 3] =
    [(18, 2, "zero", Number), (20, 4, "pages in the run", Number), (24, 8, "length of the value", Number)];

const FREE_LOG: [Layout; 4] = [
    (18, 2, "flags", Number),
    (20, 4, "page before it in the log", Number),
    (24, 4, "length of the payload", Number),
    (28, 4, "zero", Number),
];

pub(super) fn kind_name(kind: PageKind) -> &'static str {
    match kind {
        PageKind::Leaf => "leaf",
        PageKind::Branch => "branch",
        PageKind::Overflow => "overflow",
        PageKind::FreeLog => "free log",
    }
}

/// Returns the fields of a meta of this format version, from a page that contains its whole fixed part.
pub(super) fn of_meta(page: &[u8], version: u32) -> Vec<Field> {
    let (common, own): (&[Layout], &[Layout]) = match version {
        1 | 2 => (&META[..META.len() - 1], &META_LIST),
        _ => (&META, &META_REDO),
    };
    common.iter().chain(own).map(|layout| read(page, layout)).collect()
}

/// Returns the fields of a page header.
pub(super) fn of_page(page: &[u8], kind: PageKind) -> Vec<Field> {
    let own: &[Layout] = match kind {
        PageKind::Leaf if leaf::is_dense(page) => &DENSE_LEAF,
        PageKind::Leaf | PageKind::Branch => &LEAF,
        PageKind::Overflow => &OVERFLOW,
        PageKind::FreeLog => &FREE_LOG,
    };
    let mut fields: Vec<Field> = COMMON.iter().chain(own).map(|layout| read(page, layout)).collect();
    if kind == PageKind::Branch {
        fields[COMMON.len()].name = "separators";
    }
    fields
}

fn read(page: &[u8], &(offset, length, name, form): &Layout) -> Field {
    let bytes = &page[offset..offset + length];
    let value = match form {
        Number => {
            FieldValue::Number(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
        }
        Bytes => FieldValue::Bytes(bytes.to_vec()),
        Digits => FieldValue::Bytes(bytes.iter().rev().copied().collect()),
    };
    Field { offset, length, name, value }
}
