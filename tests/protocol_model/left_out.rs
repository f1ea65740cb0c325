//! Each rule left out: a violation must be found, and the one that the rule prevents.

use crate::options::{LeftOut, LeftOut::*, commits};
use crate::{is_long, must_fail, must_hold_without};

/// A snapshot that a reader may read is overwritten.
const OVERWRITTEN: &str = "was overwritten";
/// Recovery finds a state that is too old.
const LOST: &str = "was acknowledged or kept";
/// Recovery's meta names a snapshot that is not whole.
const DAMAGED: &str = "pages of the checkpointed snapshot";
/// Recovery finds a state that no transaction left.
const NEVER_WAS: &str = "which never was";
/// Neither slot has a right record.
const NO_META: &str = "no meta is right";
/// What a believed lock file says is too old.
const STALE: &str = "has happened";

#[test]
fn protected_snapshots() {
    must_fail(&[ReadersProtected], OVERWRITTEN, commits(2).lazy().reader());
    must_fail(&[VisibleProtected], OVERWRITTEN, commits(2).lazy());
    must_fail(&[TargetProtected], OVERWRITTEN, commits(4).lazy().no_checkpoints().every_word());
}

#[test]
fn r1_newest_is_protected() {
    must_fail(&[NewestProtected], OVERWRITTEN, commits(2));
}

#[test]
fn r2_visible_moves_only_to_protected_snapshots() {
    must_fail(&[VisibleOnlyToProtected], OVERWRITTEN, commits(4).lazy().no_checkpoints().every_word());
}

#[test]
fn r3_hazard_and_pending() {
    must_fail(&[HazardSet], OVERWRITTEN, commits(4).lazy().no_checkpoints().every_word());
    must_fail(&[PendingFirst], LOST, commits(2).power_losses(1).no_checkpoints().every_word());
}

#[test]
fn r5_order_of_the_words() {
    let bounds = commits(4).lazy().no_checkpoints().every_word();
    must_fail(&[TargetClearedLast], OVERWRITTEN, bounds);
    must_fail(&[TargetReadFirst], OVERWRITTEN, bounds);
    must_fail(&[SyncerLooksAgain], OVERWRITTEN, bounds);
    must_fail(&[TargetIsNewest], OVERWRITTEN, commits(3).lazy().no_checkpoints().two_records_a_page());
    must_fail(&[ReadersReadLast], OVERWRITTEN, commits(3).lazy().no_checkpoints().every_word().reader());
}

#[test]
fn r8_newest_stays_after_a_death() {
    must_fail(&[NewestKept], NEVER_WAS, commits(2).lazy().kills(1));
}

#[test]
fn l1_checkpoint_and_its_target_are_protected() {
    let bounds = commits(3).power_losses(1);
    must_fail(&[CheckpointedProtected], DAMAGED, bounds);
    must_fail(&[CheckpointTargetProtected], DAMAGED, bounds);
    must_fail(&[CheckpointTargetReadFirst], DAMAGED, bounds.every_word());
    must_fail(&[CheckpointLooksAgain], DAMAGED, bounds.every_word());
    must_fail(&[CheckpointTargetClearedLast], DAMAGED, bounds);
    must_fail(&[DeadCheckpointKept], DAMAGED, bounds.kills(1));
}

#[test]
fn l2_record_before_newest_and_orphaned_record() {
    must_fail(&[RecordFirst], LOST, commits(2).power_losses(1));
    must_fail(&[OrphanReplayed], NEVER_WAS, commits(2).power_losses(1).kills(1).no_checkpoints());
    must_fail(&[OrphanKept], NEVER_WAS, commits(2).lazy().power_losses(1).kills(2));
    // L3 is enough: a handle whose barriers do not write these bytes has inherited the transaction.
    let bounds = commits(2).power_losses(1).kills(2).failed_writes(1);
    must_hold_without(&[OrphanStoredAgain], if is_long() { bounds } else { bounds.no_checkpoints() });
}

#[test]
fn l3_newcomers_store_again_what_they_inherit() {
    let bounds = commits(1).power_losses(1).kills(1).failed_writes(1);
    must_fail(&[LogStoredAgain], LOST, bounds.no_checkpoints());
    let bounds = commits(2).power_losses(1).kills(1).failed_writes(1);
    must_fail(&[PagesStoredAgain], DAMAGED, bounds);
    must_fail(&[InheritedInProgress], LOST, bounds.no_checkpoints());
    must_fail(&[NotOnlyFirst], LOST, bounds.no_checkpoints());
}

#[test]
fn l3_newcomers_store_nothing_over_newer_records() {
    must_fail(&[NotBelowLogStart], LOST, commits(3).power_losses(1).ring(2).newcomers());
    must_fail(&[LogStartWaits], LOST, commits(2).power_losses(1).ring(1).newcomers());
}

#[test]
fn l4_new_ring() {
    let bounds = commits(3).power_losses(2).growths(2).ring(1);
    must_fail(&[OldRingProtected, UnloggedCheckpointedFirst], LOST, bounds.power_losses(1).ring(2));
    must_fail(&[NewRingZeros, UnloggedCheckpointedFirst], NEVER_WAS, bounds);
    // L9 is enough: no writer is at work before the checkpoint that leaves the old ring, and nothing is stored in the
    // new one, so that no log sequence number comes again in any ring.
    must_hold_without(&[OldRingProtected], commits(3).growths(1).ring(2).newcomers());
    let bounds = if is_long() { bounds } else { bounds.power_losses(1) };
    must_hold_without(&[OldRingProtected, NewRingZeros, Chain], bounds);
}

#[test]
fn l5_which_records_continue_the_log() {
    let bounds = commits(3).power_losses(1).ring(2).lazy();
    must_fail(&[SequenceNumber, Chain], NEVER_WAS, bounds);
    must_fail(&[Jump, Chain], NEVER_WAS, commits(3).power_losses(2).lazy().no_checkpoints());
    let twice = commits(3).power_losses(2).lazy().repeats().no_checkpoints();
    must_fail(&[CheckpointBeforeAppending], NEVER_WAS, twice);
    let died = commits(2).power_losses(1).kills(1).lazy().repeats().no_checkpoints();
    must_fail(&[Chain, OrphanReplayed], NEVER_WAS, died);
    // One net of two is enough, with ideal checksums.
    must_hold_without(&[Chain], died);
    must_hold_without(&[SequenceNumber], commits(3).power_losses(1).ring(2));
    must_hold_without(&[Jump], commits(2).power_losses(2).lazy().no_checkpoints());
    if is_long() {
        must_hold_without(&[Chain], commits(3).power_losses(2).ring(1));
    }
}

#[test]
fn l7_room_in_the_ring() {
    must_fail(&[Room], LOST, commits(2).power_losses(1).ring(1));
    must_fail(&[RoomByDurableCheckpoint], LOST, commits(2).power_losses(1).ring(1));
    must_fail(&[RoomInWholePages], LOST, commits(3).power_losses(1).ring(1).lazy().two_records_a_page());
}

#[test]
fn l8_order_of_a_checkpoint() {
    must_fail(&[BarrierBeforeRecord], DAMAGED, commits(1).power_losses(1));
    must_fail(&[BarrierAfterRecord], DAMAGED, commits(2).power_losses(1).lazy());
    must_fail(&[WordsLast], DAMAGED, commits(2).power_losses(1).lazy());
    must_fail(&[OtherSlot], NO_META, commits(1).power_losses(1));
    must_fail(&[WordsTogether], LOST, commits(2).power_losses(1).kills(1).ring(1));
}

#[test]
fn l9_unlogged_transactions() {
    let bounds = commits(2).power_losses(1).lazy().unlogged();
    must_fail(&[UnloggedNeedsCheckpoint], LOST, bounds);
    must_fail(&[UnloggedCheckpointedFirst], NEVER_WAS, bounds);
    // A lazy commit over it has returned, and is lost by mere deaths.
    must_fail(&[UnloggedCheckpointedFirst], LOST, commits(2).lazy().kills(1).growths(1));
}

#[test]
fn l12_failed_writes() {
    let bounds = commits(1).power_losses(1).failed_writes(1);
    must_fail(&[Poison], DAMAGED, bounds.lazy());
    must_fail(&[TwoDescriptions], DAMAGED, bounds.lazy());
    // Each handle is told itself, or has inherited: none need look whether another was told.
    must_hold_without(&[PoisonLookedAt], if is_long() { bounds.lazy().kills(1) } else { bounds });
}

#[test]
fn l13_lock_file() {
    let believed = commits(1).kills(1).believed_lock_file();
    must_fail(&[NothingNewerInTheFile], STALE, believed);
}

#[test]
fn l14_records_that_share_a_page() {
    must_fail(&[OwnPage], LOST, commits(2).power_losses(1).two_records_a_page());
    must_fail(&[DurableSealed], LOST, commits(3).power_losses(1).lazy().two_records_a_page());
    // Where sectors are old or new, records may share pages.
    let sectors = commits(2).power_losses(1).ring(2).lazy().two_records_a_page().torn_sectors();
    must_hold_without(&[OwnPage, RoomInWholePages], sectors);
}

#[test]
fn l6_recovery() {
    let fails = commits(1).power_losses(1).failed_writes(1);
    must_fail(&[MetaStoredAgain], NO_META, fails.power_losses(2));
    must_fail(&[OtherSlotErased], DAMAGED, fails.kills(1));
    must_fail(&[ZerosErasedToo], DAMAGED, fails.kills(1));
    must_fail(&[BarrierBeforeReplay], DAMAGED, commits(2).power_losses(1).kills(1));
}

/// Each rule is left out by a test above, and named by the document. Three are not needed while others are kept.
#[test]
fn every_rule_is_left_out_and_documented() {
    const NOT_NEEDED: [LeftOut; 3] = [OrphanStoredAgain, PoisonLookedAt, Chain];
    let tests = include_str!("left_out.rs");
    let document = include_str!("../../docs/DURABILITY.md");
    let rules = include_str!("options.rs").split_once("enum LeftOut {").expect("the rules").1;
    let rules = rules.split_once("\n}").expect("their end").0;
    let names = rules.lines().filter_map(|line| line.trim().strip_suffix(','));
    for name in names.filter(|name| name.chars().all(char::is_alphanumeric)) {
        let is_needed = !NOT_NEEDED.iter().any(|rule| format!("{rule:?}") == name);
        let is_tested = [format!("must_fail(&[{name}]"), format!("must_fail(&[{name},")];
        assert!(
            !is_needed || is_tested.iter().any(|test| tests.contains(test)),
            "{name} is left out by no test"
        );
        assert!(document.contains(&format!("`{name}`")), "docs/DURABILITY.md does not name {name}");
    }
}
