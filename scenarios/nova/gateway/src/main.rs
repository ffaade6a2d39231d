//! A GraphQL server over Postgres, the system under test of the nova scenario.
//!
//! Every GraphQL operation is one SQL statement ([`statements`]), so that what the gateway costs
//! can be told from what the database costs.

mod auth;
mod database;
mod hs256;
mod metrics;
mod model;
mod mutation;
mod options;
mod query;
mod routes;
mod schema;
mod server;
mod statements;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use crate::auth::Tokens;
use crate::database::Database;
use crate::metrics::Metrics;
use crate::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads.get())
        .enable_all()
        .build();
    let served = runtime.map_err(Into::into).and_then(|runtime| {
        let served = runtime.block_on(serve(options));
        // A login may still be hashing on a blocking thread: do not wait for it.
        runtime.shutdown_timeout(Duration::ZERO);
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "nova-gateway: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let metrics = Arc::new(Metrics::default());
    let tokens = Tokens::new(options.jwt_secret.as_bytes());
    let root_cert = options.database_root_cert.as_deref();
    let size = options.pool_size.get();
    let database = Database::new(&options.database, root_cert, size, metrics.clone())?;
    database.fill().await?;

    let listener = server::bind(options.listen).await?;
    let stop = server::stop_signal()?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    server::run(listener, routes::router(database, tokens, metrics), stop).await?;
    Ok(())
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
