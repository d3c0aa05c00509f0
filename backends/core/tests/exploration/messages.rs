//! Processes that count and refund by messages. A message may be lost before or after it is
//! applied, is then sent again, and may arrive late. A process may crash between any two steps.
//!
//! The search found one thing that no writer slot prevents. A write is sent twice, the second copy
//! is refused, a refund makes room, and then the first copy arrives: it counts, although its caller
//! was refused. That admits less than the limit, never more, and only one hit for each lost
//! message.

use limited_core::{Hit, Refund, Timestamp};

use crate::search::{Model, fails, holds};

/// Two counters, such as those of a user and of a tenant, in two successive windows.
const COUNTERS: usize = 2;
const WINDOWS: usize = 2;

/// How a process counts several hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// One conditional write for all counters: one item, or one transaction.
    OneStep,
    /// One write for each counter. If one is refused, the counters before it are refunded.
    InTurn,
}

/// A mistake that another limiter makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// A refused union keeps what it took from its first counter.
    BurnsTheFirst,
    /// A refund goes to the window of now.
    RefundsIntoTheWindowOfNow,
    /// A write that is repeated is not recognized.
    CountsRepeatedWrites,
    /// A write is recognized only if no later write followed it.
    RecognizesOnlyTheLastWrite,
    /// The value is read first, and written afterwards.
    ChecksFirst,
}

struct Messages {
    protocol: Protocol,
    mistake: Mistake,
    limits: [u128; COUNTERS],
    /// What each process does, one after the other.
    scripts: Vec<Vec<Action>>,
    losses: u8,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// Counts a cost in each counter, all or none.
    Charge([u128; COUNTERS]),
    /// Refunds the last admitted charge of this process.
    RefundLast,
}

type Values = [[u128; COUNTERS]; WINDOWS];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    window: usize,
    stored: Values,
    /// The number of the last applied write of each process, and the one before it is forgotten.
    slots: Vec<u8>,
    processes: Vec<Process>,
    /// In flight, in no order. A late copy of a message stays here.
    messages: Vec<Message>,
    losses: u8,
    crashes: u8,
    /// What callers were admitted, less what they gave back.
    admitted: Values,
    /// The writes that were refused, by process and number.
    refused: Vec<(usize, u8)>,
    /// What late copies of refused writes counted, after a refund had made room for them.
    late: Values,
    has_crashed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    /// The position in the script.
    at: usize,
    /// The writes of the current action that are not done yet, the next one last.
    writes: Vec<Write>,
    /// The writes of the current action that were applied.
    applied: Vec<Write>,
    /// The number of the current write.
    number: u8,
    waits: bool,
    /// The window and the cost of the last admitted charge.
    last: Option<(usize, [u128; COUNTERS])>,
    is_alive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    window: usize,
    cost: [u128; COUNTERS],
    is_refund: bool,
    /// Only for the mistake of a check first: the value that was read.
    read: Option<[u128; COUNTERS]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Message {
    process: usize,
    number: u8,
    write: Write,
}

impl Messages {
    fn writes_of(&self, action: Action, state: &State, process: &Process) -> Vec<Write> {
        match action {
            Action::Charge(cost) => {
                let write = |cost| Write { window: state.window, cost, is_refund: false, read: None };
                match self.protocol {
                    Protocol::OneStep => vec![write(cost)],
                    // The last one is the next one.
                    Protocol::InTurn => vec![write([0, cost[1]]), write([cost[0], 0])],
                }
            }
            Action::RefundLast => process.last.map_or(vec![], |(window, cost)| {
                vec![Write {
                    window: self.window_of_refund(window, state),
                    cost,
                    is_refund: true,
                    read: None,
                }]
            }),
        }
    }

    fn window_of_refund(&self, charged: usize, state: &State) -> usize {
        match self.mistake {
            Mistake::RefundsIntoTheWindowOfNow => state.window,
            _ => charged,
        }
    }

    /// Applies a message to the store in one step, and returns whether the write is in effect.
    fn apply(&self, state: &mut State, message: &Message) -> bool {
        let slot = state.slots[message.process];
        let is_known = match self.mistake {
            Mistake::CountsRepeatedWrites => false,
            Mistake::RecognizesOnlyTheLastWrite => slot == message.number,
            _ => slot >= message.number,
        };
        if is_known {
            return slot == message.number;
        }
        let Write { window, cost, is_refund, read } = &message.write;
        let stored = state.stored[*window];
        let mut after = stored;
        for counter in 0..COUNTERS {
            if *is_refund {
                after[counter] = Refund::new(cost[counter], Timestamp::EPOCH).apply(stored[counter]);
                continue;
            }
            let seen = read.map_or(stored[counter], |read| read[counter]);
            match Hit::new(cost[counter], self.limits[counter]).apply(seen) {
                Some(_) => after[counter] = stored[counter] + cost[counter],
                None if cost[counter] > 0 => return false,
                None => {}
            }
        }
        if state.refused.contains(&(message.process, message.number)) {
            for (counter, late) in state.late[*window].iter_mut().enumerate() {
                *late += cost[counter];
            }
        }
        state.stored[*window] = after;
        state.slots[message.process] = message.number;
        true
    }

    /// Continues a process that has received the result of its write.
    fn receive(&self, state: &mut State, index: usize, is_applied: bool) {
        let window_of_now = state.window;
        let process = &mut state.processes[index];
        process.waits = false;
        let Some(write) = process.writes.pop() else { return };
        if write.is_refund {
            if process.writes.is_empty() {
                process.applied.clear();
                process.at += 1;
            }
            return;
        }
        if is_applied {
            process.applied.push(write);
            if process.writes.is_empty() {
                // Admitted, in the window of each write.
                let mut cost = [0; COUNTERS];
                for write in std::mem::take(&mut process.applied) {
                    for (counter, cost) in cost.iter_mut().enumerate() {
                        state.admitted[write.window][counter] += write.cost[counter];
                        *cost += write.cost[counter];
                    }
                    process.last = Some((write.window, cost));
                }
                process.at += 1;
            }
            return;
        }
        // Refused: returns what was taken.
        state.refused.push((index, process.number));
        process.writes.clear();
        let taken = std::mem::take(&mut process.applied);
        if self.mistake != Mistake::BurnsTheFirst {
            process.writes.extend(taken.into_iter().map(|write| Write {
                window: match self.mistake {
                    Mistake::RefundsIntoTheWindowOfNow => window_of_now,
                    _ => write.window,
                },
                is_refund: true,
                ..write
            }));
        }
        if process.writes.is_empty() {
            process.at += 1;
        }
    }
}

impl Model for Messages {
    type State = State;

    fn first(&self) -> State {
        let process = Process {
            at: 0,
            writes: vec![],
            applied: vec![],
            number: 0,
            waits: false,
            last: None,
            is_alive: true,
        };
        State {
            window: 0,
            stored: Values::default(),
            slots: vec![0; self.scripts.len()],
            processes: vec![process; self.scripts.len()],
            messages: vec![],
            losses: self.losses,
            crashes: self.crashes,
            admitted: Values::default(),
            refused: vec![],
            late: Values::default(),
            has_crashed: false,
        }
    }

    fn next(&self, state: &State) -> Vec<State> {
        let mut next = vec![];
        let mut add = |change: &dyn Fn(&mut State)| {
            let mut state = state.clone();
            change(&mut state);
            state.messages.sort_by_key(|message| (message.process, message.number));
            next.push(state);
        };
        let is_busy = state
            .processes
            .iter()
            .zip(&self.scripts)
            .any(|(process, script)| process.is_alive && (process.at < script.len() || process.waits));
        if is_busy && state.window + 1 < WINDOWS {
            add(&|state| state.window += 1);
        }
        for (index, process) in state.processes.iter().enumerate() {
            if !process.is_alive {
                continue;
            }
            let action = self.scripts[index].get(process.at);
            if state.crashes > 0 && action.is_some() {
                add(&|state| {
                    state.processes[index].is_alive = false;
                    (state.crashes, state.has_crashed) = (state.crashes - 1, true);
                });
            }
            if process.waits {
                // The response is late: sends the same write again. The first one may still arrive.
                if state.losses > 0 {
                    add(&|state| {
                        state.losses -= 1;
                        let (number, write) = (process.number, process.writes.last().cloned());
                        if let Some(write) = write {
                            state.messages.push(Message { process: index, number, write });
                        }
                    });
                }
                continue;
            }
            let Some(action) = action else { continue };
            add(&|state| {
                if process.writes.is_empty() {
                    let writes = self.writes_of(*action, state, process);
                    if let (Action::RefundLast, Some((window, cost))) = (action, process.last) {
                        for (counter, cost) in cost.iter().enumerate() {
                            state.admitted[window][counter] -= cost;
                        }
                    }
                    let process = &mut state.processes[index];
                    process.writes = writes;
                    if *action == Action::RefundLast {
                        process.last = None;
                    }
                    if process.writes.is_empty() {
                        process.at += 1;
                        return;
                    }
                }
                let stored = state.stored;
                let process = &mut state.processes[index];
                process.number += 1;
                process.waits = true;
                if let Some(write) = process.writes.last_mut() {
                    if self.mistake == Mistake::ChecksFirst && !write.is_refund {
                        write.read = Some(stored[write.window]);
                    }
                    let (number, write) = (process.number, write.clone());
                    state.messages.push(Message { process: index, number, write });
                }
            });
        }
        for (at, message) in state.messages.iter().enumerate() {
            let is_awaited = |state: &State| {
                let process = &state.processes[message.process];
                process.is_alive && process.waits && process.number == message.number
            };
            add(&|state| {
                state.messages.remove(at);
                let is_applied = self.apply(state, message);
                if is_awaited(state) {
                    self.receive(state, message.process, is_applied);
                }
            });
            // The response is lost: the process sends the same write again.
            if state.losses > 0 && is_awaited(state) {
                add(&|state| {
                    state.losses -= 1;
                    self.apply(state, message);
                });
            }
        }
        next
    }

    fn fault(&self, state: &State, is_final: bool) -> Option<String> {
        for window in 0..WINDOWS {
            for counter in 0..COUNTERS {
                let (admitted, stored) = (state.admitted[window][counter], state.stored[window][counter]);
                if admitted > self.limits[counter] {
                    return Some(format!(
                        "over: {admitted} admitted in window {window} of counter {counter}"
                    ));
                }
                let late = state.late[window][counter];
                if is_final && !state.has_crashed && stored != admitted + late {
                    return Some(format!("inexact: {stored} stored, {admitted} admitted, {late} late"));
                }
            }
        }
        None
    }
}

use Action::{Charge, RefundLast};

fn model(protocol: Protocol, mistake: Mistake, scripts: &[&[Action]]) -> Messages {
    let scripts = scripts.iter().map(|script| script.to_vec()).collect();
    Messages { protocol, mistake, limits: [2, 3], scripts, losses: 1, crashes: 1 }
}

/// Two processes, of which one refunds.
const TWO: &[&[Action]] = &[&[Charge([1, 2]), RefundLast, Charge([1, 1])], &[Charge([2, 1]), Charge([1, 1])]];

/// Three processes that fill the first counter, or find the second one full.
const THREE: &[&[Action]] = &[&[Charge([1, 1]), RefundLast], &[Charge([1, 3])], &[Charge([1, 1])]];

#[test]
fn one_step_is_exact_for_two_processes() {
    holds(&model(Protocol::OneStep, Mistake::None, TWO), 1_000);
}

#[test]
fn one_step_is_exact_for_three_processes() {
    holds(&model(Protocol::OneStep, Mistake::None, THREE), 1_000);
}

#[test]
fn hits_in_turn_are_never_over_and_all_or_none_in_the_end() {
    holds(&model(Protocol::InTurn, Mistake::None, TWO), 1_000);
    holds(&model(Protocol::InTurn, Mistake::None, THREE), 1_000);
}

#[test]
fn union_that_burns_the_first_counter_is_found() {
    fails(&model(Protocol::InTurn, Mistake::BurnsTheFirst, THREE), "inexact");
}

#[test]
fn refund_into_the_next_window_is_found() {
    let scripts: &[&[Action]] = &[&[Charge([1, 1]), RefundLast], &[Charge([2, 1]), Charge([1, 1])]];
    fails(&model(Protocol::OneStep, Mistake::RefundsIntoTheWindowOfNow, scripts), "admitted");
    // Without a crash or a lost response too, and beyond the limit.
    let mut without_faults = model(Protocol::OneStep, Mistake::RefundsIntoTheWindowOfNow, scripts);
    (without_faults.losses, without_faults.crashes) = (0, 0);
    fails(&without_faults, "admitted");
}

#[test]
fn repeated_write_that_counts_twice_is_found() {
    fails(&model(Protocol::OneStep, Mistake::CountsRepeatedWrites, TWO), "inexact");
}

#[test]
fn late_write_that_counts_again_is_found() {
    fails(&model(Protocol::OneStep, Mistake::RecognizesOnlyTheLastWrite, TWO), "inexact");
}

#[test]
fn check_before_the_write_is_found() {
    fails(&model(Protocol::OneStep, Mistake::ChecksFirst, THREE), "over");
}
