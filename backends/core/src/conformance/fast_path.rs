//! The fast path: `try_increment`.

use super::Harness;
use super::subject::{NOW, Random, START, Subject, each_kind};
use crate::{Hit, Window, WindowId, WindowLength};

pub(super) fn try_increment_agrees_with_increment<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`try_increment` returns what `increment` would return, or `None` and counts nothing";
    for (kind, window) in each_kind(NOW, WindowLength::MINUTE).into_iter().enumerate() {
        for slides in [false, true] {
            if slides && !matches!(window, Window::Aligned { .. }) {
                continue;
            }
            let [fast, plain] =
                ["fast", "plain"].map(|path| subject.counter(window, format!("{path} {kind} {slides}")));
            if slides {
                for counter in [&fast, &plain] {
                    let previous = window.previous().expect("this window is not the first since the epoch");
                    counter.with_window(previous).first_hit(
                        30,
                        50,
                        START.saturating_sub(NOW.saturating_since(START)),
                    );
                }
            }
            let mut random = Random::new(kind as u64);
            for step in 0..200_u128 {
                let (cost, ceiling) = (random.below(9).into(), u128::from(20 + random.below(60)));
                let hit = Hit { window_id: WindowId(step), ..fast.asking(cost, ceiling, NOW) };
                let expected = plain.increment_by(&hit, NOW, slides, false);
                let seen = fast.increment_by(&hit, NOW, slides, true);
                fast.expect(&seen, &expected, rule);
                if step % 40 == 39 {
                    fast.reset(None, NOW);
                    plain.reset(None, NOW);
                }
            }
        }
    }
}
