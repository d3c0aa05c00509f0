//! A progress bar for long inputs.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// A bar on standard error, if that is a terminal. It appears only after a while, so that it does
/// not flash on short input, and clears itself at the end.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    const A_WHILE: Duration = Duration::from_millis(300);

    /// Creates a bar that counts bytes. `total`, if known, is its end.
    pub(crate) fn of_bytes(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "Reading  {wide_bar} {bytes} of {total_bytes}, {eta} left",
            None => "Reading  {spinner} {bytes}, {bytes_per_sec}",
        };
        Self::new(total, template)
    }

    /// Creates a bar that counts requests.
    pub(crate) fn of_requests(total: u64) -> Self {
        let template = "Deciding {wide_bar} {human_pos} of {human_len} requests, {eta} left";
        Self::new(Some(total), template)
    }

    fn new(total: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden())
            .with_finish(ProgressFinish::AndClear);
        Self(match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    /// Moves the bar.
    pub(crate) fn set(&self, position: u64) {
        if self.0.is_hidden() && self.0.elapsed() > Self::A_WHILE {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.0.set_position(position);
    }
}
