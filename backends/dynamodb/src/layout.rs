//! How the counters of a key are stored.

/// How the table of rate limits stores the counters of a key. The two layouts do not read each
/// other's items, so switching a table counts every key anew.
///
/// | you have | choose |
/// |---|---|
/// | one limit per key, fixed or token bucket | either; `ItemPerWindow` has the smaller items |
/// | several limits on one key, a sliding window, a block | `ItemPerKey`: one request decides all |
/// | a table that other programs or an earlier version write | `ItemPerWindow` |
/// | a global table with strong consistency, where transactions are not supported | `ItemPerKey` |
///
/// As text, also with serde: `item-per-window` or `item-per-key`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// One item for each key and window.
    ///
    /// A hit is one `UpdateItem`. A sliding window also reads the item of its previous window until
    /// that window is closed.
    #[default]
    ItemPerWindow,
    /// One item for each key, with one attribute per window.
    ///
    /// Any number of limits on one key is decided by one `UpdateItem`, all or nothing, without a
    /// transaction: admitted and refused alike. A sliding window takes one request too. Each costs
    /// one write unit while the item has at most 1 KB.
    ///
    /// Hits on several keys are counted one after the other, and refunded if one does not fit:
    /// [`increment_in_turn`](limited_core::several::increment_in_turn). They are no transaction.
    ///
    /// A second request is needed if the item is not as last seen: another process has written a
    /// bucket by another limit, a log, or the previous window of a sliding counter.
    ///
    /// All windows of a key are one item, and so is what a wrong clock does to it: a process whose
    /// clock is ahead by more than the [maximum skew](limited_core::MAX_CLOCK_SKEW) removes windows
    /// that have ended by its clock.
    ItemPerKey,
}

limited_core::named_setting!(Layout, "layout" {
    ItemPerWindow => "item-per-window",
    ItemPerKey => "item-per-key",
});
