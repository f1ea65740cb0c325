//! The first program of the README.

use mapleaf::{Db, Table};

const CAPITALS: Table<str, str> = Table::new("capitals");

fn main() -> mapleaf::Result<()> {
    let db = Db::open("first.mapleaf")?; // created if it is not there

    db.update(|tx| {
        let mut capitals = tx.table(&CAPITALS)?;
        capitals.insert("France", "Paris")?;
        capitals.insert("Japan", "Tokyo")?;
        capitals.insert("Peru", "Lima")?;
        Ok(())
    })?; // returns when the changes are durable

    let rx = db.read()?; // a snapshot: later writes do not change it
    let capitals = rx.table(&CAPITALS)?;
    println!("Japan: {:?}", capitals.get("Japan")?);
    for entry in capitals.range("G"..) {
        let (country, capital) = entry?;
        println!("{country}: {capital}");
    }
    Ok(())
}
