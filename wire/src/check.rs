//! Conditions on replies that are counted: a reply that does not meet one has not failed.

use crate::{Class, Outcome};

/// The most checks that a run may have: each has its place in every recording.
pub const CHECKS_MAX: usize = 32;

/// A condition on each reply to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Where it is counted, below [`CHECKS_MAX`]; operations may share a place.
    pub place: usize,
    /// What is asked of the reply.
    pub condition: Condition,
}

/// What is asked of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// This HTTP status. Only HTTP has one.
    Status(u16),
    /// A GraphQL response whose `data` is there and not null. Only HTTP has one.
    Data,
    /// A reply without errors: no GraphQL error, no SQL error, no HTTP error, and complete.
    NoErrors,
    /// A complete reply, at most so long after the request was sent, in ns.
    Latency(u64),
    /// The value of the request's path check of this number
    /// ([`crate::http::Request::add_path_check`]). Only HTTP has them.
    Path(usize),
}

/// What became of a request, as far as checks ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it came to.
    pub outcome: Outcome,
    /// From sending it to its outcome, in ns.
    pub service_ns: u64,
    /// Where the protocol is HTTP.
    pub http: Option<HttpReply>,
}

/// What only HTTP has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// The status, where a head came.
    pub status: Option<u16>,
    /// Bit n is set where path check n found its value.
    pub paths: u32,
}

impl Check {
    /// Whether the reply meets the condition; `None` where the protocol has nothing to ask it of.
    pub fn passes(&self, reply: &Reply) -> Option<bool> {
        let is_complete = is_complete(reply.outcome);
        let http = reply.http;
        match self.condition {
            Condition::Status(status) => {
                http.map(|http| is_complete && http.status == Some(status))
            }
            Condition::Data => http.map(|_| has_data(reply.outcome)),
            Condition::NoErrors => Some(has_no_errors(reply.outcome)),
            Condition::Latency(most_ns) => Some(is_complete && reply.service_ns <= most_ns),
            Condition::Path(number) => {
                http.map(|http| is_complete && http.paths >> number & 1 == 1)
            }
        }
    }
}

/// Whether the whole reply came, whatever is in it.
fn is_complete(outcome: Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Failed(
            Class::Protocol
                | Class::TooLarge
                | Class::StaleConnection
                | Class::Disconnected
                | Class::ConnectFailed
                | Class::Tls
                | Class::Timeout
        )
    )
}

/// Whether `data` is there: beside errors, or with another identity than the one that was asked for.
fn has_data(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Ok => true,
        Outcome::Failed(class) => {
            matches!(class, Class::GraphqlPartial | Class::WrongReply | Class::EmptyReply)
        }
    }
}

/// Whether the reply could be read and reports no error.
fn has_no_errors(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Ok => true,
        Outcome::Failed(class) => {
            matches!(class, Class::NoData | Class::WrongReply | Class::EmptyReply)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONDITIONS: [Condition; 5] = [
        Condition::Status(200),
        Condition::Data,
        Condition::NoErrors,
        Condition::Latency(1000),
        Condition::Path(1),
    ];

    fn results(reply: Reply) -> [Option<bool>; 5] {
        CONDITIONS.map(|condition| Check { place: 0, condition }.passes(&reply))
    }

    fn http(outcome: Outcome, status: u16, paths: u32) -> Reply {
        let http = HttpReply { status: Some(status), paths };
        Reply { outcome, service_ns: 1000, http: Some(http) }
    }

    #[test]
    fn each_condition_follows_from_the_reply() {
        let failed = Outcome::Failed;
        for (reply, [status, data, no_errors, latency, path]) in [
            (http(Outcome::Ok, 200, 0b10), [true, true, true, true, true]),
            (http(Outcome::Ok, 201, 0b01), [false, true, true, true, false]),
            (http(failed(Class::GraphqlError), 200, 0), [true, false, false, true, false]),
            (http(failed(Class::GraphqlPartial), 200, 2), [true, true, false, true, true]),
            (http(failed(Class::NoData), 200, 0), [true, false, true, true, false]),
            (http(failed(Class::EmptyReply), 200, 0), [true, true, true, true, false]),
            (http(failed(Class::Unavailable), 502, 0), [false, false, false, true, false]),
            // A head came, and then not the rest.
            (http(failed(Class::Timeout), 200, 2), [false, false, false, false, false]),
            (http(failed(Class::Disconnected), 200, 2), [false, false, false, false, false]),
        ] {
            let expected = [status, data, no_errors, latency, path].map(Some);
            assert_eq!(results(reply), expected, "{reply:?}");
        }
        let late = Reply { service_ns: 1001, ..http(Outcome::Ok, 200, 2) };
        assert_eq!(results(late)[3], Some(false));
    }

    #[test]
    fn sql_is_not_asked_for_what_only_http_has() {
        let reply = Reply { outcome: Outcome::Ok, service_ns: 0, http: None };
        assert_eq!(results(reply), [None, None, Some(true), Some(true), None]);
        let reply = Reply { outcome: Outcome::Failed(Class::Sql), ..reply };
        assert_eq!(results(reply), [None, None, Some(false), Some(true), None]);
    }
}
