//! The manifests in deploy/ on a real API server: it takes each of them, pods pass the strictest
//! standard, rights are as documented, and applying them again touches nothing.

use anyhow::{Context as _, ensure};
use leasehold_kube_harness::{ControlPlane, Kubectl};
use leasehold_replica_tests::RULES;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// All that can be applied with `kubectl apply -k`, in this order.
const FOLDERS: [&str; 3] = ["deploy", "deploy/demo", "deploy/demo-command"];

fn folder(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name).display().to_string()
}

async fn apply(kubectl: &Kubectl, name: &str, flags: &[&str]) -> anyhow::Result<String> {
    kubectl.run(&[&["apply", "--kustomize", &folder(name), "--validate=strict"], flags].concat()).await
}

/// An API server to which all manifests were applied.
async fn applied() -> anyhow::Result<ControlPlane> {
    let plane = ControlPlane::start().await?;
    for name in FOLDERS {
        apply(plane.admin(), name, &[]).await.with_context(|| name.to_owned())?;
    }
    Ok(plane)
}

/// What an account may do, a line each. (kubectl turns columns into spaces, of which names here
/// have none.)
async fn rights(kubectl: &Kubectl) -> anyhow::Result<BTreeSet<String>> {
    let list = kubectl.run(&["auth", "can-i", "--list", "--namespace=leasehold"]).await?;
    Ok(list.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

/// kubectl as an account that is there already.
async fn account(plane: &ControlPlane, namespace: &str, name: &str) -> anyhow::Result<Kubectl> {
    let token = plane.admin().run(&["create", "token", name, "--namespace", namespace]).await?;
    let mut config = plane.admin().json(&["config", "view", "--raw"]).await?;
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = plane.kubeconfig().with_extension(name);
    tokio::fs::write(&path, config.to_string()).await?;
    Ok(plane.admin().with_kubeconfig(&path))
}

#[tokio::test]
async fn the_api_server_takes_every_manifest() -> anyhow::Result<()> {
    let plane = ControlPlane::start().await?;
    let kubectl = plane.admin();
    // A dry run makes no namespace for what comes after it.
    for namespace in ["deploy/namespace.yaml", "deploy/demo/namespace.yaml"] {
        kubectl.run(&["apply", "--filename", &folder(namespace)]).await?;
    }
    for name in FOLDERS {
        let built = kubectl.run(&["kustomize", &folder(name)]).await?;
        let objects = built.lines().filter(|line| line.starts_with("kind: ")).count();
        let said = apply(kubectl, name, &["--dry-run=server"]).await?;
        assert_eq!(said.lines().filter(|line| line.ends_with("(server dry run)")).count(), objects, "{said}");
    }
    Ok(())
}

/// The objects of deploy/ with a component, a document each.
async fn with_component(plane: &ControlPlane, component: &str) -> anyhow::Result<Vec<String>> {
    let overlay = tempfile::tempdir()?;
    // kustomize takes relative paths only.
    let (from, to) = (overlay.path().canonicalize()?, PathBuf::from(folder("deploy")).canonicalize()?);
    let up = "../".repeat(from.components().count() - 1);
    let deploy = format!("{up}{}", to.display().to_string().trim_start_matches('/'));
    let text = format!("resources: [{deploy}]\ncomponents: [{deploy}/components/{component}]\n");
    std::fs::write(overlay.path().join("kustomization.yaml"), text)?;
    let built = plane.admin().run(&["kustomize", &overlay.path().display().to_string()]).await?;
    Ok(built.split("\n---\n").map(str::to_owned).collect())
}

/// cert-manager itself isn't here: its object is looked at, and the rest is taken by the API
/// server.
#[tokio::test]
async fn the_component_for_cert_manager_gives_the_replicas_its_certificate() -> anyhow::Result<()> {
    let plane = applied().await?;
    let objects = with_component(&plane, "cert-manager").await?;
    let (certificates, others): (Vec<String>, Vec<String>) =
        objects.into_iter().partition(|object| object.contains("kind: Certificate\n"));
    ensure!(certificates.len() == 1 && certificates[0].contains("secretName: leasehold-tls"), "{certificates:?}");
    plane.admin().apply(&others.join("\n---\n")).await?;
    let deployment = plane.admin().json(&["get", "deployment", "leasehold", "--namespace=leasehold"]).await?;
    let pod = &deployment["spec"]["template"]["spec"];
    let args = pod["containers"][0]["args"].to_string();
    let (cert, key) = ("--tls-cert=/etc/leasehold/tls.crt", "--tls-key=/etc/leasehold/tls.key");
    ensure!(args.contains(cert) && args.contains(key), "{args}");
    ensure!(pod["volumes"][0]["secret"]["secretName"] == "leasehold-tls", "{pod}");
    Ok(())
}

#[tokio::test]
async fn the_component_for_the_trust_bundle_gives_one_right_more() -> anyhow::Result<()> {
    let plane = applied().await?;
    let replica = account(&plane, "leasehold", "leasehold").await?;
    let before = rights(&replica).await?;
    plane.admin().apply(&with_component(&plane, "cluster-trust-bundle").await?.join("\n---\n")).await?;
    let deployment = plane.admin().json(&["get", "deployment", "leasehold", "--namespace=leasehold"]).await?;
    let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    ensure!(args.contains("--ca-trust-bundle=leasehold"), "{args}");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = rights(&replica).await?;
        let more: Vec<_> = now.difference(&before).map(String::as_str).collect();
        // kubectl puts together what is said of one resource.
        if more.iter().any(|right| right.contains("clustertrustbundles") && right.contains("[leasehold] [get update]"))
        {
            ensure!(more.iter().all(|right| right.contains("clustertrustbundles")), "{more:?}");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{more:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[test]
fn images_are_of_this_version() -> anyhow::Result<()> {
    let wanted = format!(":{}", env!("CARGO_PKG_VERSION"));
    for name in ["deploy/deployment.yaml", "deploy/demo/deployment.yaml", "deploy/demo-command/deployment.yaml"] {
        let text = std::fs::read_to_string(folder(name))?;
        let images: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
        assert!(images.len() == 1 && images[0].ends_with(&wanted), "{name}: {images:?} instead of {wanted}");
    }
    Ok(())
}

#[tokio::test]
async fn pods_pass_the_strictest_standard() -> anyhow::Result<()> {
    let plane = applied().await?;
    let deployments = plane.admin().json(&["get", "deployments", "--all-namespaces"]).await?;
    let deployments = deployments["items"].as_array().context("a list")?;
    assert_eq!(deployments.len(), 3);
    for deployment in deployments {
        // There is no controller here that would make them.
        let mut pod = deployment["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = "pod".into();
        pod["metadata"]["namespace"] = deployment["metadata"]["namespace"].clone();
        let create = ["create", "--filename=-", "--dry-run=server"];
        let output = plane.admin().output(&create, Some(&pod.to_string())).await?;
        ensure!(output.success, "{}", output.stderr);
        // The standard is enforced at all.
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
        let output = plane.admin().output(&create, Some(&pod.to_string())).await?;
        assert!(output.stderr.contains("violates PodSecurity \"restricted"), "{}", output.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn the_rights_are_those_that_are_documented() -> anyhow::Result<()> {
    let plane = applied().await?;
    // The tests of the replicas run with these.
    let _ = plane.service_account_kubeconfig("elsewhere", "leasehold", RULES).await?;
    let role = async |namespace| plane.admin().json(&["get", "role", "leasehold", "--namespace", namespace]).await;
    assert_eq!(role("leasehold").await?["rules"], role("elsewhere").await?["rules"]);

    let worker = rights(&account(&plane, "ft-demo", "ft-worker").await?).await?;
    let replica = rights(&account(&plane, "leasehold", "leasehold").await?).await?;
    let more: Vec<&str> = replica.difference(&worker).map(String::as_str).collect();
    let documented = [
        "configmaps [] [] [create]",
        "configmaps [] [leasehold-ca] [get update]",
        "events [] [] [create patch]",
        "events.events.k8s.io [] [] [create patch]",
        "leases.coordination.k8s.io [] [] [create]",
        "leases.coordination.k8s.io [] [leasehold] [get list watch update]",
        "secrets [] [] [create]",
        "secrets [] [leasehold-keys] [get update]",
    ];
    assert_eq!(more, documented);
    // A worker may do what every account of a cluster may: ask who it is, and what the API server
    // can do.
    let nobody = plane.service_account_kubeconfig("elsewhere", "nobody", "").await?;
    assert_eq!(worker, rights(&nobody).await?);
    Ok(())
}

/// Each object, and the version that it has: kubectl says `configured` also where nothing came of
/// it.
async fn versions(plane: &ControlPlane) -> anyhow::Result<BTreeSet<String>> {
    let mut versions = BTreeSet::new();
    for name in FOLDERS {
        let objects = plane.admin().json(&["get", "--kustomize", &folder(name)]).await?;
        for object in objects["items"].as_array().context("a list")? {
            versions.insert(
                format!("{} {}", object["kind"], object["metadata"]["name"])
                    + &object["metadata"]["resourceVersion"].to_string(),
            );
        }
    }
    assert!(versions.len() > 10, "{versions:?}");
    Ok(versions)
}

#[tokio::test]
async fn applying_them_again_touches_nothing() -> anyhow::Result<()> {
    let plane = applied().await?;
    let lease = ["get", "lease", "leasehold", "--namespace=leasehold"];
    let spec = &plane.admin().json(&lease).await?["spec"];
    assert_eq!(*spec, json!({}), "what the manifest sets, it takes from the holder each time it is applied");
    let held = r#"{"spec": {"holderIdentity": "one", "leaseDurationSeconds": 8}}"#;
    let patch = ["patch", "lease", "leasehold", "--namespace=leasehold", "--type=merge", "--patch", held];
    plane.admin().run(&patch).await?;
    let before = versions(&plane).await?;
    for name in FOLDERS {
        let said = apply(plane.admin(), name, &[]).await?;
        assert!(!said.contains("created"), "{said}");
    }
    assert_eq!(versions(&plane).await?, before);
    Ok(())
}

#[tokio::test]
async fn the_flow_schema_has_the_requests_for_the_lease() -> anyhow::Result<()> {
    let plane = applied().await?;
    let replica = account(&plane, "leasehold", "leasehold").await?;
    let schema: Value = plane.admin().json(&["get", "flowschema", "leasehold"]).await?;
    let uid = schema["metadata"]["uid"].as_str().context("it has a uid")?;
    let level = plane.admin().json(&["get", "prioritylevelconfiguration", "leader-election"]).await?;
    let level = level["metadata"]["uid"].as_str().context("it has a uid")?;
    // The API server takes it up within moments.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let get = ["get", "lease", "leasehold", "--namespace=leasehold", "--v=8"];
        let said = replica.output(&get, None).await?.stderr;
        if said.contains(uid) && said.contains(level) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "neither {uid} nor {level} in\n{said}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
