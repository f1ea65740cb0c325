//! A page taken apart, for programs.

use mapleaf::admin::{Anatomy, Content, FieldValue, LogEntry, StoredValue};
use serde_json::{Map, Value, json};

use super::kind::kind_of;
use crate::escape::to_hex;
use crate::problems::problems_json;

pub(crate) fn page_json(page: &Anatomy) -> Value {
    let checksum = |sum: Option<u32>| sum.map(|sum| format!("{sum:08x}"));
    let fields: Map<String, Value> =
        page.fields.iter().map(|field| (field.name.to_owned(), field_json(&field.value))).collect();
    let mut answer = json!({
        "page": page.number, "kind": kind_of(page), "fields": fields,
        "stored_checksum": checksum(page.stored_checksum), "computed_checksum": checksum(page.computed_checksum),
        "problems": problems_json(&page.problems),
    });
    match &page.content {
        Content::Meta { redo_log, listed, log, .. } => {
            answer["redo_log"] = json!(redo_log);
            answer["listed"] = json!(listed);
            answer["log"] = log.iter().map(log_json).collect();
        }
        Content::Leaf(leaf) => {
            answer["prefix"] = to_hex(&leaf.prefix).into();
            answer["entries"] = leaf
                .entries
                .iter()
                .map(|entry| {
                    let mut line = json!({
                        "key": to_hex(&entry.key), "head_at": entry.head_at, "slot_at": entry.slot_at,
                        "heap": entry.heap,
                    });
                    match &entry.value {
                        StoredValue::Inline(value) => line["value"] = to_hex(value).into(),
                        StoredValue::Overflow { first, length } => {
                            line["overflow"] = json!({ "first": first, "bytes": length });
                        }
                        _ => {}
                    }
                    line
                })
                .collect();
            let tables = leaf.tables.iter().map(|table| {
                json!({
                    "table": table.name, "root": table.root, "depth": table.depth, "entries": table.entries,
                    "key_type": table.key_type, "value_type": table.value_type,
                })
            });
            answer["tables"] = tables.collect();
        }
        Content::Branch(branch) => {
            answer["prefix"] = to_hex(&branch.prefix).into();
            let children = branch.children.iter().map(|child| {
                json!({ "page": child.page, "at": child.at, "from": child.separator.as_deref().map(to_hex) })
            });
            answer["children"] = children.collect();
        }
        Content::Overflow { pages, value_bytes } => {
            (answer["pages"], answer["value_bytes"]) = (json!(pages), json!(value_bytes));
        }
        Content::FreeLog { starts_base, entries } => {
            answer["starts_base"] = json!(starts_base);
            match entries {
                Ok(log) => answer["log"] = log.iter().map(log_json).collect(),
                Err(problem) => answer["log_problem"] = problem.as_str().into(),
            }
        }
        _ => {}
    }
    answer
}

fn field_json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Number(number) => json!(number),
        other => json!(other.to_string()),
    }
}

/// Ranges have a `start` and an `end`, which is the page after the last.
fn log_json(entry: &LogEntry) -> Value {
    match entry {
        LogEntry::Base { length_pages, free, retired } => {
            json!({ "base": { "length_pages": length_pages, "free": free, "retired": retired } })
        }
        LogEntry::Delta { transaction, length_pages, taken, retired } => json!({ "delta": {
            "transaction": transaction, "length_pages": length_pages, "taken": taken, "retired": retired,
        } }),
        LogEntry::Snapshots { transaction, named, dropped } => json!({ "snapshots": {
            "transaction": transaction, "named": named, "dropped": dropped,
        } }),
        LogEntry::SnapshotNamed { transaction, name, snapshot } => json!({ "snapshot_named": {
            "transaction": transaction, "name": name, "snapshot": snapshot,
        } }),
        LogEntry::SnapshotDropped { transaction, name } => json!({ "snapshot_dropped": {
            "transaction": transaction, "name": name,
        } }),
        _ => Value::Null,
    }
}
