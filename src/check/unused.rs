//! Pages that the newest transaction does not use: which are free, and which a snapshot still needs.

use super::{PageRole, PageUse, VerifyingSource, protected_newest};
use crate::base::TransactionId;
use crate::error::Result;
use crate::space::Space;
use crate::tree::pages::PageSource;
use crate::txn::database::Database;
use crate::txn::free_space::WriterFreeSpace;

/// What [`admin::unused_pages`](crate::admin::unused_pages) does: reads the free log, and no other page.
pub(crate) fn unused_pages(core: &Database, each: impl FnMut(&PageUse<'_>)) -> Result<()> {
    core.check_not_forked()?;
    let (_reader, newest) = protected_newest(core)?;
    let source = VerifyingSource { pages: &core.pages, length_pages: newest.snapshot.length_pages };
    let log = WriterFreeSpace::load_from(&newest, |number| source.page(number))?;
    visit_unused(&log.space, &core.shared.protected()?, each);
    Ok(())
}

/// Calls `each` for the retired extents of `space`, and then for the free ones.
pub(super) fn visit_unused(space: &Space, protected: &[TransactionId], mut each: impl FnMut(&PageUse<'_>)) {
    let protected = space.protected_with_names(protected);
    for retired in space.retired().iter() {
        let is_needed = protected.iter().any(|id| (retired.birth..retired.death).contains(id));
        let role = PageRole::Retired { death: retired.death, is_needed };
        each(&PageUse::of_none(retired.run, role, Some(retired.birth)));
    }
    for run in space.free().iter() {
        each(&PageUse::of_none(run, PageRole::Free, None));
    }
}
