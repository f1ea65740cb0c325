//! Which execution comes next. Plainly: that of the next seed.
//!
//! With `--cfg fuzzing`, and the library compiled with counters at its branches, executions that reach branches which
//! none before has reached, or reach them more often, are kept, and most of the next ones are such an execution with a
//! step of damage more, less, or changed. docs/TESTING.md has the command.

use crate::common::Random;

/// A seed, and the seeds of the steps of damage: what an execution depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Input {
    pub(crate) seed: u64,
    pub(crate) steps: Vec<u64>,
}

impl Input {
    /// What a seed alone stands for.
    pub(crate) fn of_seed(seed: u64) -> Input {
        let mut random = Random::new(!seed);
        let step_count = [1, 1, 1, 1, 2, 2, 3, 5][random.below(8)];
        Input { seed, steps: (0..step_count).map(|_| random.next()).collect() }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&[self.seed][..], &self.steps].concat().iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Input> {
        let (numbers, _) = bytes.as_chunks::<8>();
        let (seed, steps) = numbers.split_first()?;
        let steps = steps.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect();
        Some(Input { seed: u64::from_le_bytes(*seed), steps })
    }

    /// How to do it again.
    pub(crate) fn replay(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(u64::to_string).collect();
        let steps = match *self == Input::of_seed(self.seed) {
            true => String::new(),
            false => format!("MAPLEAF_STEPS={} ", steps.join(",")),
        };
        format!("MAPLEAF_SEED={} {steps}cargo test --test hostile_files -- --nocapture", self.seed)
    }
}

pub(crate) struct Guide {
    next_seed: u64,
    random: Random,
    kept: Vec<Input>,
}

impl Guide {
    pub(crate) fn new(first_seed: u64) -> Guide {
        Guide { next_seed: first_seed, random: Random::new(first_seed), kept: Vec::new() }
    }

    pub(crate) fn next(&mut self) -> Input {
        let fresh = Input::of_seed(self.next_seed);
        self.next_seed += 1;
        if self.kept.is_empty() || self.random.one_in(4) {
            return fresh;
        }
        let mut input = self.random.pick(&self.kept).clone();
        if self.random.one_in(3) {
            input.seed = fresh.seed; // the same damage, perhaps to another file, and other work
        }
        let at = self.random.below(input.steps.len());
        match self.random.below(4) {
            0 if input.steps.len() > 1 => drop(input.steps.remove(at)),
            1 => input.steps[at] = self.random.next(),
            _ if input.steps.len() < 12 => input.steps.push(self.random.next()),
            _ => {}
        }
        input
    }

    /// Keeps an execution that has reached something new.
    pub(crate) fn learn(&mut self, input: Input) {
        if coverage::has_grown() {
            self.kept.push(input);
        }
    }

    pub(crate) fn report(&self) -> String {
        let reached = coverage::reached();
        match reached {
            0 => String::new(),
            _ => format!("; {reached} places reached, {} executions kept", self.kept.len()),
        }
    }
}

#[cfg(not(fuzzing))]
mod coverage {
    pub(super) fn has_grown() -> bool {
        false
    }

    pub(super) fn reached() -> usize {
        0
    }
}

/// The counters that the compiler has put at the branches.
#[cfg(fuzzing)]
#[allow(unsafe_code)]
mod coverage {
    use std::slice;
    use std::sync::Mutex;

    struct Counters {
        /// Where they lie: start and length.
        regions: Vec<(usize, usize)>,
        /// For each counter, the classes of counts that have been seen, a bit each.
        seen: Vec<u8>,
    }

    static COUNTERS: Mutex<Counters> = Mutex::new(Counters { regions: Vec::new(), seen: Vec::new() });

    /// Called for each object file before `main`.
    // SAFETY: the name is the compiler's own for this function, which is defined nowhere else.
    #[unsafe(no_mangle)]
    extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
        let mut counters = COUNTERS.lock().unwrap();
        let region = (start as usize, stop as usize - start as usize);
        if !counters.regions.contains(&region) {
            counters.regions.push(region);
        }
    }

    /// Whether some counter has a count of a class that it never had. Sets all to zero.
    pub(super) fn has_grown() -> bool {
        let mut counters = COUNTERS.lock().unwrap();
        let Counters { regions, seen } = &mut *counters;
        seen.resize(regions.iter().map(|region| region.1).sum(), 0);
        let (mut has_grown, mut at) = (false, 0);
        for &(start, length) in regions.iter() {
            // SAFETY: the compiler has said that the counters lie there, for as long as the process lives; nothing of
            // what is counted runs now.
            let counts = unsafe { slice::from_raw_parts_mut(start as *mut u8, length) };
            for (count, seen) in counts.iter_mut().zip(&mut seen[at..]) {
                if *count != 0 {
                    // Once, twice, up to 4, 8, 16, ... times.
                    let class = 1u8 << (8 - count.leading_zeros()).min(7);
                    has_grown |= *seen & class == 0;
                    *seen |= class;
                    *count = 0;
                }
            }
            at += length;
        }
        has_grown
    }

    pub(super) fn reached() -> usize {
        COUNTERS.lock().unwrap().seen.iter().filter(|&&seen| seen != 0).count()
    }
}
