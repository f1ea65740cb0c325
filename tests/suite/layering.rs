//! The style that docs/ARCHITECTURE.md promises, enforced: which room may use which, that no files import in a circle,
//! where `unsafe` may be, how long files and functions may grow, and words that must not stay. Every
//! complaint names file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room of `src`, and the rooms that it may use besides itself. A room uses only rooms above it.
const ROOMS: [(&str, &[&str]); 16] = [
    ("error", &[]),
    ("base", &["error"]),
    ("sys", &["error", "base"]),
    ("format", &["error", "base", "sys"]), // of sys: the prefetch hint
    ("space", &["error", "base", "format"]),
    ("tree", &["error", "base", "format"]),
    ("shm", &["error", "base", "sys", "format"]),
    ("txn", &["error", "base", "sys", "format", "space", "tree", "shm"]),
    ("check", &["error", "base", "format", "space", "tree", "shm", "txn"]),
    ("copy", &["error", "base", "sys", "format", "space", "tree", "shm", "txn", "check"]),
    ("salvage", &["error", "base", "sys", "format", "space", "tree", "txn", "check"]),
    ("inspect", &["error", "base", "sys", "format", "tree", "txn"]),
    ("types", &["error", "base"]),
    ("db", &["error", "base", "sys", "format", "space", "tree", "shm", "txn", "check", "copy", "types"]),
    ("admin", &["check", "db", "inspect"]),
    ("sim", &["error", "base", "sys", "format", "tree", "shm", "txn", "check", "types", "db"]),
];
/// Names that the crate's root passes on from the room `error`.
const ERROR_NAMES: [&str; 3] = ["Error", "Result", "Corruption"];

const MAX_LINES_IN_A_FILE: usize = 600;
const MAX_LINES_IN_A_FUNCTION: usize = 70;
const MAX_CHARACTERS_IN_A_LINE: usize = 120;
/// Functions that may be longer, by file and name: those that are one line or two for each of many cases.
const LONG_FUNCTIONS: [(&str, &str); 1] = [("src/error.rs", "fn fmt(")];

/// What must not stand anywhere, and what may be the exception.
const FORBIDDEN: [(&str, &[&str]); 10] = [
    ("todo!", &[]),
    ("unimplemented!", &[]),
    ("dbg!", &[]),
    ("println!", &["src/bin/"]),
    ("to_be_bytes", &["src/types/key_scalar.rs"]),
    ("from_be_bytes", &["src/types/key_scalar.rs"]),
    ("to_ne_bytes", &[]),
    ("from_ne_bytes", &[]),
    ("std::mem::transmute", &[]),
    ("#![feature", &[]),
];
/// What must not stand in a comment either. (In two pieces, so that this file may be read too.)
const LEFT_BEHIND: [&str; 3] = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

struct Source {
    /// From the project's root, with `/`.
    path: String,
    text: String,
    /// The text with comments and the contents of strings blanked out.
    code: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("tests.rs")
    }

    /// The room in `src` that the file belongs to; `None` for the crate's root and for what is not in `src`.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?.trim_end_matches(".rs");
        (first != "lib" && first != "bin").then_some(first)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            sources.push(Source { path, code: blank_out(&text), text });
        }
    }
    assert!(sources.len() > 10, "the sources are where they should be");
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Replaces comments, and the contents of strings and characters, by spaces. Lines stay lines.
fn blank_out(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => raw_string_len(rest),
            '"' => quoted_len(rest, '"'),
            '\'' => character_len(rest),
            _ => 0,
        };
        for character in rest[..blank].chars() {
            code.push(if character == '\n' { '\n' } else { ' ' });
        }
        if blank == 0 {
            code.push(first);
        }
        rest = &rest[blank.max(first.len_utf8())..];
    }
    code
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string_len(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|&character| character == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0; // a raw identifier
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

/// The length of a character literal; 0 for a lifetime.
fn character_len(text: &str) -> usize {
    let mut characters = text.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted_len(text, '\''),
        _ => 0,
    }
}

/// The line of `code` in which byte `at` lies, from 1 on.
fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Places of `word` in `code`, where it is a word of its own as far as its own ends are letters.
fn places(code: &str, word: &str) -> Vec<usize> {
    let is_letter = |character: char| character.is_alphanumeric() || character == '_';
    let whole = |at: &usize| {
        let (before, after) = (&code[..*at], &code[at + word.len()..]);
        let joins = |inner: Option<char>, outer: Option<char>| {
            inner.is_some_and(is_letter) && outer.is_some_and(is_letter)
        };
        !joins(word.chars().next(), before.chars().next_back())
            && !joins(word.chars().next_back(), after.chars().next())
    };
    code.match_indices(word).map(|(at, _)| at).filter(whole).collect()
}

fn complain(complaints: &[String]) {
    let mut text = String::new();
    complaints.iter().for_each(|complaint| writeln!(text, "  {complaint}").unwrap());
    assert!(complaints.is_empty(), "\n{text}");
}

/// First names of the paths that begin with `crate::` at `at`, one or a group in braces.
fn names_after(code: &str, at: usize) -> Vec<&str> {
    let is_end = |character: char| !(character.is_alphanumeric() || character == '_');
    let first_name = |path: &'_ str| -> usize { path.find(is_end).unwrap_or(path.len()) };
    let Some(group) = code[at..].strip_prefix('{') else {
        return vec![&code[at..at + first_name(&code[at..])]];
    };
    let (mut names, mut depth, mut expects_name) = (Vec::new(), 0, true);
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects_name = true,
            _ if expects_name && !is_end(character) => {
                names.push(&group[index..index + first_name(&group[index..])]);
                expects_name = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn rooms_use_only_rooms_above_them() {
    let position = |room: &str| ROOMS.iter().position(|&(name, _)| name == room);
    for (index, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            assert!(position(used).is_some_and(|at| at < index), "the table itself: {room} uses {used}");
        }
    }
    let mut complaints = Vec::new();
    // Tests of a room may look at it with the help of any other.
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let Some(room) = source.room() else { continue };
        let Some(&(_, may_use)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            complaints.push(format!("{}: no room {room:?} is known to tests/layering.rs", source.path));
            continue;
        };
        for at in places(&source.code, "crate::") {
            for name in names_after(&source.code, at + "crate::".len()) {
                let used = match name {
                    _ if ERROR_NAMES.contains(&name) => "error",
                    // Everything else that the root passes on is the public face.
                    _ if name.starts_with(char::is_uppercase) => "db",
                    _ => name,
                };
                if used != room && !may_use.contains(&used) {
                    let line = line_of(&source.code, at);
                    complaints.push(format!("{}:{line}: {room} must not use {used}", source.path));
                }
            }
        }
        for at in places(&source.code, "super::super::") {
            let line = line_of(&source.code, at);
            complaints.push(format!("{}:{line}: a path from `crate` is clearer", source.path));
        }
    }
    complain(&complaints);
}

/// The paths that a `use` names after `crate::` or `super::`, each as its names: `a::{b, c::D}` is `a::b` and
/// `a::c::D`.
fn paths_after(code: &str, before: &[String], paths: &mut Vec<Vec<String>>) {
    let code = code.trim_start();
    if let Some(group) = code.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (index, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    paths_after(&group[start..index], before, paths);
                    start = index + 1;
                    if character == '}' {
                        return;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let is_end = |character: char| !(character.is_alphanumeric() || character == '_');
    let (name, rest) = code.split_at(code.find(is_end).unwrap_or(code.len()));
    if name.is_empty() {
        return;
    }
    let path = [before, &[name.to_owned()]].concat();
    match rest.trim_start().strip_prefix("::") {
        Some(rest) => paths_after(rest, &path, paths),
        None => paths.push(path),
    }
}

/// Each file of the library by the path of its module, and the files that it imports from. Unit tests do not count.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources(&["src"]);
    let module = |source: &Source| -> Vec<String> {
        let path = source.path["src/".len()..].trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').map(str::to_owned).collect()
    };
    let is_of_library = |source: &&Source| source.room().is_some() && !source.is_test();
    let files: BTreeMap<Vec<String>, &Source> =
        sources.iter().filter(is_of_library).map(|source| (module(source), source)).collect();
    let mut imports = BTreeMap::new();
    for (own, source) in &files {
        let code = source.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let mut paths = Vec::new();
        for (prefix, before) in [("crate::", &[][..]), ("super::", &own[..own.len() - 1])] {
            for at in places(code, prefix) {
                paths_after(&code[at + prefix.len()..], before, &mut paths);
            }
        }
        let file_of = |path: Vec<String>| {
            (1..=path.len()).rev().find_map(|len| files.get(&path[..len]).map(|file| file.path.clone()))
        };
        let found = paths.into_iter().filter_map(file_of).filter(|file| *file != source.path);
        imports.insert(source.path.clone(), found.collect());
    }
    imports
}

/// Repeatedly leaves out each file that imports from none of those that are left: what remains is in, or leads into, a
/// circle; the same from the other end leaves the circles.
#[test]
fn no_files_import_in_a_circle() {
    let mut imports = imports();
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 500, "the imports are found");
    loop {
        let imported: BTreeSet<String> = imports.values().flatten().cloned().collect();
        let before = imports.len();
        imports.retain(|file, from| !from.is_empty() && imported.contains(file));
        let left: BTreeSet<String> = imports.keys().cloned().collect();
        imports.values_mut().for_each(|from| from.retain(|file| left.contains(file)));
        if imports.len() == before {
            break;
        }
    }
    let complaints: Vec<String> =
        imports.iter().map(|(file, from)| format!("{file} imports in a circle, from {from:?}")).collect();
    complain(&complaints);
}

#[test]
fn unsafe_is_in_sys_only_and_says_why_it_is_sound() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]) {
        for at in places(&source.code, "unsafe") {
            let line = line_of(&source.code, at);
            if source.room() != Some("sys") {
                complaints.push(format!("{}:{line}: `unsafe` outside of src/sys", source.path));
            }
            let above = source.text.lines().take(line - 1).collect::<Vec<_>>();
            let comment = above.iter().rev().take_while(|text| text.trim_start().starts_with("//"));
            if !comment.into_iter().any(|text| text.contains("SAFETY:")) {
                complaints.push(format!("{}:{line}: `unsafe` without a SAFETY note above it", source.path));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn files_begin_with_what_they_are_and_stay_short() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests", "crates"]) {
        let is_part_of_another = source.path.contains("/tests/") || source.path.ends_with("_tests.rs");
        if !source.text.starts_with("//!") && !is_part_of_another {
            complaints.push(format!("{}:1: no `//!` that says what the file is", source.path));
        }
        let lines = source.text.lines().count();
        if lines > MAX_LINES_IN_A_FILE && !source.is_test() {
            complaints.push(format!("{}: {lines} lines; at most {MAX_LINES_IN_A_FILE}", source.path));
        }
        for (index, line) in source.text.lines().enumerate() {
            let characters = line.chars().count();
            let is_table_row = line.trim_start().starts_with("//! |");
            if characters > MAX_CHARACTERS_IN_A_LINE && !is_table_row {
                complaints.push(format!("{}:{}: {characters} characters in a line", source.path, index + 1));
            }
        }
    }
    complain(&complaints);
}

/// Relies on rustfmt: a function ends at the first line that closes a brace at the function's own indentation.
#[test]
fn functions_fit_a_screen() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let lines: Vec<&str> = source.code.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            if places(line, "fn").is_empty() || line.trim_end().ends_with(';') {
                continue;
            }
            let indentation = &line[..line.len() - line.trim_start().len()];
            let end_line = format!("{indentation}}}");
            let end = lines[start..].iter().position(|line| line.trim_end() == end_line);
            let length = end.map_or(1, |end| end + 1);
            let may_be_long =
                LONG_FUNCTIONS.iter().any(|(path, name)| source.path == *path && line.contains(name));
            if length > MAX_LINES_IN_A_FUNCTION && !may_be_long {
                let place = format!("{}:{}", source.path, start + 1);
                complaints.push(format!("{place}: a function of {length} lines"));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn nothing_is_left_behind() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        let mut complain_of = |code: &str, at: usize, word: &str| {
            complaints.push(format!("{}:{}: {word}", source.path, line_of(code, at)));
        };
        for (word, exceptions) in FORBIDDEN {
            let is_exception = exceptions.iter().any(|exception| source.path.starts_with(exception));
            if !is_exception && !source.is_test() {
                places(&source.code, word).into_iter().for_each(|at| complain_of(&source.code, at, word));
            }
        }
        for word in LEFT_BEHIND {
            places(&source.text, word).into_iter().for_each(|at| complain_of(&source.text, at, word));
        }
    }
    complain(&complaints);
}

/// The checks can fail.
#[test]
fn what_is_to_be_found_is_found() {
    let code = blank_out(
        "use crate::tree::x; // crate::db\nlet s = \"unsafe\"; let c = '\"'; fn f<'a>() { unsafe {} }",
    );
    assert_eq!(places(&code, "crate::").len(), 1);
    let found = places(&code, "unsafe");
    assert_eq!((found.len(), line_of(&code, found[0])), (1, 2));
    assert_eq!(names_after("crate::{base::{A, B}, sys, tree::pages::P}", 7), ["base", "sys", "tree"]);
    assert_eq!(names_after("crate::space::Space", 7), ["space"]);
    let mut paths = Vec::new();
    paths_after("a::{self, b::{C, D}, E};", &[], &mut paths);
    let paths: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::self", "a::b::C", "a::b::D", "a::E"]);
    assert!(places("dbg_macro, my_dbg!(1)", "dbg!").is_empty());
}
