//! All rules kept: no violation. The long form has bounds up to tens of millions of states.

use crate::options::{Bounds, commits};
use crate::{is_long, must_hold};

fn explore(short: Bounds, long: &[Bounds]) {
    if is_long() {
        long.iter().for_each(|&bounds| must_hold(bounds));
    } else {
        must_hold(short);
    }
}

#[test]
fn commits_without_faults() {
    explore(commits(2).lazy(), &[commits(4).lazy()]);
}

#[test]
fn every_word_with_a_reader() {
    let fine = |number| commits(number).lazy().every_word();
    explore(fine(2), &[fine(3).reader(), fine(4).no_checkpoints(), fine(3).power_losses(1)]);
}

#[test]
fn losses_of_power() {
    explore(
        commits(2).lazy().power_losses(1),
        &[commits(3).lazy().power_losses(2), commits(2).lazy().power_losses(2).either_leaf().repeats()],
    );
}

#[test]
fn laps_of_a_small_ring() {
    let laps = |number| commits(number).lazy().ring(2).power_losses(1);
    explore(commits(3).ring(1).power_losses(1), &[laps(4), commits(3).ring(2).power_losses(1).kills(1)]);
}

#[test]
fn deaths() {
    explore(
        commits(2).kills(1).power_losses(1),
        &[
            commits(3).lazy().kills(1).power_losses(1),
            commits(2).lazy().kills(2).power_losses(1).repeats(),
            commits(2).lazy().kills(1).power_losses(2),
        ],
    );
}

#[test]
fn failed_writes() {
    explore(
        commits(1).lazy().failed_writes(1).kills(1).power_losses(1),
        &[
            commits(2).lazy().failed_writes(1).kills(1).power_losses(1),
            commits(2).failed_writes(2).power_losses(1),
            commits(1).lazy().failed_writes(2).kills(2).power_losses(2),
            commits(2).failed_writes(1).kills(2).power_losses(1),
        ],
    );
}

#[test]
fn newcomers() {
    let newcomers = |number| commits(number).power_losses(1).newcomers();
    explore(newcomers(2).ring(1), &[newcomers(3).lazy().ring(2), newcomers(3).kills(1).ring(2)]);
}

#[test]
fn two_records_in_a_page() {
    let pairs = |number| commits(number).lazy().power_losses(1).ring(2).two_records_a_page();
    explore(
        pairs(2),
        &[
            pairs(3).empty(),
            pairs(2).kills(1).failed_writes(1),
            pairs(3).newcomers(),
            pairs(3).torn_sectors(),
        ],
    );
}

#[test]
fn growth_of_the_ring() {
    let grows = |number| commits(number).growths(1).power_losses(1).ring(2);
    let twice = |number| commits(number).growths(2).power_losses(1).ring(2);
    explore(
        grows(2),
        &[
            twice(3).lazy().power_losses(2),
            twice(4).ring(1),
            grows(3).kills(1),
            twice(2).kills(1).failed_writes(1),
            grows(3).lazy().newcomers(),
            twice(3).lazy().unlogged().empty().two_records_a_page(),
        ],
    );
}

#[test]
fn unlogged_transactions() {
    let unlogged = |number| commits(number).lazy().unlogged().power_losses(1);
    explore(
        unlogged(1).kills(1),
        &[unlogged(2).power_losses(2), unlogged(2).kills(1), unlogged(1).kills(1).failed_writes(1)],
    );
}

/// All kinds of transactions and faults at once, and the largest bounds.
#[test]
fn everything_together() {
    let all = |number| commits(number).lazy().unlogged().empty().two_records_a_page().ring(2);
    explore(
        all(1).power_losses(1).kills(1).failed_writes(1),
        &[
            all(2).power_losses(1).kills(1),
            commits(3).lazy().unlogged().power_losses(1),
            commits(4).lazy().two_records_a_page().ring(2).power_losses(1),
            commits(3).lazy().kills(1).power_losses(1).repeats(),
            commits(5).lazy(),
        ],
    );
}

#[test]
fn lock_files_that_are_kept_lost_or_old() {
    let believed = |number| commits(number).believed_lock_file();
    explore(
        believed(1).lazy().kills(1).power_losses(1),
        &[
            believed(2).lazy().kills(1),
            believed(1).lazy().kills(2).power_losses(1),
            believed(1).kills(1).growths(1).power_losses(1),
            believed(1).lazy().kills(1).failed_writes(1).power_losses(1),
        ],
    );
}
