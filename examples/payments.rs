//! A payment that survives a double click and a crash.
//!
//! ```sh
//! cargo run --release --example payments --features idempotency
//! ```
//!
//! The shop runs each payment under the key of its order. It may crash after it has charged a card
//! and before the charge is recorded. The bank covers that case: it gets the key of the order with
//! each charge, and recognises an order that it has charged.

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

/// The request of the browser.
#[derive(Clone, Serialize)]
struct Order {
    id: &'static str,
    card: &'static str,
    cents: u64,
}

/// The response to the browser, also when it sends the request again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    charge: String,
    cents: u64,
}

/// Why the bank charges nothing.
#[derive(Debug, thiserror::Error)]
enum Rejected {
    #[error("the card is declined")]
    Declined,
    #[error("a newer claim has taken over this order")]
    TakenOver,
}

/// The bank, which is an external system.
#[derive(Default)]
struct Bank {
    charges: Mutex<HashMap<&'static str, (u64, Receipt)>>,
}

impl Bank {
    /// Charges a card once per order. Rejects a fencing token lower than the highest seen: its
    /// sender was delayed, and another has taken over.
    fn charge(&self, order: &Order, fencing_token: u64) -> Result<Receipt, Rejected> {
        if order.cents > 100_000 {
            return Err(Rejected::Declined);
        }
        let mut charges = self.charges.lock().unwrap_or_else(PoisonError::into_inner);
        let number = charges.len() + 1;
        let (highest, receipt) = charges.entry(order.id).or_insert_with(|| {
            println!("    bank: charges {} with {} cents for {}", order.card, order.cents, order.id);
            (fencing_token, Receipt { charge: format!("ch_{number}"), cents: order.cents })
        });
        match fencing_token.cmp(highest) {
            Ordering::Less => return Err(Rejected::TakenOver),
            Ordering::Equal => {}
            Ordering::Greater => println!("    bank: {} is already paid by {}", order.id, receipt.charge),
        }
        *highest = fencing_token;
        Ok(receipt.clone())
    }
}

struct Shop {
    bank: Bank,
    idempotency: Idempotency<MemoryBackend>,
}

type PaymentResult = Result<Outcome<Receipt>, RunError<Rejected, Receipt>>;

impl Shop {
    /// Charges the card of the order once, and returns the receipt.
    async fn pay(&self, order: &Order) -> PaymentResult {
        let charge = async |claim: Claim| {
            // The bank is slow, so that a second click arrives during the first.
            SystemClock.sleep(Duration::from_millis(20)).await;
            self.bank.charge(order, claim.fencing_token())
        };
        self.idempotency.run_with(order.id, order, charge).await
    }

    /// Does the same in a process that crashes after the bank has charged the card and before the
    /// charge is recorded.
    fn pay_and_crash(&self, order: &Order) {
        let charge = async |claim: Claim| {
            let receipt = self.bank.charge(order, claim.fencing_token())?;
            println!("    shop: crashes before it records {}", receipt.charge);
            pending::<Result<Receipt, Rejected>>().await
        };
        let mut run = pin!(self.idempotency.run_with(order.id, order, charge));
        let _pending = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

fn print(click: &str, result: &PaymentResult) {
    match result {
        Ok(Outcome::Executed(receipt)) => println!("    {click}: paid with {}", receipt.charge),
        Ok(Outcome::Replayed(receipt)) => println!("    {click}: was already paid with {}", receipt.charge),
        Err(error) => println!("    {click}: {error}"),
    }
}

fn main() {
    // A short lease, so that the example does not wait long after the crash. A second click waits
    // for the first.
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
            scope.spawn(move || print(click, &pollster::block_on(shop.pay(order))));
        }
    });
    print("third click", &pollster::block_on(shop.pay(&order)));

    println!("A crash:");
    let order = Order { id: "order-982", card: "card 4242", cents: 1_700 };
    shop.pay_and_crash(&order);
    print("next click", &pollster::block_on(shop.pay(&order)));
    print("last click", &pollster::block_on(shop.pay(&order)));

    println!("The same key for two requests:");
    let order = Order { cents: 9_900, ..order };
    print("another amount for the same order", &pollster::block_on(shop.pay(&order)));

    println!("A declined card, and then a smaller order with another card:");
    let order = Order { id: "order-983", card: "card 0002", cents: 250_000 };
    print("first card", &pollster::block_on(shop.pay(&order)));
    let order = Order { card: "card 4242", cents: 2_500, ..order };
    print("second card", &pollster::block_on(shop.pay(&order)));
}
