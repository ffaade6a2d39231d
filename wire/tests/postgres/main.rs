//! The Postgres protocol against a scripted server.

mod batches;
mod peer;
mod properties;
mod scripts;
mod session;
