//! Damage, for programs.

use mapleaf::Corruption;
use serde_json::{Value, json};

pub(crate) fn problems_json(problems: &[Corruption]) -> Value {
    let problem = |problem: &Corruption| {
        json!({
            "page": problem.page, "what": problem.what, "expected": problem.expected, "found": problem.found,
        })
    };
    problems.iter().map(problem).collect()
}
