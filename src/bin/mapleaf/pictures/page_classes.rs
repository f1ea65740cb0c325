//! The classes of pages in a picture: by kind, by table, by age, or by how full they are.

use clap::ValueEnum;
use mapleaf::TransactionId;
use mapleaf::admin::{PageRole, PageUse};

use crate::pictures::svg::Color;
use crate::unused::{KeptSnapshots, Unused};

/// What a picture shows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// What pages are: leaves, branches, large values, free, retired...
    Kind,
    /// Which table they belong to.
    Table,
    /// How long ago they were written, in transactions.
    Age,
    /// How full they are.
    Fill,
}

/// A class of pages: what it is called, its color, and a character for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) color: Color,
    pub(crate) letter: char,
}

/// All classes, and which page is in which.
pub(crate) struct Classes {
    by: By,
    /// For programs and for people, in the order of the legend.
    pub(crate) list: Vec<Class>,
    tables: Vec<String>,
    pub(crate) snapshots: KeptSnapshots,
    /// The newest transaction.
    pub(crate) newest: TransactionId,
    page_size: u64,
}

/// The first class: pages that the check did not reach. They are damaged, lie below a damaged page, or are lost.
pub(crate) const UNKNOWN: usize = 0;
/// The second: pages that the file has beyond the last page of the newest transaction.
pub(crate) const RESERVED: usize = 1;
const FREE: usize = 2;
const RETIRED: usize = 3;
const PINNED: usize = 4;
/// Meta pages, and the log of free space.
const META: usize = 5;
const FREE_LOG: usize = 6;
const CATALOG: usize = 7;
const REDO_LOG: usize = 8;
/// Those from here on depend on what the picture shows.
pub(crate) const FIRST_OWN: usize = 9;

const COMMON: [(&str, Color, char); FIRST_OWN] = [
    ("damaged or lost", Color(0xff, 0x00, 0xff), '?'),
    ("reserved, after the last page", Color(0xf7, 0xf7, 0xf8), ' '),
    ("free", Color(0xdd, 0xe1, 0xe6), '.'),
    ("retired", Color(0xf3, 0xb4, 0xa9), 'x'),
    ("retired, and pinned by a reader", Color(0xd6, 0x27, 0x28), 'X'),
    ("meta page", Color(0x22, 0x26, 0x2b), 'M'),
    ("free log", Color(0x8e, 0x6b, 0xbf), 'F'),
    ("catalog", Color(0x8c, 0x56, 0x4b), 'C'),
    ("redo log", Color(0x5b, 0x6b, 0x7f), 'W'),
];
const KINDS: [(&str, Color, char); 3] = [
    ("branch", Color(0x1f, 0x5f, 0xa8), 'b'),
    ("leaf", Color(0x4c, 0x9f, 0x70), 'l'),
    ("large value", Color(0xe6, 0x9f, 0x00), 'o'),
];
/// For tables; those after the last color share another one.
const PALETTE: [Color; 10] = [
    Color(0x4c, 0x78, 0xa8),
    Color(0xf5, 0x85, 0x18),
    Color(0x54, 0xa2, 0x4b),
    Color(0xb2, 0x79, 0xa2),
    Color(0x72, 0xb7, 0xb2),
    Color(0xee, 0xca, 0x3b),
    Color(0x9d, 0x75, 0x5d),
    Color(0xff, 0x9d, 0xa6),
    Color(0x2f, 0x4b, 0x7c),
    Color(0x6f, 0x7d, 0x1c),
];
const OTHER_TABLES: Color = Color(0x9a, 0xa0, 0xa6);
/// From little to much: from new to old, from empty to full.
const STEPS: [Color; 6] = [
    Color(0xfd, 0xe7, 0x25),
    Color(0x7a, 0xd1, 0x51),
    Color(0x22, 0xa8, 0x84),
    Color(0x2a, 0x78, 0x8e),
    Color(0x41, 0x44, 0x87),
    Color(0x44, 0x01, 0x54),
];
/// Transactions between a page's birth and the newest, up to and with which it is in the class of that place.
const AGES: [u64; 5] = [0, 10, 100, 1000, 10_000];
/// Percent of a page in use, below which it is in the class of that place.
const FILLS: [u64; 5] = [25, 50, 70, 80, 90];

impl Classes {
    /// Classes of pages that no reader pins, and of transaction 0.
    pub(crate) fn new(by: By, tables: Vec<String>, page_size: usize) -> Classes {
        let own: Vec<Class> = match by {
            By::Kind => KINDS.iter().map(|&(name, color, letter)| class(name, color, letter)).collect(),
            By::Table => {
                let mut classes: Vec<Class> = tables
                    .iter()
                    .zip(PALETTE)
                    .zip('a'..)
                    .map(|((name, color), letter)| class(format!("table {name:?}"), color, letter))
                    .collect();
                classes.push(class("other tables", OTHER_TABLES, 'z'));
                classes
            }
            By::Age => steps(|index| match index {
                0 => "newest transaction".to_owned(),
                5 => format!("more than {} before", AGES[4]),
                _ => format!("{} to {} before", AGES[index - 1] + 1, AGES[index]),
            }),
            By::Fill => steps(|index| match index {
                0 => format!("less than {} % full", FILLS[0]),
                5 => format!("{} % and more", FILLS[4]),
                _ => format!("{} to {} %", FILLS[index - 1], FILLS[index]),
            }),
        };
        let common = COMMON.iter().map(|&(name, color, letter)| class(name, color, letter));
        let list = common.chain(own).collect();
        let snapshots = KeptSnapshots::default();
        Classes { by, list, tables, snapshots, newest: TransactionId::default(), page_size: page_size as u64 }
    }

    /// The class that pages are in.
    pub(crate) fn of(&self, page: &PageUse<'_>) -> usize {
        match self.snapshots.classify(page) {
            Some(Unused::Free) => return FREE,
            Some(Unused::Retired) => return RETIRED,
            Some(Unused::Pinned | Unused::Named) => return PINNED,
            None => {}
        }
        match (page.role, page.table) {
            (PageRole::Meta, _) => META,
            (PageRole::FreeLog, _) => FREE_LOG,
            (PageRole::RedoLog, _) => REDO_LOG,
            (PageRole::Leaf | PageRole::Branch { .. } | PageRole::Overflow, None) => CATALOG,
            (PageRole::Leaf | PageRole::Branch { .. } | PageRole::Overflow, Some(_)) => {
                FIRST_OWN + self.own(page)
            }
            _ => UNKNOWN,
        }
    }

    fn own(&self, page: &PageUse<'_>) -> usize {
        match self.by {
            By::Kind => match page.role {
                PageRole::Branch { .. } => 0,
                PageRole::Leaf => 1,
                _ => 2,
            },
            By::Table => {
                let table = page.table.and_then(|name| self.tables.iter().position(|other| other == name));
                table.unwrap_or(usize::MAX).min(self.tables.len().min(PALETTE.len()))
            }
            By::Age => {
                let age = self.newest.since(page.birth.unwrap_or_default());
                AGES.iter().filter(|&&limit| age > limit).count()
            }
            By::Fill => {
                let percent = page.used_bytes * 100 / (u64::from(page.count) * self.page_size).max(1);
                FILLS.iter().filter(|&&limit| percent >= limit).count()
            }
        }
    }
}

fn class(name: impl Into<String>, color: Color, letter: char) -> Class {
    Class { name: name.into(), color, letter }
}

fn steps(name: impl Fn(usize) -> String) -> Vec<Class> {
    let letters = '0'..;
    STEPS
        .iter()
        .zip(letters)
        .enumerate()
        .map(|(index, (&color, letter))| class(name(index), color, letter))
        .collect()
}
