//! The Postgres protocol, version 3.0 (Postgres manual, chapter 55 "Frontend/Backend Protocol").

mod batch;
mod error;
mod fallback;
mod login;
mod message;
mod method;
mod parameters;
mod preparation;
mod reply;
mod rows;
mod session;
mod sql;
mod statement;

pub use batch::{Batch, Pipeline};
pub use fallback::Fallback;
pub(crate) use login::Channel;
pub use login::{ChannelBinding, Login, LoginError};
pub use method::Method;
pub use parameters::Parameters;
pub use rows::{ResultRows, Rows};
pub use session::Session;
pub use sql::{Command, Token, Tokens, commands, renumbered};
pub use statement::{Parameter, Protocol, Statement, StatementError, parameter_type};
