//! Without the feature `calendar`, no quota has a calendar.

use std::ops::Range;

use limited_core::Timestamp;

use super::{Quota, Words};

#[expect(clippy::unused_self, reason = "the feature `calendar` needs the quota")]
impl Quota {
    pub(crate) const fn is_calendar(&self) -> bool {
        false
    }

    pub(crate) const fn span(&self, _now: Timestamp) -> Option<Range<Timestamp>> {
        None
    }

    pub(super) const fn calendar_text(&self) -> Option<&'static str> {
        None
    }

    pub(super) const fn parse_calendar(
        _limit: u64,
        _unit: &str,
        _words: &mut Words<'_>,
    ) -> Result<Self, &'static str> {
        Err("calendar quotas need the feature `calendar` of the package `limited`")
    }
}
