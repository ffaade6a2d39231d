//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;

/// A GraphQL server over Postgres: one SQL statement per operation.
///
/// POST /graphql needs `Authorization: Bearer JWT` (HS256; `sub` is the user's id, `exp` is
/// required); the login mutation alone is answered without and hands out such a token.
/// GET /health never touches the database. GET /metrics is Prometheus text.
///
/// It opens every database connection before it listens, prints one line
/// `listening on http://ADDR` once it does, and stops within a second of SIGTERM or SIGINT.
#[derive(Debug, Parser)]
#[command(name = "nova-gateway", version)]
pub(crate) struct Options {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, env = "NOVA_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:4000")]
    pub(crate) listen: SocketAddr,

    /// Where Postgres or PgBouncer is: a URI or key=value pairs, as libpq writes them.
    ///
    /// With a password in it, use the variable: arguments show in ps. TLS with sslmode=require and
    /// --database-root-cert.
    #[arg(
        long,
        env = "NOVA_DATABASE",
        value_name = "CONNINFO",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) database: String,

    /// File with the certificates that may have signed the database's, which must be for its host.
    #[arg(long, env = "NOVA_DATABASE_ROOT_CERT", value_name = "FILE")]
    pub(crate) database_root_cert: Option<PathBuf>,

    /// Secret that signs and verifies tokens. Use the variable: arguments show in ps.
    #[arg(
        long,
        env = "NOVA_JWT_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) jwt_secret: String,

    /// Database connections, all opened at the start and kept.
    #[arg(long, env = "NOVA_POOL_SIZE", value_name = "N", default_value = "50")]
    pub(crate) pool_size: NonZeroUsize,

    /// Threads that serve requests.
    #[arg(long, env = "NOVA_THREADS", value_name = "N", default_value = "2")]
    pub(crate) threads: NonZeroUsize,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }
}
