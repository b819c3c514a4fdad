//! Requests: every call of every service, with messages of any content, on a server whose core is
//! checked after each input.

use crate::script::Script;
use crate::service::Service;
use crate::trace;
use leasehold_core::{Ask, Config, Found, Input, Limits, MAX_MAX_TTL, Millis};
use leasehold_proto::v1;
use leasehold_proto::v1::admin_service_server::AdminService;
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::election_service_server::ElectionService;
use leasehold_proto::v1::replica_service_server::ReplicaService;
use leasehold_proto::v1::verify_token_request::Token;
use leasehold_server::fuzzing::Events;
use prost::Message;
use tonic::{Code, Request, Response, Status};

/// Clients take so many bytes of headers unless told otherwise; an error stands in them, and one
/// that is longer never arrives.
const MAX_HEADER_BYTES: usize = 8192;
/// So many calls an input makes at most.
const MOST_CALLS: usize = 64;

/// The workers and their server.
struct World {
    service: Service,
    campaigns: Vec<Events<v1::CampaignResponse>>,
    observers: Vec<Events<v1::ObserveResponse>>,
    tickets: Vec<Vec<u8>>,
    task_tokens: Vec<String>,
    /// So much of what the core has heard was looked at.
    looked_at: usize,
}

/// Calls with any content, between which time passes.
///
/// # Panics
/// If a request is let through that the contract doesn't allow, if one is refused in a way that
/// isn't documented, if an answer breaks the contract, or if the core's invariants are broken.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let limits = Limits { elections: 3, candidacies: 6, candidacies_per_election: 4, ..Limits::default() };
    let limits = if script.flag() { limits } else { Limits::default() };
    let found = if script.flag() { Found::Fresh } else { Found::Lost };
    let mut world = World {
        service: Service::start(Config { limits, ..Config::embedded(Millis(15_000)) }, found),
        campaigns: Vec::new(),
        observers: Vec::new(),
        tickets: Vec::new(),
        task_tokens: Vec::new(),
        looked_at: 0,
    };
    for _ in 0..MOST_CALLS {
        if script.is_over() {
            break;
        }
        world.step(&mut script);
        world.look();
    }
}

/// The message in the next bytes, if they are one: one that isn't never reaches the services.
fn message<T: Message + Default>(script: &mut Script<'_>) -> Option<T> {
    T::decode(script.blob()).ok()
}

/// A refusal that callers can understand, and that arrives.
fn refused(status: &Status) {
    let (code, message) = (status.code(), status.message());
    assert!(!matches!(code, Code::Ok | Code::Internal | Code::Unknown | Code::DataLoss), "{code}: {message}");
    assert!(!message.is_empty(), "{code}");
    let response = status.clone().into_http::<()>();
    let bytes: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(bytes <= MAX_HEADER_BYTES, "{bytes} bytes of headers for: {message:.200}");
}

fn answered<T>(answer: Result<Response<T>, Status>) -> Option<T> {
    answer.inspect_err(refused).ok().map(Response::into_inner)
}

/// Any duration, sometimes: as bytes of a message, numbers at the limits are hard to come by.
fn lengthen(duration: &mut Option<prost_types::Duration>, script: &mut Script<'_>) {
    if script.byte() >= 0xc0 {
        let (seconds, nanos) = (script.number() as i64, script.number() as i32);
        *duration = Some(prost_types::Duration { seconds, nanos });
    }
}

/// A number that the message has, or any other, sometimes.
fn other(number: &mut u64, script: &mut Script<'_>) {
    if script.byte() >= 0xc0 {
        *number = script.number();
    }
}

impl World {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 14 {
            0 | 1 => self.campaign(script),
            2 => self.keep_alive(script),
            3 => self.resign(script),
            4 => self.proclaim(script),
            5 => self.observe(script),
            6 => self.get(script),
            7 => self.list(script),
            8 => self.verify(script),
            9 => self.step_down(script),
            10 => self.status(),
            11 => self.mirror(script),
            12 => drop((!self.campaigns.is_empty()).then(|| self.campaigns.remove(0))),
            _ => self.service.pass(Millis(script.number() % 20_000)),
        }
    }

    /// What the core hears is what the contract allows.
    fn look(&mut self) {
        for input in &self.service.outside.heard[self.looked_at..] {
            trace(input);
            match input {
                Input::Campaign { entry, .. } => {
                    assert!(is_election(entry.election.as_str()), "{entry:?}");
                    assert!(is_candidate(entry.candidate.as_str()), "{entry:?}");
                    assert!(is_value(entry.value.as_str()), "{entry:?}");
                }
                Input::Call { ask: Ask::KeepAlive(tickets), .. } => assert!(tickets.len() <= 1000),
                Input::Call { ask: Ask::Proclaim(_, value), .. } => assert!(is_value(value.as_str())),
                Input::Call { ask: Ask::StepDown(name, _) | Ask::Get(name) | Ask::Verify(name, _), .. } => {
                    assert!(is_election(name.as_str()), "{name}");
                }
                Input::Call { ask: Ask::List { prefix, after, limit }, .. } => {
                    assert!((1..=1000).contains(limit) && prefix.len() <= 257);
                    assert!(after.as_ref().is_none_or(|after| is_election(after)));
                }
                _ => {}
            }
        }
        self.looked_at = self.service.outside.heard.len();
        for index in (0..self.campaigns.len()).rev() {
            while let Some(item) = self.service.next(&mut self.campaigns[index]) {
                match item {
                    Some(Ok(response)) => self.event(response),
                    Some(Err(status)) => refused(&status),
                    None => {
                        drop(self.campaigns.remove(index));
                        break;
                    }
                }
            }
        }
        for observer in &mut self.observers {
            while let Some(Some(item)) = self.service.next(observer) {
                let _ = item.inspect_err(refused);
            }
        }
    }

    fn event(&mut self, response: v1::CampaignResponse) {
        let mut ticket = |ticket: Vec<u8>| {
            assert!(ticket.len() <= 8192);
            if !ticket.is_empty() {
                self.tickets.push(ticket);
            }
        };
        match response.event.expect("a response has an event") {
            Event::Enrolled(enrolled) => {
                if let Some(ttl) = enrolled.ttl {
                    assert!((1..=15).contains(&ttl.seconds), "{ttl:?}");
                    assert!(!enrolled.ticket.is_empty());
                }
                ticket(enrolled.ticket);
            }
            Event::Elected(elected) => {
                assert!((1..1 << 53).contains(&elected.fencing_token));
                ticket(elected.ticket);
                if !elected.task_token.is_empty() {
                    self.task_tokens.push(elected.task_token);
                }
            }
            Event::Ended(ended) => assert!(ended.reason != 0 && !ended.detail.is_empty()),
            Event::Waiting(_) | Event::Draining(_) | Event::Heartbeat(_) => {}
        }
    }

    /// One that was handed out, perhaps, or what is there already.
    fn ticket(&self, script: &mut Script<'_>, ticket: &mut Vec<u8>) {
        let kind = usize::from(script.byte());
        if kind >= 0x40 && !self.tickets.is_empty() {
            ticket.clone_from(&self.tickets[kind % self.tickets.len()]);
        }
    }

    /// `grpc-timeout`, sometimes.
    fn request<T>(message: T, script: &mut Script<'_>) -> Request<T> {
        let mut request = Request::new(message);
        if script.byte() >= 0xc0
            && let Ok(timeout) = String::from_utf8_lossy(script.blob()).parse()
        {
            request.metadata_mut().insert("grpc-timeout", timeout);
        }
        request
    }

    fn campaign(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::CampaignRequest>(script) else { return };
        self.ticket(script, &mut message.ticket);
        script.stretch(&mut message.election);
        script.stretch(&mut message.candidate);
        script.stretch(&mut message.value);
        lengthen(&mut message.ttl, script);
        lengthen(&mut message.max_wait, script);
        let bad = message.ticket.is_empty() && !allowed(&message);
        let elections = self.service.outside.services.elections();
        let answer = self.service.answer(elections.campaign(Self::request(message, script)));
        if let Some(stream) = answered(answer) {
            assert!(!bad, "what the contract doesn't allow is let through");
            self.campaigns.push(stream);
        }
    }

    fn keep_alive(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::KeepAliveRequest>(script) else { return };
        let times = script.byte();
        for item in &mut message.items {
            self.ticket(script, &mut item.ticket);
        }
        if times >= 0xf0 {
            message.items = message.items.iter().cycle().take(usize::from(times - 0xef) * 100).cloned().collect();
        }
        let items = message.items.len();
        let elections = self.service.outside.services.elections();
        let answer = answered(self.service.answer(elections.keep_alive(Request::new(message))));
        if let Some(answer) = answer {
            assert!((1..=1000).contains(&items), "{items} items are let through");
            assert_eq!(answer.results.len(), items);
            for result in answer.results {
                assert_ne!(result.state, 0);
                if !result.ticket.is_empty() {
                    self.tickets.push(result.ticket);
                }
            }
            self.tickets.truncate(64);
        }
    }

    fn resign(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::ResignRequest>(script) else { return };
        self.ticket(script, &mut message.ticket);
        let elections = self.service.outside.services.elections();
        answered(self.service.answer(elections.resign(Request::new(message))));
    }

    fn proclaim(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::ProclaimRequest>(script) else { return };
        self.ticket(script, &mut message.ticket);
        script.stretch(&mut message.value);
        let elections = self.service.outside.services.elections();
        if let Some(answer) = answered(self.service.answer(elections.proclaim(Request::new(message)))) {
            self.tickets.push(answer.ticket);
        }
    }

    fn observe(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::ObserveRequest>(script) else { return };
        let times = script.byte();
        if times >= 0xf0 {
            message.elections =
                message.elections.iter().cycle().take(usize::from(times - 0xe0) * 10).cloned().collect();
        }
        message.elections.iter_mut().for_each(|name| script.stretch(name));
        script.stretch(&mut message.prefix);
        other(&mut message.after_revision, script);
        let bad = message.elections.len() > 100 || message.elections.iter().any(|name| !is_election(name));
        let elections = self.service.outside.services.elections();
        let answer = self.service.answer(elections.observe(Self::request(message, script)));
        if let Some(stream) = answered(answer) {
            assert!(!bad, "what the contract doesn't allow is let through");
            self.observers.push(stream);
        }
    }

    fn get(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::GetElectionRequest>(script) else { return };
        script.stretch(&mut message.election);
        let (name, elections) = (message.election.clone(), self.service.outside.services.elections());
        if let Some(answer) = answered(self.service.answer(elections.get_election(Request::new(message)))) {
            assert!(is_election(&name), "{name}");
            assert_eq!(answer.election.map(|election| election.name), Some(name));
        }
    }

    fn list(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::ListElectionsRequest>(script) else { return };
        script.stretch(&mut message.prefix);
        script.stretch(&mut message.page_token);
        if script.byte() >= 0xc0 {
            message.page_size = script.number() as u32;
        }
        let (request, elections) = (message.clone(), self.service.outside.services.elections());
        if let Some(answer) = answered(self.service.answer(elections.list_elections(Request::new(message)))) {
            assert!(request.page_size <= 1000);
            let names: Vec<_> = answer.elections.iter().map(|election| election.name.as_str()).collect();
            assert!(names.is_sorted() && names.iter().all(|name| name.starts_with(&request.prefix)));
            assert!(names.iter().all(|name| *name > request.page_token.as_str()));
        }
    }

    fn verify(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::VerifyTokenRequest>(script) else { return };
        script.stretch(&mut message.election);
        let kind = usize::from(script.byte());
        match &mut message.token {
            Some(Token::TaskToken(token)) if kind >= 0x40 && !self.task_tokens.is_empty() => {
                token.clone_from(&self.task_tokens[kind % self.task_tokens.len()]);
            }
            Some(Token::TaskToken(token)) => script.stretch(token),
            Some(Token::FencingToken(number)) => other(number, script),
            None => {}
        }
        let elections = self.service.outside.services.elections();
        if let Some(answer) = answered(self.service.answer(elections.verify_token(Request::new(message)))) {
            assert_eq!(answer.valid, answer.status == i32::from(v1::TokenStatus::Current));
            assert!(answer.valid || !answer.detail.is_empty());
        }
    }

    fn step_down(&mut self, script: &mut Script<'_>) {
        let Some(mut message) = message::<v1::StepDownRequest>(script) else { return };
        script.stretch(&mut message.election);
        other(&mut message.fencing_token, script);
        let admin = self.service.outside.services.admin();
        answered(self.service.answer(admin.step_down(Request::new(message))));
    }

    fn status(&mut self) {
        let admin = self.service.outside.services.admin();
        answered(self.service.answer(admin.get_status(Request::new(v1::GetStatusRequest {}))));
    }

    fn mirror(&mut self, script: &mut Script<'_>) {
        let Some(message) = message::<v1::MirrorRequest>(script) else { return };
        let mirrors = self.service.outside.services.mirrors();
        assert!(
            answered(self.service.answer(mirrors.mirror(Request::new(message)))).is_none(),
            "no replica may mirror"
        );
    }
}

/// What the contract says of names of elections. It is written anew here, and not taken from the
/// code that is fuzzed.
fn is_election(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let whole = !name.starts_with('/') && !name.ends_with('/') && !name.contains("//");
    (1..=256).contains(&name.len()) && name.bytes().all(allowed) && whole
}

/// What it says of labels of candidates.
fn is_candidate(name: &str) -> bool {
    (1..=256).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// What it says of values.
fn is_value(value: &str) -> bool {
    value.len() <= 4096
}

/// What it says of a new candidacy.
fn allowed(message: &v1::CampaignRequest) -> bool {
    let whole = |time: &Option<prost_types::Duration>| time.as_ref().is_none_or(|time| time.nanos % 1_000_000 == 0);
    let ttl = message.ttl.as_ref().is_none_or(|ttl| (1..=15).contains(&ttl.seconds) && ttl.nanos >= 0);
    debug_assert!(MAX_MAX_TTL > Millis(15_000));
    is_election(&message.election)
        && is_candidate(&message.candidate)
        && is_value(&message.value)
        && ttl
        && whole(&message.ttl)
        && whole(&message.max_wait)
}

/// A worker's life; a leader that is observed, verified, told to step down; and everything else
/// that can be asked.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let campaign = v1::CampaignRequest {
        election: "billing/nightly".to_owned(),
        candidate: "a".to_owned(),
        ttl: Some(prost_types::Duration { seconds: 15, nanos: 0 }),
        value: "v".to_owned(),
        want_task_token: true,
        ..Default::default()
    };
    let bound = v1::CampaignRequest { ttl: None, candidate: "b".to_owned(), no_wait: true, ..campaign.clone() };
    let wait = prost_types::Duration { seconds: 2, nanos: 5_000_000 };
    let replacing = v1::CampaignRequest { replace_former: true, max_wait: Some(wait), ..campaign.clone() };
    let item = v1::KeepAliveItem { ticket: b"t".to_vec(), want_task_token: true };
    let by_task_token =
        v1::VerifyTokenRequest { election: String::new(), token: Some(Token::TaskToken("a.b.c".to_owned())) };
    let by_number = v1::VerifyTokenRequest { election: "a".to_owned(), token: Some(Token::FencingToken(3)) };
    let names = v1::ObserveRequest { elections: vec!["billing/nightly".to_owned()], ..Default::default() };
    let list = v1::ListElectionsRequest { prefix: "b".to_owned(), page_size: 1, page_token: "a".to_owned() };
    let calls: Vec<(u8, Vec<u8>)> = vec![
        (
            5,
            v1::ObserveRequest { prefix: "billing/".to_owned(), after_revision: 1, ..Default::default() }
                .encode_to_vec(),
        ),
        (0, campaign.encode_to_vec()),
        (0, bound.encode_to_vec()),
        (0, replacing.encode_to_vec()),
        (2, v1::KeepAliveRequest { items: vec![item.clone(), item] }.encode_to_vec()),
        (4, v1::ProclaimRequest { ticket: b"t".to_vec(), value: "w".to_owned() }.encode_to_vec()),
        (5, names.encode_to_vec()),
        (6, v1::GetElectionRequest { election: "billing/nightly".to_owned() }.encode_to_vec()),
        (7, list.encode_to_vec()),
        (8, by_task_token.encode_to_vec()),
        (8, by_number.encode_to_vec()),
        (9, v1::StepDownRequest { election: "billing/nightly".to_owned(), fencing_token: 0 }.encode_to_vec()),
        (11, v1::MirrorRequest { nonce: vec![7; 32], sealed: vec![8; 40] }.encode_to_vec()),
        (3, v1::ResignRequest { ticket: b"t".to_vec() }.encode_to_vec()),
    ];
    let step = |(kind, message): &(u8, Vec<u8>)| {
        let length = u16::try_from(message.len()).expect("seeds are short");
        [&[*kind], length.to_be_bytes().as_slice(), message, &[0x41; 6]].concat()
    };
    let mut seeds: Vec<Vec<u8>> = calls.iter().map(|call| [b"\x00\x01".to_vec(), step(call)].concat()).collect();
    let all: Vec<u8> = calls.iter().flat_map(step).collect();
    seeds.push([b"\x00\x01".as_slice(), &all, b"\x0d\x83\x10\x00\x0a\x0c"].concat());
    seeds.push([b"\x01\x00".as_slice(), &all, b"\x0d\x83\x10\x00", &all].concat());
    seeds
}
