//! Replay strings: the name of a crash state, from which exactly the same state is made again.
//!
//! `name:seed:steps:fault:path`, for instance `ledger:17:0,3,4:-:L88.x5/R3.s0`:
//! - *steps*: the numbers of the script's steps that are kept; `-` for all.
//! - *fault*: its kind and the number of the call that it hits, as in `Barrier@2`; `-` for none.
//! - *path*: one crash after the other. `L` is a crash while the script runs, `R` one in the recovery that follows.
//!   Then comes the number of the event after which the crash comes; then `+` and a fault, if one hits the recovery;
//!   then which of the disk's states is left: `x` and its number, or `s` and the number of a sample; `k` if the
//!   process is killed and power does not fail, `d` and a number if clean pages are then dropped from the cache; `f`
//!   and a number for a sample with a flipped bit; `b` and a number for a sample with lost blocks. `R4+Barrier@0.k`:
//!   the first barrier of recovery fails, and after event 4 the process is killed.

use std::fmt;
use std::str::FromStr;

use super::random::Random;
use super::storage::Fault;

/// The environment variable that names the state to replay.
pub(super) const REPLAY_VARIABLE: &str = "MAPLEAF_SIM_REPLAY";

/// Which of the states that the disk may be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// The state with this number.
    State(u64),
    /// A random sample.
    Sample(u64),
    /// A sample, with one bit flipped.
    Flipped(u64),
    /// A sample, with blocks that are lost as a whole.
    LostBlocks(u64),
    /// Power does not fail; only the process is killed.
    Killed,
    /// The process is killed, and after a failed sync the system has dropped clean pages.
    Dropped(u64),
}

/// A fault, and the number of the call that it hits among those that it can hit.
pub(super) type FaultyCall = (Fault, usize);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// Whether the crash is in the recovery from the one before, not in a session.
    pub(super) in_recovery: bool,
    /// How many events come before the crash.
    pub(super) point: usize,
    /// The fault that hits that recovery.
    pub(super) fault: Option<FaultyCall>,
    pub(super) choice: Choice,
}

/// A crash state, and how to get there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Replay {
    pub(super) name: String,
    pub(super) seed: u64,
    /// `None` for all.
    pub(super) steps: Option<Vec<usize>>,
    pub(super) fault: Option<FaultyCall>,
    pub(super) path: Vec<Segment>,
}

impl Choice {
    /// Whether power does not fail, and the page cache outlives the process.
    pub(super) fn is_kill(self) -> bool {
        matches!(self, Choice::Killed | Choice::Dropped(_))
    }
}

/// Returns the random numbers for one place in an exploration. They depend on nothing else that is explored, and are
/// the same on every machine.
pub(super) fn random_at(seed: u64, path: &[Segment], purpose: u64) -> Random {
    let mut mixed = seed;
    let mut mix = |number: u64| mixed = Random::new(mixed ^ number).next();
    mix(purpose);
    for segment in path {
        mix(u64::from(segment.in_recovery));
        mix(segment.point as u64);
        if let Some((fault, call)) = segment.fault {
            format!("{fault:?}").bytes().for_each(|byte| mix(u64::from(byte)));
            mix(call as u64);
        }
        let (letter, number) = segment.choice.parts();
        mix(u64::from(u32::from(letter)));
        mix(number);
    }
    Random::new(mixed)
}

impl Choice {
    /// Returns the letter and the number of a choice in replay strings; 0 for a choice without a number.
    fn parts(self) -> (char, u64) {
        match self {
            Choice::State(number) => ('x', number),
            Choice::Sample(number) => ('s', number),
            Choice::Flipped(number) => ('f', number),
            Choice::LostBlocks(number) => ('b', number),
            Choice::Killed => ('k', 0),
            Choice::Dropped(number) => ('d', number),
        }
    }
}

impl Replay {
    /// Returns a command for a shell that visits the state again, with the program that runs now.
    pub(super) fn command(&self) -> String {
        let thread = std::thread::current();
        let mut words = vec![shell_word(&program())];
        match thread.name() {
            // The thread of a test has the name of the test.
            Some(name) if name != "main" => {
                words.extend([shell_word(name), "--exact".into(), "--nocapture".into()]);
            }
            _ => words.extend(std::env::args_os().skip(1).map(|word| shell_word(&word.to_string_lossy()))),
        }
        format!("{REPLAY_VARIABLE}={} {}", shell_word(&self.to_string()), words.join(" "))
    }
}

/// Returns the path of the program that runs now.
fn program() -> String {
    let path = std::env::current_exe().ok().or_else(|| std::env::args_os().next().map(Into::into));
    path.unwrap_or_default().to_string_lossy().into_owned()
}

/// Quotes a word for a shell, if it needs that.
fn shell_word(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,@+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.name, self.seed)?;
        match &self.steps {
            None => write!(f, "-:")?,
            Some(steps) => {
                let steps: Vec<String> = steps.iter().map(usize::to_string).collect();
                write!(f, "{}:", steps.join(","))?;
            }
        }
        match self.fault {
            None => write!(f, "-:")?,
            Some((fault, call)) => write!(f, "{fault:?}@{call}:")?,
        }
        let segments: Vec<String> = self.path.iter().map(Segment::to_string).collect();
        write!(f, "{}", segments.join("/"))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.in_recovery { 'R' } else { 'L' }, self.point)?;
        if let Some((fault, call)) = self.fault {
            write!(f, "+{fault:?}@{call}")?;
        }
        match self.choice.parts() {
            ('k', _) => write!(f, ".k"),
            (letter, number) => write!(f, ".{letter}{number}"),
        }
    }
}

impl FromStr for Replay {
    type Err = String;

    fn from_str(text: &str) -> Result<Replay, String> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let [name, seed, steps, fault, path] = parts[..] else {
            return Err(format!("'{text}' has {} parts separated by colons, not 5", parts.len()));
        };
        let seed = number(seed, "seed")?;
        let steps = match steps {
            "-" => None,
            "" => Some(Vec::new()),
            list => Some(list.split(',').map(|step| number(step, "step")).collect::<Result<_, _>>()?),
        };
        let fault = if fault == "-" { None } else { Some(faulty_call(fault)?) };
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let path = segments.map(Segment::from_str).collect::<Result<_, _>>()?;
        Ok(Replay { name: name.into(), seed, steps, fault, path })
    }
}

impl FromStr for Segment {
    type Err = String;

    fn from_str(text: &str) -> Result<Segment, String> {
        let wrong = || {
            format!(
                "'{text}' is not a crash: L or R, a number, a dot, and x, s, d, f or b with a number, or k"
            )
        };
        let (head, choice) = text.split_once('.').ok_or_else(wrong)?;
        let in_recovery = match head.get(..1) {
            Some("L") => false,
            Some("R") => true,
            _ => return Err(wrong()),
        };
        let (point, fault) = match head[1..].split_once('+') {
            Some((point, fault)) if in_recovery => (point, Some(faulty_call(fault)?)),
            Some(_) => {
                return Err(format!(
                    "'{text}': the fault of a script is the fourth part, before all crashes"
                ));
            }
            None => (&head[1..], None),
        };
        let point = number(point, "event")?;
        let choice = match (choice.get(..1), choice.get(1..)) {
            (Some("k"), Some("")) => Choice::Killed,
            (Some("x"), Some(rest)) => Choice::State(number(rest, "state")?),
            (Some("s"), Some(rest)) => Choice::Sample(number(rest, "sample")?),
            (Some("f"), Some(rest)) => Choice::Flipped(number(rest, "sample")?),
            (Some("b"), Some(rest)) => Choice::LostBlocks(number(rest, "sample")?),
            (Some("d"), Some(rest)) => Choice::Dropped(number(rest, "sample")?),
            _ => return Err(wrong()),
        };
        Ok(Segment { in_recovery, point, fault, choice })
    }
}

fn faulty_call(text: &str) -> Result<FaultyCall, String> {
    let Some((kind, call)) = text.split_once('@') else {
        return Err(format!("'{text}' is not a fault: a kind, @ and a number, or -"));
    };
    let kind = Fault::ALL.iter().find(|fault| format!("{fault:?}") == kind);
    Ok((*kind.ok_or_else(|| format!("'{text}' is not a known kind of fault"))?, number(call, "call")?))
}

fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is not the number of a {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_string_comes_back() {
        for text in [
            "ledger:17:0,3,4:-:L88.x5/R3.s0",
            "a-b_c:0:-:Barrier@2:L1.k/R2.f9/L7.s18446744073709551615",
            "a:0:-:-:L1.b3/R2.b0",
            "a:0:-:-:L1.d3/R2+Barrier@0.k/R4+StoreNoSpace@1.d0",
            "all::0:-:",
            "x:1::-:",
            "x:1:-:-:",
        ] {
            match text.parse::<Replay>() {
                Ok(replay) => assert_eq!(replay.to_string(), text),
                Err(error) => assert_eq!(text, "all::0:-:", "{error}"),
            }
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, quoted) in [
            ("target/debug/deps/tests-0a1b", "target/debug/deps/tests-0a1b"),
            (
                "two-tables:0:-:Barrier@2:L5.x2/R3+Barrier@1.k",
                "two-tables:0:-:Barrier@2:L5.x2/R3+Barrier@1.k",
            ),
            ("my tests", "'my tests'"),
            ("$HOME;it's", r"'$HOME;it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
    }

    #[test]
    fn what_is_no_replay_string_is_said_so() {
        for text in [
            "",
            "x",
            "x:y:-:-:",
            "x:1:a:-:",
            "x:1:-:Fire@1:",
            "x:1:-:Barrier:",
            "x:1:-:-:L1",
            "x:1:-:-:M1.x1",
            "x:1:-:-:L1+Barrier@0.k",
            "x:1:-:-:L1.k/R1+Fire@0.k",
            "x:1:-:-:L1.k/R1+Barrier.k",
        ] {
            let error = text.parse::<Replay>().unwrap_err();
            assert!(!error.is_empty());
        }
        let error = "x:1:-:-:L1.q9".parse::<Replay>().unwrap_err();
        assert!(error.contains("L1.q9"), "{error}");
        assert!("x:1:-:-:L1.kk".parse::<Replay>().is_err());
        assert!("x:1:-:-:Lä.k".parse::<Replay>().is_err());
        assert!("x:1:-:-:ä1.k".parse::<Replay>().is_err());
    }

    #[test]
    fn what_is_drawn_at_a_place_is_the_same_on_every_machine() {
        let path = "x:1:-:-:L5.x2/R3+Barrier@1.k".parse::<Replay>().unwrap().path;
        assert_eq!(random_at(17, &path, 3).next(), 0x7093c8865a8e680c);
        let others = ["x:1:-:-:L5.x2/R3+Barrier@0.k", "x:1:-:-:L5.x2/R3.k", "x:1:-:-:L5.x2/R3+Barrier@1.d0"];
        for other in others {
            let other = other.parse::<Replay>().unwrap().path;
            assert_ne!(random_at(17, &path, 3).next(), random_at(17, &other, 3).next());
        }
    }
}
