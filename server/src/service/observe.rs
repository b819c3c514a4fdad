//! Observe streams: each reads the board at its own pace.

use super::convert::{change, number, some};
use super::deadline::passed;
use super::{HEARTBEAT, next_heartbeat};
use crate::access::Sight;
use crate::errors::Refusal;
use crate::observers::Observer;
use futures::Stream;
use leasehold_core::{BadWord, Batch, Cursor, ElectionName, Revision, Seen, Selection};
use leasehold_proto::v1;
use leasehold_proto::v1::observe_response::Event as Told;
use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// What tonic is given.
pub(crate) type ObserveStream = Pin<Box<dyn Stream<Item = Result<v1::ObserveResponse, Status>> + Send>>;

/// So many elections may be named in one request.
const MAX_NAMES: usize = 100;
/// So many changes are taken from the board at once; then they are sent before more are taken. An
/// observer that isn't read keeps them from being forgotten.
const BATCH: usize = 8;

/// What is sent next. It becomes a message when it is: values are long, and the board shares them.
enum Next {
    Change(Seen),
    Vacant(ElectionName),
    Other(Told),
}

struct ObserveReader {
    observer: Observer,
    /// What it is shown.
    sight: Sight,
    ready: VecDeque<Next>,
    more: bool,
    /// The tenure has ended in good order, and this is the last word about it.
    over: Option<Refusal>,
    heartbeat: Pin<Box<Sleep>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What a request asks for.
pub(crate) fn selection(request: &v1::ObserveRequest) -> Result<(Selection, Cursor), Refusal> {
    if request.elections.len() > MAX_NAMES {
        let count = request.elections.len();
        return Err(Refusal::Argument(format!(
            "{count} elections are named; at most {MAX_NAMES} can be, or use prefix"
        )));
    }
    if !request.elections.is_empty() && !request.prefix.is_empty() {
        return Err(Refusal::Argument("elections and prefix are both given; give one of them".to_owned()));
    }
    let selection = if request.elections.is_empty() {
        Selection::Prefix(prefix(&request.prefix)?)
    } else {
        let names: Result<BTreeSet<_>, _> = request.elections.iter().map(|name| ElectionName::new(name)).collect();
        Selection::Named(names?)
    };
    let cursor = match request.after_revision {
        0 => Cursor::snapshot(),
        revision => Cursor::after(Revision(revision)),
    };
    Ok((selection, cursor))
}

/// The beginning of names: checked like a name, but it may be empty or end with a slash.
pub(crate) fn prefix(text: &str) -> Result<String, Refusal> {
    let whole = text.strip_suffix('/').filter(|whole| !whole.is_empty()).unwrap_or(text);
    match ElectionName::new(whole) {
        // As it was given.
        Err(BadWord::EmptyPart { .. }) => Err(BadWord::EmptyPart { what: "prefix", text: text.to_owned() }.into()),
        Err(error) if !text.is_empty() => Err(error.into()),
        _ => Ok(text.to_owned()),
    }
}

/// A stream of what this observer reads, cut off at the caller's own deadline.
pub(crate) fn stream(observer: Observer, sight: Sight, deadline: Option<Duration>) -> ObserveStream {
    let heartbeat = Box::pin(sleep(HEARTBEAT));
    let deadline = deadline.map(|left| Box::pin(sleep(left)));
    let settling = observer.settling();
    let settling = some(settling).map(|left| Next::Other(Told::Settling(v1::Settling { remaining: Some(left) })));
    let open = ObserveReader {
        observer,
        sight,
        ready: settling.into_iter().collect(),
        more: true,
        over: None,
        heartbeat,
        deadline,
    };
    Box::pin(futures::stream::unfold(Some(open), |open| async {
        let mut open = open?;
        match open.next().await {
            Ok(event) => {
                let tenure = number(open.observer.tenure());
                Some((Ok(v1::ObserveResponse { tenure, event: Some(event) }), Some(open)))
            }
            Err(refusal) => Some((Err(refusal.into()), None)),
        }
    }))
}

impl ObserveReader {
    async fn next(&mut self) -> Result<Told, Refusal> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                // It may have lain here for long: the reader sets the pace.
                self.observer.check().await?;
                return Ok(next.tell());
            }
            if let Some(over) = self.over.take() {
                return Err(over);
            }
            if !self.more {
                tokio::select! {
                    () = self.observer.woken() => {}
                    () = passed(&mut self.deadline) => return Err(Refusal::DeadlineExceeded),
                    () = &mut self.heartbeat => self.ready.push_back(self.progress()),
                }
                self.heartbeat.as_mut().reset(next_heartbeat());
            }
            let batch = self.observer.read(BATCH).await?;
            self.more = batch.more;
            self.take(batch);
            if let Some(why) = self.observer.ended().filter(|_| !self.more) {
                self.ready.push_back(self.progress());
                self.over = Some(why.into());
            }
        }
    }

    fn progress(&self) -> Next {
        Next::Other(Told::Progress(v1::Progress { revision: self.observer.complete().0 }))
    }

    fn take(&mut self, batch: Batch) {
        if batch.reset {
            let detail = "what came after that revision isn't known any more: what is known is stale until Synced";
            self.ready.push_back(Next::Other(Told::Resync(v1::Resync { detail: detail.to_owned() })));
        }
        let changes = batch.changes.into_iter().filter(|seen| self.sight.shows(&seen.change.election));
        self.ready.extend(changes.map(Next::Change));
        let vacant = batch.vacant.into_iter().filter(|name| self.sight.shows(name));
        self.ready.extend(vacant.map(Next::Vacant));
        if let Some(revision) = batch.synced {
            self.ready.push_back(Next::Other(Told::Synced(v1::Synced { revision: revision.0 })));
        }
    }
}

impl Next {
    fn tell(self) -> Told {
        match self {
            Next::Change(seen) => Told::Change(change(&seen.change, seen.missed)),
            Next::Vacant(name) => Told::Change(v1::ElectionChange { election: name.to_string(), ..Default::default() }),
            Next::Other(told) => told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for good in ["", "a", "a/", "billing/night"] {
            assert_eq!(prefix(good).unwrap(), good);
        }
        for bad in ["/", "//", "a//", "a b"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
        assert!(prefix("a//").unwrap_err().to_string().contains("the prefix \"a//\" has an empty part"));
    }

    #[test]
    fn selections() {
        let request = v1::ObserveRequest { elections: vec!["a".into()], prefix: "b".into(), after_revision: 0 };
        assert!(selection(&request).unwrap_err().to_string().contains("give one of them"));
        let request = v1::ObserveRequest { elections: vec!["a".into(); 101], ..Default::default() };
        assert!(selection(&request).unwrap_err().to_string().contains("at most 100"));
    }
}
