//! Callers that show a client certificate: whom it makes of them, and what they may do.

use anyhow::ensure;
use leasehold::{Access, Client, Error, Reason};
use leasehold_harness::{Authority, Issuer, Server, ServerBuilder};
use std::path::Path;

const POLICY: &str = r#"
[[rule]]
subjects = ["spiffe://example.org/ns/team-a/**"]
elections = ["team-a/**"]
verbs = ["campaign", "observe"]

[[rule]]
subjects = ["dns:worker.example.org"]
elections = ["dns/**"]
verbs = ["campaign"]

[[rule]]
subjects = ["cn:*"]
elections = ["named/**"]
verbs = ["campaign"]
"#;

fn server(ours: &Authority, policy: &Path) -> anyhow::Result<ServerBuilder> {
    std::fs::write(policy, POLICY)?;
    let builder = Server::builder().listen(([127, 0, 0, 1], 0).into()).tls(&ours.issue("server", &["127.0.0.1"])?);
    let builder = builder.arg("--tls-client-ca").arg(ours.ca().display().to_string()).arg("--tls-client-auth=optional");
    Ok(builder.arg("--auth=mtls").arg("--policy").arg(policy.display().to_string()))
}

async fn client(server: &Server, access: Access) -> anyhow::Result<Client> {
    Ok(Client::connect_with(format!("https://{}", server.address()), access).await?)
}

#[track_caller]
fn assert_refused(error: Error, expected: Reason, says: &str) {
    match error {
        Error::Refused { reason, message, .. } if reason == expected && message.contains(says) => {}
        other => panic!("{expected:?} with {says:?} is due, not {other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_is_a_subject_and_the_policy_acts_on_it() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let server = server(&ours, &ours.dir().join("policy.toml"))?.start().await?;
    let id = "spiffe://example.org/ns/team-a/sa/worker";
    for (stem, names, subject, own, foreign) in [
        ("of-spiffe", &["other.example.org", id][..], id, "team-a/report", "dns/report"),
        ("of-dns", &["worker.example.org"][..], "dns:worker.example.org", "dns/report", "team-a/report"),
        ("of-name", &[][..], "cn:of-name", "named/report", "dns/report"),
    ] {
        let files = ours.issue(stem, names)?;
        let client = client(&server, Access::new().ca(ours.ca()).cert(files.cert).key(files.key)).await?;
        let who = client.who_am_i().await?;
        assert_eq!((who.subject.as_str(), who.valid_for), (subject, None));
        ensure!(client.campaign(own).await?.is_leading());
        let denied = client.campaign(foreign).await.expect_err("no rule allows it");
        assert_refused(denied, Reason::Denied, &format!("{subject} may not campaign in the election {foreign}"));
    }
    let log = server.process().stderr();
    ensure!(log.contains(&format!("\"event\":\"denied\",\"subject\":\"{id}\"")), "{log}");
    Ok(())
}

#[tokio::test]
async fn whoever_shows_no_certificate_is_nobody_and_a_token_goes_before_one() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let policy = ours.dir().join("policy.toml");
    let only = server(&ours, &policy)?.start().await?;
    let nobody = client(&only, Access::new().ca(ours.ca())).await?;
    assert_refused(nobody.who_am_i().await.unwrap_err(), Reason::NoToken, "connect with a client certificate");

    let provider = Issuer::new("https://sso.example")?;
    let both = server(&ours, &policy)?.arg("--oidc").arg(provider.flag()).start().await?;
    let worker = ours.issue("worker", &["worker.example.org"])?;
    let token = ours.dir().join("token");
    std::fs::write(&token, provider.token("ann"))?;
    let shown = Access::new().ca(ours.ca()).cert(worker.cert).key(worker.key);
    for (access, subject) in [
        (shown.clone(), "dns:worker.example.org"),
        (shown.token_file(&token), "oidc:https://sso.example#ann"),
        (Access::new().ca(ours.ca()).token_file(&token), "oidc:https://sso.example#ann"),
    ] {
        assert_eq!(client(&both, access).await?.who_am_i().await?.subject, subject);
    }
    Ok(())
}
