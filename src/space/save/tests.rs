//! Single decisions. Whole histories are in `space/tests.rs`.

use super::*;
use crate::format::free_log::Entry;

const LIMITS: LogLimits = LogLimits { page_size: 4096, tail_len: 1024 };

fn grow(space: &mut Space, count: u32) -> Result<()> {
    space.grow(space.length_pages() + count);
    Ok(())
}

/// A space with `holes` free pages, none of which touches another.
fn fragmented(holes: u32) -> Space {
    let mut space = Space::new(4 + 2 * holes);
    for hole in 0..holes {
        space.free.insert(Extent::new(4 + 2 * hole, 1)).unwrap();
    }
    space
}

#[test]
fn a_small_commit_stores_one_log_page_at_most() {
    const COMMITS: u64 = if cfg!(miri) { 30 } else { 1000 };
    let mut space = fragmented(200);
    let mut log = FreeLog::new(&space);
    let mut stored = 0;
    for id in 2..COMMITS {
        let id = TransactionId(id);
        space.reclaim(&[TransactionId(id.0 - 1)]).unwrap();
        let runs = space.allocate(3).unwrap();
        let saved = space.save(&log, id, LIMITS, grow).unwrap();
        assert!(saved.pages.len() <= 1, "{} pages", saved.pages.len());
        stored += saved.pages.len() as u64;
        log = saved.log;
        space.commit();
        // The pages are replaced by the next transaction, and so on.
        for run in runs {
            space.retire(run, id, id.next()).unwrap();
        }
    }
    assert!(
        (COMMITS / 100..COMMITS / 10).contains(&stored),
        "the tail holds many commits: {stored} pages stored"
    );
}

#[test]
#[cfg_attr(miri, ignore = "takes too long there")]
fn pages_counted_beforehand_hold_the_log_in_however_many_runs() {
    for holes in [0, 1, 5, 500, 3000] {
        let mut space = fragmented(4000);
        let log = FreeLog::new(&space);
        assert!(log.tail().len() > LIMITS.tail_len);
        space.allocate(holes).unwrap();
        let saved = space.save(&log, TransactionId(2), LIMITS, grow).unwrap();
        let read = free_log::read_chain(saved.log.newest_page(), saved.log.tail(), |number| {
            let page = saved.pages.iter().find(|(stored, _)| *stored == number);
            Ok(&page.expect("the chain is what was stored").1)
        });
        let delta = free_log::entries(&read.unwrap().bytes).last().unwrap().unwrap();
        assert_eq!(delta, Entry::Delta(space.delta(TransactionId(2))));
    }
}

#[test]
fn growing_for_the_log_itself_is_part_of_its_delta() {
    let mut space = Space::new(4);
    let log = FreeLog { pages: Vec::new(), tail: vec![0; LIMITS.tail_len], has_names: false };
    let saved = space.save(&log, TransactionId(2), LIMITS, grow).unwrap();
    assert_eq!(saved.pages.len(), 1);
    let delta = space.delta(TransactionId(2));
    assert_eq!((delta.length_pages, &delta.taken[..]), (5, &[Extent::new(4, 1)][..]));
}
