//! `page`: one page taken apart, every field named, of any file, sound or not.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::TableInfo;
use mapleaf::admin::Anatomy;
use mapleaf::admin::PageRole;

use crate::human::{pages_text, parse_page_size};
use crate::notation::{Form, Notation};
use crate::open::{find_table, open_pages, open_read_only};
use crate::outcome::{Answer, Failure};
use crate::page_view::{PageText, page_json};

/// Takes a page apart: every field named, entries with their offsets, and all problems; the exit code is 1 if there are
/// any. The file may be damaged, or in use. A free page shows what it held when it was last used.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf page app.mapleaf 0                the record in slot 0 (1: in slot 1)
  mapleaf page --whose app.mapleaf 100      what it is used for, and keys as its table's types say
  mapleaf page --hex app.mapleaf 100        its bytes as well
  mapleaf page --page-size 4096 damaged.mapleaf 100
  mapleaf page --json app.mapleaf 100 | jq '.entries[].key'")]
pub(crate) struct Page {
    /// The database.
    file: PathBuf,
    /// The page's number: its offset in the file divided by the page size.
    number: u32,
    /// Also find what the page is used for: reads the whole database, which must be sound enough to be opened.
    #[arg(long)]
    whose: bool,
    /// Show all bytes of the page too.
    #[arg(long, conflicts_with = "json")]
    hex: bool,
    /// How keys and values are shown; as the table's types define only with --whose.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
    /// Bytes in a page, if no meta page has it any more.
    #[arg(long, value_parser = parse_page_size)]
    page_size: Option<usize>,
    /// Print one line of JSON, in which keys and values are hexadecimal digits.
    #[arg(long)]
    json: bool,
}

impl Page {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let inspector = open_pages(&self.file, self.page_size)?;
        let page = inspector.page(self.number)?;
        let whose = if self.whose { Some(find_use(self, &page)?) } else { None };
        let mut out = BufWriter::new(stdout().lock());
        if self.json {
            let mut answer = page_json(&page);
            if let Some(whose) = &whose {
                answer["use"] = whose.text.as_str().into();
            }
            writeln!(out, "{answer}")?;
        } else {
            let form = if self.form == Form::Typed { Form::Text } else { self.form };
            let table = whose.as_ref().and_then(|whose| whose.table.as_ref());
            let notation = match table {
                Some(table) => Notation::new(self.form, table),
                None => Notation::of_bytes(form),
            };
            let text = PageText { page: &page, notation: &notation };
            text.write_head(&mut out, whose.as_ref().map(|whose| whose.text.as_str()))?;
            text.write_content(&mut out)?;
            if self.hex {
                text.write_bytes(&mut out)?;
            }
            text.write_problems(&mut out)?;
        }
        out.flush()?;
        Ok(if page.problems.is_empty() { Answer::Done } else { Answer::No })
    }
}

/// What a page is used for.
struct Use {
    text: String,
    /// The table whose entries or separators it has.
    table: Option<TableInfo>,
}

fn find_use(command: &Page, page: &Anatomy) -> Result<Use, Failure> {
    let db = open_read_only(&command.file)?;
    let mut found: Option<(String, Option<String>)> = None;
    let report = db
        .check_options()
        .on_pages(|page_use, _| {
            if !(page_use.first..page_use.first + page_use.count).contains(&page.number) {
                return;
            }
            let of = match page_use.table {
                Some(table) => format!("of table {table:?}"),
                None => "of the catalog".to_owned(),
            };
            let place = match page.number - page_use.first {
                0 => String::new(),
                place => format!(", {place} after its first, page {}", page_use.first),
            };
            let text = match page_use.role {
                PageRole::Meta => "room for a meta".to_owned(),
                PageRole::Leaf => format!("a leaf {of}"),
                PageRole::Branch { level } => format!("a branch {of}, {level} above the leaves"),
                PageRole::Overflow => {
                    format!("a large value {of}, of {}{place}", pages_text(page_use.count.into()))
                }
                PageRole::FreeLog => "a part of the log of free space".to_owned(),
                PageRole::RedoLog => format!("the redo log{place}"),
                PageRole::Retired { is_needed: false, .. } => {
                    "nothing any more: no reader's snapshot has it".to_owned()
                }
                PageRole::Retired { death, .. } => {
                    let birth = page_use.birth.unwrap_or_default();
                    format!(
                        "the snapshots of transactions {birth} to {}, not for the newest",
                        death.get() - 1
                    )
                }
                PageRole::Free => "nothing: it is free".to_owned(),
                _ => "a use that this program does not know".to_owned(),
            };
            let is_tree = matches!(page_use.role, PageRole::Leaf | PageRole::Branch { .. });
            found = Some((text, page_use.table.filter(|_| is_tree).map(str::to_owned)));
        })
        .check()?;
    let (text, table) = match found {
        Some(found) => found,
        None if page.number >= report.counts().total => {
            ("nothing: it lies after the last page of the newest transaction".to_owned(), None)
        }
        None => ("nothing: it is damaged, lies below a damaged page, or is lost".to_owned(), None),
    };
    let table = table.map(|name| find_table(&db.read()?, &name)).transpose()?;
    Ok(Use { text, table })
}
