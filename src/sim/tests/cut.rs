//! The end of the file is cut off when no snapshot needs it any more. If a reader ends during a barrier, and a lazy
//! commit then finds the end free, the file must not be cut before that commit is durable.

use crate::db::{Db, OpenOptions, ReadTxn};
use crate::error::Result;
use crate::sim::{Context, History, Random, Workload};
use crate::txn::commit::Durability;
use crate::types::Table;

const ENTRIES: Table<u64, [u8]> = Table::new("entries");

pub(super) struct CutWhileSyncing;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Fill(u64),
    BeginReading,
    Clear,
    /// A durable commit, and during its barrier: the reader ends, and lazy commits find the end of the file free.
    CommitMeanwhile(u64),
}

impl Workload for CutWhileSyncing {
    type Step = Step;
    type Memory = Option<ReadTxn>;

    fn name(&self) -> &str {
        "cut-while-syncing"
    }

    fn options(&self) -> OpenOptions {
        Db::options().max_size(64 << 20).log_size(64 << 10)
    }

    fn script(&self, random: &mut Random) -> Vec<Step> {
        let entries = 4 + random.below(4) as u64;
        let mut steps = vec![Step::Fill(entries), Step::BeginReading, Step::Clear];
        steps.extend((0..4).map(Step::CommitMeanwhile));
        steps
    }

    fn run(&self, context: &Context, reader: &mut Option<ReadTxn>, step: &Step) -> Result<()> {
        let db = context.db();
        match *step {
            Step::Fill(entries) => db.update(|tx| {
                let mut table = tx.table(&ENTRIES)?;
                (0..entries)
                    .try_for_each(|key| table.insert(key + 10, &vec![key as u8; 60_000][..]).map(drop))
            }),
            Step::BeginReading => {
                *reader = Some(db.read()?);
                Ok(())
            }
            Step::Clear => db.update(|tx| tx.table(&ENTRIES)?.clear().map(drop)),
            Step::CommitMeanwhile(key) => {
                let reader = reader.take();
                context.during_next_barrier(move |db| {
                    drop(reader);
                    for round in 0..3u8 {
                        let Ok(tx) = db.write() else { return };
                        let put = tx.table(&ENTRIES).and_then(|mut table| table.insert(1, &[round][..]));
                        if put.is_err() || tx.transaction.publish(Durability::Lazy).is_err() {
                            return;
                        }
                    }
                });
                db.update(|tx| tx.table(&ENTRIES)?.insert(2, &[key as u8][..]).map(drop))
            }
        }
    }

    fn check(&self, _: &Db, _: &History<'_, Step>) -> Result<(), String> {
        Ok(())
    }
}
