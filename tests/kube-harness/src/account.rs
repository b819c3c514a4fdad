//! Service accounts: made, given exactly some rights, and equipped with a token of the TokenRequest
//! API.

use crate::Kubectl;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the API server may take to act on a Role that it has accepted.
const RIGHTS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a token is valid: longer than any test.
const TOKEN_DURATION: &str = "--duration=4h";

/// Makes namespace and account, unless they are there, and gives the account a Role of its own with
/// `rules`.
pub(crate) async fn equip(admin: &Kubectl, namespace: &str, name: &str, rules: &str) -> anyhow::Result<()> {
    let former = rules_of(admin, namespace, name).await?;
    admin.apply(&manifests(namespace, name, rules)).await?;
    let wanted = rules_of(admin, namespace, name).await?;
    let deadline = Instant::now() + RIGHTS_TIMEOUT;
    loop {
        let found = effective_rules(admin, namespace, name).await?;
        let missing = wanted.iter().filter(|rule| !found.contains(rule));
        let stale = former.iter().filter(|rule| !wanted.contains(rule) && found.contains(rule));
        let Some(rule) = missing.chain(stale).next() else { return Ok(()) };
        if Instant::now() >= deadline {
            bail!(
                "the API server doesn't act on the new rights of {namespace}/{name} within {RIGHTS_TIMEOUT:?}: {rule}"
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A token of the account for an audience; without one, for the API server.
pub(crate) async fn token(
    admin: &Kubectl,
    namespace: &str,
    name: &str,
    audience: Option<&str>,
) -> anyhow::Result<String> {
    let audience = audience.map(|audience| format!("--audience={audience}"));
    let mut args = vec!["create", "token", name, "--namespace", namespace, TOKEN_DURATION];
    args.extend(audience.as_deref());
    Ok(admin.run(&args).await?.trim_end().to_owned())
}

/// A kubeconfig with which `token` talks to `server`. JSON is YAML.
pub(crate) fn kubeconfig(server: &str, authority: &str, token: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "controlplane", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "account", "user": {"token": token}}],
        "contexts": [{
            "name": "account",
            "context": {"cluster": "controlplane", "user": "account", "namespace": namespace},
        }],
        "current-context": "account",
    })
}

fn manifests(namespace: &str, name: &str, rules: &str) -> String {
    let rules = if rules.trim().is_empty() { " []".to_owned() } else { format!("\n{}", rules.trim_matches('\n')) };
    format!(
        "\
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}, namespace: {namespace}}}
rules:{rules}
"
    )
}

/// The rules of the account's Role; none if there is no Role.
async fn rules_of(admin: &Kubectl, namespace: &str, name: &str) -> anyhow::Result<Vec<Value>> {
    let args = ["get", "role", name, "--namespace", namespace, "--ignore-not-found", "--output=json"];
    let stdout = admin.run(&args).await?;
    if stdout.trim().is_empty() {
        return Ok(Vec::new());
    }
    let role: Value = serde_json::from_str(&stdout).context("a Role is JSON")?;
    Ok(role["rules"].as_array().cloned().unwrap_or_default())
}

/// What the account may do in its namespace, as the API server sees it now.
async fn effective_rules(admin: &Kubectl, namespace: &str, name: &str) -> anyhow::Result<Vec<Value>> {
    let user = format!("--as=system:serviceaccount:{namespace}:{name}");
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    });
    let args = ["create", "--filename=-", "--validate=false", "--output=json", &user];
    let stdout = admin.run_with(&args, Some(&review.to_string())).await?;
    let review: Value = serde_json::from_str(&stdout).context("a review is JSON")?;
    review["status"]["resourceRules"].as_array().cloned().context("a review lists rules")
}
