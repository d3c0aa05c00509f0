//! A login that is limited by account and by address.
//!
//! ```sh
//! cargo run --example login --features http
//! ```
//!
//! A limit by account alone lets anybody lock an account out: a few wrong passwords, from anywhere,
//! and the owner cannot log in. A limit by address alone lets many addresses guess the password of
//! one account. So this login has three limits:
//!
//! | counted by | at most | stops | what it does |
//! |---|---|---|---|
//! | address | 100 an hour | one client that tries many accounts | refuses |
//! | account and address | 5 in 15 minutes | one client that guesses one password | refuses, at this address only |
//! | account | 20 a day | many clients that guess one password | asks for a second factor |
//!
//! Each attempt is counted before the password is checked. Otherwise concurrent attempts would
//! exceed the limit. A success clears what was counted for the account. It does not clear the limit
//! of the address: an attacker would clear it by a login to an account of their own.
//!
//! Accounts that do not exist are counted like all others. So a response says nothing about whether
//! an account exists.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use limited::http::{ClientAddress, KeyExtractor, PeerAddress, Rejection, ResponseBody};
use limited::memory::MemoryBackend;
use limited::{AttemptError, Backend, LimitedAttempt};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

struct Logins<B> {
    /// Groups IPv6 addresses by their first 64 bits. A client has all addresses of such a network.
    address: KeyExtractor,
    by_address: LimitedAttempt<B>,
    by_account_and_address: LimitedAttempt<B>,
    by_account: LimitedAttempt<B>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Login {
    Welcome,
    /// Too many clients have failed to log in. The password is not enough for now.
    SecondFactor,
}

impl<B: Backend + Clone> Logins<B> {
    fn new(backend: B) -> Self {
        let limit = |max, validity, namespace| {
            LimitedAttempt::new(backend.clone(), max, validity).namespace(namespace)
        };
        Self {
            // Behind proxies, name them: see `ClientAddress`.
            address: KeyExtractor::address(ClientAddress::peer()),
            by_address: limit(100, HOUR, "login-address"),
            by_account_and_address: limit(5, 15 * MINUTE, "login-account-address"),
            by_account: limit(20, 24 * HOUR, "login-account"),
        }
    }

    async fn login(
        &self,
        parts: &Parts,
        account: &str,
        password: &str,
    ) -> Result<Login, Response<ResponseBody>> {
        let address = self.address.extract(parts).map_err(|error| {
            // The server has not stored the address of the peer.
            Rejection::Key(&error).response(parts).map(ResponseBody::from)
        })?;
        // One account, one key: whatever the spelling.
        let account = account.to_lowercase();

        // The limit of the account comes last, so that a client that is refused by the others does
        // not spend it.
        let counted = self.by_address.attempt(&address).await;
        counted.map_err(|error| error.to_response())?;
        let pair = self.by_account_and_address.attempt(address.part("account", &account)).await;
        let pair = pair.map_err(|error| error.to_response())?;
        let of_account = match self.by_account.attempt(("account", account.as_str())).await {
            Ok(attempt) => Some(attempt),
            Err(AttemptError::TooManyAttempts { .. }) => None,
            Err(error) => return Err(error.to_response()),
        };

        if !is_correct(&account, password) {
            return Err(wrong());
        }
        let Some(of_account) = of_account else { return Ok(Login::SecondFactor) };
        for attempt in [pair, of_account] {
            // The login has succeeded. If the backend fails now, the attempts stay counted.
            if let Err(error) = attempt.clear().await {
                eprintln!("attempts stay counted: {error}");
            }
        }
        Ok(Login::Welcome)
    }
}

/// Stands for a comparison with a password hash.
fn is_correct(account: &str, password: &str) -> bool {
    (account, password) == ("alice", "correct horse")
}

fn wrong() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::default());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

/// Logs in from an address, and returns the result as a line of text.
fn try_login(
    logins: &Logins<impl Backend + Clone>,
    address: impl Into<IpAddr>,
    account: &str,
    password: &str,
) -> String {
    // A server stores the address of the peer in each request.
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddress(address.into()));
    let (parts, ()) = request.into_parts();
    match pollster::block_on(logins.login(&parts, account, password)) {
        Ok(login) => format!("{login:?}"),
        Err(response) => match response.headers().get(RETRY_AFTER).map(HeaderValue::to_str) {
            Some(Ok(seconds)) => format!("{}, retry after {seconds} s", response.status()),
            _ => response.status().to_string(),
        },
    }
}

fn main() {
    let logins = Logins::new(Arc::new(MemoryBackend::new()));
    let (attacker, alice) = ([203, 0, 113, 66], [192, 0, 2, 7]);

    println!("An attacker guesses the password of alice:");
    for _ in 0..6 {
        println!("    {}", try_login(&logins, attacker, "alice", "guess"));
    }
    println!("Alice is not locked out:");
    println!("    {}", try_login(&logins, alice, "Alice", "correct horse"));

    println!("Many addresses guess the password of alice:");
    for last in 0..=255 {
        let _ = try_login(&logins, [198, 51, 100, last], "alice", "guess");
    }
    println!("Alice needs a second factor, and is not locked out:");
    println!("    {}", try_login(&logins, alice, "alice", "correct horse"));

    println!("The attacker tries one password for many accounts:");
    let tries = (0..200).map(|n| try_login(&logins, attacker, &format!("account-{n}"), "123456"));
    let refused = tries.filter(|result| result.starts_with("429")).count();
    println!("    {refused} of 200 are refused");
}
