//! The servers under load, all on the servers' core, all gone when they are dropped.

mod daemon;
mod http;
mod nginx;
mod null_postgres;
mod own;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;

pub(crate) use http::Http;
pub(crate) use nginx::Nginx;
pub(crate) use null_postgres::NullPostgres;
pub(crate) use own::{Holds, Notes, Own};
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use postgres::Postgres;
