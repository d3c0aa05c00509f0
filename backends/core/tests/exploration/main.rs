//! Models of several processes over one store, explored exhaustively: every order of every message,
//! with one lost response and one crash.
//!
//! The models decide by the arithmetic of this package, [`Hit::apply`](limited_core::Hit::apply),
//! [`Refund`](limited_core::Refund) and [`bucket`](limited_core::bucket). Each protocol also has
//! variants with a mistake that other limiters make. The search has to find each mistake, which
//! shows that it would find the same fault in our own protocol.

mod buckets;
mod messages;
mod search;
