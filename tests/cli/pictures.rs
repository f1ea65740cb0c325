//! Pages taken apart, pictures of files and trees, the short measurement, and the torturer.

use std::fs;

use mapleaf::{Db, Durability, Table, admin};

use crate::{NAMES, VISITS, answer, files, json, refused, run, text, world};

/// A file with two levels, large values, and free pages.
fn larger_world() -> (tempfile::TempDir, Db) {
    let (folder, path) = world();
    let db = Db::open(path).unwrap();
    db.update(|tx| {
        let mut names = tx.table(&NAMES)?;
        (0..4000).try_for_each(|key| names.insert(format!("name {key}"), format!("{key:0100}")).map(drop))?;
        (0..6).try_for_each(|key| names.insert(format!("<large> {key}"), "x".repeat(9000)).map(drop))?;
        let mut visits = tx.table(&VISITS)?;
        (0..300).try_for_each(|key| visits.insert(("place", key), 1).map(drop))
    })
    .unwrap();
    db.update(|tx| tx.table(&NAMES)?.remove_range("name 3"..)).unwrap();
    db.update(|tx| tx.table(&NAMES)?.insert("last", "x")).unwrap();
    (folder, db)
}

#[test]
fn pages_are_taken_apart() {
    let (folder, path) = world();
    let at = folder.path();
    let numbers = Table::<u64, u64>::new("numbers");
    Db::open(&path).unwrap().update(|tx| tx.table(&numbers)?.insert(1, 2)).unwrap();
    let record = answer(at, &["page", "a.mapleaf", "0"]);
    for part in
        ["page 0, bytes 0 to 4096: meta page", ", right", "transaction", "identity of the file", "base: "]
    {
        assert!(record.contains(part), "{part}: {record}");
    }
    let pages = fs::metadata(&path).unwrap().len() / 4096;
    let all: Vec<String> =
        (0..pages).map(|page| answer(at, &["page", "--whose", "a.mapleaf", &page.to_string()])).collect();
    let one = |part: &str| match &all.iter().filter(|page| page.contains(part)).collect::<Vec<_>>()[..] {
        [page] => page.to_string(),
        other => panic!("{part}: {other:?}"),
    };
    let leaf = one("a leaf of table \"visits\"");
    assert!(leaf.contains("[\"home\",1]\t7\n") && leaf.contains("4080..4094"), "{leaf}");
    let dense = one("a leaf of table \"numbers\"");
    assert!(dense.contains("length of each suffix        8\n") && dense.contains("last head"), "{dense}");
    assert!(dense.contains("    0    32  none  4084..4096   1\t2\n"), "{dense}");
    let catalog = one("used for  a leaf of the catalog");
    assert!(catalog.contains("visits\t(str,u32) to i64: 3 entries, depth 1, root page "), "{catalog}");
    let number = leaf.split([' ', ',']).nth(1).unwrap();
    let page = json(&answer(at, &["page", "--json", "a.mapleaf", number]));
    assert_eq!(page["fields"]["entries"], 3);
    assert_eq!(page["entries"][0]["key"], "686f6d65000000000001");
    assert_eq!(page["stored_checksum"], page["computed_checksum"]);
    let hex = answer(at, &["page", "--hex", "--as", "hex", "a.mapleaf", number]);
    assert!(hex.contains("686f6d65000000000001\t0700000000000000\n") && hex.contains("   *\n"), "{hex}");
    refused(at, &["page", "a.mapleaf", &pages.to_string()], b"", 2, "the file has pages 0 to ");

    // Damaged, and then without a meta page.
    let mut bytes = fs::read(&path).unwrap();
    let offset = number.parse::<usize>().unwrap() * 4096;
    bytes[offset + 4095] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let output = run(at, &["page", "a.mapleaf", number], b"");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("WRONG") && said.contains("1 problem\n"), "{said}");
    bytes[..8192].fill(0);
    fs::write(&path, &bytes).unwrap();
    refused(at, &["page", "a.mapleaf", number], b"", 3, "no meta page");
    let output = run(at, &["page", "--page-size", "4096", "a.mapleaf", number], b"");
    assert!(text(&output.stdout).contains("WRONG"));
    assert_eq!(answer(at, &["page", "--page-size", "4096", "a.mapleaf", "0"]).lines().count(), 1);
}

#[test]
fn maps_count_every_page() {
    let (folder, db) = larger_world();
    let at = folder.path();
    let reader = db.read().unwrap();
    db.update(|tx| tx.table(&NAMES)?.insert("last", "y")).unwrap();
    db.update(|tx| tx.table(&NAMES)?.insert("last", "z")).unwrap();
    let report = db.check().unwrap();
    let stat = json(&answer(at, &["stat", "--pages", "--json", "a.mapleaf"]));
    let pinned: u32 = db.readers().unwrap().iter().filter_map(|reader| reader.pinned_pages).sum();
    assert_eq!(stat["pinned_pages"], pinned);
    let names =
        stat["table_pages"].as_array().unwrap().iter().find(|table| table["table"] == "names").unwrap();
    let found = admin::table_pages(&db.read().unwrap(), "names", |_| {}).unwrap();
    assert_eq!((&names["pages"], &names["leaves"]), (&found.total.into(), &found.leaves.into()));
    assert_eq!((&names["used_bytes"], &names["entries"]), (&found.used_bytes.into(), &found.entries.into()));
    for by in ["kind", "table", "age", "fill"] {
        let map = json(&answer(at, &["map", "--json", "--by", by, "--pages-per-cell", "3", "a.mapleaf"]));
        let pages = |letter: &str| {
            let class = map["classes"].as_array().unwrap().iter().find(|class| class["letter"] == letter);
            class.unwrap_or_else(|| panic!("{by} {letter}"))["pages"].as_u64().unwrap()
        };
        let sum: u64 =
            map["classes"].as_array().unwrap().iter().map(|class| class["pages"].as_u64().unwrap()).sum();
        assert_eq!(map["pages"], sum);
        assert_eq!(map["cells"].as_array().unwrap().len() as u64, sum.div_ceil(3));
        assert_eq!((pages("?"), pages("M"), pages("C")), (0, 2, 1));
        assert!(pages("X") > 0, "the reader needs the pages of its snapshot");
        assert_eq!(pages("X"), stat["pinned_pages"].as_u64().unwrap());
        assert_eq!(
            (&stat["free_pages"], &stat["retired_pages"]),
            (&pages(".").into(), &(pages("x") + pages("X")).into())
        );
        if by == "kind" {
            let counts = report.counts();
            let found = (pages("l") + pages("C"), pages("b"), pages("o"));
            assert_eq!(found, (counts.leaves.into(), counts.branches.into(), counts.overflow.into()));
        }
        let drawn = answer(at, &["map", "--by", by, "a.mapleaf"]);
        assert!(drawn.starts_with("a.mapleaf: ") && !drawn.contains('\x1b'), "no colors in a file: {drawn}");
        let svg = answer(at, &["map", "--by", by, "--svg", "a.mapleaf"]);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        let squares: u64 = svg.matches("h8v8h-8z").count() as u64;
        assert_eq!(squares, sum, "a cell for each page");
    }
    drop(reader);
    let map = answer(at, &["map", "a.mapleaf"]);
    assert!(!map.contains("pinned"), "{map}");
    // Scaled: half a row of cells.
    let map = answer(at, &["map", "--pages-per-cell", "64", "--width", "2", "a.mapleaf"]);
    assert!(map.contains("a cell is 64 pages, 256.00 KiB"), "{map}");
}

/// With pages of all kinds, some of them pinned by a reader.
#[test]
fn stat_check_and_map_count_the_same_way() {
    let (folder, db) = larger_world();
    let at = folder.path();
    let reader = db.read().unwrap();
    db.update(|tx| tx.table(&NAMES)?.insert("last", "y")).unwrap();
    db.update(|tx| tx.table(&NAMES)?.remove_range("name 2"..)).unwrap();
    db.checkpoint().unwrap(); // otherwise a thread may make one between the three
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let stat = json(&answer(at, &["stat", "--pages", "--json", "a.mapleaf"]));
    let check = json(&answer(at, &["check", "--json", "a.mapleaf"]));
    let map = json(&answer(at, &["map", "--json", "a.mapleaf"]));
    let mapped = |letters: &str| -> u64 {
        let classes = map["classes"].as_array().unwrap().iter();
        let chosen = classes.filter(|class| letters.contains(class["letter"].as_str().unwrap()));
        chosen.map(|class| number(&class["pages"])).sum()
    };
    let parts = ["meta", "leaves", "branches", "overflow", "free_log", "redo_log"];
    let in_use: u64 = parts.iter().map(|part| number(&check[part])).sum();
    let found = |in_use: u64, free: u64, retired: u64| {
        assert!(free > 0 && retired > 0);
        (in_use, free, retired)
    };
    let checked = found(in_use, number(&check["free"]), number(&check["retired"]));
    assert_eq!(found(mapped("MFWCblo"), mapped("."), mapped("xX")), checked, "map");
    let stated = ["in_use_pages", "free_pages", "retired_pages"].map(|name| number(&stat[name]));
    assert_eq!(found(stated[0], stated[1], stated[2]), checked, "stat");
    assert_eq!(number(&stat["pinned_pages"]), mapped("X"));
    assert!(mapped("X") > 0, "the reader needs the pages of its snapshot");
    // All of the file.
    let page_size = number(&stat["page_size"]);
    assert_eq!(stated.iter().sum::<u64>(), number(&check["pages"]));
    assert_eq!(number(&stat["reserved_bytes"]), mapped(" ") * page_size);
    assert_eq!(number(&stat["file_bytes"]), number(&map["pages"]) * page_size);
    let said = answer(at, &["stat", "a.mapleaf"]);
    assert!(said.contains(&format!("\nin use     {} (", bytes_text(in_use * page_size))), "{said}");
    assert_eq!(number(&stat["log_bytes"]), mapped("W") * page_size);
    drop(reader);
}

#[test]
fn stat_shows_the_log_and_the_last_checkpoint() {
    let (folder, db) = larger_world();
    let at = folder.path();
    db.checkpoint().unwrap();
    let of = |name: &str| json(&answer(at, &["stat", "--json", "a.mapleaf"]))[name].as_f64().unwrap();
    let checkpointed = of("checkpointed");
    assert_eq!((of("log_used_bytes"), of("log_unsynced_bytes"), checkpointed), (0.0, 0.0, of("newest")));
    assert!(of("checkpoint_age_seconds") < 60.0 && of("checkpoints") >= 1.0);
    db.update(|tx| tx.table(&NAMES)?.insert("one", "more").map(drop)).unwrap();
    assert_eq!((of("log_used_bytes"), of("log_unsynced_bytes")), (4096.0, 0.0));
    let tx = db.write().unwrap();
    tx.table(&NAMES).unwrap().insert("lazy", "one").unwrap();
    tx.commit_with(Durability::Lazy).unwrap();
    assert_eq!(of("checkpointed"), checkpointed);
    assert_eq!(of("log_used_bytes"), 4096.0 + of("log_unsynced_bytes"));
    let log = bytes_text(of("log_bytes") as u64);
    let said = answer(at, &["stat", "a.mapleaf"]);
    assert!(
        said.contains(&format!("\nlog        {log}, 4.0")) && said.contains(" of it not durable\n"),
        "{said}"
    );
    assert!(said.contains(&format!("\ncheckpoint transaction {checkpointed}, ")), "{said}");
    db.close().unwrap();
    assert_eq!((of("log_used_bytes"), of("checkpointed")), (0.0, of("newest")), "closing makes a checkpoint");
    let said = answer(at, &["stat", "a.mapleaf"]);
    assert!(said.contains(&format!("\nlog        {log}, 0 B in use\ncheckpoint transaction ")), "{said}");
    let without = Db::options().log_size(0).open(at.join("b.mapleaf")).unwrap();
    without.update(|tx| tx.table(&NAMES)?.insert("one", "more").map(drop)).unwrap();
    assert!(answer(at, &["stat", "b.mapleaf"]).contains("\nlog        none\n"));
}

/// As the program writes it.
fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.2} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.2} MiB", bytes as f64 / 1048576.0),
    }
}

#[test]
fn maps_show_damage() {
    let (folder, db) = larger_world();
    let at = folder.path();
    let mut leaf = None;
    let report = db.check_options().on_pages(|page, _| {
        if page.table == Some("names") && page.role == admin::PageRole::Leaf {
            leaf = Some(page.first);
        }
    });
    assert!(report.check().unwrap().is_clean());
    drop(db);
    let path = at.join("a.mapleaf");
    let mut bytes = fs::read(&path).unwrap();
    bytes[leaf.unwrap() as usize * 4096 + 2000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let output = run(at, &["map", "a.mapleaf"], b"");
    let drawn = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{drawn}");
    assert!(drawn.contains(" ?             1 pages") && drawn.contains("damaged or lost"), "{drawn}");
    let raw = json(&answer(at, &["map", "--raw", "--json", "a.mapleaf"]));
    // No meta page, no database: but there are pages. Only a meta page says which of them are the redo log's.
    let outside_the_log = |map: &serde_json::Value| -> Vec<serde_json::Value> {
        let classes = raw["classes"].as_array().unwrap();
        let log = classes.iter().position(|class| class["letter"] == "W").unwrap();
        let cells = map["cells"].as_array().unwrap().iter().zip(raw["cells"].as_array().unwrap()).skip(2);
        cells.filter(|(_, in_raw)| in_raw[log] == 0).map(|(cell, _)| cell.clone()).collect()
    };
    bytes[4..8].fill(9);
    bytes[4096..8192].fill(0);
    fs::write(&path, &bytes).unwrap();
    refused(at, &["map", "a.mapleaf"], b"", 3, "map --raw");
    refused(at, &["map", "--raw", "--by", "age", "a.mapleaf"], b"", 2, "only --by kind");
    refused(at, &["map", "--raw", "a.mapleaf"], b"", 3, "--page-size");
    let with_size = json(&answer(at, &["map", "--raw", "--page-size", "4096", "--json", "a.mapleaf"]));
    assert_eq!(outside_the_log(&raw), outside_the_log(&with_size));
    refused(at, &["map", "--page-size", "4096", "a.mapleaf"], b"", 2, "--raw");
    refused(at, &["map", "--raw", "--page-size", "5000", "a.mapleaf"], b"", 2, "16384");
    bytes[..8].copy_from_slice(b"mapleaf\0");
    bytes[60] ^= 1;
    fs::write(&path, &bytes).unwrap();
    refused(at, &["map", "a.mapleaf"], b"", 3, "map --raw");
    let without_metas = json(&answer(at, &["map", "--raw", "--json", "a.mapleaf"]));
    assert_eq!(outside_the_log(&raw), outside_the_log(&without_metas));
}

#[test]
fn shapes_of_trees_add_up() {
    let (folder, db) = larger_world();
    let at = folder.path();
    let pages = admin::table_pages(&db.read().unwrap(), "names", |_| {}).unwrap();
    let tree = json(&answer(at, &["tree", "--json", "a.mapleaf", "names"]));
    let levels = tree["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 2);
    assert_eq!(levels[0]["pages"], pages.leaves);
    assert_eq!(levels[1]["pages"], pages.branches);
    let histogram: u64 =
        levels[0]["histogram"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(histogram, u64::from(pages.leaves));
    assert_eq!((&tree["large_values"], &tree["large_pages"]), (&6.into(), &pages.overflow.into()));
    let used: u64 = levels.iter().map(|level| level["used_bytes"].as_u64().unwrap()).sum();
    assert_eq!(used + tree["large_bytes"].as_u64().unwrap(), pages.used_bytes);
    let drawn = answer(at, &["tree", "a.mapleaf", "names"]);
    assert!(drawn.contains("6 large values") && drawn.contains('\u{2588}'), "{drawn}");
    assert!(answer(at, &["tree", "--svg", "a.mapleaf", "visits"]).starts_with("<svg "));
    refused(at, &["tree", "a.mapleaf", "visit"], b"", 2, "did you mean \"visits\"?");
    db.update(|tx| tx.table(&NAMES)?.clear()).unwrap();
    let empty = answer(at, &["tree", "a.mapleaf", "names"]);
    assert_eq!(empty, "table \"names\": 0 entries, depth 0\n");
    answer(at, &["tree", "--svg", "a.mapleaf", "names"]);
}

#[test]
fn measurements_count_what_they_say_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let measured = json(&answer(at, &["bench", "--entries", "500", "--seconds", "0.05", "--json"]));
    for mode in measured["modes"].as_array().unwrap() {
        let commits = &mode["commits"];
        assert!(commits["count"].as_u64().unwrap() > 0 && mode["gets"].as_u64().unwrap() > 0, "{measured}");
        // One barrier for a durable commit, and two for each checkpoint, which is for many.
        let barriers = commits["barriers_each"].as_f64().unwrap();
        assert!((1.0..1.5).contains(&barriers), "{measured}");
        // A leaf, a branch above it, the catalog, a redo record.
        let bytes = commits["written_bytes_each"].as_f64().unwrap();
        assert!((8192.0..40_000.0).contains(&bytes), "{measured}");
        assert!(mode["commits_together"]["barriers_each"].as_f64().unwrap() <= 1.5, "{measured}");
    }
    let said = answer(at, &["bench", "--entries", "500", "--seconds", "0.05", "--value-size", "10"]);
    assert!(said.contains("the disk alone") && said.contains("write mode mapped"), "{said}");
    assert_eq!(files(at), Vec::<String>::new());
    refused(at, &["bench", "nowhere"], b"", 4, "cannot create nowhere/");
}

#[test]
fn torture_is_the_same_program() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = answer(at, &["torture", "run", "--database", "t", "--commits", "3"]);
    assert_eq!(said, "ACK 1\nACK 2\nACK 3\n");
    let said = answer(at, &["torture", "kill", "--database", "t", "--rounds", "2", "--longest-life", "0.2"]);
    assert!(said.starts_with("2 rounds, 2 processes killed, ") && said.ends_with(": all there\n"), "{said}");
    let output = run(at, &["torture", "verify", "--database", "t", "--acknowledged", "1000000000"], b"");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}
