//! HTTP/1.1 and GraphQL through the public interface. Every conversation is played with its bytes
//! cut at every place, and must come out the same.

mod checks;
mod connection;
mod graphql;
mod peer;
mod properties;
mod requests;
