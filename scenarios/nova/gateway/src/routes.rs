//! HTTP: the routes, and the check at the door.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::{Request, Response, ServerError};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::json;

use crate::auth::{Tokens, is_login};
use crate::database::{self, Database};
use crate::metrics::Metrics;
use crate::schema::{self, NovaSchema};

#[derive(Clone)]
struct Gateway {
    schema: NovaSchema,
    tokens: Arc<Tokens>,
    database: Database,
    metrics: Arc<Metrics>,
}

/// All routes.
pub(crate) fn router(database: Database, tokens: Tokens, metrics: Arc<Metrics>) -> Router {
    let tokens = Arc::new(tokens);
    let schema = schema::build(database.clone(), tokens.clone());
    Router::new()
        .route("/graphql", post(graphql))
        .route("/health", get(health))
        .route("/metrics", get(exposition))
        .with_state(Gateway { schema, tokens, database, metrics })
}

async fn graphql(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> axum::response::Response {
    let started = Instant::now();
    let answered = async {
        match body {
            Ok(body) => gateway.answer(&headers, &body).await,
            Err(rejection) => (rejection.status(), failure(rejection.body_text())),
        }
    };
    let ((status, response), database) = database::timed(answered).await;
    let mut answer = encode(status, &response);
    if let Ok(timing) = HeaderValue::try_from(server_timing(started.elapsed(), database)) {
        answer.headers_mut().insert("server-timing", timing);
    }
    if !response.errors.is_empty() {
        gateway.metrics.errors.increment();
    }
    gateway.metrics.requests.increment();
    answer
}

impl Gateway {
    async fn answer(&self, headers: &HeaderMap, body: &[u8]) -> (StatusCode, Response) {
        let mut request: Request = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => {
                let message = format!("not a GraphQL request: {error}");
                return (StatusCode::BAD_REQUEST, failure(message));
            }
        };
        let authorization = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        match self.tokens.caller(authorization) {
            Ok(caller) => request = request.data(caller),
            Err(_) if request.parsed_query().is_ok_and(is_login) => {}
            Err(denied) => return (StatusCode::UNAUTHORIZED, failure(denied.to_string())),
        }
        (StatusCode::OK, self.schema.execute(request).await)
    }
}

/// Answers without the database, so that asking does not spoil the count of statements.
async fn health() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#)
}

async fn exposition(State(gateway): State<Gateway>) -> impl IntoResponse {
    let text = gateway.metrics.exposition(&gateway.database.status());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

fn failure(message: String) -> Response {
    Response::from_errors(vec![ServerError::new(message, None)])
}

/// All of a request's time, and the database's of it, in ms (W3C Server Timing).
fn server_timing(total: Duration, database: Duration) -> String {
    let [total, database] = [total, database].map(|time| time.as_secs_f64() * 1000.0);
    format!("total;dur={total:.3}, db;dur={database:.3}")
}

/// The answer as HTTP. One that never came to be executed has errors and no data.
fn encode(status: StatusCode, response: &Response) -> axum::response::Response {
    let body = match status {
        StatusCode::OK => serde_json::to_vec(response),
        _ => serde_json::to_vec(&json!({ "errors": response.errors })),
    };
    let json = [(CONTENT_TYPE, "application/json")];
    match body {
        Ok(body) if status == StatusCode::UNAUTHORIZED => {
            (status, json, [(WWW_AUTHENTICATE, "Bearer")], body).into_response()
        }
        Ok(body) => (status, json, body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    const FEED: &str = "query Feed($limit: Int! = 20) { feed(limit: $limit) { id } }";

    /// A gateway whose database refuses every connection.
    struct Server {
        router: Router,
        metrics: Arc<Metrics>,
        bearer: String,
    }

    impl Server {
        fn new() -> Self {
            let metrics = Arc::new(Metrics::default());
            let database =
                Database::new("host=127.0.0.1 port=1 user=nova", None, 2, metrics.clone()).unwrap();
            let tokens = Tokens::new(b"secret");
            let bearer = format!("Bearer {}", tokens.issue(42).unwrap());
            Self { router: router(database, tokens, metrics.clone()), metrics, bearer }
        }

        async fn send(&self, request: Request<Body>) -> (u16, String) {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }

        async fn post(&self, bearer: Option<&str>, body: String) -> (u16, String) {
            let mut request = Request::post("/graphql");
            if let Some(bearer) = bearer {
                request = request.header(AUTHORIZATION, bearer);
            }
            self.send(request.body(body.into()).unwrap()).await
        }
    }

    fn query(query: &str, variables: Value) -> String {
        json!({ "query": query, "variables": variables }).to_string()
    }

    fn first_message(body: &str) -> String {
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(body["data"].is_null(), "{body}");
        body["errors"][0]["message"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn without_a_good_token_the_answer_is_401() {
        let server = Server::new();
        let cases = [
            (None, "token missing: send \"Authorization: Bearer JWT\""),
            (Some("Bearer a.b.c"), "token invalid"),
        ];
        for (bearer, reason) in cases {
            for document in [FEED, "{ __typename }", "{ not even graphql"] {
                let (status, body) = server.post(bearer, query(document, json!({}))).await;
                assert_eq!((status, first_message(&body).as_str()), (401, reason), "{document}");
            }
        }
        assert_eq!(server.metrics.requests.value(), 6);
        assert_eq!(server.metrics.errors.value(), 6);
        assert_eq!(server.metrics.statements.value(), 0);
    }

    #[tokio::test]
    async fn a_login_passes_without_a_token() {
        let server = Server::new();
        let login = r#"mutation { login(username: "user1", password: "nova") { token } }"#;
        let (status, body) = server.post(None, query(login, json!({}))).await;
        assert_eq!((status, first_message(&body).as_str()), (200, "database connection failed"));
    }

    #[tokio::test]
    async fn every_answer_says_how_long_it_took() {
        let server = Server::new();
        let request = Request::post("/graphql").body(Body::from("{")).unwrap();
        let response = server.router.clone().oneshot(request).await.unwrap();
        let timing = response.headers()["server-timing"].to_str().unwrap();
        assert!(timing.starts_with("total;dur=") && timing.ends_with("db;dur=0.000"), "{timing}");
        let times = [Duration::from_micros(12_345), Duration::from_nanos(700)];
        assert_eq!(server_timing(times[0], times[1]), "total;dur=12.345, db;dur=0.001");
    }

    #[tokio::test]
    async fn a_limit_out_of_range_never_reaches_the_database() {
        let server = Server::new();
        for limit in [0, 101] {
            let body = query(FEED, json!({ "limit": limit }));
            let (status, body) = server.post(Some(&server.bearer), body).await;
            let expected = format!("limit must be from 1 to 100, not {limit}");
            assert_eq!((status, first_message(&body)), (200, expected));
        }
        assert_eq!(server.metrics.statements.value(), 0);
    }

    #[tokio::test]
    async fn a_body_that_is_no_request_is_refused() {
        let server = Server::new();
        for body in ["", "{", r#"{"query": 1}"#, r#"[{"query": "{ feed { id } }"}]"#] {
            let (status, answer) = server.post(Some(&server.bearer), body.into()).await;
            assert_eq!(status, 400, "{body} {answer}");
            assert!(first_message(&answer).starts_with("not a GraphQL request: "), "{answer}");
        }
    }

    #[tokio::test]
    async fn health_and_metrics_answer_without_a_database() {
        let server = Server::new();
        let get = |path| server.send(Request::get(path).body(Body::empty()).unwrap());
        assert_eq!(get("/health").await, (200, r#"{"status":"ok"}"#.into()));
        let (status, text) = get("/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("\nnova_graphql_requests_total 0\n"), "{text}");
        assert_eq!(get("/graphql").await.0, 405);
    }
}
