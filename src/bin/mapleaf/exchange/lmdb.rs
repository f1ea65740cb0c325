//! The text format of LMDB's `mdb_dump` and `mdb_load` (and of Berkeley DB's, except records by number).
//!
//! A dump is a section for each table: lines `NAME=VALUE` up to `HEADER=END`, then two lines for each entry, key and
//! value, each after a space, up to `DATA=END`. Bytes are two hexadecimal digits each (`format=bytevalue`), or
//! printable ASCII as it is and `\xx` otherwise (`format=print`).

use std::io::{self, Write};

use crate::escape::{from_hex, hex_byte, push_hex};
use crate::exchange::input_lines::InputLines;
use crate::exchange::lmdb_order::Order;
use crate::outcome::Failure;

/// The longest key that LMDB holds as it is usually built; the shortest has one byte.
pub(crate) const MAX_KEY_LEN: usize = 511;
/// The header's line with the names of the types. `mdb_load` warns that it ignores the line.
const TYPES: &str = "mapleaf_types";

const BARE_BACKSLASH: &str = "a backslash without two hexadecimal digits after it: `mdb_dump -p` of LMDB 0.9.24 does \
     not escape backslashes, so the bytes cannot be recovered; dump without -p";

/// The header of a section.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Header {
    /// The table's name; `None` for the main table of an LMDB file.
    pub(crate) name: Option<String>,
    pub(crate) is_print: bool,
    /// Whether a key has several values: the section has a pair of lines for each of them.
    pub(crate) has_duplicates: bool,
    /// Whether all values have one length.
    pub(crate) has_fixed_values: bool,
    /// The order of keys.
    pub(crate) key_order: Order,
    /// The order of the values of one key.
    pub(crate) value_order: Order,
    /// The names of mapleaf's types, with a comma between them.
    pub(crate) types: Option<String>,
}

/// Reads up to and with `HEADER=END`; `None` if there is no other section.
pub(crate) fn read_header(lines: &mut InputLines) -> Result<Option<Header>, Failure> {
    let mut header = Header::default();
    let mut is_first = true;
    loop {
        let Some(line) = lines.next()? else {
            return if is_first { Ok(None) } else { Err(lines.wrong("the input ends within a header")) };
        };
        let Ok(line) = String::from_utf8(line.to_vec()) else {
            return Err(lines.wrong("a header that is not UTF-8: names of tables are UTF-8 here"));
        };
        if is_first && line.is_empty() {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(lines.wrong(format!("{line:?} where a header has NAME=VALUE")));
        };
        if is_first && (name, value) != ("VERSION", "3") {
            return Err(lines.wrong(format!("{line:?} where a dump begins with VERSION=3")));
        }
        is_first = false;
        match (name, value) {
            ("HEADER", "END") => return Ok(Some(header)),
            ("format", "bytevalue" | "print") => header.is_print = value == "print",
            ("format", _) => return Err(lines.wrong(format!("format {value:?}, not bytevalue or print"))),
            ("type", "btree" | "hash") => {}
            ("type", _) => {
                return Err(lines.wrong(format!("records of type {value:?} have no keys of their own")));
            }
            ("database", _) => header.name = Some(value.to_owned()),
            ("duplicates" | "dupsort", "1") => header.has_duplicates = true,
            ("dupfixed", "1") => header.has_fixed_values = true,
            ("reversekey", "1") => header.key_order = Order::FromEnd,
            ("integerkey", "1") => header.key_order = Order::Integer,
            ("reversedup", "1") => header.value_order = Order::FromEnd,
            ("integerdup", "1") => header.value_order = Order::Integer,
            (TYPES, _) => header.types = Some(value.to_owned()),
            _ => {} // sizes and the like, which mean nothing here
        }
    }
}

/// Key and value.
type Entry = (Vec<u8>, Vec<u8>);

/// Reads a key and a value; `None` after the last.
pub(crate) fn read_entry(lines: &mut InputLines, is_print: bool) -> Result<Option<Entry>, Failure> {
    let Some(key) = read_line(lines, is_print)? else { return Ok(None) };
    match read_line(lines, is_print)? {
        Some(value) => Ok(Some((key, value))),
        None => Err(lines.wrong("DATA=END where a value should be")),
    }
}

fn read_line(lines: &mut InputLines, is_print: bool) -> Result<Option<Vec<u8>>, Failure> {
    let bytes = match lines.next()? {
        None => Err("the input ends before DATA=END".to_owned()),
        Some(b"DATA=END") => return Ok(None),
        Some([b' ', text @ ..]) if is_print => from_print(text),
        Some([b' ', text @ ..]) => from_hex(text),
        Some(_) => Err("neither a space before data, nor DATA=END".to_owned()),
    };
    bytes.map(Some).map_err(|problem| lines.wrong(problem))
}

fn from_print(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(bytes),
            [b'\\', b'\\', after @ ..] => {
                bytes.push(b'\\');
                after
            }
            [b'\\', high, low, after @ ..] => {
                bytes.push(hex_byte(*high, *low).map_err(|_| BARE_BACKSLASH)?);
                after
            }
            [b'\\', ..] => return Err(BARE_BACKSLASH.to_owned()),
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        };
    }
}

/// Writes a header. `map_size` is what `mdb_load` makes the new file's map, in bytes.
pub(crate) fn write_header(out: &mut impl Write, header: &Header, map_size: u64) -> io::Result<()> {
    writeln!(out, "VERSION=3\nformat={}", if header.is_print { "print" } else { "bytevalue" })?;
    if let Some(name) = &header.name {
        writeln!(out, "database={name}")?;
    }
    writeln!(out, "type=btree\nmapsize={map_size}\nmaxreaders=126")?;
    if header.has_duplicates {
        writeln!(out, "duplicates=1\ndupsort=1")?;
    }
    if header.has_fixed_values {
        writeln!(out, "dupfixed=1")?;
    }
    match header.key_order {
        Order::Bytes => {}
        Order::FromEnd => writeln!(out, "reversekey=1")?,
        Order::Integer => writeln!(out, "integerkey=1")?,
    }
    match header.value_order {
        Order::Bytes => {}
        Order::FromEnd => writeln!(out, "reversedup=1")?,
        Order::Integer => writeln!(out, "integerdup=1")?,
    }
    if let Some(types) = &header.types {
        writeln!(out, "{TYPES}={types}")?;
    }
    writeln!(out, "HEADER=END")
}

pub(crate) fn write_entry(out: &mut impl Write, is_print: bool, key: &[u8], value: &[u8]) -> io::Result<()> {
    for bytes in [key, value] {
        let mut line = String::with_capacity(bytes.len() * 2 + 2);
        line.push(' ');
        for &byte in bytes {
            match byte {
                // A backslash too is written by its digits: `mdb_load` of LMDB 0.9.24 reads two of them as
                // something else.
                b' '..=b'~' if is_print && byte != b'\\' => line.push(char::from(byte)),
                _ => {
                    line.push_str(if is_print { "\\" } else { "" });
                    push_hex(&mut line, byte);
                }
            }
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

pub(crate) fn write_end(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "DATA=END")
}
