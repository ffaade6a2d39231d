//! The protocols of a GraphQL stack without sockets or clocks: bytes in, outcomes out.
//!
//! A [`Session`] is one connection's protocol state. Whoever owns the socket calls
//! [`Session::open`] once when the transport is up, then [`Session::request`] for one request at a
//! time, and hands every received byte to [`Session::receive`]. How the bytes were cut by the
//! network never changes what comes out.
//!
//! There is no I/O, no clock and no `unsafe` here, and nothing is allocated once a connection has
//! seen its largest request and reply. Three exceptions: postgres-protocol draws the SCRAM nonce at
//! login, rustls draws its keys in the TLS handshake, and rustls allocates a buffer for each record
//! that it seals or opens. The wall clock, for the times in certificates, is the caller's
//! ([`tls::TimeProvider`]).
#![forbid(unsafe_code)]

mod check;
mod counts;
pub mod http;
mod operation;
mod outcome;
pub mod postgres;
mod session;
pub mod tls;

pub use check::{CHECKS_MAX, Check, Condition, HttpReply, Reply};
pub use counts::Counts;
pub use operation::{Kind, Operation, Piece, Request, Template, Values};
pub use outcome::{Class, Code, Failure, Outcome};
pub use session::{Progress, Session};
