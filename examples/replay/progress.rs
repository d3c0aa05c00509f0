//! A progress bar for input that takes a while.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// A bar on standard error, if that is a terminal. It shows itself once it has taken a while, since on short input it
/// would but flash, and clears itself away.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    const A_WHILE: Duration = Duration::from_millis(300);

    /// A bar about bytes, of which there are so many if that is known.
    pub(crate) fn of_bytes(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "Reading  {wide_bar} {bytes} of {total_bytes}, {eta} left",
            None => "Reading  {spinner} {bytes}, {bytes_per_sec}",
        };
        Self::new(total, template)
    }

    /// A bar about requests.
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

    /// Moves the bar to where things are.
    pub(crate) fn set(&self, position: u64) {
        if self.0.is_hidden() && self.0.elapsed() > Self::A_WHILE {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.0.set_position(position);
    }
}
