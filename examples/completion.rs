//! The bill of a language model: requests and tokens per minute, where the tokens of a completion
//! are known only after it was generated.
//!
//! ```sh
//! cargo run --example completion
//! ```
//!
//! Each call is charged one request and an estimate of its tokens, in one step: the prompt, and
//! what the caller expects of the model at most. If one of the two limits refuses, neither is
//! charged. When the stream of tokens ends, the reservation is settled. What was not used is
//! refunded to the window that was charged. What was used in addition is charged, also beyond the
//! limit.
//!
//! If a stream is interrupted, its reservation is dropped, and the estimate stays charged.

use std::time::Duration;

use limited::memory::MemoryBackend;
use limited::{Error, Immediate, Limiter, ManualClock, Quota, reserve_all_now};

const TENANT: &str = "tenant:42";

/// A request to the model.
struct Request {
    prompt: &'static str,
    /// How much the caller expects at most. This model may exceed it.
    max_tokens: u64,
    /// What this made-up model generates.
    completion: &'static str,
}

const REQUESTS: [Request; 5] = [
    Request { prompt: "Name a colour", max_tokens: 40, completion: "Blue is a colour" },
    Request {
        prompt: "Write a sentence about rain",
        max_tokens: 40,
        completion: "The rain fell softly on the roof, and nobody in the house woke up",
    },
    Request { prompt: "Count to twelve", max_tokens: 8, completion: "1 2 3 4 5 6 7 8 9 10 11 12" },
    Request { prompt: "Write a very long novel", max_tokens: 60, completion: "Chapter one" },
    Request { prompt: "Say goodbye", max_tokens: 20, completion: "Goodbye" },
];

/// Returns the tokens of a text. This made-up model has one for each word.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

fn count(text: &str) -> u64 {
    tokens(text).map(|_| 1).sum()
}

struct Limits<B> {
    requests: Limiter<B>,
    tokens: Limiter<B>,
}

impl<B: Immediate> Limits<B> {
    /// Streams a completion. Returns its tokens, or `None` if a limit refuses.
    fn complete(&self, request: &Request) -> Result<Option<u64>, Error> {
        let estimate = count(request.prompt) + request.max_tokens;
        let hits = [self.requests.hit(TENANT), self.tokens.hit(TENANT).estimate(estimate)];
        let reservation = reserve_all_now(&hits)?;
        let decision = reservation.decision();
        if !decision.is_allowed() {
            let [requests, tokens] = decision.limits() else { return Ok(None) };
            let by = if tokens.is_allowed() { "requests" } else { "tokens" };
            let wait = decision.retry_after().map_or_else(|| "never".to_owned(), |wait| format!("{wait:?}"));
            println!("  refused by {by}, retry after {wait}");
            println!("  left: {} requests, {} tokens", requests.remaining(), tokens.remaining());
            return Ok(None);
        }
        let mut used = count(request.prompt);
        for _token in tokens(request.completion) {
            // Here the token is sent to the client.
            used += 1;
        }
        reservation.settle_now(used)?;
        println!("  estimated {estimate} tokens, used {used}");
        Ok(Some(used))
    }
}

fn main() -> Result<(), Error> {
    let clock = ManualClock::new();
    let limiter = Limiter::new(MemoryBackend::new()).clock(clock.clone());
    // Clones share the backend, so that both limits are one step.
    let limits = Limits {
        requests: limiter.clone().namespace("requests").quota(Quota::per_minute(10)),
        tokens: limiter.namespace("tokens").quota(Quota::per_minute(100)),
    };

    let mut bill = (0, 0);
    for request in &REQUESTS {
        println!("{}", request.prompt);
        if let Some(used) = limits.complete(request)? {
            bill = (bill.0 + 1, bill.1 + used);
        }
        clock.advance(Duration::from_secs(2));
    }

    println!("bill: {} requests, {} tokens", bill.0, bill.1);
    let (requests, tokens) = (limits.requests.peek_now(TENANT)?, limits.tokens.peek_now(TENANT)?);
    println!("counted: {} requests, {} tokens", requests.used(), tokens.used());
    Ok(())
}
