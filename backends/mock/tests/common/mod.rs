//! What the tests share: a key, windows and a time.

#![allow(dead_code, reason = "each test file uses its part")]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use limited_core::{Counter, Key, Timestamp, Window, WindowLength};

/// 2026-01-01T00:00:00Z, the start of an aligned minute.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

pub(crate) const OPENED: Window = Window::Opened { length: WindowLength::MINUTE };

pub(crate) fn user() -> Key<'static> {
    Key::of_user("7")
}

/// The counter of a key in the aligned minute that starts at [`NOW`].
pub(crate) fn in_this_minute<'a>(key: &'a Key<'a>) -> Counter<'a> {
    in_window(key, Window::aligned(NOW, WindowLength::MINUTE))
}

pub(crate) fn in_window<'a>(key: &'a Key<'a>, window: Window) -> Counter<'a> {
    Counter::new("test", key, window).expect("a valid key")
}

/// Polls once, with a waker that wakes nothing.
pub(crate) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
