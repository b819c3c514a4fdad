//! Calls over one connection at a time, which is replaced when there is a better one.

use super::active_hint;
use super::connection::{ConnectionNumber, Pings, Reconnecting};
use super::failover::Failover;
use super::fault::Fault;
use super::grpc_only::GrpcOnly;
use super::status::error_of;
use super::stream::Break;
use super::tenure::Tenured;
use crate::clock;
use crate::error::Error;
use crate::proto::GetStatusRequest;
use crate::proto::admin_service_client::AdminServiceClient;
use crate::proto::election_service_client::ElectionServiceClient;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Response, Status};

/// How long the answer to one call may take; also the first message of a stream.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a call was answered with, and over which connection.
#[derive(Debug)]
pub(crate) struct Opened<T> {
    pub(crate) answer: T,
    pub(crate) connection: ConnectionNumber,
}

/// Makes calls, and judges what is answered.
#[derive(Debug)]
pub(crate) struct Caller {
    failover: Arc<Failover>,
    pub(super) connection: Reconnecting,
}

impl Caller {
    pub(super) fn new(failover: &Arc<Failover>, pings: Option<Pings>) -> Self {
        Self { failover: Arc::clone(failover), connection: Reconnecting::new(Arc::clone(failover), pings) }
    }

    /// Makes the connection, and asks who is there, so that it is up before it is needed.
    pub(crate) async fn open_ahead(&self) -> Result<(), Error> {
        let call =
            |mut client: AdminServiceClient<GrpcOnly>| async move { client.get_status(GetStatusRequest {}).await };
        match self.admin("GetStatus", call).await {
            Err(error @ Error::Unreachable { .. }) => Err(error),
            // A refusal is an answer as well.
            _ => Ok(()),
        }
    }

    /// Makes one call. The next call goes over another connection if no answer comes in time, or an
    /// answer that another replica would not give.
    pub(crate) async fn call<T: Tenured, F>(
        &self,
        name: &str,
        patience: Duration,
        call: impl FnOnce(ElectionServiceClient<GrpcOnly>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        Ok(self.open(name, patience, call).await?.answer)
    }

    /// Opens a stream, as [`Caller::call`] makes a call.
    pub(crate) async fn open<T: Tenured, F>(
        &self,
        name: &str,
        patience: Duration,
        call: impl FnOnce(ElectionServiceClient<GrpcOnly>) -> F,
    ) -> Result<Opened<T>, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.exchange(name, patience, |channel| call(ElectionServiceClient::new(channel))).await
    }

    /// Makes one call of the service of operators, as [`Caller::call`] does.
    pub(crate) async fn admin<T: Tenured, F>(
        &self,
        name: &str,
        call: impl FnOnce(AdminServiceClient<GrpcOnly>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        Ok(self.exchange(name, CALL_TIMEOUT, |channel| call(AdminServiceClient::new(channel))).await?.answer)
    }

    async fn exchange<T: Tenured, F>(
        &self,
        name: &str,
        patience: Duration,
        call: impl FnOnce(GrpcOnly) -> F,
    ) -> Result<Opened<T>, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let connection = self.connection.get();
        let Ok(answer) = tokio::time::timeout(patience, call(connection.channel.clone())).await else {
            self.connection.leave(connection.number, Fault::Silent);
            return Err(Error::silent(name));
        };
        let metadata = answer.as_ref().map_or_else(Status::metadata, Response::metadata);
        let active = active_hint::target(metadata, &connection.target);
        let result = answer.map_err(error_of).and_then(|answer| self.admit(answer.into_inner()));
        if let Some(fault) = result.as_ref().err().and_then(Fault::of) {
            self.connection.leave(connection.number, fault);
        }
        // After the connection was left: an address that has just refused a call isn't followed.
        if let Some(target) = active {
            self.connection.follow(target);
        }
        Ok(Opened { answer: result?, connection: connection.number })
    }

    /// Refuses what a replica says that has been replaced.
    fn admit<T: Tenured>(&self, answer: T) -> Result<T, Error> {
        answer.tenure().map_or(Ok(()), |tenure| self.failover.tenure.admit(tenure, clock::now()))?;
        Ok(answer)
    }

    /// A stream broke that was opened on this connection.
    pub(crate) fn broke(&self, connection: ConnectionNumber, broken: &Break) {
        if let Some(fault) = Fault::of(&broken.error) {
            self.connection.broke(connection, fault, broken.connection);
        }
    }
}
