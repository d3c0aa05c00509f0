//! The mock: without faults it keeps the contract, with faults it does what a test injects.

mod calls;
mod claims;
mod common;
mod counters;
mod every_operation;
mod faults;
mod gate;
mod repeated_writes;
mod several;
