//! What docs/*.md and README.md name must exist: back-quoted `Type::name`, files of the project, and tests.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Names of other projects, which the comparisons mention.
const FOREIGN: [&str; 2] = ["Durability::None", "PersistMode"];

/// What may stand before the name in a definition.
const BEFORE_NAMES: [&str; 9] =
    ["pub ", "pub(crate) ", "pub(super) ", "unsafe ", "const ", "fn ", "static ", "type ", "enum "];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder`, without what was built.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true if entry.ends_with("target") => {}
                true => folders.push(entry),
                false => files.push(entry),
            }
        }
    }
    files
}

/// The documents, by name, with what stands between back quotes in each line, outside of blocks of code.
fn quoted() -> Vec<(String, usize, String)> {
    let mut documents = files_below("docs");
    documents.push(root().join("README.md"));
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut quoted = Vec::new();
    for path in documents {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let mut is_code = false;
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                let pieces = line.split('`').skip(1).step_by(2);
                quoted.extend(pieces.map(|piece| (name.clone(), index + 1, piece.to_owned())));
            }
        }
    }
    quoted
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character| !is_word_character(character)).filter(|word| !word.is_empty())
}

/// `Type::name` at the beginning of `text`: a type of ours begins with a capital letter.
fn type_and_name(text: &str) -> Option<(&str, &str)> {
    let (before, after) = text.split_once("::")?;
    let name = &after[..after.find(|character| !is_word_character(character)).unwrap_or(after.len())];
    let is_type = before.chars().all(is_word_character) && before.starts_with(char::is_uppercase);
    (is_type && !name.is_empty()).then_some((before, name))
}

/// A file of the source: the words in it, and the names that begin a definition: of a function, a constant, a type, a
/// field or a variant.
struct Source {
    words: HashSet<String>,
    defined: HashSet<String>,
}

impl Source {
    fn new(text: &str) -> Source {
        let defined = text.lines().map(|line| defined_name(line).to_owned()).collect();
        Source { words: words(text).map(str::to_owned).collect(), defined }
    }
}

/// The first name in `line` after what may stand before one in a definition.
fn defined_name(line: &str) -> &str {
    let mut rest = line.trim_start();
    while let Some(after) = BEFORE_NAMES.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = after;
    }
    &rest[..rest.find(|character| !is_word_character(character)).unwrap_or(rest.len())]
}

#[test]
fn names_in_the_documents_exist_in_the_source() {
    let sources: Vec<Source> = files_below("src")
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| Source::new(&fs::read_to_string(path).unwrap()))
        .collect();
    let mut missing = Vec::new();
    for (document, line, text) in quoted() {
        let Some((of, name)) = type_and_name(&text) else { continue };
        let is_foreign = FOREIGN.iter().any(|foreign| text.starts_with(foreign));
        let exists = |source: &Source| source.words.contains(of) && source.defined.contains(name);
        if !is_foreign && !sources.iter().any(exists) {
            missing.push(format!("{document}:{line}: `{text}`"));
        }
    }
    assert!(missing.is_empty(), "not in src:\n{}", missing.join("\n"));
}

/// A name of many words that TESTING.md quotes is that of a test. (Shorter ones may be anything.)
#[test]
fn tests_in_the_documents_exist() {
    let sources = ["src", "tests"].into_iter().flat_map(files_below);
    let sources = sources.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let defined: HashSet<String> =
        sources.flat_map(|path| Source::new(&fs::read_to_string(path).unwrap()).defined).collect();
    let is_test_name = |text: &str| {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.chars().all(is_plain) && text.split('_').count() > 4
    };
    let missing: Vec<String> = quoted()
        .into_iter()
        .filter(|(document, _, text)| {
            document == "docs/TESTING.md" && is_test_name(text) && !defined.contains(text)
        })
        // Parts of the explorer's long form that ran in the past.
        .filter(|(_, _, text)| text != "commits_that_need_two_barriers")
        .map(|(document, line, text)| format!("{document}:{line}: `{text}`"))
        .collect();
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

#[test]
fn files_in_the_documents_exist() {
    let all: BTreeSet<String> = ["src", "tests", "benches", "examples", "docs"]
        .into_iter()
        .flat_map(files_below)
        .map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned())
        .collect();
    let is_there = |path: &str| {
        let is_path = root().join(path).exists() || root().join("src").join(path).exists();
        is_path || all.iter().any(|file| file == path || file.ends_with(&format!("/{path}")))
    };
    let mut missing = Vec::new();
    for (document, line, text) in quoted() {
        let path = text.split([':', ' ']).next().unwrap_or("");
        let is_file =
            path.ends_with(".rs") && path.chars().all(|c| is_word_character(c) || "/.-".contains(c));
        let is_ours =
            ["src/", "tests/", "benches/", "examples/", "docs/"].iter().any(|top| path.starts_with(top));
        let is_plain = path.chars().all(|c| is_word_character(c) || "/.-".contains(c));
        if (is_file || is_ours && is_plain) && !is_there(path.trim_end_matches('/')) {
            missing.push(format!("{document}:{line}: `{text}`"));
        }
    }
    assert!(missing.is_empty(), "no such file:\n{}", missing.join("\n"));
}

/// The checks can fail.
#[test]
fn what_is_missing_is_found() {
    assert_eq!(type_and_name("Db::open(path)"), Some(("Db", "open")));
    assert_eq!(type_and_name("std::fs"), None);
    let source =
        Source::new("impl Db {\n    pub const fn open() {}\n}\nenum Wait {\n    Until(u8),\n    No,\n}\n");
    assert!(source.words.contains("Wait"));
    assert!(["open", "Until", "No"].iter().all(|&name| source.defined.contains(name)));
    assert!(["ope", "close", "u8"].iter().all(|&name| !source.defined.contains(name)));
}
