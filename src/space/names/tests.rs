//! Which pages names keep, and for how long.

use super::*;
use crate::base::{Extent, PageNumber};
use crate::format::tree_root::TreeRoot;
use crate::space::save::{FreeLog, LogLimits};

fn id(id: u64) -> TransactionId {
    TransactionId(id)
}

fn named(name: &str, snapshot: u64) -> NamedSnapshot {
    let catalog = TreeRoot::default();
    NamedSnapshot {
        name: name.to_owned(),
        id: id(snapshot),
        created: id(snapshot + 1),
        length_pages: 100,
        catalog,
    }
}

/// Pages 10..15 were born in 3 and retired in 8.
fn space() -> Space {
    let mut space = Space::new(100);
    space.add_name(named("old", 2)).unwrap();
    space.add_name(named("within", 5)).unwrap();
    space.add_name(named("new", 8)).unwrap();
    space.retire(Extent::new(10, 5), id(3), id(8)).unwrap();
    space.commit();
    space
}

#[test]
fn a_living_name_keeps_its_pages() {
    let mut space = space();
    assert_eq!(space.reclaim(&[id(20)]).unwrap(), 0);
    assert_eq!(space.pins_of_names(), [(0, 0), (0, 0), (5, 5)], "new, old, within");
    assert_eq!(space.pinned_by_names(), 5);
    assert_eq!(space.pinned_by_reader(id(6), &[id(6), id(20)]), 0, "the name's pages are not a reader's");
    assert!(space.drop_name("old", id(21)).unwrap() && space.drop_name("new", id(21)).unwrap());
    assert!(!space.drop_name("new", id(21)).unwrap());
    space.commit();
    assert_eq!(space.reclaim(&[id(20)]).unwrap(), 0);
    assert!(space.drop_name("within", id(22)).unwrap());
    space.commit();
    assert_eq!(space.reclaim(&[id(22)]).unwrap(), 5);
    assert!(space.names().is_empty());
}

#[test]
fn a_dropped_name_keeps_them_while_a_snapshot_has_the_name() {
    let mut space = space();
    assert!(space.drop_name("within", id(22)).unwrap());
    space.commit();
    // 6 is the one that created it, 21 the last before it was dropped.
    for protected in [6, 21] {
        assert_eq!(space.clone().reclaim(&[id(protected), id(30)]).unwrap(), 0, "{protected}");
    }
    for protected in [9, 22, 30] {
        let is_needed = (3..8).contains(&protected) || (6..22).contains(&protected);
        assert_eq!(space.clone().reclaim(&[id(protected)]).unwrap() == 0, is_needed, "{protected}");
    }
    // Another living name is no reason: it would keep the dropped one for good.
    assert_eq!(space.reclaim(&[id(22)]).unwrap(), 5);
}

#[test]
fn an_abort_brings_the_names_back() {
    let mut space = space();
    assert!(space.drop_name("within", id(9)).unwrap());
    space.add_name(named("late", 8)).unwrap();
    space.abort().unwrap();
    assert!(space.names().find("late").is_none() && space.names().find("within").is_some());
    assert_eq!(space.reclaim(&[id(20)]).unwrap(), 0);
}

/// The names are in the log when it begins again, and gone from it when there are none.
#[test]
fn the_log_has_the_names() {
    let limits = LogLimits { page_size: 4096, tail_len: 300 };
    let mut space = Space::new(100);
    space.grow(1000);
    space.commit();
    let mut log = FreeLog::new(&space);
    let mut stored: std::collections::HashMap<PageNumber, Box<[u8]>> = Default::default();
    let mut had_names = Vec::new();
    for transaction in 2..400u64 {
        match transaction % 40 {
            2 => space.add_name(named("a name", transaction - 1)).unwrap(),
            22 => assert!(space.drop_name("a name", id(transaction)).unwrap()),
            _ => {}
        }
        let saved = space.save(&log, id(transaction), limits, |_, _| unreachable!()).unwrap();
        for (number, mut page) in saved.pages {
            crate::format::page::seal(&mut page, number, id(transaction));
            stored.insert(number, page);
        }
        log = saved.log;
        space.commit();
        let chain = crate::format::free_log::read_chain(log.newest_page(), log.tail(), |number| {
            Ok(stored[&number].clone())
        });
        let loaded = Space::load(&chain.unwrap().bytes, id(transaction)).unwrap();
        assert_eq!(loaded.names().living(), space.names().living(), "{transaction}");
        assert!(log.has_names() || loaded.names().is_empty());
        had_names.push(log.has_names());
        space.reclaim(&[id(transaction)]).unwrap();
    }
    assert!(had_names.contains(&false) && had_names.contains(&true));
}

#[test]
fn names_that_do_not_fit_are_damage() {
    let mut space = space();
    assert!(space.apply_names(NamesEntry::Given(named("old", 20))).is_err());
    assert!(space.apply_names(NamesEntry::Dropped { id: id(30), name: "none".to_owned() }).is_err());
    assert!(space.apply_names(NamesEntry::Dropped { id: id(6), name: "within".to_owned() }).is_err());
}
