//! The calls of the limiters: one decision for each request, and refunds of what does not count.

use std::pin::Pin;
use std::sync::Arc;

use super::config::{Config, Decided};
use super::few::Few;
use super::keyed_limiter::RequestHit;
use crate::{Backend, Decision, Error, Key, Limiter, LimiterHit, allow_all};

pub(super) type DecisionFuture = Pin<Box<dyn Future<Output = Result<Decision, Error>> + Send>>;

/// Refunds the hits with these indexes. Returns what the headers are made of.
pub(super) type Refund = Box<dyn FnOnce(Decided, Vec<usize>) -> RefundFuture + Send>;
pub(super) type RefundFuture = Pin<Box<dyn Future<Output = Decided> + Send>>;

/// Returns the decision about all hits of a request, in one step.
pub(super) fn decide<B: Backend + 'static>(
    limiters: Arc<[Limiter<B>]>,
    keys: Few<Key<'static>>,
    hits: &Few<RequestHit>,
) -> DecisionFuture {
    match (keys, hits) {
        (Few::One(key), Few::One(hit)) => {
            let hit = *hit;
            Box::pin(async move { decide_one(&limiters[hit.limiter], key, hit).await })
        }
        (keys, hits) => {
            let hits = hits.clone();
            Box::pin(async move {
                let pairs = keys.as_slice().iter().zip(hits.as_slice());
                let hits: Vec<_> = pairs.map(|(key, hit)| hit_of(&limiters, key, *hit)).collect();
                allow_all(&hits).await
            })
        }
    }
}

async fn decide_one<B: Backend>(
    limiter: &Limiter<B>,
    key: Key<'static>,
    hit: RequestHit,
) -> Result<Decision, Error> {
    match hit.quota {
        None => limiter.allow_n(key, hit.cost).await,
        Some(quota) => limiter.with_quota(quota).allow_n(key, hit.cost).await,
    }
}

fn hit_of<'a, B>(limiters: &'a [Limiter<B>], key: &Key<'a>, hit: RequestHit) -> LimiterHit<'a, B> {
    let limiter = &limiters[hit.limiter];
    match hit.quota {
        None => limiter.hit(key.clone()),
        Some(quota) => limiter.with_quota(quota).hit(key.clone()),
    }
    .cost(hit.cost)
}

/// Returns a function that refunds hits of a request, if its response says that they do not count.
pub(super) fn refund<B: Backend + 'static>(
    limiters: Arc<[Limiter<B>]>,
    config: Arc<Config>,
    keys: Few<Key<'static>>,
) -> Refund {
    Box::new(move |mut decided, uncounted| {
        Box::pin(async move {
            let Decided { hits, decision, refunded } = &mut decided;
            let hits = hits.as_slice().iter().enumerate().zip(keys.into_vec());
            let mut rest = decision.limits();
            for ((index, hit), key) in hits {
                let (own, others) = rest.split_at(config.number_of_limits(hit).min(rest.len()));
                rest = others;
                if !uncounted.contains(&index) {
                    continue;
                }
                let own = Decision::of_limits(own.into());
                match refund_one(&limiters[hit.limiter], key, *hit, &own).await {
                    Ok(()) => refunded.push(index),
                    Err(error) => config.refund_failed(*hit, &error),
                }
            }
            decided
        })
    })
}

async fn refund_one<B: Backend>(
    limiter: &Limiter<B>,
    key: Key<'static>,
    hit: RequestHit,
    decision: &Decision,
) -> Result<(), Error> {
    match hit.quota {
        None => limiter.refund(key, decision).await,
        Some(quota) => limiter.with_quota(quota).refund(key, decision).await,
    }
}
