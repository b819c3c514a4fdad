//! Tests of the ledger.

use super::*;
use bytes::Bytes;

async fn begin(peer: &Peer, class: Class) -> Result<Arc<Call>, Refusal> {
    peer.begin(class).await.map(|begun| begun.call)
}

const LIMITS: LedgerLimits = LedgerLimits { unsent_bytes: 1000, streams: 1000 };

fn ledger() -> (Arc<Ledger>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    (Ledger::new(LIMITS, Arc::clone(&metrics)), metrics)
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn closed(metrics: &Metrics, reason: &str) -> bool {
    metrics.encode().contains(&format!("leasehold_connections_closed_total{{reason=\"{reason}\"}} 1\n"))
}

#[tokio::test]
async fn what_was_handed_over_is_crossed_out_when_its_last_byte_is_dropped() {
    let (ledger, _) = ledger();
    let (peer, _registered) = ledger.register(ip(1));
    let call = begin(&peer, Class::Stream).await.unwrap();
    let bytes = call.hand_over(Bytes::from(vec![7; 100]));
    let half = bytes.slice(50..);
    assert_eq!((&half[..], peer.0.unsent()), (&[7; 50][..], 100));
    drop(bytes);
    assert_eq!(peer.0.unsent(), 100, "half of it is still there");
    drop((call, half));
    assert_eq!((peer.0.unsent(), ledger.unsent.load(Ordering::Relaxed)), (0, 0));
    assert_eq!(ledger.open.of(Class::Stream).load(Ordering::Relaxed), 0, "the call is over");
}

#[tokio::test]
async fn an_answer_that_isnt_read_in_time_closes_its_connection_and_a_stream_doesnt() {
    let (ledger, metrics) = ledger();
    let (reads, _reads) = ledger.register(ip(1));
    let (unread, _unread) = ledger.register(ip(1));
    let (slow, _slow) = ledger.register(ip(1));
    let answer = begin(&reads, Class::Unary).await.unwrap();
    let held = answer.hand_over(Bytes::from_static(b"read"));
    let call = begin(&unread, Class::Unary).await.unwrap();
    let _held = call.hand_over(Bytes::from_static(b"unread"));
    let stream = begin(&slow, Class::Stream).await.unwrap();
    let _held_too = stream.hand_over(Bytes::from_static(b"slow"));
    for _ in 0..SEND_LOOKS {
        ledger.look();
        assert!(!unread.0.is_cut(), "it has that long");
    }
    drop(held);
    ledger.look();
    assert!(unread.0.is_cut() && !reads.0.is_cut() && !slow.0.is_cut());
    assert!(closed(&metrics, "UNREAD_ANSWER"));
}

/// Whoever waits while this process stands still isn't late when it goes on: its timer tells of a
/// minute at once.
#[tokio::test(start_paused = true)]
async fn nobody_is_late_because_this_process_stood_still() {
    let (ledger, _) = ledger();
    let (peer, _registered) = ledger.register(ip(1));
    let closing = CancellationToken::new();
    let watch = tokio::spawn(Arc::clone(&ledger).watch(closing.clone()));
    tokio::task::yield_now().await;
    let before = begin(&peer, Class::Unary).await.unwrap();
    let before = (before.hand_over(Bytes::from_static(b"before")), before);
    tokio::time::advance(Duration::from_secs(60)).await;
    let after = begin(&peer, Class::Unary).await.unwrap();
    let after = (after.hand_over(Bytes::from_static(b"after")), after);
    tokio::time::sleep(Duration::from_millis(1000 * SEND_LOOKS as u64 - 500)).await;
    assert!(!peer.0.is_cut(), "its client has as long as any other");
    drop(before);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(peer.0.is_cut(), "and no longer");
    drop(after);
    closing.cancel();
    watch.await.unwrap();
}

#[tokio::test]
async fn when_memory_is_short_whoever_holds_most_is_closed_and_nobody_else() {
    let (ledger, metrics) = ledger();
    let peers: Vec<_> = (0..3).map(|_| ledger.register(ip(1))).collect();
    let mut held = Vec::new();
    for ((peer, _), bytes) in peers.iter().zip([300, 500, 200]) {
        let call = begin(peer, Class::Stream).await.unwrap();
        held.push((call.hand_over(Bytes::from(vec![0; bytes])), call));
    }
    let cut = || peers.iter().map(|(peer, _)| peer.0.is_cut()).collect::<Vec<_>>();
    assert_eq!(cut(), [false, false, false]);
    let (_, call) = &held[2];
    let more = call.hand_over(Bytes::from_static(b"1"));
    assert_eq!(cut(), [false, true, false]);
    // Nobody else is closed for what the one that was closed hasn't given back yet.
    let more = (more, call.hand_over(Bytes::from(vec![0; 400])));
    assert_eq!(cut(), [false, true, false]);
    assert!(closed(&metrics, "UNREAD_ANSWERS_FILL_MEMORY"));
    drop((more, held));
}

#[tokio::test]
async fn a_client_that_reads_nothing_gets_no_more_answers() {
    let unsent_bytes = usize::MAX / 2;
    let ledger = Ledger::new(LedgerLimits { unsent_bytes, streams: 10_000 }, Arc::new(Metrics::new()));
    let (peer, _registered) = ledger.register(ip(1));
    let waits =
        |peer: Peer| async move { tokio::time::timeout(Duration::from_millis(50), begin(&peer, Class::Unary)).await };
    let full = begin(&peer, Class::Unary).await.unwrap().hand_over(Bytes::from(vec![0; 4 << 20]));
    assert!(waits(peer.clone()).await.is_err(), "its answers take all the room that it has");
    // A stream needs no room: it makes one piece at a time.
    begin(&peer, Class::Stream).await.unwrap();
    let next = tokio::spawn({
        let peer = peer.clone();
        async move { begin(&peer, Class::Unary).await.map(|_| ()) }
    });
    drop(full);
    tokio::time::timeout(Duration::from_secs(10), next).await.expect("it is woken").unwrap().unwrap();

    let mut at_work = Vec::new();
    while let Ok(call) = waits(peer.clone()).await {
        at_work.push(call.unwrap());
    }
    assert_eq!(at_work.len(), 128, "so many are worked at");
    at_work.pop();
    assert!(waits(peer).await.is_ok());
}

#[tokio::test]
async fn calls_have_limits_in_all_and_for_each_address_and_connection() {
    let ledger = Ledger::new(LedgerLimits { streams: 8, ..LIMITS }, Arc::new(Metrics::new()));
    let refused = |refusal: Refusal| refusal.to_string();
    let (peer, _registered) = ledger.register(ip(1));
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(begin(&peer, Class::Stream).await.unwrap());
    }
    let error = refused(begin(&peer, Class::Stream).await.unwrap_err());
    assert!(error.starts_with("there are 4 streams from this address already"), "{error}");
    // However many streams there are, calls with one answer are let through.
    open.push(begin(&peer, Class::Unary).await.unwrap());
    let error = refused(begin(&peer, Class::Unary).await.unwrap_err());
    assert!(error.starts_with("there are 1 calls under way from this address already"), "{error}");
    let (other, _other) = ledger.register(ip(2));
    for _ in 0..4 {
        open.push(begin(&other, Class::Stream).await.unwrap());
    }
    let (third, _third) = ledger.register(ip(3));
    let error = refused(begin(&third, Class::Stream).await.unwrap_err());
    assert!(error.starts_with("there are 8 streams in all already"), "{error}");
    open.clear();
    begin(&third, Class::Stream).await.unwrap();
}

#[tokio::test]
async fn hosts_with_many_calls_leave_places_for_those_with_few() {
    let ledger = Ledger::new(LedgerLimits { streams: 800, ..LIMITS }, Arc::new(Metrics::new()));
    let mut open = Vec::new();
    let mut fill = async |host: u8, most: usize| {
        let (peer, registered) = ledger.register(ip(host));
        let mut calls = Vec::new();
        while calls.len() < most
            && let Ok(call) = begin(&peer, Class::Stream).await
        {
            calls.push(call);
        }
        let count = calls.len();
        open.push((peer, registered, calls));
        count
    };
    assert_eq!((fill(1, 1000).await, fill(2, 1000).await), (400, 300));
    assert_eq!((fill(3, 10).await, fill(4, 1000).await), (10, FEW));
    drop(open);
    ledger.look();
    assert!(ledger.state().by_address.is_empty());
}

#[tokio::test]
async fn watches_and_reflection_have_limits_of_their_own() {
    let limits = LedgerLimits { unsent_bytes: 1000, streams: 100_000 };
    let ledger = Ledger::new(limits, Arc::new(Metrics::new()));
    for (class, each, address, all, what) in [
        (Class::Watch, 16, 1024, 4096, "streams of grpc.health.v1.Health/Watch"),
        (Class::Reflection, 8, 64, 128, "streams of gRPC reflection"),
    ] {
        let mut open = Vec::new();
        let mut refusals = Vec::new();
        for host in 0..20 {
            loop {
                let (peer, registered) = ledger.register(ip(host));
                let mut calls = Vec::new();
                let refusal = loop {
                    match begin(&peer, class).await {
                        Ok(call) => calls.push(call),
                        Err(refusal) => break refusal.to_string(),
                    }
                };
                let full = calls.len() < each;
                open.push((peer, registered, calls));
                refusals.push(refusal);
                if full {
                    break;
                }
            }
        }
        let calls: usize = open.iter().map(|(_, _, calls)| calls.len()).sum();
        assert_eq!(calls, all, "{what}");
        for (limit, whose) in [(each, "on this connection"), (address, "from this address"), (all - all / 8, "in all")]
        {
            let said = format!("there are {limit} {what} {whose} already");
            assert!(refusals.iter().any(|refusal| refusal.starts_with(&said)), "{said}: {refusals:?}");
        }
    }
}
