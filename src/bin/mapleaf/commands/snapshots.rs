//! `snapshots`: states of a database that have a name.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::{Db, SnapshotInfo};
use serde_json::{Value, json};

use crate::escape::escape;
use crate::human::{bytes, pages_text};
use crate::open::{open_existing, open_read_only};
use crate::outcome::{Answer, Failure};

/// Lists the named snapshots, with what each keeps from being used again; or creates or drops one.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf snapshots app.mapleaf
  mapleaf snapshots --create before-import app.mapleaf    names the newest state, durably
  mapleaf scan --at before-import app.mapleaf users       reads it
  mapleaf snapshots --drop before-import app.mapleaf

A snapshot copies nothing: its pages stay as they are, and the file grows as others are written. It keeps what newer
transactions do not use any more; alone, what would become free if it were dropped. A copy has no named snapshots.")]
pub(crate) struct Snapshots {
    /// The database.
    file: PathBuf,
    /// Give the newest state this name.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["drop", "json"])]
    create: Option<String>,
    /// Drop this name. The exit code is 1 if there is no such name.
    #[arg(long, value_name = "NAME", conflicts_with = "json")]
    drop: Option<String>,
    /// Print a line of JSON for each snapshot.
    #[arg(long)]
    json: bool,
}

impl Snapshots {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        match (&self.create, &self.drop) {
            (Some(name), _) => {
                let transaction = open_existing(&self.file)?.create_snapshot(name)?;
                eprintln!("snapshot {name:?} has transaction {transaction}");
                Ok(Answer::Done)
            }
            (None, Some(name)) => match open_existing(&self.file)?.drop_snapshot(name)? {
                true => {
                    eprintln!("snapshot {name:?} dropped");
                    Ok(Answer::Done)
                }
                false => {
                    eprintln!("mapleaf: there is no snapshot {name:?}");
                    Ok(Answer::No)
                }
            },
            (None, None) => list(&open_read_only(&self.file)?, self.json),
        }
    }
}

fn list(db: &Db, as_json: bool) -> Result<Answer, Failure> {
    let mut out = stdout().lock();
    for info in db.snapshots()? {
        match as_json {
            true => writeln!(out, "{}", snapshot_json(&info))?,
            false => writeln!(out, "{}", snapshot_text(&info))?,
        }
    }
    Ok(Answer::Done)
}

/// What `stat` shows of a snapshot, too.
pub(super) fn snapshot_text(info: &SnapshotInfo) -> String {
    format!(
        "{} of transaction {} keeps {} ({}), {} alone",
        escape(info.name.as_bytes()),
        info.transaction,
        bytes(info.pinned_bytes),
        pages_text(info.pinned_pages.into()),
        bytes(info.own_bytes)
    )
}

pub(super) fn snapshot_json(info: &SnapshotInfo) -> Value {
    json!({
        "name": info.name, "transaction": info.transaction,
        "pinned_pages": info.pinned_pages, "pinned_bytes": info.pinned_bytes,
        "own_pages": info.own_pages, "own_bytes": info.own_bytes,
    })
}
