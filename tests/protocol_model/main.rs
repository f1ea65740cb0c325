//! The commit protocol, explored exhaustively: every interleaving of a writer, a syncer and a reader with losses of
//! power, deaths and failed syncs, within bounds. docs/DURABILITY.md has the protocol and its rules.
//!
//! With all rules kept there must be no violation. With any rule left out there must be one: so the model can
//! fail, and each rule is needed. Larger bounds: `MAPLEAF_LONG=1 cargo test --release --test protocol_model`.
//!
//! Failed syncs are of two kinds: those whose caller poisons the database, and those whose caller is killed before it
//! can. After the second kind the next sync is a newcomer's, whose barriers do not write what the cache takes for
//! clean.
//!
//! The model assumes that checksums never err, memory is sequentially consistent, a tree is a root and a leaf, and the
//! cache drops no page. It leaves out the file's length, the free log and the ring of descriptors.

mod crash;
mod disk;
mod explore;
mod options;
mod recovery;
mod state;
mod syncer;
mod writer;

use explore::{Finding, Model};
use options::{Bounds, LeftOut, OpenOptions};

/// Explores with all rules kept; panics with a trace if something is wrong.
fn must_hold(bounds: Bounds) {
    match Model::new(OpenOptions { bounds, left_out: None }).explore() {
        Finding::Nothing { states } => println!("{states} states, no violation: {bounds:?}"),
        Finding::Violation { problem, trace } => panic!("{problem}\n{trace}"),
    }
}

/// Explores without a rule; panics if that does no harm.
fn must_fail(left_out: LeftOut, bounds: Bounds) {
    match Model::new(OpenOptions { bounds, left_out: Some(left_out) }).explore() {
        Finding::Nothing { states } => {
            panic!("{states} states without a violation: {left_out:?}, {bounds:?}")
        }
        Finding::Violation { problem, trace } => println!("{left_out:?} left out: {problem}\n{trace}"),
    }
}

fn commits(commits: u8) -> Bounds {
    Bounds { commits, ..Bounds::default() }
}

fn is_long() -> bool {
    std::env::var_os("MAPLEAF_LONG").is_some_and(|value| value != "0")
}

// ---- all rules kept ----

#[test]
fn pipelined_commits_with_a_reader() {
    must_hold(Bounds { has_reader: true, ..commits(if is_long() { 4 } else { 2 }) });
}

#[test]
fn three_commits_without_faults() {
    must_hold(commits(if is_long() { 5 } else { 3 }));
}

#[test]
fn losses_of_power() {
    let bounds = Bounds { power_losses: 2, torn_pages: true, ..commits(if is_long() { 3 } else { 2 }) };
    must_hold(bounds);
}

#[test]
fn losses_of_power_with_two_barriers() {
    let bounds = Bounds { power_losses: 1, two_barriers: true, ..commits(if is_long() { 3 } else { 2 }) };
    must_hold(bounds);
}

#[test]
fn deaths() {
    must_hold(Bounds {
        kills: 1,
        power_losses: u8::from(is_long()),
        ..commits(if is_long() { 3 } else { 2 })
    });
}

#[test]
fn failed_syncs_and_losses_of_power() {
    let more = u8::from(is_long());
    must_hold(Bounds {
        failed_syncs: 1 + more,
        power_losses: 1 + more,
        two_barriers: is_long(),
        ..commits(2)
    });
}

#[test]
fn failed_syncs_of_which_no_live_process_knows() {
    must_hold(Bounds {
        failed_syncs: 1,
        kills: 1,
        power_losses: 1,
        two_barriers: true,
        ..commits(if is_long() { 3 } else { 2 })
    });
}

#[test]
fn every_fault_around_one_commit() {
    must_hold(Bounds {
        power_losses: 2,
        kills: 1,
        failed_syncs: 2,
        torn_pages: true,
        two_barriers: true,
        ..commits(1)
    });
}

#[test]
fn every_fault_and_a_reader() {
    let all = Bounds { has_reader: true, torn_pages: true, two_barriers: true, ..Bounds::default() };
    let faults = Bounds { power_losses: 1, kills: 1, failed_syncs: 1, ..all };
    must_hold(Bounds { commits: if is_long() { 2 } else { 1 }, ..faults });
    if is_long() {
        must_hold(Bounds { power_losses: 2, kills: 1, failed_syncs: 1, two_barriers: true, ..commits(2) });
    }
}

// ---- each rule left out ----

#[test]
fn i1_readers_unprotected() {
    must_fail(LeftOut::ReadersProtected, Bounds { has_reader: true, ..commits(2) });
}

#[test]
fn i1_visible_unprotected() {
    must_fail(LeftOut::VisibleProtected, commits(2));
}

#[test]
fn i1_durable_unprotected() {
    must_fail(LeftOut::DurableProtected, Bounds { power_losses: 1, ..commits(2) });
}

#[test]
fn i1_target_unprotected() {
    must_fail(LeftOut::TargetProtected, commits(4));
}

#[test]
fn i4_record_over_the_durable_one() {
    must_fail(LeftOut::OtherSlot, Bounds { power_losses: 1, ..commits(1) });
}

#[test]
fn r1_head_unprotected() {
    must_fail(LeftOut::HeadProtected, commits(2));
}

#[test]
fn r2_visible_moves_between_target_and_head() {
    must_fail(LeftOut::VisibleOnlyToProtected, commits(4));
}

#[test]
fn r3_head_not_in_a_protected_word() {
    must_fail(LeftOut::HeadInProtectedWord, commits(4));
}

#[test]
fn r4_target_of_a_dead_syncer_forgotten() {
    must_fail(
        LeftOut::DeadTargetKept,
        Bounds { kills: 1, power_losses: 1, two_barriers: true, ..commits(3) },
    );
}

#[test]
fn r4_record_of_a_dead_syncer_not_stored_again() {
    let faults = Bounds { kills: 1, failed_syncs: 1, power_losses: 1, ..Bounds::default() };
    must_fail(LeftOut::DeadTargetStoredAgain, Bounds { commits: 1, ..faults });
}

#[test]
fn r5_target_cleared_first() {
    must_fail(LeftOut::TargetClearedLast, commits(4));
}

#[test]
fn r5_target_read_after_durable_and_visible() {
    must_fail(LeftOut::TargetReadFirst, commits(3));
}

#[test]
fn r5_readers_read_before_visible() {
    must_fail(LeftOut::ReadersReadLast, Bounds { has_reader: true, ..commits(3) });
}

#[test]
fn r6_list_of_the_last_commit_only() {
    must_fail(LeftOut::ListSinceDurable, Bounds { power_losses: 1, ..commits(2) });
}

#[test]
fn r6_list_with_dead_pages() {
    must_fail(LeftOut::ListOfLivePages, Bounds { power_losses: 1, ..commits(3) });
}

#[test]
fn r7_nothing_stored_again() {
    must_fail(LeftOut::StoredAgain, Bounds { failed_syncs: 1, power_losses: 1, ..commits(2) });
}

#[test]
fn r7_recovery_without_a_barrier() {
    must_fail(LeftOut::RecoveryBarrier, Bounds { kills: 1, power_losses: 1, ..commits(1) });
}

#[test]
fn r8_head_rolled_back() {
    must_fail(LeftOut::HeadKept, Bounds { kills: 1, ..commits(1) });
}

#[test]
fn r9_rejected_record_kept_and_its_id_used_again() {
    must_fail(LeftOut::RejectedErased, Bounds { power_losses: 2, ..commits(2) });
}

#[test]
fn r9_zeros_not_erased_again_after_a_failed_erasing() {
    must_fail(LeftOut::ZerosErasedToo, Bounds { power_losses: 2, failed_syncs: 1, ..commits(2) });
}

#[test]
fn r10_newcomer_trusts_its_barriers() {
    let faults = Bounds { kills: 1, failed_syncs: 1, power_losses: 1, ..Bounds::default() };
    must_fail(LeftOut::InheritedStoredAgain, Bounds { commits: 2, ..faults });
}
