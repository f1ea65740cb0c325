//! The state of the database that is salvaged: the readable part of the tables of one catalog.

use std::collections::HashSet;

use crate::base::TransactionId;
use crate::check::Problems;
use crate::error::{Result, corrupt};
use crate::format::catalog::{MAX_NAME_LEN, TableEntry, TableKind};
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::meta::Meta;
use crate::format::node::NodeView;
use crate::format::overflow;
use crate::format::page;
use crate::format::tree_root::TreeRoot;
use crate::salvage::source::Source;
use crate::salvage::survey::{Piece, Survey, Tree, note};

/// A table that will be written to the new database.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) kind: TableKind,
    pub(super) key_type: String,
    pub(super) value_type: String,
    pub(super) tree: Tree,
    /// How many entries it had, if that is known.
    pub(super) expected: Option<u64>,
    /// Leaves that no readable branch refers to, youngest first.
    pub(super) orphans: Vec<Orphan>,
}

/// A leaf that no readable branch refers to. It decides about all keys from its first to its last: entries of an
/// older leaf between them were replaced or removed.
#[derive(Clone)]
pub(super) struct Orphan {
    pub(super) number: u32,
    pub(super) first: Vec<u8>,
    pub(super) last: Vec<u8>,
    /// The gap of its table in which it is.
    pub(super) gap: usize,
}

/// Everything that a catalog refers to.
pub(super) struct State<'a> {
    pub(super) survey: Survey<'a>,
    pub(super) tables: Vec<Table>,
    names: HashSet<String>,
    extra_tables: u64,
    pub(super) problems: Problems,
    /// Pages of trees that cannot be read.
    pub(super) damaged: u64,
    /// Whether a part of the catalog is lost, and tables with it.
    pub(super) is_catalog_hidden: bool,
    /// No page of the state is younger.
    pub(super) newest: TransactionId,
    /// The meta page that describes it, after which the log goes on.
    pub(super) meta: Option<Meta>,
}

impl<'a> State<'a> {
    /// A state of which nothing is known.
    pub(super) fn unknown(source: &'a Source) -> Result<State<'a>> {
        Ok(State {
            survey: Survey::new(source)?,
            tables: Vec::new(),
            names: HashSet::new(),
            extra_tables: 0,
            problems: Problems::default(),
            damaged: 0,
            is_catalog_hidden: true,
            newest: TransactionId::MAX,
            meta: None,
        })
    }

    /// Returns the state of the newest meta page. In formats 1 and 2 it may be that of a commit that was not
    /// completed: then its pages are damaged, and the state of the older one is returned, if that can be read
    /// completely and has no fewer readable entries.
    pub(super) fn of_metas(source: &'a Source, metas: &[Meta]) -> Result<Option<(State<'a>, Meta)>> {
        let Some((newest, older)) = metas.split_first() else { return Ok(None) };
        let state = State::of_catalog(source, &newest.catalog, newest.id)?;
        if state.damaged > 0
            && !newest.listed.is_empty()
            && let Some(meta) = older.first()
        {
            let before = State::of_catalog(source, &meta.catalog, meta.id)?;
            if before.damaged == 0 && before.problems.is_empty() && before.entries() >= state.entries() {
                return Ok(Some((State { meta: Some(meta.clone()), ..before }, meta.clone())));
            }
        }
        Ok(Some((State { meta: Some(newest.clone()), ..state }, newest.clone())))
    }

    /// Returns the state whose catalog has this root.
    pub(super) fn of_catalog(
        source: &'a Source,
        root: &TreeRoot,
        newest: TransactionId,
    ) -> Result<State<'a>> {
        let mut state = State { is_catalog_hidden: false, newest, ..State::unknown(source)? };
        let catalog = state.survey.tree(root, newest);
        state.is_catalog_hidden = catalog.damaged > 0;
        for piece in &catalog.pieces {
            if let Piece::Leaf(number) = piece
                && let Ok(page) = source.tree_page(*number)
                && let Ok(leaf) = LeafView::new(&page)
            {
                for index in 0..leaf.count() {
                    state.add_table_of(&leaf, index, page::birth(&page));
                }
            }
        }
        state.damaged += catalog.damaged;
        state.problems.append(catalog.problems, "the catalog");
        Ok(state)
    }

    fn add_table_of(&mut self, leaf: &LeafView<'_>, index: usize, birth: TransactionId) {
        match table_entry(self.survey.source, leaf, index, birth) {
            Ok((name, entry)) => {
                let tree = self.survey.tree(&entry.root, birth);
                let expected = Some(entry.root.entries);
                self.add(name, entry, expected, tree);
            }
            Err(error) => {
                self.is_catalog_hidden = true;
                let mut problems = Problems::default();
                note(&mut problems, error);
                self.problems.append(problems, "the catalog");
            }
        }
    }

    /// Adds a table, with another name if its own is taken or too long.
    pub(super) fn add(
        &mut self,
        name: String,
        TableEntry { kind, key_type, value_type, .. }: TableEntry,
        expected: Option<u64>,
        mut tree: Tree,
    ) {
        self.damaged += tree.damaged;
        self.problems.append(std::mem::take(&mut tree.problems), &format!("table {name:?}"));
        let is_usable = name.len() <= MAX_NAME_LEN && !self.has(&name);
        let name = if is_usable { name } else { self.lost_and_found_name() };
        self.names.insert(name.clone());
        self.tables.push(Table { name, kind, key_type, value_type, tree, expected, orphans: Vec::new() });
    }

    /// Adds a table of which nothing is known, with a name of its own.
    pub(super) fn add_unknown(&mut self, tree: Tree) {
        let name = self.lost_and_found_name();
        let (key_type, value_type) = ("bytes".to_owned(), "bytes".to_owned());
        let entry = TableEntry { root: TreeRoot::default(), kind: TableKind::Table, key_type, value_type };
        self.add(name, entry, None, tree);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Returns a name for a table whose own is not known.
    pub(super) fn lost_and_found_name(&mut self) -> String {
        loop {
            self.extra_tables += 1;
            let name = format!("lost+found/{}", self.extra_tables);
            if !self.has(&name) {
                return name;
            }
        }
    }

    /// Returns the number of entries in readable leaves.
    fn entries(&self) -> u64 {
        self.tables.iter().map(|table| table.tree.entries).sum()
    }
}

/// Reads the entry at `index` of a catalog leaf.
pub(super) fn table_entry(
    source: &Source,
    leaf: &LeafView<'_>,
    index: usize,
    birth: TransactionId,
) -> Result<(String, TableEntry)> {
    let (name, value) = leaf.entry(index)?;
    let entry = match value {
        LeafValue::Inline(bytes) => TableEntry::decode(bytes)?,
        // A catalog entry is on overflow pages only because its key is long, so a longer value is damage.
        LeafValue::Overflow { length, .. } if length > source.page_size as u64 => {
            return Err(corrupt(None, "length of a catalog entry", source.page_size, length));
        }
        LeafValue::Overflow { first, length } => {
            let run = source.overflow_run(source.run_of_value(first, length)?, birth)?;
            TableEntry::decode(overflow::value(&run, length)?)?
        }
    };
    Ok((String::from_utf8_lossy(&name).into_owned(), entry))
}
