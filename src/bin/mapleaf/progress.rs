//! Progress on standard error: shown if that is a terminal.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// Towards `total` of something; towards an unknown end if that is 0.
    pub(crate) fn new(total: u64, what: &str) -> Progress {
        let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::new_spinner() };
        let form = match total {
            0 => format!("{{spinner}} {{elapsed}} {{pos}} {what}, {{per_sec}}"),
            _ => format!("{{elapsed}} {{wide_bar}} {{pos}}/{{len}} {what}, {{eta}} left"),
        };
        if let Ok(style) = ProgressStyle::with_template(&form) {
            bar.set_style(style);
        }
        Progress { bar, begun: Instant::now() }
    }

    pub(crate) fn set(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Takes the bar away; answers the time that it took.
    pub(crate) fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.begun.elapsed()
    }
}

/// For people: "1.5 MiB".
pub(crate) fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

/// For people: "1,500".
pub(crate) fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// For people: "1 page", "1,500 pages".
pub(crate) fn pages_text(pages: u64) -> String {
    if pages == 1 { "1 page".to_owned() } else { format!("{} pages", count(pages)) }
}

/// So many in that time, by the second.
pub(crate) fn rate(done: u64, time: Duration) -> u64 {
    (done as f64 / time.as_secs_f64().max(1e-6)) as u64
}
