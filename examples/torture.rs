//! Workers that commit and acknowledge each commit; and a check, after they were killed or the power was cut, that
//! every acknowledged commit is there. It is `mapleaf torture` in a program of its own, for the initramfs of a
//! virtual machine, and for tests.
//!
//! ```text
//! cargo run --release --example torture -- run --database app.mapleaf    prints `ACK 1`, `ACK 2`... until killed
//! cargo run --release --example torture -- verify --database app.mapleaf --acknowledged 2
//! cargo run --release --example torture -- kill --database app.mapleaf --rounds 100      does both, by itself
//! ```
//!
//! What it shows of mapleaf: the kinds of durability and what each guarantees; group commit of threads and processes;
//! recovery, which needs no call; `check`.

#[path = "../src/bin/mapleaf/commands/torture/mod.rs"]
mod torture;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "torture")]
struct Arguments {
    #[command(flatten)]
    torture: torture::Torture,
}

fn main() -> ExitCode {
    Arguments::parse().torture.run(&[])
}
