//! Secured sessions against a TLS server in memory.

mod faults;
mod handshake;
mod modes;
mod server;
