//! Workers that commit and say so; and a look, after they were killed or the power was cut, whether all that they
//! said is there. As `mapleaf torture`, of which this is the code, in a program that has nothing else: for the
//! initramfs of a virtual machine, and for tests.
//!
//! ```text
//! cargo run --release --example torture -- run --database app.mapleaf    prints `ACK 1`, `ACK 2`... until killed
//! cargo run --release --example torture -- verify --database app.mapleaf --acknowledged 2
//! cargo run --release --example torture -- kill --database app.mapleaf --rounds 100      does both, by itself
//! ```
//!
//! What it shows of mapleaf: the kinds of durability and what each promises when; group commit of threads and
//! processes; recovery, which nobody has to ask for; `check`.

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
