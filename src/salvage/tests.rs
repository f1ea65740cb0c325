//! Parts of salvaging that the tests of the whole (tests/salvage.rs) do not reach.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::num::NonZero;
use std::time::SystemTime;

use super::shape::fits;
use super::source::Source;
use super::state::Orphan;
use super::target::{Spoken, add_range};
use crate::base::PageNumber;
use crate::types::{EncodeKey, Key, Value};
use crate::{Db, Error, Table};

#[test]
fn what_a_type_encodes_fits_its_name_and_other_lengths_do_not() {
    for (name, length) in [
        (<u8 as Key>::type_name(), 1),
        (<i16 as Value>::type_name(), 2),
        (<f32 as Key>::type_name(), 4),
        (<u64 as Value>::type_name(), 8),
        (<u128 as Key>::type_name(), 16),
        (<() as Value>::type_name(), 0),
        (<[u8; 5] as Key>::type_name(), 5),
        (<NonZero<u16> as Key>::type_name(), 2),
        (<SystemTime as Key>::type_name(), 12),
        (<Ipv4Addr as Key>::type_name(), 4),
        (<SocketAddrV6 as Key>::type_name(), 26),
    ] {
        assert!(fits(&name, &vec![7; length]), "{name}");
        assert!(!fits(&name, &vec![7; length + 1]), "{name}");
    }
    assert!(fits(&<bool as Value>::type_name(), &[1]) && !fits(&<bool as Value>::type_name(), &[2]));
    let address = IpAddr::from([10, 0, 0, 1]);
    assert!(fits(&<IpAddr as Key>::type_name(), &address.encode_key()) && !fits("ipaddr", &[6, 0, 0, 0, 0]));
    assert!(fits(&<SocketAddr as Key>::type_name(), &SocketAddr::from((address, 80)).encode_key()));
    assert!(fits(&<str as Key>::type_name(), b"text") && !fits(&<str as Key>::type_name(), &[0xff]));
    assert!(fits(&<[u8] as Key>::type_name(), &[0xff; 100]), "any bytes");
    assert!(fits(&<(u8, String) as Key>::type_name(), &[0xff; 100]), "not known here");
}

#[test]
fn a_page_that_cannot_be_read_is_an_error_of_that_page_alone() {
    const BYTES: Table<u64, [u8]> = Table::new("bytes");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let db = Db::open(&path).unwrap();
    db.update(|tx| (0..200).try_for_each(|key| tx.table(&BYTES)?.insert(key, vec![1; 1000]).map(drop)))
        .unwrap();
    drop(db);
    let (source, metas) = Source::open(&path, None).unwrap();
    let root = metas[0].catalog.page;
    let first = PageNumber(2);
    assert!(source.tree_page(first).is_ok() && source.tree_page(root).is_ok() && root > first);
    // As a disk that cannot read it: the system has no bytes for this page any more.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(root.offset(source.page_size)).unwrap();
    let Err(Error::Corrupt(problem)) = source.tree_page(root) else { panic!("it has no bytes") };
    assert_eq!((problem.page, problem.what), (Some(root.0), "reading the page"));
    assert!(source.tree_page_by_chance(root).is_none());
    assert!(source.tree_page(first).is_ok());
}

#[test]
fn ranges_are_put_together() {
    let mut spoken = Spoken::new();
    let orphan = |first: u8, last: u8| Orphan { number: 2, first: vec![first], last: vec![last], gap: 0 };
    let mut covered = [false; 100];
    for (first, last) in [(50, 60), (10, 20), (30, 40), (15, 35), (61, 61), (0, 0), (60, 70), (45, 80)] {
        add_range(&mut spoken, orphan(first, last));
        covered[usize::from(first)..=usize::from(last)].fill(true);
        assert!(spoken.windows(2).all(|pair| pair[0].1 < pair[1].0), "{spoken:?}");
        for key in 0..100u8 {
            let is_in = spoken.iter().any(|(first, last)| first[0] <= key && key <= last[0]);
            assert_eq!(is_in, covered[usize::from(key)], "{key} in {spoken:?}");
        }
    }
}
