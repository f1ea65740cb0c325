//! First steps through the public interface.
use mapleaf::{Db, Durability, Table};

const NUMBERS: Table<u64, str> = Table::new("numbers");

#[test]
fn write_close_reopen_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    for round in 0..5u64 {
        let db = Db::open(&path).unwrap();
        db.update(|tx| {
            let mut numbers = tx.table(&NUMBERS)?;
            assert_eq!(numbers.len(), round * 1000);
            for n in 0..1000 {
                assert!(numbers.insert(round * 1000 + n, format!("number {n}").as_str())?);
            }
            Ok(())
        })
        .unwrap();
        for n in 0..50 {
            let tx = db.write().unwrap();
            tx.table(&NUMBERS).unwrap().insert(n, "changed").unwrap();
            tx.commit_with(if n % 3 == 0 { Durability::Lazy } else { Durability::Durable }).unwrap();
        }
        let rx = db.read().unwrap();
        let numbers = rx.table(&NUMBERS).unwrap();
        assert_eq!(numbers.len(), (round + 1) * 1000);
        assert_eq!(numbers.get(7).unwrap(), Some("changed"));
        assert_eq!(numbers.get(999).unwrap(), Some("number 999"));
        assert_eq!(numbers.iter().count() as u64, numbers.len());
        assert_eq!(numbers.range(10..20).rev().count(), 10);
        let report = db.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}
