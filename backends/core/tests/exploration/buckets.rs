//! A bucket that is charged, refunded and queued for, at every order and time.

use limited_core::bucket::{StoredBucket, read};
use limited_core::{BucketQuota, Counter, Hit, Key, MAX_CLOCK_SKEW, Refund, Timestamp, Window, WindowLength};

use crate::search::{Model, fails, holds};

/// One token per second.
const LENGTH: WindowLength = WindowLength::SECOND;
const RATE: u64 = 1;

/// Steps of time, of half a token each.
const TICK: u64 = LENGTH.as_nanos() / 2;
const START: u64 = 1_000 * LENGTH.as_nanos();

/// The longest queue, in tokens.
const QUEUE: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// At most what has not flowed in since the charge.
    Ours,
    /// The mistake of others: the whole cost.
    WholeCost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    None,
    /// Only the last place of the queue is returned.
    OnlyTheLast,
    /// The mistake: any place is returned.
    Any,
}

struct Bucket {
    capacity: u64,
    rule: Rule,
    places: Places,
    steps: usize,
    ticks: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    stored: Option<(u128, BucketQuota)>,
    tick: u64,
    /// In the order of their charges.
    charges: Vec<Charge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Charge {
    cost: u64,
    tick: u64,
    /// The value after the hit.
    value: u128,
    is_refunded: bool,
}

const fn time(tick: u64) -> Timestamp {
    Timestamp::from_nanos(START + tick * TICK)
}

fn units(cost: u64) -> u128 {
    u128::from(cost) * u128::from(LENGTH.as_nanos())
}

impl Bucket {
    const fn quota(&self, queue: u64) -> BucketQuota {
        BucketQuota::new(RATE, self.capacity + queue)
    }

    fn live(&self, stored: Option<(u128, BucketQuota)>, tick: u64) -> u128 {
        let key = Key::from("key");
        let counter = Counter::new("", &key, Window::Bucket { length: LENGTH }).unwrap();
        let stored = stored.map(|(value, quota)| StoredBucket { value, quota });
        read(stored, &counter.with_bucket(self.quota(0)), time(tick), MAX_CLOCK_SKEW).unwrap().value
    }

    /// Returns the value after a hit that may wait for `queue` tokens, if it is counted.
    fn hit(&self, stored: Option<(u128, BucketQuota)>, cost: u64, tick: u64, queue: u64) -> Option<u128> {
        let now = u128::from(time(tick).as_nanos()) * u128::from(RATE);
        let ceiling = self.quota(queue).highest_value(LENGTH, time(tick));
        Hit::new(units(cost), ceiling).with_floor(now).apply(self.live(stored, tick))
    }

    fn refund(&self, state: &State, charge: Charge) -> Option<(u128, BucketQuota)> {
        let (value, quota) = state.stored?;
        let charged_at = match self.rule {
            Rule::Ours => time(charge.tick),
            Rule::WholeCost => time(state.tick),
        };
        let refund = Refund::new(units(charge.cost), charged_at);
        let refund =
            if self.places == Places::OnlyTheLast { refund.only_if_value(charge.value) } else { refund };
        if !refund.accepts(self.live(state.stored, state.tick)) {
            return state.stored;
        }
        let after = refund.apply_to_bucket(StoredBucket { value, quota }, self.quota(0), time(state.tick));
        Some((after.value, after.quota))
    }

    /// Returns when the hit of a charge is admitted: at its charge, or when its place is reached.
    fn admitted_at(&self, charge: Charge) -> u128 {
        let place = charge.value.saturating_sub(self.quota(0).fills_in(LENGTH));
        place.max(u128::from(time(charge.tick).as_nanos()))
    }
}

impl Model for Bucket {
    type State = State;

    fn first(&self) -> State {
        State { stored: None, tick: 0, charges: vec![] }
    }

    fn next(&self, state: &State) -> Vec<State> {
        let mut next = vec![];
        if state.tick < self.ticks {
            next.push(State { tick: state.tick + 1, ..state.clone() });
        }
        let queue = if self.places == Places::None { 0 } else { QUEUE };
        if state.charges.len() < self.steps {
            for cost in 1..=self.capacity {
                for queue in [0, queue] {
                    let Some(value) = self.hit(state.stored, cost, state.tick, queue) else { continue };
                    let mut charges = state.charges.clone();
                    charges.push(Charge { cost, tick: state.tick, value, is_refunded: false });
                    let stored = Some((value, self.quota(queue)));
                    next.push(State { stored, charges, ..state.clone() });
                    if queue == 0 {
                        break;
                    }
                }
            }
        }
        for (index, charge) in state.charges.iter().enumerate().filter(|(_, charge)| !charge.is_refunded) {
            // A place is returned only while its caller waits.
            let waits = self.admitted_at(*charge) > u128::from(time(state.tick).as_nanos());
            if self.places == Places::None || waits {
                let mut after = State { stored: self.refund(state, *charge), ..state.clone() };
                after.charges[index].is_refunded = true;
                next.push(after);
            }
        }
        next
    }

    fn fault(&self, state: &State, _: bool) -> Option<String> {
        let admitted: Vec<_> = state.charges.iter().filter(|charge| !charge.is_refunded).collect();
        if self.places == Places::None {
            // A bucket without the refunded charges admits all others.
            let mut stored = None;
            for charge in admitted {
                match self.hit(stored, charge.cost, charge.tick, 0) {
                    Some(value) => stored = Some((value, self.quota(0))),
                    None => return Some(format!("over: {charge:?} would have been refused")),
                }
            }
            return None;
        }
        // No stretch of time admits more than the capacity and what flows in.
        let times = admitted.iter().map(|charge| (self.admitted_at(**charge), units(charge.cost)));
        let times: Vec<_> = times.collect();
        for (from, _) in &times {
            for (until, _) in times.iter().filter(|(until, _)| until >= from) {
                let within = times.iter().filter(|(time, _)| (from..=until).contains(&time));
                let sum: u128 = within.map(|(_, cost)| cost).sum();
                if sum > self.quota(0).fills_in(LENGTH) + (until - from) {
                    return Some(format!("over: {sum} admitted from {from} until {until}"));
                }
            }
        }
        None
    }
}

const REFUNDS: Bucket = Bucket { capacity: 3, rule: Rule::Ours, places: Places::None, steps: 4, ticks: 7 };
const QUEUED: Bucket =
    Bucket { capacity: 2, rule: Rule::Ours, places: Places::OnlyTheLast, steps: 4, ticks: 6 };

#[test]
fn refund_never_admits_more_than_if_it_had_never_been_charged() {
    holds(&REFUNDS, 10_000);
}

#[test]
fn refund_to_a_full_bucket_is_found() {
    fails(&Bucket { rule: Rule::WholeCost, ..REFUNDS }, "over");
}

#[test]
fn queue_whose_last_place_is_returned_is_never_over() {
    holds(&QUEUED, 10_000);
}

#[test]
fn place_in_the_middle_that_is_returned_is_found() {
    fails(&Bucket { places: Places::Any, ..QUEUED }, "over");
}
