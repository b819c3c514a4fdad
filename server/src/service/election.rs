//! `leasehold.v1.ElectionService`.

use super::campaign::Entered;
use super::campaign::{self, CampaignStream};
use super::convert::{self, number};
use super::observe::{self, ObserveStream};
use super::{Context, deadline};
use crate::caller::Caller;
use crate::clock;
use crate::errors::{Refusal, shown};
use crate::gate;
use crate::gate::held;
use crate::handle::Answered;
use crate::line::Owner;
use crate::task_token::TaskTokenError;
use leasehold_core::{Ask, ElectionName, FencingToken, Kept, Millis, Reply, Ticket, Value};
use leasehold_policy::Verb;
use leasehold_proto::v1;
use leasehold_proto::v1::election_service_server::ElectionService;
use leasehold_proto::v1::verify_token_request::Token;
use leasehold_shell::Opening;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// So many candidacies may be kept alive in one call.
const MAX_ITEMS: usize = 1000;
/// With more than so many, a call waits in line with others that cost much.
const CHEAP_ITEMS: usize = 8;
/// The size of a page of elections, and the largest.
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;
/// A page ends earlier when it gets longer than this: clients take 4 MiB, unless told otherwise.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// The service for workers.
#[derive(Clone, Debug)]
pub(crate) struct Elections(pub(crate) Arc<Context>);

impl Elections {
    async fn keep_alive(
        &self,
        caller: &Caller,
        items: Vec<v1::KeepAliveItem>,
        owner: Owner,
    ) -> Result<v1::KeepAliveResponse, Refusal> {
        let opened: Vec<_> = items.iter().map(|item| self.0.open(caller, &item.ticket)).collect();
        if let Some((first, second)) = twice(&opened) {
            return Err(Refusal::Argument(format!(
                "items {first} and {second} are of one candidacy; give each one once"
            )));
        }
        let tickets = opened.iter().filter_map(|ticket| ticket.as_ref().ok().cloned()).collect();
        let Answered { tenure, reply, at } = self.0.handle.ask(caller, Ask::KeepAlive(tickets)).await?;
        let Reply::KeptAlive(kept) = reply else { return Err(mismatch()) };
        debug_assert_eq!(kept.len(), opened.iter().flatten().count(), "each ticket is answered");
        self.count(&opened, &kept);
        let wants =
            items.iter().zip(&opened).filter(|(_, opened)| opened.is_ok()).map(|(item, _)| item.want_task_token);
        let claims: Vec<_> =
            kept.iter().zip(wants).map(|(kept, wanted)| self.0.claims_of(kept, at).filter(|_| wanted)).collect();
        let tokens = self.0.signer.sign(owner, &claims).await;
        let mut kept = kept.iter().zip(tokens);
        let results = opened.iter().map(|opened| match opened {
            Ok(_) => kept.next().map(|(kept, token)| self.0.kept(kept, token)).unwrap_or_default(),
            Err(refusal) => convert::unopened(refusal),
        });
        Ok(v1::KeepAliveResponse { tenure: number(tenure), results: results.collect() })
    }

    /// How many were accepted, and how late they were: by the server's clock, from one accepted
    /// KeepAlive to the next. A ticket of an earlier tenure counts from the beginning of another
    /// time.
    fn count(&self, opened: &[Result<Ticket, Refusal>], kept: &[Kept]) {
        let mut accepted = 0;
        for (before, kept) in opened.iter().flatten().zip(kept) {
            let after = match kept {
                Kept::Waiting { ticket, .. } | Kept::Leading { ticket, .. } => ticket,
                _ => continue,
            };
            accepted += 1;
            if before.tenure == after.tenure {
                let used = Millis(after.accepted_at.0.saturating_sub(before.accepted_at.0));
                self.0.metrics.lateness.observe(used, after.ttl);
            }
        }
        self.0.metrics.keep_alives.inc_by(accepted);
    }

    async fn resign(&self, caller: &Caller, ticket: &[u8]) -> Result<v1::ResignResponse, Refusal> {
        let Answered { tenure, reply, .. } =
            self.0.handle.ask(caller, Ask::Resign(self.0.open(caller, ticket)?)).await?;
        let Reply::Resigned { was_leading, already_ended } = reply else { return Err(mismatch()) };
        Ok(v1::ResignResponse { tenure: number(tenure), was_leading, already_ended })
    }

    async fn get(&self, caller: &Caller, name: &str) -> Result<v1::GetElectionResponse, Refusal> {
        let name = ElectionName::new(name)?;
        self.0.access.check(caller, Verb::Observe, name.as_str())?;
        let Answered { tenure, reply, .. } = self.0.handle.ask(caller, Ask::Get(name)).await?;
        let Reply::Election(state) = reply else { return Err(mismatch()) };
        Ok(v1::GetElectionResponse { tenure: number(tenure), election: Some(convert::election(&state)) })
    }

    async fn proclaim(&self, caller: &Caller, request: v1::ProclaimRequest) -> Result<v1::ProclaimResponse, Refusal> {
        let ask = Ask::Proclaim(self.0.open(caller, &request.ticket)?, Value::new(&request.value)?);
        let Answered { tenure, reply, .. } = self.0.handle.ask(caller, ask).await?;
        let Reply::Proclaimed { revision, ticket } = reply else { return Err(mismatch()) };
        let ticket = self.0.sealer.seal(&ticket);
        Ok(v1::ProclaimResponse { tenure: number(tenure), revision: revision.0, ticket, version: revision.0 })
    }

    async fn list(
        &self,
        caller: &Caller,
        request: v1::ListElectionsRequest,
    ) -> Result<v1::ListElectionsResponse, Refusal> {
        if request.page_size > MAX_PAGE {
            let size = request.page_size;
            return Err(Refusal::Argument(format!(
                "page_size is {size}; give 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}"
            )));
        }
        let size = if request.page_size == 0 { DEFAULT_PAGE } else { request.page_size };
        let after = match request.page_token.as_str() {
            "" => None,
            token => match ElectionName::new(token) {
                Ok(name) => Some(name.to_string()),
                Err(_) => {
                    return Err(Refusal::Argument(format!(
                        "page_token {:?} isn't one that this service gave",
                        shown(token)
                    )));
                }
            },
        };
        let prefix = self.0.access.narrow(caller, observe::prefix(&request.prefix)?)?;
        self.page(caller, prefix, after, size as usize).await
    }

    /// A page of what the caller may see. It names nothing else: the next page goes on after the
    /// last election that this one shows.
    async fn page(
        &self,
        caller: &Caller,
        prefix: String,
        mut after: Option<String>,
        size: usize,
    ) -> Result<v1::ListElectionsResponse, Refusal> {
        let scope = self.0.access.observable(caller);
        let limit = if scope.is_some() { MAX_PAGE as usize } else { size };
        let (mut elections, mut bytes) = (Vec::<v1::Election>::new(), 0);
        loop {
            let ask = Ask::List { prefix: prefix.clone(), after: after.clone(), limit };
            let Answered { tenure, reply, .. } = self.0.handle.ask(caller, ask).await?;
            let Reply::Elections { elections: found, more } = reply else { return Err(mismatch()) };
            let mut goes_on = more;
            for state in &found {
                if elections.len() == size {
                    goes_on = true;
                    break;
                }
                after = Some(state.name.to_string());
                if scope.as_ref().is_some_and(|scope| !scope.contains(state.name.as_str())) {
                    continue;
                }
                let election = convert::election(state);
                bytes += election.encoded_len();
                if bytes > MAX_PAGE_BYTES {
                    goes_on = true;
                    break;
                }
                elections.push(election);
            }
            let is_full = elections.len() == size || bytes > MAX_PAGE_BYTES;
            if is_full || !goes_on {
                let last = elections.last().filter(|_| goes_on).map(|last| last.name.clone());
                let next_page_token = last.unwrap_or_default();
                return Ok(v1::ListElectionsResponse { tenure: number(tenure), next_page_token, elections });
            }
        }
    }

    async fn verify(
        &self,
        caller: &Caller,
        request: v1::VerifyTokenRequest,
    ) -> Result<v1::VerifyTokenResponse, Refusal> {
        let (election, token) = match request.token {
            None => return Err(Refusal::Argument("no token is given; set fencing_token or task_token".to_owned())),
            Some(Token::FencingToken(token)) => (request.election, token),
            Some(Token::TaskToken(token)) => match self.0.signer.tokens().verify(&token, clock::unix_seconds()) {
                Err(error) => return self.unverified(caller, request.election, error).await,
                Ok(claims) if !request.election.is_empty() && request.election != claims.election => {
                    let text = format!(
                        "election is {}, but the task token is for {}",
                        shown(&request.election),
                        claims.election
                    );
                    return Err(Refusal::Argument(text));
                }
                Ok(claims) => (claims.election, claims.fence),
            },
        };
        let name = ElectionName::new(&election)?;
        self.0.access.check(caller, Verb::Verify, name.as_str())?;
        let Answered { tenure, reply, .. } = self.0.handle.ask(caller, Ask::Verify(name, FencingToken(token))).await?;
        let Reply::Verified { current, leader } = reply else { return Err(mismatch()) };
        let (status, detail) = match (&leader, current) {
            (_, true) => (v1::TokenStatus::Current, String::new()),
            (Some(leader), false) => {
                (v1::TokenStatus::NotLeading, format!("the leader's fencing token is {}, not {token}", leader.token))
            }
            (None, false) => (v1::TokenStatus::NotLeading, "the election has no leader".to_owned()),
        };
        Ok(v1::VerifyTokenResponse {
            tenure: number(tenure),
            valid: current,
            status: status.into(),
            election,
            leader: leader.as_ref().map(convert::leader),
            detail,
        })
    }

    /// The answer for a task token that is worth nothing, whoever leads.
    async fn unverified(
        &self,
        caller: &Caller,
        asked: String,
        error: TaskTokenError,
    ) -> Result<v1::VerifyTokenResponse, Refusal> {
        let detail = error.to_string();
        let (status, election) = match error {
            TaskTokenError::Invalid(_) => (v1::TokenStatus::Invalid, asked),
            TaskTokenError::Expired { claims, .. } => (v1::TokenStatus::Expired, same(&asked, claims.election)?),
        };
        let ask = match election.as_str() {
            "" => Ask::Status,
            name => {
                let name = ElectionName::new(name)?;
                self.0.access.check(caller, Verb::Verify, name.as_str())?;
                Ask::Get(name)
            }
        };
        let Answered { tenure, reply, .. } = self.0.handle.ask(caller, ask).await?;
        let leader = match reply {
            Reply::Election(state) => convert::election(&state).leader,
            _ => None,
        };
        let status = status.into();
        Ok(v1::VerifyTokenResponse { tenure: number(tenure), valid: false, status, election, leader, detail })
    }

    async fn open_campaign(&self, request: Request<v1::CampaignRequest>) -> Result<CampaignStream, Refusal> {
        let deadline = deadline::timeout(request.metadata().as_ref());
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let entered = Entered {
            subject: caller.subject(),
            owner: caller.connection(),
            wants_task_token: request.want_task_token,
            at: request.ticket.is_empty().then(clock::now),
        };
        let opening = if request.ticket.is_empty() {
            let asks = request.replace_former;
            let mut entry = convert::entry(request, &caller)?;
            self.0.access.check(&caller, Verb::Campaign, entry.election.as_str())?;
            entry.replace_former = self.0.access.replaces(&caller, asks, &entry.election)?;
            Opening::Enter(Box::new(entry))
        } else {
            let ticket = self.0.open(&caller, &request.ticket)?;
            for (what, given, meant) in [
                ("election", &request.election, ticket.election.as_str()),
                ("candidate", &request.candidate, ticket.candidate.as_str()),
            ] {
                if !given.is_empty() && given != meant {
                    let given = shown(given);
                    return Err(Refusal::Argument(format!("{what} is {given}, but the ticket is for {meant}")));
                }
            }
            Opening::Reopen(Box::new(ticket))
        };
        let events = self.0.handle.open(&caller, opening).await?;
        campaign::open(Arc::clone(&self.0), events, deadline, entered).await
    }
}

/// Two items of one call that are of one candidacy, if there are any.
fn twice(opened: &[Result<Ticket, Refusal>]) -> Option<(usize, usize)> {
    let mut seen = BTreeMap::new();
    let tickets = opened.iter().enumerate().filter_map(|(index, ticket)| Some((index, ticket.as_ref().ok()?)));
    tickets.into_iter().find_map(|(index, ticket)| seen.insert(ticket.enrolment, index).map(|first| (first, index)))
}

/// The election of a task token, if it is the one that was asked about.
fn same(asked: &str, of_token: String) -> Result<String, Refusal> {
    if asked.is_empty() || asked == of_token {
        return Ok(of_token);
    }
    Err(Refusal::Argument(format!("election is {}, but the task token is for {of_token}", shown(asked))))
}

/// The core answers each kind of call with its kind of reply.
pub(super) fn mismatch() -> Refusal {
    Refusal::Internal("this call got the answer to another one")
}

#[tonic::async_trait]
impl ElectionService for Elections {
    type CampaignStream = CampaignStream;
    type ObserveStream = ObserveStream;

    async fn campaign(&self, request: Request<v1::CampaignRequest>) -> Result<Response<CampaignStream>, Status> {
        let v1::CampaignRequest { ttl, ticket, .. } = request.get_ref();
        let is_bound = ttl.is_none() && ticket.is_empty();
        let response = self.0.respond(self.open_campaign(request).await)?;
        Ok(if is_bound { gate::bound_to_stream(response) } else { response })
    }

    async fn keep_alive(
        &self,
        request: Request<v1::KeepAliveRequest>,
    ) -> Result<Response<v1::KeepAliveResponse>, Status> {
        let caller = Caller::of(&request);
        let items = request.into_inner().items;
        if items.is_empty() || items.len() > MAX_ITEMS {
            let text = format!("items has {} entries; give 1 to {MAX_ITEMS}", items.len());
            return Err(self.0.refuse(Refusal::Argument(text)));
        }
        if items.len() <= CHEAP_ITEMS {
            return self.0.respond(self.keep_alive(&caller, items, caller.connection()).await);
        }
        let turn = caller.turn(&self.0.line, items.len()).await;
        let result = self.keep_alive(&caller, items, caller.host()).await.map_err(|refusal| self.0.refuse(refusal))?;
        Ok(held(result, turn))
    }

    async fn resign(&self, request: Request<v1::ResignRequest>) -> Result<Response<v1::ResignResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.respond(self.resign(&caller, &request.into_inner().ticket).await)
    }

    async fn proclaim(&self, request: Request<v1::ProclaimRequest>) -> Result<Response<v1::ProclaimResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.respond(self.proclaim(&caller, request.into_inner()).await)
    }

    async fn observe(&self, request: Request<v1::ObserveRequest>) -> Result<Response<ObserveStream>, Status> {
        let deadline = deadline::timeout(request.metadata().as_ref());
        self.0.handle.right.back_soon().await;
        let caller = Caller::of(&request);
        let observer = observe::selection(request.get_ref()).and_then(|(selection, cursor)| {
            let (selection, sight) = self.0.access.sight(&caller, selection)?;
            Ok((self.0.observers.observe(&caller, (selection, cursor))?, sight))
        });
        self.0.respond(observer.map(|(observer, sight)| observe::stream(observer, sight, deadline)))
    }

    async fn get_election(
        &self,
        request: Request<v1::GetElectionRequest>,
    ) -> Result<Response<v1::GetElectionResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.respond(self.get(&caller, &request.into_inner().election).await)
    }

    async fn list_elections(
        &self,
        request: Request<v1::ListElectionsRequest>,
    ) -> Result<Response<v1::ListElectionsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let turn = caller.turn(&self.0.line, request.page_size.clamp(DEFAULT_PAGE, MAX_PAGE) as usize).await;
        let result = self.list(&caller, request).await.map_err(|refusal| self.0.refuse(refusal))?;
        Ok(held(result, turn))
    }

    async fn verify_token(
        &self,
        request: Request<v1::VerifyTokenRequest>,
    ) -> Result<Response<v1::VerifyTokenResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.respond(self.verify(&caller, request.into_inner()).await)
    }
}
