//! A null server as a target, and loads of one stream.

use std::sync::Arc;

use socket2::SockAddr;
use wire::http::Request;
use wire::postgres::{Login, Parameter, Protocol, Statement};
use wire::tls::Begin;
use wire::{Operation, Piece, Template};

use super::{Speaks, tls};
use crate::{Generator, Load, Mix, MixEntry, Opening, Phase, SECOND, Script, Stream, Target};

/// One operation with one number: a GraphQL query for a user, or a prepared statement.
pub fn target(address: SockAddr, speaks: Speaks, connections: u32) -> Target {
    let (opening, request) = match speaks {
        Speaks::Http | Speaks::Https => {
            let query = r#"{"query":"query GetUser($id: Int!) { user(id: $id) { id username } }","#;
            let body = Template::new(vec![
                Piece::Bytes(format!("{query}\"variables\":{{\"id\":").as_bytes().into()),
                Piece::Hole(0),
                Piece::Bytes(b"}}".as_slice().into()),
            ]);
            let request = Request::new("/graphql", "peer", body).expect("well-formed");
            (Opening::Http, wire::Request::Http(request))
        }
        Speaks::Postgres | Speaks::SecuredPostgres => {
            let parameters = [Parameter { hole: 0, type_oid: 20 }];
            let statement = Statement::new("SELECT $1", &parameters, Protocol::Prepared, "one");
            let login = Login::new("nova", "nova", "poolbench", None).expect("well-formed");
            let request = wire::Request::Postgres(statement.expect("well-formed"));
            (Opening::Postgres(Arc::new(login)), request)
        }
    };
    let opening = match speaks {
        Speaks::Https => Opening::Secured(tls::client(Begin::Https), Box::new(opening)),
        Speaks::SecuredPostgres => Opening::Secured(tls::client(Begin::Require), Box::new(opening)),
        Speaks::Http | Speaks::Postgres => opening,
    };
    Target {
        name: "null".into(),
        address,
        opening,
        operations: [Operation {
            name: "one".into(),
            idempotent: true,
            request,
            checks: Vec::new(),
        }]
        .into(),
        connections,
        connections_max: connections,
        opening_at_once: 64,
        timeout_ns: 20 * SECOND,
    }
}

/// A load on the only target, with numbers that count up.
pub fn stream(load: Load) -> Stream {
    let entry = MixEntry { weight: 1, generators: vec![Generator::Sequence(1)] };
    Stream {
        target: 0,
        script: Script::Mix(Arc::new(Mix::new(vec![entry]).expect("one entry"))),
        load,
        think_time_ns: (0, 0),
        start_ns: 0,
        graceful_stop_ns: 20 * SECOND,
        reconnect: false,
        cancel: None,
        seed: 1,
    }
}

/// A phase of one stream, whose arrivals wait for as long as its requests may take.
pub fn phase(stream: Stream) -> Phase {
    let mut phase = Phase::new(vec![stream]).expect("a load that makes sense");
    phase.drain_ns = 20 * SECOND;
    phase
}
