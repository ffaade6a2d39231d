//! Every executor in virtual time: what is sent when, against what it should be, exactly.

mod ceiling;
mod endings;
mod intervals;
mod rig;
mod schedules;
mod streams;
