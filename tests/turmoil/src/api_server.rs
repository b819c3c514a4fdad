//! A small API server: objects with versions, compare-and-swap, lists, watches. What etcd keeps
//! survives its process.
//!
//! Only what the server asks of the real one. Whether that is asked in the right way, the tests
//! with a real API server say.

mod faults;
mod routes;

pub(crate) use faults::Weather;
pub(crate) use routes::serve;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Where the replicas' Lease is.
pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
/// Its name.
pub(crate) const LEASE: &str = "leasehold";
/// Changes that are kept for watches: whoever asks for older ones begins anew.
const CHANGES: usize = 50;

/// What is stored. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Etcd {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    /// By collection and name.
    objects: BTreeMap<(String, String), Value>,
    version: u64,
    changes: Vec<Change>,
    /// Writes of Leases by replicas.
    writes: u64,
    /// Watches that began before this are cut.
    era: u64,
    weather: Weather,
    rng: fastrand::Rng,
}

#[derive(Clone, Debug)]
struct Change {
    collection: String,
    version: u64,
    kind: &'static str,
    object: Value,
}

impl Default for State {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            version: 1,
            changes: Vec::new(),
            writes: 0,
            era: 0,
            weather: Weather::default(),
            rng: fastrand::Rng::with_seed(0),
        }
    }
}

/// A refusal, with the status that Kubernetes gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u16, pub(crate) &'static str);

const GONE: Refused = Refused(404, "NotFound");
const EXISTS: Refused = Refused(409, "AlreadyExists");
const CONFLICT: Refused = Refused(409, "Conflict");

impl Etcd {
    pub(crate) fn new(seed: u64) -> Self {
        let etcd = Self::default();
        etcd.state().rng = fastrand::Rng::with_seed(seed);
        etcd
    }

    pub(crate) fn get(&self, collection: &str, name: &str) -> Result<Value, Refused> {
        self.state().objects.get(&(collection.to_owned(), name.to_owned())).cloned().ok_or(GONE)
    }

    pub(crate) fn create(&self, collection: &str, mut object: Value) -> Result<Value, Refused> {
        let mut state = self.state();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if state.objects.contains_key(&(collection.to_owned(), name.clone())) {
            return Err(EXISTS);
        }
        object["metadata"]["uid"] = json!(format!("uid-{}", state.version + 1));
        Ok(self.store(&mut state, collection, &name, "ADDED", object))
    }

    pub(crate) fn replace(&self, collection: &str, name: &str, object: Value) -> Result<Value, Refused> {
        let mut state = self.state();
        let now = state.objects.get(&(collection.to_owned(), name.to_owned())).ok_or(GONE)?;
        // Without a version it would be written whatever there is.
        let same = |field: &str| [&now["metadata"][field], &Value::Null].contains(&&object["metadata"][field]);
        if !same("resourceVersion") || !same("uid") {
            return Err(CONFLICT);
        }
        Ok(self.store(&mut state, collection, name, "MODIFIED", object))
    }

    /// Somebody with kubectl changes the Lease, if it is there. `None`: they delete it.
    pub(crate) fn edit(&self, change: impl FnOnce(Value) -> Option<Value>) {
        let mut state = self.state();
        let key = (LEASES.to_owned(), LEASE.to_owned());
        let Some(now) = state.objects.get(&key).cloned() else { return };
        match change(now.clone()) {
            Some(object) => {
                self.store(&mut state, LEASES, LEASE, "MODIFIED", object);
            }
            None => {
                self.store(&mut state, LEASES, LEASE, "DELETED", now);
                state.objects.remove(&key);
            }
        }
    }

    /// Cuts all watches.
    pub(crate) fn cut_watches(&self) {
        self.state().era += 1;
        self.changed.notify_waiters();
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Writes of Leases by replicas.
    pub(crate) fn writes(&self) -> u64 {
        self.state().writes
    }

    /// Lists a collection, and says as of which version.
    fn list(&self, collection: &str, name: Option<&str>) -> (Vec<Value>, u64) {
        let state = self.state();
        let of = |(key, _): &(&(String, String), &Value)| key.0 == collection && name.is_none_or(|name| key.1 == name);
        (state.objects.iter().filter(of).map(|(_, object)| object.clone()).collect(), state.version)
    }

    fn store(&self, state: &mut State, collection: &str, name: &str, kind: &'static str, mut object: Value) -> Value {
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        state.objects.insert((collection.to_owned(), name.to_owned()), object.clone());
        if state.changes.len() == CHANGES {
            state.changes.remove(0);
        }
        state.changes.push(Change { collection: collection.to_owned(), version, kind, object: object.clone() });
        self.changed.notify_waiters();
        object
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
