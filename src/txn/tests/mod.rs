//! Transactions over a storage that writes down every call, fails where it is told to, and can lose power.

mod crash;
mod faults;
mod fixture;
mod power_cut;
mod sharing;
