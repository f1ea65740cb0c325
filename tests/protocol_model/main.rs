//! The commit protocol of docs/DURABILITY.md, explored exhaustively: every interleaving of a writer, a syncer, a
//! checkpointer and a reader with losses of power, deaths and failed writes, within bounds.
//!
//! With all rules kept there must be no violation (`kept.rs`). With any rule left out there must be one, and of the
//! kind that the rule prevents (`left_out.rs`): so the model can fail, and each rule is needed. Where one of several
//! rules is enough by itself, that is said and explored too. Larger bounds:
//! `MAPLEAF_LONG=1 cargo test --release --test protocol_model -- --nocapture --test-threads 1`. With `MAPLEAF_SHOW=1` a
//! trace has the state after each step.
//!
//! **Actors.** Writer, syncer and checkpointer are turns, each of one handle at a time. Any handle may have any
//! of them, and a death takes any set of them. Handles differ in what the kernel tells them of failed writes, and in
//! nothing else; so there may be any number of them (`handles.rs`). A write fails at any moment, for any set of pages.
//!
//! **What is explored besides the commits themselves**: two records in a page, with pages that are lost as a whole when
//! power fails in a write of them, or with sectors that are old or new; a change of the ring and back, with the file's
//! length, by a transaction or by recovery; a lock file that is lost, or an old copy of it.
//!
//! **What must hold.** A snapshot that is visible, newest or read is never overwritten. Recovery finds a state that
//! some transaction left, no older than what was acknowledged; after deaths without loss of power no older than newest,
//! an unlogged transaction apart whose commit has not returned. Visible does not stay below newest. The log does not
//! store to a page of a ring that was given up. A writer that waits for room gets it.
//!
//! What the model takes for granted: checksums never err, memory is sequentially consistent, a tree is a root and a
//! leaf, a record has a fixed length, the cache drops no page, and only loss of power makes the file shorter. It has
//! one reader and two areas for rings, and knows nothing of the free log and of the ring of descriptors.

mod checkpointer;
mod crash;
mod disk;
mod explore;
mod growth;
mod handles;
mod intern;
mod kept;
mod left_out;
mod log;
mod model;
mod normal;
mod options;
mod recovery;
mod show;
mod state;
mod syncer;
mod writer;

use std::time::Instant;

use explore::Finding;
use model::Model;
use options::{Bounds, LeftOut, OpenOptions};

/// More states than a run may have: they take some 4 GiB.
const MAX_STATES: usize = 40_000_000;

/// Explores without these rules; panics with a trace if something is wrong.
fn must_hold_without(left_out: &'static [LeftOut], bounds: Bounds) {
    let began = Instant::now();
    let finding = Model::new(OpenOptions { bounds, left_out }).explore(MAX_STATES);
    let seconds = began.elapsed().as_secs_f32();
    match finding {
        Finding::Nothing { states } => {
            println!("{states} states, {seconds:.1} s, no violation: {left_out:?} left out, {bounds:?}");
        }
        Finding::Stopped { states, depth } => {
            panic!("{states} states at depth {depth}, and more: {bounds:?}")
        }
        Finding::Violation { problem, trace, .. } => panic!("{problem}: {left_out:?}, {bounds:?}\n{trace}"),
    }
}

/// Explores with all rules kept.
fn must_hold(bounds: Bounds) {
    must_hold_without(&[], bounds);
}

/// Explores without these rules; panics if that does no harm, or other harm than is expected.
fn must_fail(left_out: &'static [LeftOut], expected: &str, bounds: Bounds) {
    let began = Instant::now();
    let finding = Model::new(OpenOptions { bounds, left_out }).explore(MAX_STATES);
    let seconds = began.elapsed().as_secs_f32();
    match finding {
        Finding::Violation { states, problem, trace } => {
            assert!(
                problem.contains(expected),
                "{left_out:?} left out: {problem}, not {expected:?}\n{trace}"
            );
            println!("{left_out:?} left out: {problem} ({states} states, {seconds:.1} s)\n{trace}");
        }
        Finding::Nothing { states } | Finding::Stopped { states, .. } => {
            panic!("{states} states without a violation: {left_out:?}, {bounds:?}")
        }
    }
}

fn is_long() -> bool {
    std::env::var_os("MAPLEAF_LONG").is_some_and(|value| value != "0")
}
