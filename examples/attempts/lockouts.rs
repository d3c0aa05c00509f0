//! Runs the logins of a log through limited attempts, at the times in the log.

use std::collections::HashMap;
use std::time::Duration;

use limited::memory::MemoryBackend;
use limited::{Attempt, AttemptError, Key, LimitedAttempt, ManualClock, Timestamp};

use super::connections::{Login, Outcome};

/// The effect of a limit on a log.
#[derive(Debug, Default)]
pub(crate) struct Lockouts {
    pub(crate) addresses: Tried,
    pub(crate) accounts: Tried,
    pub(crate) failed: u64,
    /// Failed logins that would have been denied, by the address, the account, or both.
    pub(crate) denied: u64,
    pub(crate) succeeded: u64,
    /// Right passwords that would have been denied.
    pub(crate) denied_successes: u64,
}

/// All addresses, or all accounts.
pub(crate) type Tried = HashMap<String, Tries>;

/// The failed logins of one address, or at one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    pub(crate) failed: u64,
    pub(crate) denied: u64,
    /// How many windows contained denials.
    pub(crate) lockouts: u64,
    /// The time of the first denial.
    pub(crate) first: Option<Timestamp>,
    /// The end of the last lock-out.
    pub(crate) until: Option<Timestamp>,
}

/// The limit: how many failed logins within which time, for each address and for each account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) max: u64,
    pub(crate) within: Duration,
    /// Whether a right password clears the failed logins at its account.
    pub(crate) clear: bool,
}

impl Limit {
    /// Counts each failed login as an attempt of its address and as an attempt at its account,
    /// independently.
    pub(crate) fn replay(self, logins: &[Login]) -> Result<Lockouts, AttemptError> {
        let clock = ManualClock::new();
        let attempts = LimitedAttempt::new(MemoryBackend::new(), self.max, self.within).clock(clock.clone());
        let mut lockouts = Lockouts::default();
        // The last attempt at each account: clearing it clears its window.
        let mut made = HashMap::<&str, Attempt<MemoryBackend>>::new();
        for login in logins {
            clock.set(login.time);
            let address = login.client.to_string();
            let by_address = key("address", &address);
            let by_account = login.account.as_ref().map(|account| key("account", account));
            match login.outcome {
                Outcome::Failed(times) => {
                    let (of_address, _) = attempt(&attempts, &by_address, times)?;
                    let mut denied = of_address.denied;
                    if let (Some(account), Some(by_account)) = (&login.account, by_account) {
                        let (of_account, last) = attempt(&attempts, &by_account, times)?;
                        denied = denied.max(of_account.denied);
                        lockouts.accounts.entry(account.clone()).or_default().add(login.time, of_account);
                        made.extend(last.map(|last| (&**account, last)));
                    }
                    lockouts.failed += u64::from(times);
                    lockouts.denied += denied;
                    lockouts.addresses.entry(address).or_default().add(login.time, of_address);
                }
                Outcome::Succeeded => {
                    lockouts.succeeded += 1;
                    let mut is_denied = attempts.peek_now(by_address)?.remaining() == 0;
                    if let Some(by_account) = by_account {
                        is_denied |= attempts.peek_now(by_account)?.remaining() == 0;
                    }
                    if is_denied {
                        lockouts.denied_successes += 1;
                    } else if self.clear
                        && let Some(account) = &login.account
                        && let Some(attempt) = made.remove(&**account)
                    {
                        attempt.clear_now()?;
                    }
                }
            }
        }
        Ok(lockouts)
    }
}

/// Returns a key in its own scope. Hashed, so that no name is too long.
fn key(scope: &str, name: &str) -> Key<'static> {
    let key = Key::from((scope, name));
    if key.validate().is_ok() { key } else { Key::new().secret(scope, name) }
}

/// The result of several attempts at the same moment.
struct Attempted {
    times: u64,
    denied: u64,
    retry_after: Option<Duration>,
}

type Last = Option<Attempt<MemoryBackend>>;

fn attempt(
    attempts: &LimitedAttempt<MemoryBackend>,
    key: &Key<'_>,
    times: u32,
) -> Result<(Attempted, Last), AttemptError> {
    let mut last = None;
    for passed in 0..times {
        match attempts.attempt_now(key) {
            Ok(attempt) => last = Some(attempt),
            // The other attempts of this moment are denied as well.
            Err(AttemptError::TooManyAttempts { retry_after }) => {
                let denied = u64::from(times - passed);
                let retry_after = Some(retry_after);
                return Ok((Attempted { times: times.into(), denied, retry_after }, last));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((Attempted { times: times.into(), denied: 0, retry_after: None }, last))
}

impl Tries {
    fn add(&mut self, time: Timestamp, attempted: Attempted) {
        self.failed += attempted.times;
        self.denied += attempted.denied;
        if let Some(retry_after) = attempted.retry_after {
            let until = time.saturating_add(retry_after);
            // A lock-out ends with its window.
            self.lockouts += u64::from(self.until.is_none_or(|last| last <= time));
            self.first.get_or_insert(time);
            self.until = Some(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Client;
    use super::*;

    const MINUTE: u64 = 60;

    fn login(second: u64, account: &str, host: u8, outcome: Outcome) -> Login {
        let time = Timestamp::from_secs(1_780_963_200 + second);
        Login {
            time,
            account: Some(account.into()),
            client: Client::Address([192, 0, 2, host].into()),
            outcome,
        }
    }

    fn failed(second: u64, account: &str, host: u8, times: u32) -> Login {
        login(second, account, host, Outcome::Failed(times))
    }

    fn replay(logins: &[Login], clear: bool) -> Lockouts {
        Limit { max: 3, within: Duration::from_secs(10 * MINUTE), clear }.replay(logins).unwrap()
    }

    #[test]
    fn too_many_failures_lock_out_until_the_window_ends() {
        let logins = [
            failed(0, "a", 1, 1),
            failed(60, "b", 1, 2),
            failed(61, "c", 1, 1),
            failed(599, "d", 1, 2),
            failed(600, "e", 1, 1),
            failed(660, "f", 1, 4),
            failed(700, "f", 2, 1),
        ];
        let lockouts = replay(&logins, false);
        let at = |second| Some(failed(second, "", 1, 1).time);
        let locked_out = Tries { failed: 11, denied: 5, lockouts: 2, first: at(61), until: at(1200) };
        assert_eq!(lockouts.addresses["192.0.2.1"], locked_out);
        // All of this moment together, and one more.
        let account = Tries { failed: 5, denied: 2, lockouts: 1, first: at(660), until: at(1260) };
        assert_eq!(lockouts.accounts["f"], account);
        assert_eq!((lockouts.failed, lockouts.denied), (12, 6));
        assert_eq!(lockouts.accounts["d"].denied, 0);
    }

    #[test]
    fn right_password_is_denied_while_its_account_or_address_is_locked_out() {
        let logins = [
            failed(0, "a", 1, 3),
            login(1, "a", 2, Outcome::Succeeded),
            login(2, "b", 1, Outcome::Succeeded),
            login(3, "b", 2, Outcome::Succeeded),
            login(600, "a", 1, Outcome::Succeeded),
        ];
        let lockouts = replay(&logins, false);
        assert_eq!((lockouts.succeeded, lockouts.denied_successes, lockouts.denied), (4, 2, 0));
    }

    #[test]
    fn right_password_clears_its_account_but_not_its_address_on_request() {
        let logins = [
            failed(0, "a", 1, 2),
            login(1, "a", 1, Outcome::Succeeded),
            failed(2, "a", 1, 2),
            failed(3, "a", 2, 1),
        ];
        for (clear, denied) in [(false, 2), (true, 0)] {
            let lockouts = replay(&logins, clear);
            assert_eq!(lockouts.accounts["a"].denied, denied);
            assert_eq!(lockouts.addresses["192.0.2.1"].denied, 1);
        }
        // A denied password clears nothing.
        let logins = [failed(0, "a", 1, 3), login(1, "a", 2, Outcome::Succeeded), failed(2, "a", 2, 1)];
        assert_eq!(replay(&logins, true).accounts["a"].denied, 1);
    }

    #[test]
    fn failure_without_an_account_counts_for_its_address_alone() {
        let unnamed = |second| Login { account: None, ..failed(second, "", 1, 1) };
        let lockouts = replay(&[unnamed(0), unnamed(1), unnamed(2), unnamed(3)], false);
        assert_eq!((lockouts.failed, lockouts.denied, lockouts.accounts.len()), (4, 1, 0));
        assert_eq!(lockouts.addresses["192.0.2.1"].denied, 1);
    }

    #[test]
    fn address_and_account_of_the_same_name_are_separate() {
        let lockouts = replay(&[failed(0, "192.0.2.1", 1, 3)], false);
        assert_eq!(lockouts.denied, 0);
        let long = "x:".repeat(2000);
        assert_eq!(replay(&[failed(0, &long, 1, 4)], false).accounts[&long].denied, 1);
    }
}
