//! The API server's HTTP.

use super::faults::Fault;
use super::{Etcd, LEASES, Refused};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use futures::stream;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use turmoil::net::TcpListener;

const PORT: u16 = 6443;
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

/// The API server's process.
pub(crate) async fn serve(etcd: Etcd) -> turmoil::Result {
    let router = Router::new()
        .route(LEASES, get(list).post(|state, body| create(LEASES, state, body)))
        .route(&format!("{LEASES}/{{name}}"), get(|state, name| read(LEASES, state, name)))
        .route(&format!("{LEASES}/{{name}}"), put(replace))
        .route(SECRETS, post(|state, body| create(SECRETS, state, body)))
        .route(&format!("{SECRETS}/{{name}}"), get(|state, name| read(SECRETS, state, name)))
        .route(EVENTS, post(|state, body| create(EVENTS, state, body)))
        .with_state(etcd);
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        tokio::spawn(connection);
    }
}

async fn read(collection: &'static str, State(etcd): State<Etcd>, Path(name): Path<String>) -> Response {
    asked(etcd, move |etcd| etcd.get(collection, &name)).await
}

async fn create(collection: &'static str, State(etcd): State<Etcd>, Json(object): Json<Value>) -> Response {
    asked(etcd, move |etcd| {
        etcd.state().writes += u64::from(collection == LEASES);
        etcd.create(collection, object)
    })
    .await
}

async fn replace(State(etcd): State<Etcd>, Path(name): Path<String>, Json(object): Json<Value>) -> Response {
    asked(etcd, move |etcd| {
        etcd.state().writes += 1;
        etcd.replace(LEASES, &name, object)
    })
    .await
}

/// Does what is asked, or what happens instead.
async fn asked(etcd: Etcd, what: impl FnOnce(&Etcd) -> Result<Value, Refused> + Send + 'static) -> Response {
    match etcd.fault() {
        None => answer(what(&etcd)),
        Some(Fault::Refused(refused)) => answer(Err(refused)),
        Some(Fault::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            answer(what(&etcd))
        }
        Some(Fault::Unanswered) => {
            let _ = what(&etcd);
            std::future::pending().await
        }
        Some(Fault::Belated(wait)) => {
            // The handler ends with its connection; this doesn't.
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                what(&etcd)
            });
            std::future::pending().await
        }
    }
}

fn answer(result: Result<Value, Refused>) -> Response {
    match result {
        Ok(object) => Json(object).into_response(),
        Err(Refused(code, reason)) => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
            (StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(status)).into_response()
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    field_selector: Option<String>,
    #[serde(default)]
    watch: bool,
    resource_version: Option<String>,
    timeout_seconds: Option<u64>,
}

async fn list(State(etcd): State<Etcd>, Query(query): Query<ListQuery>) -> Response {
    let name = query.field_selector.as_deref().and_then(|selector| selector.strip_prefix("metadata.name="));
    let name = name.map(str::to_owned);
    if !query.watch {
        return asked(etcd, move |etcd| {
            let (items, version) = etcd.list(LEASES, name.as_deref());
            let metadata = json!({"resourceVersion": version.to_string()});
            Ok(json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata, "items": items}))
        })
        .await;
    }
    match etcd.fault() {
        Some(Fault::Refused(refused)) => return answer(Err(refused)),
        Some(Fault::Unanswered | Fault::Belated(_)) => std::future::pending().await,
        Some(Fault::Slow(wait)) => tokio::time::sleep(wait).await,
        None => {}
    }
    let from = query.resource_version.and_then(|version| version.parse().ok()).unwrap_or(0);
    let life = Duration::from_secs(query.timeout_seconds.unwrap_or(300));
    let end = tokio::time::Instant::now() + life;
    let era = etcd.state().era;
    let watch = Watch { etcd, name, version: from, end, era };
    Body::from_stream(stream::unfold(watch, Watch::next)).into_response()
}

struct Watch {
    etcd: Etcd,
    name: Option<String>,
    version: u64,
    end: tokio::time::Instant,
    era: u64,
}

impl Watch {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            let etcd = self.etcd.clone();
            let mut changed = std::pin::pin!(etcd.changed.notified());
            changed.as_mut().enable();
            if let Some(line) = self.poll()? {
                return Some((Ok(Bytes::from(format!("{line}\n"))), self));
            }
            tokio::time::timeout_at(self.end, changed).await.ok()?;
        }
    }

    /// The next line, if there is one; `None` at the end.
    fn poll(&mut self) -> Option<Option<Value>> {
        let state = self.etcd.state();
        if state.era != self.era {
            return None;
        }
        let oldest = state.changes.first().map_or(0, |change| change.version);
        if self.version + 1 < oldest && state.changes.len() == super::CHANGES {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version"});
            self.version = u64::MAX;
            return Some(Some(json!({"type": "ERROR", "object": status})));
        }
        let is_next = |change: &&super::Change| {
            change.version > self.version
                && change.collection == LEASES
                && self.name.as_ref().is_none_or(|name| change.object["metadata"]["name"] == **name)
        };
        let change = state.changes.iter().find(is_next);
        let line = change.map(|change| (change.version, json!({"type": change.kind, "object": change.object})));
        Some(line.map(|(version, line)| {
            self.version = version;
            line
        }))
    }
}
