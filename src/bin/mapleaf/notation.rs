//! How keys and values are written on the command line and in the output.

use clap::ValueEnum;
use mapleaf::{TableInfo, TableKind};

use crate::escape::{escape, from_hex, to_hex};
use crate::outcome::{Failure, wrong};
use crate::types::{Role, Type};

/// How keys and values are given and shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// As the table's types say: text, numbers, JSON for tuples.
    Typed,
    /// The stored bytes as text; what is not printable with backslashes (given: as it is).
    Text,
    /// The stored bytes as hexadecimal digits.
    Hex,
}

/// A table's types, and how they are written.
pub(crate) struct Notation {
    form: Form,
    key: Type,
    value: Type,
    /// Whether the values are keys too, as those of a multimap table.
    is_multimap: bool,
}

impl Notation {
    pub(crate) fn new(form: Form, table: &TableInfo) -> Notation {
        Notation {
            form,
            key: Type::of_name(&table.key_type),
            value: Type::of_name(&table.value_type),
            is_multimap: table.kind == TableKind::Multimap,
        }
    }

    /// Of bytes whose types are not known.
    pub(crate) fn of_bytes(form: Form) -> Notation {
        Notation { form, key: Type::of_name("bytes"), value: Type::of_name("bytes"), is_multimap: false }
    }

    fn type_of(&self, role: Role) -> &Type {
        if role == Role::Key { &self.key } else { &self.value }
    }

    /// The encoding of a key or a value.
    fn encoding_of(&self, role: Role) -> Role {
        if self.is_multimap { Role::Key } else { role }
    }

    /// The type of the keys.
    pub(crate) fn key_type(&self) -> &Type {
        &self.key
    }

    pub(crate) fn read(&self, word: &[u8], role: Role) -> Result<Vec<u8>, Failure> {
        let bytes = match self.form {
            Form::Typed => self.type_of(role).encode_word(word, self.encoding_of(role)),
            Form::Text => Ok(word.to_vec()),
            Form::Hex => from_hex(word),
        };
        bytes.map_err(|problem| {
            let what = if role == Role::Key { "key" } else { "value" };
            wrong(format!("{what} {:?}: {problem}", String::from_utf8_lossy(word)))
        })
    }

    /// Reads an end of a range: a key, or the first elements of a tuple.
    pub(crate) fn read_bound(&self, word: &str) -> Result<Vec<u8>, Failure> {
        match self.form {
            Form::Typed if self.key.has_first_elements(word) => {
                let bytes = self.key.encode_prefix(word.as_bytes());
                bytes.map_err(|problem| wrong(format!("key {word:?}: {problem}")))
            }
            _ => self.read(word.as_bytes(), Role::Key),
        }
    }

    pub(crate) fn read_prefix(&self, word: &str) -> Result<Vec<u8>, Failure> {
        let bytes = match self.form {
            Form::Typed => self.key.encode_prefix(word.as_bytes()),
            Form::Text => Ok(word.as_bytes().to_vec()),
            Form::Hex => from_hex(word.as_bytes()),
        };
        bytes.map_err(|problem| wrong(format!("prefix {word:?}: {problem}")))
    }

    pub(crate) fn text(&self, bytes: &[u8], role: Role) -> String {
        match self.form {
            Form::Typed => self.type_of(role).to_text(bytes, self.encoding_of(role)),
            Form::Text => escape(bytes),
            Form::Hex => to_hex(bytes),
        }
    }

    pub(crate) fn json(&self, bytes: &[u8], role: Role) -> serde_json::Value {
        match self.form {
            Form::Typed => self.type_of(role).to_json(bytes, self.encoding_of(role)),
            Form::Text => escape(bytes).into(),
            Form::Hex => to_hex(bytes).into(),
        }
    }
}
