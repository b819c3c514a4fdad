//! What no worker and no replica does, and only a fuzzer thought of: the core takes it without
//! breaking.

use leasehold_core::{
    Address, Ask, BatchParts, CallId, CandidateName, Carried, Ceiling, ChangeNumber, ClockFloor, Config, Content,
    ElectionName, EndReason, Enrolment, Entry, FencingToken, Found, Handover, Holder, Input, Kept, Lease, Millis,
    MirrorBatch, NUMBER_LIMIT, Outcome, Output, Record, RecordParts, Reject, Replace, Replica, Reply, Signed, StreamId,
    Subject, Tenure, Ticket, TicketParts, Time, Value, Version,
};

fn ticket(enrolment: u64, token: Option<u64>, tenure: u64) -> Ticket {
    let parts = TicketParts {
        election: ElectionName::new("a").expect("it is within every limit"),
        candidate: CandidateName::new("x").expect("it is within every limit"),
        subject: Subject::anonymous(),
        pod: None,
        value: Value::new("").expect("it is within every limit"),
        ttl: Millis(15_000),
        enrolment: Enrolment(enrolment),
        place: Enrolment(enrolment),
        token: token.map(FencingToken),
        tenure: Tenure(tenure),
        accepted_at: Millis(5000),
        hold: Millis(0),
        issued: Tenure(tenure),
    };
    Ticket::from_parts(parts).expect("it is lawful")
}

fn record(tenure: u64, ceiling: u64) -> Record {
    with(tenure, ceiling, |_| {})
}

fn with(tenure: u64, ceiling: u64, change: impl FnOnce(&mut RecordParts)) -> Record {
    let mut parts = RecordParts {
        tenure: Tenure(tenure),
        ceiling: Ceiling(ceiling),
        duration: Millis(3000),
        margin: Millis(300),
        renewed_at: Millis(4000),
        ended_at: None,
        longest_ttl: Millis(15_000),
        last_change: None,
        handover: None,
        last_revision: None,
    };
    change(&mut parts);
    Record::from_parts(parts).expect("it is lawful")
}

fn handed_over(tenure: u64, ceiling: u64, candidacies: Vec<Carried>) -> Found {
    let handover = Some(Handover { candidacies, holds: Vec::new() });
    Found::Record(with(tenure, ceiling, |record| (record.ended_at, record.handover) = (Some(Millis(5000)), handover)))
}

/// Handles an input, checks, and gives what came of it. Writes are stored at once.
fn handle(replica: &mut Replica, now: u64, input: Input) -> Vec<Output> {
    replica.handle(Time(now), input);
    replica.check();
    let outputs: Vec<_> = std::iter::from_fn(|| replica.poll_output()).collect();
    let mut all = outputs.clone();
    for output in outputs {
        if let Output::Write { write, over, .. } | Output::WriteUnsigned { write, over } = output {
            let version = (over != leasehold_core::Over::Anything).then(|| Version("mine".to_owned()));
            all.extend(handle(replica, now, Input::Written { write, outcome: Outcome::Stored(version) }));
        }
    }
    all
}

fn call(replica: &mut Replica, now: u64, ask: Ask) -> Result<Reply, Reject> {
    let outputs = handle(replica, now, Input::Call { call: CallId(1), ask });
    let reply = outputs.into_iter().find_map(|output| match output {
        Output::Reply { reply, .. } => Some(reply),
        _ => None,
    });
    reply.expect("a call is answered")
}

fn start(found: Found) -> Replica {
    let mut replica = Replica::new(Config::embedded(Millis(15_000)));
    handle(&mut replica, 0, Input::Found { found, clock_floor: ClockFloor(0) });
    assert!(replica.tenure().is_some());
    replica
}

fn campaign(replica: &mut Replica, now: u64) -> Vec<Output> {
    let TicketParts { election, candidate, subject, value, ttl, .. } = (*ticket(1, None, 1)).clone();
    let (pod, no_wait, max_wait, replace_former) = (None, false, None, Replace::Nobody);
    let (attempt, hold) = (None, Millis(0));
    let ttl = Some(ttl);
    let entry =
        Entry { election, candidate, subject, pod, ttl, value, no_wait, max_wait, replace_former, attempt, hold };
    handle(replica, now, Input::Campaign { stream: StreamId(1), entry })
}

/// Whoever may write the Lease can write a ceiling into it that leaves no numbers. The leaders of
/// the tenure before then ended every replica, again and again, by being put back.
#[test]
fn at_the_end_of_all_numbers_nothing_is_granted_and_nothing_breaks() {
    let found = record(NUMBER_LIMIT - 2000, NUMBER_LIMIT);
    let mut replica = start(Found::Record(found.clone()));
    let leader = ticket(NUMBER_LIMIT - 1900, Some(NUMBER_LIMIT - 1800), found.tenure.0);
    assert!(call(&mut replica, 1, Ask::KeepAlive(vec![leader.clone()])).is_ok());
    let refused = Output::Close { stream: StreamId(1), why: Some(Reject::NumbersLow) };
    assert!(campaign(&mut replica, 2).contains(&refused));

    let candidacies = vec![Carried { ticket: leader, drains_until: Some(Millis(5005)), attempt: None }];
    let mut replica = start(handed_over(found.tenure.0, NUMBER_LIMIT, candidacies));
    assert!(campaign(&mut replica, 1).contains(&refused));
}

/// Numbers go back when a record was restored and the clock set back. A ticket from before resigns:
/// the next tenure begins above its numbers, so nobody else ever draws them.
#[test]
fn a_resigned_ticket_of_a_later_tenure_ends_nobody_else() {
    let mut replica = start(Found::Fresh);
    let tenure = replica.tenure().unwrap().0;
    let later = ticket(tenure + 1, None, tenure + 1_000_000);
    assert_eq!(call(&mut replica, 1, Ask::Resign(later)), Err(Reject::NotActive));
    let found = Found::Record(record(tenure, tenure + 1000));
    handle(&mut replica, 2, Input::Found { found, clock_floor: ClockFloor(0) });
    assert!(replica.tenure().is_some_and(|next| next.0 > tenure + 1_000_000));
}

/// The ticket of a drain that was handed over says which tenure last accepted a KeepAlive. It has
/// to show as well which one has issued it, and told its worker of it: after a restore that worker
/// listened to nobody any more.
#[test]
fn a_drain_that_was_handed_over_shows_the_tenure_that_told_of_it() {
    let candidacies =
        vec![Carried { ticket: ticket(150, Some(160), 100), drains_until: Some(Millis(10_000)), attempt: None }];
    let found = handed_over(100, 2000, candidacies);
    let mut replica = Replica::new(Config::embedded(Millis(15_000)));
    handle(&mut replica, 0, Input::Found { found, clock_floor: ClockFloor(1 << 50) });
    let told_by = replica.tenure().unwrap();
    let Ok(Reply::KeptAlive(kept)) = call(&mut replica, 1, Ask::KeepAlive(vec![ticket(150, Some(160), 100)])) else {
        panic!("it isn't kept alive")
    };
    let [Kept::Draining { ticket, .. }] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!((ticket.tenure, ticket.issued), (Tenure(100), told_by));

    let mut replica = start(Found::Fresh);
    assert_eq!(call(&mut replica, 1, Ask::KeepAlive(vec![ticket.clone()])), Err(Reject::NotActive));
    handle(&mut replica, 2, Input::Found { found: Found::Record(record(1, 2000)), clock_floor: ClockFloor(0) });
    assert!(replica.tenure() > Some(told_by), "its worker listens to nobody below {told_by}");
}

/// The active replica tells its mirrors of numbers that its own record says it never had: a standby
/// believes nothing of it then, and waits as after a crash. So it does after a record that names a
/// last change, and no end.
#[test]
fn a_mirror_that_does_not_fit_the_record_is_not_believed() {
    let me = || Holder("me".to_owned());
    let lease = |version: &str, record: Record| {
        let holder = record.ended_at.is_none().then(|| Holder("other".to_owned()));
        let signed = Some(Signed { by: Holder("other".to_owned()), address: Address::new("a:1").unwrap(), record });
        let content =
            Content { holder, duration: Some(Millis(8000)), renew_time: version.to_owned(), signed, newer: None };
        Some(Lease { version: Version(version.to_owned()), content })
    };
    let ended = Some(Millis(5000));
    for (enrolment, ended_at, settles_in) in
        [(150, ended, Millis(0)), (5000, ended, Millis(15_750)), (150, None, Millis(15_750))]
    {
        let mut replica = Replica::new(Config::replica(me(), Millis(15_000)));
        let found = lease("1", record(100, 2000));
        handle(&mut replica, 0, Input::FoundLease { lease: found, clock_floor: ClockFloor(0) });
        let there =
            vec![Carried { ticket: ticket(enrolment, Some(enrolment + 1), 100), drains_until: None, attempt: None }];
        let (gone, holds) = (Vec::new(), Vec::new());
        let batch =
            BatchParts { tenure: Tenure(100), after: ChangeNumber(0), number: ChangeNumber(7), there, gone, holds };
        let batch = MirrorBatch::from_parts(batch).unwrap();
        handle(&mut replica, 1, Input::MirrorSnapshot(batch));
        let last = with(100, 2000, |record| (record.ended_at, record.last_change) = (ended_at, Some(ChangeNumber(7))));
        let watched = Input::Watched { lease: lease("2", last), clock_floor: ClockFloor(0) };
        let mut outputs = handle(&mut replica, 2, watched);
        outputs.extend(handle(&mut replica, 20_000, Input::Tick));
        let began = outputs.iter().find_map(|output| match output {
            Output::TenureBegan { settles_in, .. } => Some(*settles_in),
            _ => None,
        });
        assert_eq!(began, Some(settles_in), "enrolment {enrolment}, ended at {ended_at:?}");
    }
}

/// An active replica has one writer's file, and nothing there is worth reading: it was sent into a
/// read whose answer only a standby takes.
#[test]
fn a_conflict_over_a_file_is_no_more_than_a_lost_answer() {
    let mut replica = start(Found::Fresh);
    let tenure = replica.tenure();
    replica.handle(Time(3000), Input::Tick);
    let write = std::iter::from_fn(|| replica.poll_output()).find_map(|output| match output {
        Output::Write { write, .. } => Some(write),
        _ => None,
    });
    let write = write.expect("a renewal is due");
    let outputs = handle(&mut replica, 3001, Input::Written { write, outcome: Outcome::Conflict });
    assert!(!outputs.iter().any(|output| matches!(output, Output::Read)), "{outputs:?}");
    handle(&mut replica, 4000, Input::Tick);
    assert_eq!(replica.tenure(), tenure);
    assert!(campaign(&mut replica, 4001).iter().any(|output| matches!(output, Output::Event { .. })));
}

/// Only a broken replica hands over two leaders of one election.
#[test]
fn a_leader_that_is_overtaken_in_the_handover_drains_no_more() {
    let tickets = [160, 150].map(|enrolment| ticket(enrolment, Some(enrolment + 1), 100));
    let drains = |ticket: Ticket| Carried { ticket, drains_until: Some(Millis(10_000)), attempt: None };
    let mut replica = start(handed_over(100, 2000, tickets.clone().map(drains).to_vec()));
    let Ok(Reply::KeptAlive(kept)) = call(&mut replica, 1, Ask::KeepAlive(tickets.to_vec())) else { panic!() };
    assert!(matches!(kept[..], [Kept::Draining { .. }, Kept::Ended(EndReason::Overtaken)]), "{kept:?}");
}
