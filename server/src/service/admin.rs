//! `leasehold.v1.AdminService`.

use super::convert::{duration, number};
use super::election::mismatch;
use super::{Context, ReplicaNames};
use crate::access::audit;
use crate::caller::Caller;
use crate::clock;
use crate::errors::{Refusal, shown};
use crate::handle::Answered;
use leasehold_core::{Active, Ask, ElectionName, FencingToken, Millis, Reply, Subject};
use leasehold_policy::{BadVerb, Verb};
use leasehold_proto::v1;
use leasehold_proto::v1::admin_service_server::AdminService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service for operators.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub(crate) Arc<Context>);

impl Admin {
    async fn status(&self, caller: &Caller) -> Result<v1::GetStatusResponse, Refusal> {
        let Answered { tenure, reply, .. } = self.0.handle.ask(caller, Ask::Status).await?;
        let Reply::Status(status) = reply else { return Err(mismatch()) };
        let active = status.tenure.is_some();
        let ReplicaNames { replica, lease } = self.0.names.clone();
        let followed = self.0.active.borrow().clone();
        Ok(v1::GetStatusResponse {
            tenure: number(tenure),
            role: if active { v1::Role::Active } else { v1::Role::Standby }.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tenure_age: active.then(|| duration(status.age)),
            settling: (status.settling.0 > 0).then(|| duration(status.settling)),
            max_ttl: prost_types::Duration::try_from(self.0.max_ttl).ok(),
            elections: status.elections as u64,
            candidacies: status.candidacies as u64,
            leaders: status.leaders as u64,
            observers: self.0.observers.count() as u64,
            revision: status.revision.0,
            replica,
            lease,
            active: followed.map(|Active { tenure, address }| v1::ActiveReplica {
                tenure: number(tenure),
                address: address.to_string(),
            }),
            mirrored: status.mirrored as u64,
        })
    }

    async fn end_leadership(
        &self,
        caller: &Caller,
        request: v1::StepDownRequest,
    ) -> Result<v1::StepDownResponse, Refusal> {
        let only = (request.fencing_token != 0).then_some(FencingToken(request.fencing_token));
        let election = ElectionName::new(&request.election)?;
        self.0.access.check(caller, Verb::StepDown, election.as_str())?;
        let ask = Ask::StepDown(election.clone(), only);
        let Answered { tenure, reply, .. } = self.0.handle.ask(caller, ask).await?;
        let Reply::SteppingDown { token, remaining } = reply else { return Err(mismatch()) };
        audit::stepped_down(caller, &election, token);
        Ok(v1::StepDownResponse {
            tenure: number(tenure),
            fencing_token: token.0,
            remaining: Some(duration(remaining)),
        })
    }
}

impl Admin {
    async fn name(&self, caller: &Caller) -> Result<v1::WhoAmIResponse, Refusal> {
        let Answered { tenure, .. } = self.0.handle.ask(caller, Ask::Status).await?;
        let left = |until: u64| duration(Millis::from_secs(until.saturating_sub(clock::unix_seconds())));
        Ok(v1::WhoAmIResponse {
            tenure: number(tenure),
            subject: caller.subject().to_string(),
            pod_name: caller.pod_name().unwrap_or_default().to_owned(),
            pod_uid: caller.pod().map(|pod| pod.to_string()).unwrap_or_default(),
            valid_for: caller.until().map(left),
        })
    }

    async fn explain(
        &self,
        caller: &Caller,
        request: v1::CheckPolicyRequest,
    ) -> Result<v1::CheckPolicyResponse, Refusal> {
        let verb = request.verb.parse().map_err(|error: BadVerb| Refusal::Argument(shown(&error.to_string())))?;
        let election = ElectionName::new(&request.election)?;
        let subject = Some(request.subject).filter(|subject| !subject.is_empty());
        let subject = subject.map(|subject| Subject::new(&subject)).transpose()?;
        let subject = subject.as_ref().map(Subject::as_str);
        let decision = self.0.access.explain(caller, subject, verb, &election)?;
        let Answered { tenure, .. } = self.0.handle.ask(caller, Ask::Status).await?;
        let (allowed, detail) = match decision {
            Ok(place) => (true, place.to_string()),
            Err(denial) => (false, denial.to_string()),
        };
        Ok(v1::CheckPolicyResponse { tenure: number(tenure), allowed, detail })
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let caller = Caller::of(&request).of_any_tenure();
        self.0.respond(self.status(&caller).await)
    }

    async fn step_down(&self, request: Request<v1::StepDownRequest>) -> Result<Response<v1::StepDownResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.respond(self.end_leadership(&caller, request.into_inner()).await)
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.respond(self.name(&caller).await)
    }

    async fn check_policy(
        &self,
        request: Request<v1::CheckPolicyRequest>,
    ) -> Result<Response<v1::CheckPolicyResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.respond(self.explain(&caller, request.into_inner()).await)
    }
}
