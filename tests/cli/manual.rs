//! docs/CLI.md: its table has each command and option of the program, its transcripts are what the program prints, and
//! its nightly script makes backups that can be restored.
//!
//! Transcripts are the `console` blocks. The commands run in their order, in one folder; what a reader does not have to
//! see, such as how a page is damaged, is a line `<!-- sh: COMMAND -->` between them. Numbers, sizes and checksums
//! may differ from the document; everything else may not. With `MAPLEAF_WRITE_MANUAL` set the test writes the
//! output into the document instead of comparing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mapleaf::{Db, Durability};

use crate::{NAMES, answer, mapleaf, text};

fn manual_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CLI.md")
}

fn manual() -> String {
    fs::read_to_string(manual_path()).unwrap()
}

/// The shell, with the program on its path.
fn shell(folder: &Path, line: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_mapleaf"));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null());
    command.env("PATH", format!("{}:{path}", program.parent().unwrap().display()));
    command
}

/// Command lines with the options of each, `-h` and `--version` apart.
type OptionsByCommand = BTreeMap<String, BTreeSet<String>>;

/// Words that begin with two dashes.
fn options_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'));
    let options = words.filter(|word| word.len() > 2 && word.starts_with("--"));
    options.map(str::to_owned).filter(|option| option != "--help" && option != "--version").collect()
}

/// What `mapleaf help` lists, and so for commands of commands.
fn program_options(command: &str, found: &mut OptionsByCommand) {
    let help = mapleaf().arg("help").args(command.split_whitespace()).output().unwrap();
    let help = text(&help.stdout);
    let section = |name: &str| -> Vec<String> {
        let lines = help.lines().skip_while(|line| *line != name).skip(1);
        lines.take_while(|line| line.is_empty() || line.starts_with(' ')).map(str::to_owned).collect()
    };
    let commands: Vec<String> = section("Commands:")
        .iter()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect();
    if commands.is_empty() {
        // An option stands at the beginning of its line; others that its text mentions do not.
        let begins = |line: &String| line.trim_start().starts_with('-');
        let lines: Vec<String> = section("Options:").into_iter().filter(begins).collect();
        let own = lines.iter().filter_map(|line| options_in(line).into_iter().next());
        found.insert(command.to_owned(), own.collect());
    }
    for name in commands {
        program_options(format!("{command} {name}").trim(), found);
    }
}

/// Rows `| `command` | what it does | options |` of the document.
fn documented_options() -> OptionsByCommand {
    let text = manual();
    let rows = text.lines().skip_while(|line| !line.starts_with("| command |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let parse = |row: &str| {
        let mut cells = row.trim_matches('|').split(" | ");
        let command = cells.next().unwrap().trim().trim_matches('`').to_owned();
        (command, options_in(cells.last().unwrap()))
    };
    rows.map(parse).collect()
}

#[test]
fn every_command_and_option_is_in_the_manual() {
    let mut program = OptionsByCommand::new();
    program_options("", &mut program);
    assert!(program.len() > 20 && program["scan"].contains("--prefix"), "{program:?}");
    assert!(program["torture kill"].contains("--rounds"), "{program:?}");
    let documented = documented_options();
    let names = |options: &OptionsByCommand| options.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&documented), names(&program), "commands in docs/CLI.md, and in the program");
    for (command, options) in &program {
        assert_eq!(&documented[command], options, "options of {command} in docs/CLI.md, and in the program");
    }
    // Those that the rest of the manual, and the README, mention are there too.
    let all: BTreeSet<String> = program.values().flatten().cloned().collect();
    for line in manual().lines().filter(|line| line.contains("mapleaf ")) {
        let ours = line.split('|').filter(|part| part.trim_start_matches(['$', ' ']).starts_with("mapleaf "));
        for option in ours.flat_map(options_in) {
            assert!(all.contains(&option), "{option}: {line}");
        }
    }
}

/// A part of the document.
enum Part {
    /// Any line that is not of a transcript.
    Line(String),
    /// A command that the document does not show.
    Hidden(String),
    /// A command, and what it prints.
    Command(String, Vec<String>),
}

fn parts(manual: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut is_transcript = false;
    for line in manual.lines() {
        match (is_transcript, line.strip_prefix("$ "), parts.last_mut()) {
            (true, Some(command), _) => parts.push(Part::Command(command.to_owned(), Vec::new())),
            (true, None, Some(Part::Command(_, output))) if line != "```" => output.push(line.to_owned()),
            _ => {
                is_transcript = line == "```console";
                match line.strip_prefix("<!-- sh: ").and_then(|rest| rest.strip_suffix(" -->")) {
                    Some(command) => parts.push(Part::Hidden(command.to_owned())),
                    None => parts.push(Part::Line(line.to_owned())),
                }
            }
        }
    }
    parts
}

/// Both outputs of a command, and its exit code if it is not 0.
fn transcript(folder: &Path, command: &str) -> Vec<String> {
    let output = shell(folder, &format!("{{ {command}\n}} 2>&1")).output().unwrap();
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    if !output.status.success() {
        lines.push(format!("(exit code {})", output.status.code().unwrap()));
    }
    lines
}

/// A line without what may be different each time: numbers (with the unit of a size), hexadecimal digits, bars, and how
/// columns are aligned.
fn shape(line: &str) -> String {
    let is_number = |word: &str| word.chars().all(|c| c.is_ascii_digit() || ",.%+".contains(c));
    let is_hex = |word: &str| word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    let is_unit = |word: &str| ["B", "KiB", "MiB", "GiB"].contains(&word);
    let mut shape = String::new();
    let mut word = String::new();
    let mut words: Vec<String> = Vec::new();
    for character in line.chars().chain([' ']) {
        if character.is_alphanumeric() || "._".contains(character) && !word.is_empty() {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if !character.is_whitespace() && !",\u{2588}".contains(character) {
            words.push(character.to_string());
        }
    }
    for word in words {
        let word = word.trim_end_matches('.');
        match word {
            _ if is_unit(word) => {}
            _ if is_number(word) || is_hex(word) || is_number(word.trim_end_matches('K')) => {
                shape.push_str(" #")
            }
            _ => write!(shape, " {word}").unwrap(),
        }
    }
    // One number and several that a comma or a point parts are the same.
    while shape.contains("# #") {
        shape = shape.replace("# #", "#");
    }
    shape
}

// Elsewhere the shell's tools print other messages.
#[cfg(target_os = "linux")]
#[test]
fn transcripts_are_what_the_program_prints() {
    let folder = tempfile::tempdir().unwrap();
    let has_lmdb = Command::new("mdb_dump").arg("-V").output().is_ok();
    let is_to_write = std::env::var_os("MAPLEAF_WRITE_MANUAL").is_some();
    assert!(has_lmdb || !is_to_write, "LMDB's tools are needed to write the manual");
    let mut written = String::new();
    let mut commands = 0;
    for part in parts(&manual()) {
        match part {
            Part::Line(line) => writeln!(written, "{line}").unwrap(),
            Part::Hidden(command) => {
                // Not to a pipe: a command in the background would keep that open.
                let mut shell = shell(folder.path(), &command);
                let status = shell.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
                assert!(status.success(), "{command}");
                writeln!(written, "<!-- sh: {command} -->").unwrap();
            }
            Part::Command(command, expected) => {
                if command.contains("mdb_") && !has_lmdb {
                    continue;
                }
                let found = transcript(folder.path(), &command);
                let shapes = |lines: &[String]| lines.iter().map(|line| shape(line)).collect::<Vec<_>>();
                assert!(
                    is_to_write || shapes(&found) == shapes(&expected),
                    "$ {command}\n{}\nin docs/CLI.md:\n{}",
                    found.join("\n"),
                    expected.join("\n")
                );
                writeln!(written, "$ {command}").unwrap();
                found.iter().for_each(|line| writeln!(written, "{}", line.trim_end()).unwrap());
                commands += 1;
            }
        }
    }
    assert!(commands > 30, "{commands}");
    if is_to_write {
        fs::write(manual_path(), written).unwrap();
    }
}

#[test]
fn shapes_differ_where_words_do() {
    assert_eq!(shape("file       12.49 MiB (3,197 pages)"), shape("file 1,012 B (7 pages)"));
    assert_eq!(shape("checksum  c03d049f, right"), shape("checksum  01234567, right"));
    assert_ne!(shape("checksum  c03d049f, right"), shape("checksum  c03d049f, WRONG"));
    assert_ne!(shape("user-00001"), shape("users"));
}

/// The only block of the document that begins in the folder of the backups.
fn nightly_script() -> String {
    let manual = manual();
    let scripts: Vec<&str> = manual
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| block.starts_with("cd /backups"))
        .collect();
    assert_eq!(scripts.len(), 1);
    scripts[0].to_owned()
}

/// A first night of each kind, and the nights after it, one of them after a commit that is not durable.
#[test]
fn nightly_script_works_on_any_first_night() {
    for first_weekday in [1, 3, 6, 7] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::create_dir(at.join("backups")).unwrap();
        fs::create_dir(at.join("bin")).unwrap();
        let here = at.display().to_string();
        let date = format!(
            "#!/bin/sh\nread day name < {here}/today\ncase $1 in +%u) echo $day ;; +%F) echo $name ;; esac\n"
        );
        fs::write(at.join("bin/date"), date).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(at.join("bin/date")).status().unwrap().success());
        let script = nightly_script()
            .replace("/backups", &format!("{here}/backups"))
            .replace("/srv/app.mapleaf", &format!("{here}/a.mapleaf"));
        let script = format!("PATH={here}/bin:$PATH\n{script}");
        let db = Db::open(at.join("a.mapleaf")).unwrap();
        let mut chain: Vec<String> = Vec::new();
        for night in 0..9 {
            let tx = db.write().unwrap();
            for key in 0..300 {
                let value = format!("{night} {}", "x".repeat(100));
                tx.table(&NAMES).unwrap().insert(format!("{}", key * (night % 2 + 1)), value).unwrap();
            }
            tx.commit_with(if night == 3 { Durability::Lazy } else { Durability::Durable }).unwrap();
            let weekday = (first_weekday - 1 + night) % 7 + 1;
            fs::write(at.join("today"), format!("{weekday} 2026-01-{night:02}\n")).unwrap();
            let output = shell(at, &script).output().unwrap();
            assert!(output.status.success(), "night {night}: {}", text(&output.stderr));
            let last = fs::read_link(at.join("backups/last")).unwrap();
            let last = last.file_name().unwrap().to_str().unwrap().to_owned();
            let is_full = last.ends_with(".mapleaf");
            assert!(!(night == 0 || weekday == 7) || is_full, "night {night}: {last}");
            assert!(night != 1 || weekday == 7 || !is_full, "night {night}: {last}");
            if is_full {
                chain.clear();
            }
            chain.push(last);
            let restored = format!("restored-{night}");
            if chain.len() == 1 {
                fs::copy(at.join("backups").join(&chain[0]), at.join(&restored)).unwrap();
            } else {
                let names = chain.iter().map(|name| format!("backups/{name}")).collect::<Vec<_>>();
                let mut arguments = vec!["restore"];
                arguments.extend(names.iter().map(String::as_str));
                arguments.push(&restored);
                answer(at, &arguments);
            }
            let scan = |file: &str| answer(at, &["scan", file, "names"]);
            assert_eq!(scan(&restored), scan("a.mapleaf"), "night {night} of {first_weekday}");
        }
    }
}
