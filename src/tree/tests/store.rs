//! Pages in memory, and a tree on them whose every seal is verified.

use std::collections::BTreeMap;

use crate::base::{PageNumber, PageSet, TransactionId};
use crate::error::{Corruption, Result, corrupt};
use crate::format::overflow;
use crate::tree::pages::{NumberSupply, PageSource, SealedPages, TreeRoot};
use crate::tree::{OpenLeaf, RangeCursor, TreeMut, VisitedPages, Visitor, walk};

/// Any transaction may have left a tree.
pub(super) const NEWEST: TransactionId = TransactionId(u64::MAX);

/// A file in memory. Nothing is ever overwritten: all old trees stay readable.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) page_size: usize,
    pub(super) bytes: Vec<u8>,
}

impl Pages {
    pub(super) fn new(page_size: usize) -> Pages {
        // Page 0 stands for the meta page: so a forgotten number is not a valid page.
        Pages { page_size, bytes: vec![0; page_size] }
    }

    pub(super) fn count(&self) -> u32 {
        (self.bytes.len() / self.page_size) as u32
    }

    fn slice(&self, first: PageNumber, count: u32) -> Result<&[u8]> {
        let start = first.0 as usize * self.page_size;
        self.bytes
            .get(start..start + count as usize * self.page_size)
            .ok_or_else(|| corrupt(None, "page number", format_args!("below {}", self.count()), first))
    }

    /// Stores pages at the end of the file, where [`Supply`] has told them that they belong.
    pub(super) fn store(&mut self, sealed: Vec<SealedPages>) {
        let count: usize = sealed.iter().map(|pages| pages.bytes.len()).sum();
        self.bytes.resize(self.bytes.len() + count, 0xEE);
        for pages in sealed {
            let start = pages.first.0 as usize * self.page_size;
            self.bytes[start..start + pages.bytes.len()].copy_from_slice(&pages.bytes);
        }
    }
}

impl PageSource for Pages {
    fn page_size(&self) -> usize {
        self.page_size
    }

    fn page_count(&self) -> u32 {
        self.count()
    }

    fn page(&self, number: PageNumber) -> Result<&[u8]> {
        self.slice(number, 1)
    }

    fn overflow(&self, first: PageNumber) -> Result<&[u8]> {
        let count = overflow::checked_page_count(self.slice(first, 1)?, self.page_size)?;
        self.slice(first, count)
    }

    fn overflow_page_count(&self, first: PageNumber) -> Result<u32> {
        overflow::checked_page_count(self.slice(first, 1)?, self.page_size)
    }

    fn prefetch(&self, _: PageNumber) {}
}

/// Gives out the numbers behind the end of the file.
pub(super) struct Supply(pub(super) u32);

impl NumberSupply for Supply {
    fn page(&mut self) -> Result<PageNumber> {
        self.run(1)
    }

    fn run(&mut self, count: u32) -> Result<PageNumber> {
        self.0 += count;
        Ok(PageNumber(self.0 - count))
    }
}

/// What a walk found: pages by first number, with count and birth.
#[derive(Default)]
pub(super) struct Found {
    pub(super) pages: BTreeMap<PageNumber, (u32, TransactionId)>,
    pub(super) leaves: usize,
    pub(super) leaf_used_bytes: u64,
    pub(super) problems: Vec<Corruption>,
}

impl Visitor for Found {
    fn visit(&mut self, pages: &VisitedPages) {
        self.pages.insert(pages.run.first, (pages.run.count, pages.header.birth));
        if pages.header.level == 0 && pages.header.kind == crate::format::page::PageKind::Leaf {
            self.leaves += 1;
            self.leaf_used_bytes += pages.used_bytes;
        }
    }

    fn problem(&mut self, problem: Corruption) {
        self.problems.push(problem);
    }
}

pub(super) fn walk_all(pages: &Pages, root: &TreeRoot) -> Found {
    let mut found = Found::default();
    walk(pages, root, NEWEST, &mut PageSet::new(pages.count()).unwrap(), &mut found).unwrap();
    found
}

pub(super) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A file with a tree that is being changed, and what is known about both.
pub(super) struct Store {
    pub(super) pages: Pages,
    pub(super) tree: TreeMut,
    transaction: TransactionId,
    /// Pages that the tree uses according to what was sealed and retired.
    used: BTreeMap<PageNumber, (u32, TransactionId)>,
}

impl Store {
    pub(super) fn new(page_size: usize) -> Store {
        let transaction = TransactionId(1);
        let tree = TreeMut::new(&TreeRoot::default(), transaction, page_size);
        Store { pages: Pages::new(page_size), tree, transaction, used: BTreeMap::new() }
    }

    /// Seals in the middle of the transaction, and verifies everything.
    pub(super) fn spill(&mut self) -> TreeRoot {
        let expected_pages = self.tree.dirty_page_count();
        let mut sealed = Vec::new();
        self.tree.seal(&mut Supply(self.pages.count()), &mut sealed).unwrap();
        assert_eq!(
            sealed.iter().map(|it| it.bytes.len()).sum::<usize>(),
            expected_pages * self.pages.page_size
        );
        assert_eq!(self.tree.dirty_page_count(), 0);
        self.note(sealed);
        let root = self.tree.root();
        let found = walk_all(&self.pages, &root);
        assert_eq!(found.problems, []);
        assert_eq!(found.pages, self.used, "retired is what is not used any more");
        root
    }

    /// Seals what is not on the way to the last leaf.
    pub(super) fn spill_finished(&mut self) {
        let before = self.tree.dirty_page_count();
        let mut sealed = Vec::new();
        self.tree.seal_finished(&mut Supply(self.pages.count()), &mut sealed).unwrap();
        let left = self.tree.dirty_page_count();
        assert_eq!(
            left + sealed.iter().map(|it| it.bytes.len()).sum::<usize>() / self.pages.page_size,
            before
        );
        assert!(left <= usize::from(self.tree.top().depth), "{left} pages");
        self.note(sealed);
    }

    /// Stores pages, and notes them and those that are retired.
    fn note(&mut self, sealed: Vec<SealedPages>) {
        for pages in &sealed {
            let count = (pages.bytes.len() / self.pages.page_size) as u32;
            crate::format::page::verify(&pages.bytes, pages.first).unwrap();
            assert_eq!(self.used.insert(pages.first, (count, self.transaction)), None);
        }
        for retired in self.tree.take_retired() {
            let expected = Some((retired.run.count, retired.birth));
            assert_eq!(self.used.remove(&retired.run.first), expected, "{}", retired.run);
        }
        self.pages.store(sealed);
    }

    /// Seals, and begins the next transaction.
    pub(super) fn commit(&mut self) -> TreeRoot {
        let root = self.spill();
        self.transaction = self.transaction.next();
        self.tree = TreeMut::new(&root, self.transaction, self.pages.page_size);
        root
    }

    /// Compares what the write transaction sees to `model`.
    pub(super) fn assert_sees(&self, model: &Model) {
        assert_eq!(self.tree.len(), model.len() as u64);
        let nodes = self.tree.nodes(&self.pages);
        assert_cursor_yields(
            nodes,
            self.tree.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded),
            model,
        );
    }
}

/// Reads a whole range from the front, then from the back.
pub(super) fn assert_cursor_yields<'a>(
    nodes: impl crate::tree::Nodes<'a>,
    cursor: RangeCursor,
    model: &Model,
) {
    let (mut front, mut open) = (cursor.clone(), OpenLeaf::default());
    for (key, value) in model {
        let (found_key, found_value) = front.next_in(nodes, &mut open).unwrap().expect("an entry");
        assert_eq!((&*found_key, found_value), (&key[..], &value[..]));
    }
    assert!(front.next_in(nodes, &mut open).unwrap().is_none());
    let (mut back, mut open) = (cursor, OpenLeaf::default());
    for (key, value) in model.iter().rev() {
        let (found_key, found_value) = back.next_back_in(nodes, &mut open).unwrap().expect("an entry");
        assert_eq!((&*found_key, found_value), (&key[..], &value[..]));
    }
    assert!(back.next_back_in(nodes, &mut open).unwrap().is_none());
}
