//! GraphQL over HTTP/1.1 (RFC 9112): requests with holes, replies read as they come.

mod chunked;
mod expect;
mod graphql;
mod head;
mod json;
mod known;
mod nesting;
mod number;
mod request;
mod server_timing;
mod session;

pub use expect::{Expect, ExpectError};
pub use request::{Request, RequestError};
pub use server_timing::ServerTiming;
pub use session::Session;
