//! Names for crash states: a text from which exactly the same state is made again.
//!
//! `name:seed:steps:fault:path`, for instance `ledger:17:0,3,4:-:L88.x5/R3.s0`:
//! - *steps* of the script, by number, that are left; `-` for all;
//! - *fault*: its kind and the number of the call that it befalls, `Barrier@2`; `-` for none;
//! - *path*: one crash after the other. `L` is a crash in a life, `R` one in the recovery that follows; then the
//!   number of the event behind which it comes; then which of the disk's states: `x` and its number, `s` and the
//!   number of a sample, or `k` if the process is killed and the disk goes on. `f` and a number flips a bit of the
//!   image.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use super::random::Random;
use super::storage::Fault;

/// The variable that names a state to be replayed.
pub(super) const REPLAY_VARIABLE: &str = "MAPLEAF_SIM_REPLAY";

/// Which of the states that the disk may be in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Choice {
    /// By its number.
    State(u64),
    /// Drawn by chance.
    Sample(u64),
    /// A sample, with one bit flipped.
    Flipped(u64),
    /// Power does not fail: only the process is gone.
    Killed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Segment {
    /// In the recovery that follows the crash before, not in a life.
    pub(super) in_recovery: bool,
    /// How many events there had been.
    pub(super) point: usize,
    pub(super) choice: Choice,
}

/// A crash state, and how to get there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Replay {
    pub(super) name: String,
    pub(super) seed: u64,
    /// `None`: all.
    pub(super) steps: Option<Vec<usize>>,
    pub(super) fault: Option<(Fault, usize)>,
    pub(super) path: Vec<Segment>,
}

/// The numbers that belong to one place in an exploration, whatever else is explored.
pub(super) fn random_at(seed: u64, path: &[Segment], purpose: u64) -> Random {
    let mut hasher = DefaultHasher::new();
    (seed, path, purpose).hash(&mut hasher);
    Random::new(hasher.finish())
}

impl Replay {
    /// A command that leads there again.
    pub(super) fn command(&self) -> String {
        let thread = std::thread::current();
        let rest = match thread.name() {
            // A test runs in a thread that is called as it is.
            Some(name) if name != "main" => {
                format!("cargo test <the same features> -- {name} --exact --nocapture")
            }
            _ => std::env::args().collect::<Vec<_>>().join(" "),
        };
        format!("{REPLAY_VARIABLE}='{self}' {rest}")
    }
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
        write!(f, "{}{}.", if self.in_recovery { 'R' } else { 'L' }, self.point)?;
        match self.choice {
            Choice::State(number) => write!(f, "x{number}"),
            Choice::Sample(number) => write!(f, "s{number}"),
            Choice::Flipped(number) => write!(f, "f{number}"),
            Choice::Killed => write!(f, "k"),
        }
    }
}

impl FromStr for Replay {
    type Err = String;

    fn from_str(text: &str) -> Result<Replay, String> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let [name, seed, steps, fault, path] = parts[..] else {
            return Err(format!("'{text}' has {} parts between colons, not 5", parts.len()));
        };
        let seed = number(seed, "seed")?;
        let steps = match steps {
            "-" => None,
            "" => Some(Vec::new()),
            list => Some(list.split(',').map(|step| number(step, "step")).collect::<Result<_, _>>()?),
        };
        let fault = match fault.split_once('@') {
            _ if fault == "-" => None,
            Some((kind, call)) => {
                let kind = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == kind);
                Some((kind.ok_or_else(|| format!("'{fault}' names no fault"))?, number(call, "call")?))
            }
            None => return Err(format!("'{fault}' is no fault: a kind, @ and a number are expected, or -")),
        };
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let path = segments.map(Segment::from_str).collect::<Result<_, _>>()?;
        Ok(Replay { name: name.into(), seed, steps, fault, path })
    }
}

impl FromStr for Segment {
    type Err = String;

    fn from_str(text: &str) -> Result<Segment, String> {
        let wrong =
            || format!("'{text}' is no crash: L or R, a number, a dot, and x, s or f with a number, or k");
        let (head, choice) = text.split_once('.').ok_or_else(wrong)?;
        let in_recovery = match head.get(..1) {
            Some("L") => false,
            Some("R") => true,
            _ => return Err(wrong()),
        };
        let point = number(&head[1..], "event")?;
        let choice = match (choice.get(..1), choice.get(1..)) {
            (Some("k"), Some("")) => Choice::Killed,
            (Some("x"), Some(rest)) => Choice::State(number(rest, "state")?),
            (Some("s"), Some(rest)) => Choice::Sample(number(rest, "sample")?),
            (Some("f"), Some(rest)) => Choice::Flipped(number(rest, "sample")?),
            _ => return Err(wrong()),
        };
        Ok(Segment { in_recovery, point, choice })
    }
}

fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no number of a {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_string_comes_back() {
        for text in [
            "ledger:17:0,3,4:-:L88.x5/R3.s0",
            "a-b_c:0:-:Barrier@2:L1.k/R2.f9/L7.s18446744073709551615",
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
}
