//! The API server's audit log: who wrote what.

use anyhow::Context as _;
use serde::Deserialize;
use std::path::Path;

/// A request that was to change something, and that the API server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Who asked, e.g. `system:serviceaccount:default:leasehold`.
    pub user: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The kind of object in the plural, e.g. `leases`; with a slash and the part of it that was
    /// meant, if any.
    pub resource: String,
    /// Its namespace; empty for an object without one.
    pub namespace: String,
    /// Its name; empty if the request didn't get as far as that.
    pub name: String,
    /// The HTTP status of the answer; 0 if none was sent.
    pub code: u16,
}

impl Write {
    /// Whether the API server did what was asked.
    #[must_use]
    pub fn accepted(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Event {
    user: User,
    verb: String,
    object_ref: Object,
    response_status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
}

/// All writes in the log at `path`, in the order of their answers.
pub(crate) async fn read(path: &Path) -> anyhow::Result<Vec<Write>> {
    let text = tokio::fs::read_to_string(path).await.with_context(|| format!("{}", path.display()))?;
    parse(&text)
}

fn parse(text: &str) -> anyhow::Result<Vec<Write>> {
    // A line without its end is still being written, or was when the server was killed.
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines.map(|line| Ok(Write::from(serde_json::from_str::<Event>(line).with_context(|| line.to_owned())?))).collect()
}

impl From<Event> for Write {
    fn from(event: Event) -> Self {
        let object = event.object_ref;
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            part => format!("{}/{part}", object.resource),
        };
        Self {
            user: event.user.username,
            verb: event.verb,
            resource,
            namespace: object.namespace,
            name: object.name,
            code: event.response_status.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use serde_json::json;

    #[test]
    fn each_whole_line_is_a_write() {
        let update = json!({
            "kind": "Event",
            "verb": "update",
            "user": {"username": "admin"},
            "objectRef": {"resource": "leases", "namespace": "default", "name": "x"},
            "responseStatus": {"metadata": {}, "code": 409},
        });
        let token = json!({
            "verb": "create",
            "user": {"username": "admin"},
            "objectRef": {"resource": "serviceaccounts", "subresource": "token", "namespace": "default", "name": "w"},
            "responseStatus": {"code": 201},
        });
        let writes = parse(&format!("{update}\n{token}\n{{\"kind\":")).expect("all whole lines are events");
        let short: Vec<_> =
            writes.iter().map(|w| (w.verb.as_str(), w.resource.as_str(), w.code, w.accepted())).collect();
        assert_eq!(short, [("update", "leases", 409, false), ("create", "serviceaccounts/token", 201, true)]);
        assert_eq!((writes[0].user.as_str(), writes[0].name.as_str()), ("admin", "x"));
    }

    #[test]
    fn a_line_that_is_no_event_is_an_error() {
        assert!(parse("nonsense\n").is_err());
    }
}
