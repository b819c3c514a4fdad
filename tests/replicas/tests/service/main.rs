//! What replicas are to workers, to each other and to the API server: standbys that forward, keys
//! that are shared, few rights, few writes.

mod forwarding;
mod keys;
mod load;
mod manifests;
mod rights;
mod strangers;
mod streams;
mod tls;

use std::time::Duration;

/// A whole start: the machine may be busy with other tests.
const START: Duration = Duration::from_secs(60);
/// What a machine that is busy may add to a time that the protocol bounds.
const SLACK: Duration = Duration::from_secs(3);
