//! Transactions: snapshots, reading, writing, commit, recovery.
