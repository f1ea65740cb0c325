//! Mistakes made on purpose that only several handles can show: the tests of what they break must fail.

use std::panic::catch_unwind;

use super::{checkpoints, doubt, named, orphans};
use crate::base::mutation::{Mutation, set_mutation};

#[test]
fn each_mistake_fails_its_test() {
    let tests: [(Mutation, fn()); 7] = [
        (
            Mutation::LogNotStoredAgain,
            doubt::log_bytes_that_a_failed_sync_has_lost_are_stored_again_by_a_newcomer,
        ),
        (
            Mutation::PagesNotStoredAgain,
            doubt::a_newcomers_checkpoint_stores_again_the_pages_that_are_not_checkpointed,
        ),
        (
            Mutation::LeftMetaNotErased,
            checkpoints::a_meta_that_a_dead_checkpointer_has_left_is_erased_before_its_pages_are_free,
        ),
        (
            Mutation::NotStoredAgain,
            checkpoints::the_meta_of_a_checkpoint_that_failed_is_durable_before_recovery_replays,
        ),
        (
            Mutation::RecoveryBarrierSkipped,
            checkpoints::the_meta_of_a_checkpoint_that_failed_is_durable_before_recovery_replays,
        ),
        (Mutation::OrphanNotReplayed, orphans::the_next_writer_completes_the_transaction_first),
        (Mutation::DroppedNameForgotten, named::a_name_dropped_under_a_reader_that_has_found_it_stays),
    ];
    for (mutation, test) in tests {
        set_mutation(Some(mutation));
        let failed = catch_unwind(test).is_err();
        set_mutation(None);
        assert!(failed, "{mutation:?}");
    }
}
