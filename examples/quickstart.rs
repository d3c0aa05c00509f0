//! The ten lines of the README: five requests a minute, and the sixth gets a waiting time.

use limited::memory::MemoryBackend;
use limited::{Limiter, Quota};

fn main() -> Result<(), limited::Error> {
    let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_minute(5));
    for request in 1..=6 {
        let decision = limiter.allow_now("tenant:42:user:7")?;
        if decision.is_allowed() {
            println!("request {request}: allowed, {} left", decision.remaining());
        } else {
            println!("request {request}: refused, retry after {:?}", decision.retry_after());
        }
    }
    Ok(())
}
