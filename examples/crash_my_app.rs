//! A small ledger, and the explorer that crashes it at every point: how an application tests what it guarantees. See
//! `mapleaf::sim`.
//!
//! ```text
//! cargo run --release --features sim --example crash_my_app
//! cargo run --release --features sim --example crash_my_app -- --with-bug
//! ```
//!
//! The guarantee is that money only moves: after any crash, balances and journal agree, and no transfer that was
//! confirmed to the customer is lost. With `--with-bug` a transfer is booked in two transactions, a common mistake.
//! The explorer finds the crash between them, and prints how to reproduce it.

use clap::Parser;
use mapleaf::sim::{Context, Explorer, Fault, History, Random, Workload};
use mapleaf::{Db, Result, Table, Value, WriteTxn};

const ACCOUNTS: Table<u64, i64> = Table::new("accounts");
/// The booked transfers, by number: from, to and amount.
const JOURNAL: Table<u64, (u64, u64, i64)> = Table::new("journal");
const ACCOUNT_COUNT: usize = 4;

/// Crashes a small ledger at every point, and checks what it guarantees.
#[derive(Parser)]
struct Arguments {
    /// Book each transfer in two transactions, which is a mistake
    #[arg(long)]
    with_bug: bool,
    /// Scripts of transfers to try
    #[arg(long, default_value_t = 4)]
    scripts: u64,
    /// Crash states to visit in each script, about
    #[arg(long, default_value_t = 2_000)]
    states: u64,
    /// Visit one state again: the replay string of a failure
    #[arg(long)]
    replay: Option<String>,
}

/// A transfer of money.
#[derive(Clone, Debug)]
struct Transfer {
    number: u64,
    from: u64,
    to: u64,
    amount: i64,
}

struct Ledger {
    with_bug: bool,
}

impl Ledger {
    /// The application's own code: this is what is tested.
    fn book(&self, db: &Db, transfer: &Transfer) -> Result<()> {
        let &Transfer { number, from, to, amount } = transfer;
        let change = |tx: &WriteTxn, account: u64, by: i64| -> Result<()> {
            let mut accounts = tx.table(&ACCOUNTS)?;
            let balance = accounts.get(account)?.unwrap_or(0);
            accounts.insert(account, balance + by).map(drop)
        };
        if self.with_bug {
            db.update(|tx| change(tx, from, -amount))?;
            return db.update(|tx| {
                change(tx, to, amount)?;
                tx.table(&JOURNAL)?.insert(number, (from, to, amount)).map(drop)
            });
        }
        db.update(|tx| {
            // After a crash a transfer may be booked again, so one that is in the journal is not booked twice.
            if !tx.table(&JOURNAL)?.insert(number, (from, to, amount))? {
                return Ok(());
            }
            change(tx, from, -amount)?;
            change(tx, to, amount)
        })
    }
}

/// Returns all entries of a table, or none if there is no table yet.
fn all<V: Value + ?Sized>(db: &Db, table: &Table<u64, V>) -> Result<Vec<(u64, V::Owned)>> {
    let rx = db.read()?;
    let entries = rx.table_or_empty(table)?.iter();
    entries.map(|entry| entry.map(|(key, value)| (key, V::into_owned(value)))).collect()
}

impl Workload for Ledger {
    type Step = Transfer;
    type Memory = ();

    fn name(&self) -> &str {
        "ledger"
    }

    fn script(&self, random: &mut Random) -> Vec<Transfer> {
        let account = |random: &mut Random| random.below(ACCOUNT_COUNT) as u64;
        let transfer = |number| Transfer {
            number,
            from: account(random),
            to: account(random),
            amount: 1 + random.below(100) as i64,
        };
        (0..8).map(transfer).collect()
    }

    fn run(&self, context: &Context, (): &mut (), transfer: &Transfer) -> Result<()> {
        self.book(context.db(), transfer)
    }

    fn check(&self, db: &Db, history: &History<'_, Transfer>) -> Result<(), String> {
        let accounts = all(db, &ACCOUNTS).map_err(|error| error.to_string())?;
        let journal = all(db, &JOURNAL).map_err(|error| error.to_string())?;
        let sum: i64 = accounts.iter().map(|(_, balance)| balance).sum();
        if sum != 0 {
            return Err(format!("the balances sum to {sum}, not to 0: {accounts:?}"));
        }
        for (account, balance) in accounts {
            let booked = journal.iter().map(|&(_, (from, to, amount))| {
                if from == to {
                    0
                } else {
                    (to == account) as i64 * amount - (from == account) as i64 * amount
                }
            });
            let booked: i64 = booked.sum();
            if booked != balance {
                return Err(format!("account {account} has {balance}, but its transfers sum to {booked}"));
            }
        }
        // A transfer is confirmed as soon as `book` returns.
        let confirmed =
            history.outcomes().iter().filter(|outcome| outcome.ended).map(|outcome| outcome.step.number);
        match confirmed.into_iter().find(|number| journal.iter().all(|(booked, _)| booked != number)) {
            Some(number) => Err(format!("transfer {number} was confirmed, and is lost")),
            None => Ok(()),
        }
    }
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let ledger = Ledger { with_bug: arguments.with_bug };
    let explorer = Explorer::new()
        .seeds(0..arguments.scripts)
        .states(arguments.states)
        .faults(&[Fault::Barrier, Fault::Grow]);
    let result = match &arguments.replay {
        Some(replay) => explorer.replay(&ledger, replay),
        None => explorer.explore(&ledger),
    };
    match result {
        Ok(report) => {
            println!("{report}");
            println!("no crash broke a guarantee");
            std::process::ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            std::process::ExitCode::FAILURE
        }
    }
}
