//! The operations in a redo record: what a transaction did to its tables. The table of opcodes is in the room's head.
//!
//! Writing, replay and everything else that deals with operations matches [`Operation`] exhaustively. So a change of a
//! table that is not in the log does not compile.

use std::ops::Bound;

use crate::base::Lsn;
use crate::base::bytes::{push_varint, take_varint, varint_len};
use crate::error::{Error, Result, corrupt};
use crate::format::catalog::{MAX_NAME_LEN, TableKind, decode_name};

const TABLE: u8 = 1;
const CREATE: u8 = 2;
const DROP: u8 = 3;
const RENAME: u8 = 4;
const CLEAR: u8 = 5;
const PUT: u8 = 6;
const DELETE: u8 = 8;
const REMOVE_RANGE: u8 = 9;
const RETYPE: u8 = 10;
const CREATE_MULTIMAP: u8 = 11;

const UNBOUNDED: u8 = 0;
const INCLUDED: u8 = 1;
const EXCLUDED: u8 = 2;

/// A change of one table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation<'a> {
    Create { kind: TableKind, key_type: &'a str, value_type: &'a str },
    Drop,
    Rename { to: &'a str },
    Retype { key_type: &'a str, value_type: &'a str },
    Clear,
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
    RemoveRange { lower: Bound<&'a [u8]>, upper: Bound<&'a [u8]>, removed: u64 },
}

impl Operation<'_> {
    /// How many bytes [`Operation::encode`] appends.
    #[inline]
    pub(super) fn encoded_len(&self) -> usize {
        let fields = match *self {
            Operation::Create { key_type, value_type, .. } | Operation::Retype { key_type, value_type } => {
                field_len(key_type.as_bytes()) + field_len(value_type.as_bytes())
            }
            Operation::Drop | Operation::Clear => 0,
            Operation::Rename { to } => field_len(to.as_bytes()),
            Operation::Put { key, value } => field_len(key) + field_len(value),
            Operation::Delete { key } => field_len(key),
            Operation::RemoveRange { lower, upper, removed } => {
                1 + field_len(split(lower).1) + field_len(split(upper).1) + varint_len(removed)
            }
        };
        1 + fields
    }

    /// Appends the operation.
    #[inline]
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Operation::Create { kind, key_type, value_type } => {
                out.push(match kind {
                    TableKind::Table => CREATE,
                    TableKind::Multimap => CREATE_MULTIMAP,
                });
                push_types(out, key_type, value_type);
            }
            Operation::Retype { key_type, value_type } => {
                out.push(RETYPE);
                push_types(out, key_type, value_type);
            }
            Operation::Drop => out.push(DROP),
            Operation::Rename { to } => {
                out.push(RENAME);
                push_field(out, to.as_bytes());
            }
            Operation::Clear => out.push(CLEAR),
            Operation::Put { key, value } => {
                out.push(PUT);
                push_field(out, key);
                push_field(out, value);
            }
            Operation::Delete { key } => {
                out.push(DELETE);
                push_field(out, key);
            }
            Operation::RemoveRange { lower, upper, removed } => {
                let ((lower_kind, lower), (upper_kind, upper)) = (split(lower), split(upper));
                out.extend([REMOVE_RANGE, lower_kind | upper_kind << 2]);
                push_field(out, lower);
                push_field(out, upper);
                push_varint(out, removed);
            }
        }
    }
}

/// How many bytes [`push_table`] appends.
#[inline]
pub(super) fn table_len(name: &str) -> usize {
    1 + field_len(name.as_bytes())
}

/// Appends the operation that names the table of those that follow. The name is what ends the bytes then.
pub(super) fn push_table(out: &mut Vec<u8>, name: &str) {
    out.push(TABLE);
    push_field(out, name.as_bytes());
}

#[inline]
fn field_len(bytes: &[u8]) -> usize {
    varint_len(bytes.len() as u64) + bytes.len()
}

#[inline]
fn push_field(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_types(out: &mut Vec<u8>, key_type: &str, value_type: &str) {
    push_field(out, key_type.as_bytes());
    push_field(out, value_type.as_bytes());
}

/// A bound as its two bits and its key.
fn split(bound: Bound<&[u8]>) -> (u8, &[u8]) {
    match bound {
        Bound::Unbounded => (UNBOUNDED, &[]),
        Bound::Included(key) => (INCLUDED, key),
        Bound::Excluded(key) => (EXCLUDED, key),
    }
}

/// The operations of a record, each with the name of its table, or the first error.
#[derive(Clone, Debug)]
pub(crate) struct Operations<'a> {
    input: &'a [u8],
    /// How many operations are still to come, those that name a table included.
    left: u32,
    table: Option<&'a str>,
    /// Where the record is.
    lsn: Lsn,
}

impl<'a> Operations<'a> {
    /// Reads `count` operations in the body of the record at `lsn`.
    pub(super) fn new(body: &'a [u8], count: u32, lsn: Lsn) -> Operations<'a> {
        Operations { input: body, left: count, table: None, lsn }
    }

    fn take_next(&mut self) -> Result<Option<(&'a str, Operation<'a>)>> {
        while self.left > 0 {
            self.left -= 1;
            let opcode = self.take_byte()?;
            if opcode == TABLE {
                self.table = Some(self.take_name()?);
                continue;
            }
            let table = self.table.ok_or_else(|| self.wrong("a table's name first", opcode))?;
            return Ok(Some((table, self.take_operation(opcode)?)));
        }
        match self.input.len() {
            0 => Ok(None),
            rest => Err(self.wrong("no bytes after the last operation", rest)),
        }
    }

    fn take_operation(&mut self, opcode: u8) -> Result<Operation<'a>> {
        Ok(match opcode {
            CREATE => self.take_create(TableKind::Table)?,
            CREATE_MULTIMAP => self.take_create(TableKind::Multimap)?,
            RETYPE => {
                let (key_type, value_type) = self.take_types()?;
                Operation::Retype { key_type, value_type }
            }
            DROP => Operation::Drop,
            RENAME => Operation::Rename { to: self.take_name()? },
            CLEAR => Operation::Clear,
            PUT => Operation::Put { key: self.take_field()?, value: self.take_field()? },
            DELETE => Operation::Delete { key: self.take_field()? },
            REMOVE_RANGE => self.take_remove_range()?,
            _ => return Err(self.wrong("an operation that this version knows", opcode)),
        })
    }

    fn take_create(&mut self, kind: TableKind) -> Result<Operation<'a>> {
        let (key_type, value_type) = self.take_types()?;
        Ok(Operation::Create { kind, key_type, value_type })
    }

    /// Takes the names of a table's types.
    fn take_types(&mut self) -> Result<(&'a str, &'a str)> {
        let (key_type, value_type) = (self.take_field()?, self.take_field()?);
        let length = key_type.len() + value_type.len();
        if length > MAX_NAME_LEN {
            let expected = format_args!("type names of at most {MAX_NAME_LEN} bytes");
            return Err(self.wrong(expected, length));
        }
        let text = |name| std::str::from_utf8(name).map_err(|error| self.wrong("type names in UTF-8", error));
        Ok((text(key_type)?, text(value_type)?))
    }

    fn take_remove_range(&mut self) -> Result<Operation<'a>> {
        let kinds = self.take_byte()?;
        let (lower_key, upper_key) = (self.take_field()?, self.take_field()?);
        let removed = self.take_number()?;
        let bound = |kind: u8, key: &'a [u8]| match kind {
            UNBOUNDED if key.is_empty() => Some(Bound::Unbounded),
            INCLUDED => Some(Bound::Included(key)),
            EXCLUDED => Some(Bound::Excluded(key)),
            _ => None,
        };
        let bounds = bound(kinds & 3, lower_key).zip(bound(kinds >> 2, upper_key));
        let (lower, upper) = bounds.ok_or_else(|| self.wrong("two bounds of a range", kinds))?;
        let is_bounded = kinds & 3 != UNBOUNDED && kinds >> 2 != UNBOUNDED;
        if is_bounded && lower_key > upper_key {
            return Err(self.wrong("a lower bound that is not above the upper one", "a higher one"));
        }
        Ok(Operation::RemoveRange { lower, upper, removed })
    }

    fn take_byte(&mut self) -> Result<u8> {
        let Some((&byte, rest)) = self.input.split_first() else {
            return Err(self.wrong("as many operations as the header says", "the end of the record"));
        };
        self.input = rest;
        Ok(byte)
    }

    fn take_number(&mut self) -> Result<u64> {
        take_varint(&mut self.input).ok_or_else(|| self.wrong("a number of 64 bits", "its end, or more bits"))
    }

    /// Takes a length and that many bytes.
    fn take_field(&mut self) -> Result<&'a [u8]> {
        let length = self.take_number()?;
        let field = usize::try_from(length).ok().and_then(|length| self.input.split_at_checked(length));
        let Some((field, rest)) = field else {
            let expected = format_args!("a field of at most {} bytes", self.input.len());
            return Err(self.wrong(expected, format_args!("one of {length}")));
        };
        self.input = rest;
        Ok(field)
    }

    /// Takes a table's name.
    fn take_name(&mut self) -> Result<&'a str> {
        let name = self.take_field()?;
        decode_name(name).map_err(|error| match error {
            Error::Corrupt(corruption) => self.wrong(&corruption.expected, &corruption.found),
            other => other,
        })
    }

    #[cold]
    fn wrong(&self, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        let found = format_args!("{found}, in the record at LSN {}", self.lsn);
        corrupt(None, "redo record", expected, found)
    }
}

impl<'a> Iterator for Operations<'a> {
    type Item = Result<(&'a str, Operation<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.take_next();
        if item.is_err() {
            (self.input, self.left) = (&[], 0); // after an error there is nothing more
        }
        item.transpose()
    }
}

#[cfg(test)]
mod tests;
