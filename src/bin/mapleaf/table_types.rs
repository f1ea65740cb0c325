//! The types of a table's keys and values, as one word: "u64,str".

use std::fmt;
use std::str::FromStr;

use mapleaf::{TableInfo, TableKind, WriteTxn, admin};

use crate::types::{Type, split_at_commas};

/// The names of both types, as the catalog has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TableTypes {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Whether a key has any number of values.
    pub(crate) is_multimap: bool,
}

/// The kind of a table in JSON.
pub(crate) fn kind_name(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Multimap => "multimap",
        _ => "table",
    }
}

const KNOWN_TYPES: &str = "u8 to u128, i8 to i128, nonzero<u64>, f32, f64, bool, char, (), str (for String), bytes \
     (for [u8] and Vec<u8>), [u8;16], option<u64>, vec<u64>, (u64,str), duration, systemtime, ipaddr, socketaddr, \
     uuid, timestamp, date, time, datetime, signedduration, and of keys reverse<u64>, nocase and bytes_from_end";

impl TableTypes {
    pub(crate) fn new(key: &str, value: &str) -> TableTypes {
        TableTypes { key: key.to_owned(), value: value.to_owned(), is_multimap: false }
    }

    /// The same for a multimap table.
    pub(crate) fn multimap(self) -> TableTypes {
        TableTypes { is_multimap: true, ..self }
    }

    /// Creates a table of these types.
    pub(crate) fn create(&self, tx: &WriteTxn, name: &str) -> mapleaf::Result<()> {
        match self.is_multimap {
            true => admin::create_multimap(tx, name, &self.key, &self.value),
            false => admin::create_table(tx, name, &self.key, &self.value),
        }
    }

    /// Takes the names apart as the catalog has them: they may be of types that this program does not know.
    pub(crate) fn named(names: &str) -> Result<TableTypes, String> {
        match split_at_commas(names)[..] {
            [key, value] => Ok(TableTypes::new(key, value)),
            _ => Err(format!("{names:?} is not two types with a comma between them, as in u64,str")),
        }
    }
}

/// As a person writes them: there may be spaces, and the types must be known.
impl FromStr for TableTypes {
    type Err = String;

    fn from_str(text: &str) -> Result<TableTypes, String> {
        let TableTypes { key, value, .. } = TableTypes::named(text)?;
        let name = |given: &str| match Type::given(given) {
            Some(known) => Ok(known.to_string()),
            None => Err(format!("{:?} is not a type of mapleaf's; there are {KNOWN_TYPES}", given.trim())),
        };
        Ok(TableTypes::new(&name(&key)?, &name(&value)?))
    }
}

impl From<&TableInfo> for TableTypes {
    fn from(table: &TableInfo) -> TableTypes {
        let types = TableTypes::new(&table.key_type, &table.value_type);
        if table.kind == TableKind::Multimap { types.multimap() } else { types }
    }
}

impl fmt::Display for TableTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_multimap { ", multimap" } else { "" };
        write!(f, "{} to {}{kind}", self.key, self.value)
    }
}
