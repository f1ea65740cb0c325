//! A small ledger, and the explorer that crashes it at every moment: what a test of an application's own promises
//! looks like. See `mapleaf::sim`.
//!
//! ```text
//! cargo run --release --features sim --example crash_my_app
//! cargo run --release --features sim --example crash_my_app -- --with-bug
//! ```
//!
//! The promise is that money only moves: whatever is cut short, balances and journal agree, and no transfer that the
//! customer was told of is forgotten. With `--with-bug` a transfer is booked in two transactions, as one writes it
//! without thinking of crashes; the explorer finds the moment between them, and says how to come back to it.

use clap::Parser;
use mapleaf::sim::{Context, Explorer, Fault, History, Random, Workload};
use mapleaf::{Db, Error, Result, Table, Value, WriteTxn};

const ACCOUNTS: Table<u64, i64> = Table::new("accounts");
/// What was booked: the number of the transfer, and from, to and amount.
const JOURNAL: Table<u64, (u64, u64, i64)> = Table::new("journal");
const ACCOUNT_COUNT: usize = 4;

/// Crashes a small ledger at every moment, and says whether its promises hold.
#[derive(Parser)]
struct Arguments {
    /// Books each transfer in two transactions, which is a mistake.
    #[arg(long)]
    with_bug: bool,
    /// Scripts of transfers to try.
    #[arg(long, default_value_t = 4)]
    scripts: u64,
    /// Crash states to visit in each script, about.
    #[arg(long, default_value_t = 2_000)]
    states: u64,
    /// Visits one state again: the string that a failure has printed.
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
            // Whoever was cut short books again: what is booked already is not booked twice. (The explorer found that.)
            if !tx.table(&JOURNAL)?.insert(number, (from, to, amount))? {
                return Ok(());
            }
            change(tx, from, -amount)?;
            change(tx, to, amount)
        })
    }
}

/// All of a table; nothing if it is not there yet.
fn all<V: Value + ?Sized>(db: &Db, table: &Table<u64, V>) -> Result<Vec<(u64, V::Owned)>> {
    let rx = db.read()?;
    match rx.table(table) {
        Err(Error::TableNotFound { .. }) => Ok(Vec::new()),
        table => table?.iter()?.map(|entry| entry.map(|(key, value)| (key, V::into_owned(value)))).collect(),
    }
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
            return Err(format!("{sum} came from nowhere: the balances are {accounts:?}"));
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
                return Err(format!("account {account} has {balance}, its journal says {booked}"));
            }
        }
        // The customer was told as soon as `book` had returned.
        let told_of = history.outcomes().iter().filter(|told| told.ended).map(|told| told.step.number);
        match told_of.into_iter().find(|number| journal.iter().all(|(booked, _)| booked != number)) {
            Some(number) => Err(format!("transfer {number} is forgotten")),
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
            println!("every promise held");
            std::process::ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            std::process::ExitCode::FAILURE
        }
    }
}
