//! A payment that survives a double click and a crash.
//!
//! ```sh
//! cargo run --release --example payments
//! ```
//!
//! The shop runs each payment under the key of its order. What it cannot rule out, that it dies between charging a card
//! and writing that down, the bank does: it is sent the order's key along, and knows an order that it has charged.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::future::pending;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use limited::memory::MemoryBackend;
use limited::{Claim, Clock, Idempotency, Outcome, RunError, SystemClock};
use serde::{Deserialize, Serialize};

/// What the browser sends.
#[derive(Clone, Serialize)]
struct Order {
    id: &'static str,
    card: &'static str,
    cents: u64,
}

/// What it gets back, and gets back again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    charge: String,
    cents: u64,
}

/// Why no money moves.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the card is declined")]
    Declined,
    #[error("another request for the same order is further on")]
    Overtaken,
}

/// Somebody else's machine, where money moves.
#[derive(Default)]
struct Bank {
    charges: Mutex<HashMap<&'static str, (u64, Receipt)>>,
}

impl Bank {
    /// Charges a card once for each order. A shop that was held up, and has been overtaken by another, comes with a lower
    /// number than the bank has seen, and is turned away.
    fn charge(&self, order: &Order, fencing_token: u64) -> Result<Receipt, Refused> {
        if order.cents > 100_000 {
            return Err(Refused::Declined);
        }
        let mut charges = self.charges.lock().unwrap_or_else(PoisonError::into_inner);
        let number = charges.len() + 1;
        let (highest, receipt) = charges.entry(order.id).or_insert_with(|| {
            println!("    bank: {} is charged {} cents for {}", order.card, order.cents, order.id);
            (fencing_token, Receipt { charge: format!("ch_{number}"), cents: order.cents })
        });
        match fencing_token.cmp(highest) {
            Ordering::Less => return Err(Refused::Overtaken),
            Ordering::Equal => {}
            Ordering::Greater => println!("    bank: {} is paid already, with {}", order.id, receipt.charge),
        }
        *highest = fencing_token;
        Ok(receipt.clone())
    }
}

struct Shop {
    bank: Bank,
    idempotency: Idempotency<MemoryBackend>,
}

type Paid = Result<Outcome<Receipt>, RunError<Refused, Receipt>>;

impl Shop {
    /// Charges the order's card, unless that is done, and answers with the receipt.
    async fn pay(&self, order: &Order) -> Paid {
        let charge = async |claim: Claim| {
            // The bank takes its time, so that a second click meets the first.
            SystemClock.sleep(Duration::from_millis(20)).await;
            self.bank.charge(order, claim.fencing_token())
        };
        self.idempotency.run_with(order.id, order, charge).await
    }

    /// The same, in a process that dies after the bank has charged the card, and before anybody has written it down.
    fn pay_and_die(&self, order: &Order) {
        let charge = async |claim: Claim| {
            let receipt = self.bank.charge(order, claim.fencing_token())?;
            println!("    shop: dies before {} is written down", receipt.charge);
            pending::<Result<Receipt, Refused>>().await
        };
        let mut run = pin!(self.idempotency.run_with(order.id, order, charge));
        let _never_comes = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

fn tell(click: &str, paid: &Paid) {
    match paid {
        Ok(Outcome::Executed(receipt)) => println!("    {click}: paid, {}", receipt.charge),
        Ok(Outcome::Replayed(receipt)) => println!("    {click}: was paid, {}", receipt.charge),
        Err(error) => println!("    {click}: {error}"),
    }
}

fn main() {
    // A short lease, so that the crash below is over soon. Who clicks meanwhile waits.
    let idempotency = Idempotency::new(MemoryBackend::new())
        .namespace("payments")
        .lease(Duration::from_millis(300))
        .wait_timeout(Duration::from_secs(5));
    let shop = Shop { bank: Bank::default(), idempotency };

    println!("A double click:");
    let order = Order { id: "order-981", card: "card 4242", cents: 4_200 };
    thread::scope(|scope| {
        for click in ["first click", "second click"] {
            let (shop, order) = (&shop, &order);
            scope.spawn(move || tell(click, &pollster::block_on(shop.pay(order))));
        }
    });
    tell("third click", &pollster::block_on(shop.pay(&order)));

    println!("A crash:");
    let order = Order { id: "order-982", card: "card 4242", cents: 1_700 };
    shop.pay_and_die(&order);
    tell("another click", &pollster::block_on(shop.pay(&order)));
    tell("and another", &pollster::block_on(shop.pay(&order)));

    println!("A mixed-up key:");
    let order = Order { cents: 9_900, ..order };
    tell("another amount for the same order", &pollster::block_on(shop.pay(&order)));

    println!("A declined card, and one that is not:");
    let order = Order { id: "order-983", card: "card 0002", cents: 250_000 };
    tell("a click", &pollster::block_on(shop.pay(&order)));
    let order = Order { card: "card 4242", cents: 2_500, ..order };
    tell("a click with another card, and a smaller cart", &pollster::block_on(shop.pay(&order)));
}
