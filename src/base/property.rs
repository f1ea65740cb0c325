//! How property tests run.

use proptest::test_runner::Config;

/// `count` cases, or as many as `PROPTEST_CASES` says. Under Miri, which is some hundred times slower, one.
pub(crate) fn cases(count: u32) -> Config {
    let default = Config::default();
    if cfg!(miri) {
        return Config { cases: 1, failure_persistence: None, ..default };
    }
    let is_asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    Config { cases: if is_asked_for { default.cases } else { count }, ..default }
}
