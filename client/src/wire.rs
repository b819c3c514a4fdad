//! The connections of a client: three, so that KeepAlives never wait behind anything, and unread news block no calls.

use crate::Error;
use crate::proto::admin_service_client::AdminServiceClient;
use crate::proto::election_service_client::ElectionServiceClient;
use crate::tenure::Tenure;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is probed with an HTTP/2 ping, idle or not.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to that ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the answer to one call may take; also the first message of a stream.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The server sends something on each stream every 20 s. A stream that was silent for longer than two of these is dead.
pub(crate) const LONGEST_SILENCE: Duration = Duration::from_secs(45);

/// One connection, replaced when it stays silent: a connection whose packets vanish looks alive until its ping times out,
/// which is too late for a leader.
#[derive(Debug)]
pub(crate) struct Wire {
    endpoint: Endpoint,
    current: Mutex<(Channel, u64)>,
}

impl Wire {
    fn new(endpoint: Endpoint) -> Self {
        let current = Mutex::new((endpoint.connect_lazy(), 0));
        Self { endpoint, current }
    }

    /// The connection, and its number for [`Wire::replace`].
    fn channel(&self) -> (Channel, u64) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives up this connection, unless somebody else did so before. Streams that are open on it stay.
    fn replace(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1 == number {
            *current = (self.endpoint.connect_lazy(), number + 1);
        }
    }

    /// Makes one call. If no answer comes in time, the next call goes over a new connection.
    pub(crate) async fn call<T, F>(
        &self,
        what: &str,
        patience: Duration,
        call: impl FnOnce(ElectionServiceClient<Channel>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let (channel, number) = self.channel();
        let Ok(answer) = tokio::time::timeout(patience, call(ElectionServiceClient::new(channel))).await else {
            self.replace(number);
            return Err(Error::silent(what));
        };
        Ok(answer?.into_inner())
    }

    /// The same for the service of operators.
    pub(crate) async fn admin<T, F>(
        &self,
        what: &str,
        call: impl FnOnce(AdminServiceClient<Channel>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let (channel, number) = self.channel();
        let Ok(answer) = tokio::time::timeout(CALL_TIMEOUT, call(AdminServiceClient::new(channel))).await else {
            self.replace(number);
            return Err(Error::silent(what));
        };
        Ok(answer?.into_inner())
    }
}

/// All that the calls of one client share.
#[derive(Debug)]
pub(crate) struct Wires {
    /// For calls and the streams of candidacies.
    pub(crate) calls: Wire,
    /// For KeepAlives alone.
    pub(crate) keeper: Wire,
    /// For observers: one that is not read may hold up its connection.
    pub(crate) news: Wire,
    pub(crate) tenure: Tenure,
}

impl Wires {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        let wire = || Wire::new(endpoint.clone());
        Self { calls: wire(), keeper: wire(), news: wire(), tenure: Tenure::default() }
    }

    /// The same, with the first connection made already.
    pub(crate) async fn connected(endpoint: &Endpoint) -> Result<Self, Error> {
        let channel = endpoint.connect().await.map_err(|error| {
            let status = Status::from_error(Box::new(error));
            match Error::from(status) {
                Error::Unreachable { detail } => Error::Unreachable { detail: format!("{}: {detail}", endpoint.uri()) },
                other => other,
            }
        })?;
        let mut wires = Self::new(endpoint);
        wires.calls.current = Mutex::new((channel, 0));
        Ok(wires)
    }
}

/// The settings of every connection.
pub(crate) fn endpoint(address: String) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(address.clone())
        .map_err(|error| Error::Invalid { what: "the endpoint", detail: format!("{address:?}: {error}") })?;
    if endpoint.uri().scheme_str() != Some("http") {
        let detail = format!("{address:?}: give it as http://HOST:PORT");
        return Err(Error::Invalid { what: "the endpoint", detail });
    }
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true))
}
