//! Which of the waiting hits one write counts, by the state that it expects. No I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use limited_core::coalesce::{PendingHit, merge, values_after};
use limited_core::{CounterState, Result, Timestamp, Window, WindowMeta};

use super::state::{KeyHit, KeyState, Times, WindowState};

/// How many windows one write changes at most, so that its expressions stay below the 4 KB that
/// DynamoDB accepts.
pub(super) const MAX_WINDOWS: usize = 20;

/// Hits that are counted all or none.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The operation that the hits belong to.
    pub(super) id: usize,
    pub(super) hits: Vec<KeyHit>,
}

/// The hits that one write counts.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The indexes of the groups that are counted.
    pub(super) chosen: Vec<usize>,
    pub(super) windows: Vec<WindowPlan>,
    /// The counts of previous windows that the write expects to find.
    pub(super) previous: Vec<(Window, Option<u128>)>,
}

/// What one write does to one window.
#[derive(Debug)]
pub(super) struct WindowPlan {
    pub(super) window: Window,
    /// The state that the write expects, roughly.
    pub(super) before: WindowState,
    /// The state afterwards, if it finds exactly that.
    pub(super) after: WindowState,
    pub(super) hits: Vec<PendingHit>,
    /// Which hit each is: the index of its group, and its index there.
    origins: Vec<(usize, usize)>,
    /// The result of each hit if the write finds exactly the state before.
    simulated: Vec<CounterState>,
    /// The previous count for each hit that slides.
    previous: Vec<u128>,
}

impl Plan {
    /// Chooses the groups that fit if the item is in this state: one after the other.
    pub(super) fn new(groups: &[Group], state: &KeyState, times: Times) -> Self {
        let mut plan = Self::default();
        let mut index_of = HashMap::new();
        for (index, group) in groups.iter().enumerate() {
            let new = group.hits.iter().filter(|hit| !index_of.contains_key(&hit.window)).count();
            if !plan.chosen.is_empty() && plan.windows.len() + new > MAX_WINDOWS {
                break;
            }
            // One that cannot be counted is not chosen. `refused` returns its error.
            if let Ok(Some(applied)) = plan.apply(group, state, &index_of, times) {
                for (at, one) in applied.into_iter().enumerate() {
                    plan.add(index, at, &group.hits[at], one, &mut index_of, state);
                }
                plan.chosen.push(index);
            }
        }
        plan
    }

    /// Returns what each hit of a group makes of its window, or `None` if one does not fit.
    fn apply(
        &self,
        group: &Group,
        state: &KeyState,
        index_of: &HashMap<Window, usize>,
        times: Times,
    ) -> Result<Option<Vec<Applied>>> {
        let current = |window: Window| match index_of.get(&window) {
            Some(index) => Ok(self.windows[*index].after.clone()),
            None => state.window(window),
        };
        let mut applied = Vec::with_capacity(group.hits.len());
        for hit in &group.hits {
            let before = current(hit.window)?;
            let previous = match hit.previous().map(current).transpose()? {
                Some(WindowState::Count(count)) => count.unwrap_or_default(),
                _ => 0,
            };
            let effective = hit.effective(previous);
            let Some(after) = before.hit(&effective, hit.window, times)? else { return Ok(None) };
            applied.push(Applied { previous, effective, before, after });
        }
        Ok(Some(applied))
    }

    fn add(
        &mut self,
        group: usize,
        at: usize,
        hit: &KeyHit,
        applied: Applied,
        index_of: &mut HashMap<Window, usize>,
        state: &KeyState,
    ) {
        let Applied { previous, effective, before, after } = applied;
        if let Some(window) = hit.previous()
            && !self.previous.iter().any(|(seen, _)| *seen == window)
        {
            // Other hits of this batch may count in it, but the write finds what the item has.
            self.previous.push((window, state.previous_count(Some(window)).unwrap_or_default()));
        }
        let index = *index_of.entry(hit.window).or_insert_with(|| {
            self.windows.push(WindowPlan {
                window: hit.window,
                before,
                after: after.clone(),
                hits: Vec::new(),
                origins: Vec::new(),
                simulated: Vec::new(),
                previous: Vec::new(),
            });
            self.windows.len() - 1
        });
        let simulated = after.counter_state(hit.window, effective.bucket, effective.now, Duration::MAX);
        let plan = &mut self.windows[index];
        plan.after = after;
        plan.simulated.push(simulated);
        plan.hits.push(effective);
        plan.origins.push((group, at));
        plan.previous.push(previous);
    }

    /// Returns the results of the counted groups, each with its index, after the write left this
    /// state.
    pub(super) fn results(
        &self,
        groups: &[Group],
        after: &KeyState,
        times: Times,
    ) -> Result<Vec<(usize, Vec<CounterState>)>> {
        let mut results: Vec<(usize, Vec<CounterState>)> = self
            .chosen
            .iter()
            .map(|&index| (index, vec![CounterState::default(); groups[index].hits.len()]))
            .collect();
        for plan in &self.windows {
            let states = plan.states(&after.window(plan.window)?, times);
            for (state, &(group, at)) in states.into_iter().zip(&plan.origins) {
                if let Some((_, result)) = results.iter_mut().find(|(index, _)| *index == group) {
                    result[at] = state;
                }
            }
        }
        Ok(results)
    }
}

/// What a hit makes of its window.
struct Applied {
    /// The count of the previous window.
    previous: u128,
    /// The hit, with the ceiling that the previous window leaves.
    effective: PendingHit,
    before: WindowState,
    after: WindowState,
}

impl WindowPlan {
    /// Returns how the write changes the window.
    pub(super) fn change(&self, times: Times) -> Change {
        let chosen: Vec<usize> = (0..self.hits.len()).collect();
        let value = match &self.before {
            WindowState::Log(_) => return Change::Exact,
            WindowState::Count(count) => *count,
            WindowState::FromFirstHit(state) => {
                if state.opened.is_some() && !state.is_open(self.window, times.latest, times.skew) {
                    return Change::Reopen;
                }
                state.count
            }
            WindowState::Bucket(bucket) => {
                let quota = self.hits.first().and_then(|hit| hit.bucket);
                let Some(quota) = quota else { return Change::Exact };
                let limit = |hit: &PendingHit| hit.bucket.map(|quota| quota.limit);
                if self.hits.iter().any(|hit| limit(hit) != Some(quota.limit)) {
                    return Change::Exact;
                }
                match (bucket.count, bucket.stored()) {
                    (None, _) => None,
                    (Some(value), Some(stored)) if stored.quota.limit == quota.limit => {
                        let live = stored.live(quota, self.window.length(), times.latest, times.skew);
                        if live.value == 0 && value > 0 {
                            return Change::Exact;
                        }
                        Some(value)
                    }
                    // Another limit, or a count without one, which another program wrote.
                    (Some(_), _) => return Change::Exact,
                }
            }
        };
        let Some(merged) = merge(&self.hits, &chosen) else { return Change::Exact };
        match value {
            _ if merged.min_after == 0 && !matches!(self.window, Window::FromFirstHit { .. }) => {
                Change::Nothing { max_before: merged.max_before }
            }
            _ if merged.floor() == 0 => Change::Add { cost: merged.cost, max_before: merged.max_before },
            Some(value) if value > merged.floor() => {
                Change::AddAbove { cost: merged.cost, floor: merged.floor(), max_before: merged.max_before }
            }
            // If the floors rise from hit to hit, the floor of the merged hit may be above what the
            // first of them allows.
            _ => Change::Raise { to: merged.min_after, max_before: merged.floor().min(merged.max_before) },
        }
    }

    /// Returns whether the hits are conditions alone.
    pub(super) fn changes_nothing(&self) -> bool {
        self.hits.iter().all(|hit| hit.cost == 0 && hit.floor == 0)
    }

    /// Returns the result of each hit after the write left this state.
    fn states(&self, after: &WindowState, times: Times) -> Vec<CounterState> {
        let chosen: Vec<usize> = (0..self.hits.len()).collect();
        let count = match after {
            WindowState::Count(count) => count.unwrap_or_default(),
            WindowState::FromFirstHit(state) => state.count.unwrap_or_default(),
            WindowState::Bucket(bucket) => {
                let quota = self.hits.first().and_then(|hit| hit.bucket);
                // If the response was lost, another process may have converted it since.
                let live = bucket.stored().zip(quota);
                let live = live.map(|(stored, quota)| {
                    stored.live(quota, self.window.length(), times.latest, times.skew)
                });
                live.unwrap_or_default().value
            }
            WindowState::Log(_) => 0,
        };
        let before = match self.change(times) {
            Change::Exact => None,
            Change::Nothing { .. } => Some(count),
            Change::Add { cost, .. } | Change::AddAbove { cost, .. } => Some(count.saturating_sub(cost)),
            Change::Raise { .. } | Change::Reopen => Some(0),
        };
        let values = before.map(|before| values_after(&self.hits, &chosen, before));
        let state = |index: usize| {
            let mut state = self.simulated[index].clone();
            if let (WindowState::FromFirstHit(window), Some((start, meta))) = (after, opened(after)) {
                state = CounterState::new(true, window.count.unwrap_or_default());
                state = state.with_start(start).with_meta(meta);
            }
            if let Some(values) = &values {
                state.value = values[index];
            }
            state.counted = true;
            state.clock_lead = Default::default();
            state.log = None;
            state.with_previous(self.previous[index])
        };
        (0..self.hits.len()).map(state).collect()
    }
}

fn opened(state: &WindowState) -> Option<(Timestamp, Arc<WindowMeta>)> {
    match state {
        WindowState::FromFirstHit(state) => state.opened.clone(),
        _ => None,
    }
}

/// How a write changes one window, and what it expects of it. DynamoDB's expressions have no
/// `max()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing, if the value is at most this. The hits have no cost and no floor.
    Nothing { max_before: u128 },
    /// Adds the cost, if the value is at most this, or absent.
    Add { cost: u128, max_before: u128 },
    /// Adds the cost, if the value is above the floor.
    AddAbove { cost: u128, floor: u128, max_before: u128 },
    /// Sets the value, if the one before is at most this, or absent.
    Raise { to: u128, max_before: u128 },
    /// Opens a window from the first hit anew, if it is the one that was seen.
    Reopen,
    /// Replaces the state, if it is exactly the one that was seen.
    Exact,
}

/// Returns the state of each counter of a group that was not counted, and whether all hits fit.
pub(super) fn refused(group: &Group, state: &KeyState, times: Times) -> Result<(Vec<CounterState>, bool)> {
    let mut fit_all = true;
    let mut states = Vec::with_capacity(group.hits.len());
    for hit in &group.hits {
        let window = state.window(hit.window)?;
        let previous = state.previous_count(hit.previous())?.unwrap_or_default();
        let fits = window.hit(&hit.effective(previous), hit.window, times)?.is_some();
        let now = match hit.window {
            Window::FromFirstHit { .. } | Window::Bucket { .. } => times.latest,
            Window::Aligned { .. } | Window::Span { .. } | Window::Log { .. } => hit.hit.now,
        };
        let mut one = window.counter_state(hit.window, hit.hit.bucket, now, times.skew);
        one.counted = fits;
        fit_all &= fits;
        states.push(one.with_previous(previous));
    }
    Ok((states, fit_all))
}
