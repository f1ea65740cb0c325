//! Progress on standard error: shown if that is a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// Progress towards a total; 0 if the total is not known.
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

    /// Removes the bar; returns how long it was there.
    pub(crate) fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.begun.elapsed()
    }
}
