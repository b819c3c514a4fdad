//! The control plane does what the other tests rely on: rights, faults, data that stays, counts,
//! and no process left over.

use leasehold_kube_harness::{ControlPlane, Kubectl, Part};
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a replica may do: all of it on one Lease.
const RULES: &str = "
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [leasehold]
  verbs: [get, list, watch, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
";

/// Short enough for a test, long enough for a busy machine.
const SHORT: Duration = Duration::from_secs(3);

/// The newest state of all Leases, asked for in one request: nothing before it to learn what the
/// server can do.
const LEASES: [&str; 3] = ["get", "--raw", "/apis/coordination.k8s.io/v1/namespaces/default/leases"];

fn lease(name: &str, holder: &str) -> String {
    format!(
        "{{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {{name: {name}, namespace: default}}, \
         spec: {{holderIdentity: {holder}}}}}"
    )
}

async fn create(kubectl: &Kubectl, manifest: &str) -> anyhow::Result<()> {
    let output = kubectl.output(&["create", "--filename=-"], Some(manifest)).await?;
    anyhow::ensure!(output.success, "{}", output.stderr);
    Ok(())
}

/// Reads the Lease and writes it back with another holder: a compare-and-swap.
async fn take(kubectl: &Kubectl, name: &str, holder: &str) -> anyhow::Result<()> {
    let mut lease = kubectl.json(&["get", "lease", name]).await?;
    lease["spec"]["holderIdentity"] = holder.into();
    let output = kubectl.output(&["replace", "--filename=-"], Some(&lease.to_string())).await?;
    anyhow::ensure!(output.success, "{}", output.stderr);
    Ok(())
}

async fn holder(kubectl: &Kubectl, name: &str) -> anyhow::Result<String> {
    Ok(kubectl.json(&["get", "lease", name]).await?["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
}

#[track_caller]
fn assert_forbidden<T: std::fmt::Debug>(result: anyhow::Result<T>) {
    let text = result.expect_err("it has no right to that").to_string();
    assert!(text.contains("Forbidden"), "it fails for another reason: {text}");
}

/// Waits until the log of writes has what was just answered, and a little longer: no write comes
/// uncounted later.
async fn settled_count(plane: &ControlPlane, name: &str, wanted: usize) -> usize {
    let deadline = Instant::now() + SHORT;
    while plane.write_count("default", name).await.expect("the log is there") < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    plane.write_count("default", name).await.expect("the log is there")
}

#[tokio::test]
async fn a_service_account_has_exactly_the_rights_it_was_given_and_writes_are_counted() {
    let before = Instant::now();
    let plane = ControlPlane::start().await.expect("it starts");
    let took = before.elapsed();
    eprintln!("ready after {took:?}");
    assert!(took < Duration::from_secs(60), "ready after {took:?} only");

    let version = plane.admin().json(&["version"]).await.expect("the server answers");
    assert_eq!(version["clientVersion"]["gitVersion"], version["serverVersion"]["gitVersion"], "{version}");
    let replica = plane.service_account_kubeconfig("default", "replica", RULES).await.expect("it is made");
    let who = replica.json(&["auth", "whoami"]).await.expect("the token is accepted");
    assert_eq!(who["status"]["userInfo"]["username"], "system:serviceaccount:default:replica");

    create(&replica, &lease("leasehold", "one")).await.expect("it may create");
    create(&replica, &lease("other", "one")).await.expect("it may create any Lease");
    take(&replica, "leasehold", "two").await.expect("it may get and update its own");
    for query in ["", "&watch=true&timeoutSeconds=1"] {
        let path = format!("{}?fieldSelector=metadata.name%3Dleasehold{query}", LEASES[2]);
        let found = replica.run(&["get", "--raw", &path]).await.expect("it may list and watch its own");
        assert!(found.contains("\"holderIdentity\":\"two\""), "{found}");
    }
    assert_forbidden(holder(&replica, "other").await);
    assert_forbidden(replica.run(&LEASES).await);
    assert_forbidden(replica.run(&["delete", "lease", "leasehold"]).await);
    assert_forbidden(replica.run(&["get", "secrets"]).await);
    assert_forbidden(replica.run(&["get", "lease", "leasehold", "--namespace", "kube-system"]).await);
    take(plane.admin(), "other", "three").await.expect("an administrator may");

    assert_eq!(settled_count(&plane, "leasehold", 2).await, 2, "created and updated; what was refused doesn't count");
    assert_eq!(settled_count(&plane, "other", 2).await, 2);
    let writes = plane.writes().await.expect("the log is there");
    let refused: Vec<_> = writes.iter().filter(|w| w.verb == "delete" && w.name == "leasehold").collect();
    assert_eq!(refused.iter().map(|w| w.code).collect::<Vec<_>>(), [403], "{writes:?}");
    assert_eq!(refused[0].user, "system:serviceaccount:default:replica");

    // With rights of a worker: none. It takes effect before the call returns.
    let worker = plane.service_account_kubeconfig("default", "replica", "").await.expect("it is changed");
    assert_forbidden(holder(&worker, "leasehold").await);
    assert_forbidden(holder(&replica, "leasehold").await);
    let token = plane.service_account_token("default", "replica", "leasehold").await.expect("any audience will do");
    assert_eq!(token.split('.').count(), 3, "it is a JWT");
}

#[tokio::test]
async fn what_is_frozen_or_stopped_comes_back_with_its_data() {
    let plane = ControlPlane::start().await.expect("it starts");
    let replica = plane.service_account_kubeconfig("default", "replica", RULES).await.expect("it is made");
    create(&replica, &lease("leasehold", "one")).await.expect("it may create");
    let impatient = plane.admin().with_request_timeout(SHORT);

    for part in [Part::Both, Part::ApiServer, Part::Etcd] {
        plane.freeze(part).await.expect("it freezes");
        plane.freeze(part).await.expect("it is frozen already");
        let before = Instant::now();
        let error = impatient.run(&LEASES).await.expect_err("nobody answers").to_string();
        assert!(before.elapsed() >= SHORT, "{part:?}: it failed after {:?} already: {error}", before.elapsed());
        plane.thaw(part).await.expect("it goes on");
        plane.admin().run(&LEASES).await.expect("it answers again");
        take(&replica, "leasehold", &format!("after-{part:?}").to_lowercase()).await.expect("it takes writes again");
    }

    let (address, pids) = (plane.address(), plane.pids().await.expect("it runs"));
    for part in [Part::Both, Part::ApiServer, Part::Etcd] {
        plane.stop(part).await.expect("it stops");
        let stopped = plane.pids().await.expect("the supervisor runs");
        assert_eq!(stopped.api_server.is_none(), part != Part::Etcd, "{part:?}: {stopped:?}");
        assert_eq!(stopped.etcd.is_none(), part != Part::ApiServer, "{part:?}: {stopped:?}");
        assert!(plane.freeze(part).await.is_err(), "a part that is stopped can't be frozen");
        impatient.run(&LEASES).await.expect_err("nobody can answer");
        let before = Instant::now();
        plane.start_again(part).await.expect("it starts");
        eprintln!("{part:?}: ready again after {:?}", before.elapsed());
        // The token from before is still good, and so is the address.
        assert_eq!(holder(&replica, "leasehold").await.expect("it answers again"), "after-etcd");
    }
    assert_eq!(plane.address(), address);
    let again = plane.pids().await.expect("it runs");
    assert_eq!(again.supervisor, pids.supervisor);
    assert!(again.etcd.is_some() && again.etcd != pids.etcd, "{again:?}");
    assert!(again.api_server.is_some() && again.api_server != pids.api_server, "{again:?}");
    // The log of writes goes on too: one that created, three that updated.
    assert_eq!(settled_count(&plane, "leasehold", 4).await, 4);
}

#[tokio::test]
async fn a_proxy_in_between_can_be_trusted() {
    // On an address that is asked for, as for replicas in network namespaces.
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = IpAddr::from([127, 255, high, low]);
    let plane = ControlPlane::start_on(own).await.expect("it starts");
    assert_eq!(plane.address().ip(), own);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = listener.local_addr().expect("it is bound");
    let address = plane.address();
    let relay = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.expect("kubectl comes");
        let mut far = tokio::net::TcpStream::connect(address).await.expect("the API server listens");
        tokio::io::copy_bidirectional(&mut near, &mut far).await.expect("both end orderly").1
    });
    let replica = plane.service_account_kubeconfig("default", "replica", RULES).await.expect("it is made");
    let proxied = replica.through(proxy).await.expect("a kubeconfig is written");
    assert_forbidden(proxied.run(&LEASES).await);
    assert!(relay.await.expect("it ends with the connection") > 0, "the answer came through it");
}

#[tokio::test]
async fn no_process_is_left_over() {
    let plane = ControlPlane::start().await.expect("it starts");
    let pids = plane.pids().await.expect("it runs");
    let all = [Some(pids.supervisor), pids.etcd, pids.api_server].map(|pid| pid.expect("it runs"));
    assert!(all.into_iter().all(is_there));
    plane.freeze(Part::Both).await.expect("it freezes");
    drop(plane);
    assert!(!all.into_iter().any(is_there), "something outlives the control plane");

    // The supervisor itself is killed: it can do nothing any more.
    let plane = ControlPlane::start().await.expect("it starts");
    let pids = plane.pids().await.expect("it runs");
    kill9(pids.supervisor);
    let children = [pids.etcd, pids.api_server].map(|pid| pid.expect("it runs"));
    assert!(gone_within(&children, SHORT).await, "the processes outlive their supervisor");
    assert!(plane.stop(Part::Both).await.is_err(), "nobody obeys");
}

#[tokio::test]
async fn the_death_of_the_parent_ends_it_and_a_later_one_goes_on_with_its_folder() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (stdin, data) = (dir.path().join("stdin"), dir.path().join("data"));
    assert!(Command::new("mkfifo").arg(&stdin).status().expect("mkfifo is everywhere").success());
    let kept = std::fs::OpenOptions::new().read(true).write(true).open(&stdin).expect("it is there");
    let program = ControlPlane::program().await.expect("it is built");

    let mut kubeconfigs = Vec::new();
    for _ in 0..2 {
        let mut parent = Shell::start(&program, &kept, &data);
        let kubeconfig = parent.kubeconfig();
        assert_eq!(kubeconfig, data.join("kubeconfig").to_str().expect("UTF-8"));
        kubeconfigs.push(std::fs::read_to_string(kubeconfig).expect("it is there"));
        let children = ["etcd.pid", "kube-apiserver.pid"].map(|file| pid_in(&data.join(file)));
        let supervisor = parent_of(children[0]);

        let second = Command::new(&program).args(["up", "--dir"]).arg(&data).output().expect("it can be started");
        let stderr = String::from_utf8_lossy(&second.stderr);
        assert!(!second.status.success() && stderr.contains("another control plane runs in"), "{stderr}");
        assert!(children.into_iter().all(is_there), "the second one does no harm");

        drop(parent);
        let all = [children[0], children[1], supervisor];
        assert!(gone_within(&all, SHORT).await, "something outlives the parent of the supervisor");
    }
    assert_eq!(kubeconfigs[0], kubeconfigs[1], "clients needn't know that it was away");
}

/// Stands for a test's process that dies while another one still holds its pipe to
/// `controlplane up` open.
struct Shell(Child);

impl Shell {
    fn start(program: &Path, stdin: &std::fs::File, data: &Path) -> Self {
        let child = Command::new("sh")
            .args(["-c", "exec 3<&0; \"$0\" up --dir \"$1\" <&3 & wait"])
            .args([program, data])
            .stdin(stdin.try_clone().expect("a file can be shared"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is everywhere");
        Self(child)
    }

    /// Waits for the first line; the program itself sees to it that this ends.
    fn kubeconfig(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is UTF-8");
        line.trim_end().to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was ours");
    }
}

fn parent_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("the name stands in brackets");
    rest.split(' ').nth(1).expect("the parent follows the state").parse().expect("it is a number")
}

fn pid_in(path: &Path) -> u32 {
    std::fs::read_to_string(path).expect("it is there").trim().parse().expect("it is a number")
}

/// Whether a process is there and isn't only waited for.
fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn kill9(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill is everywhere").success());
}

async fn gone_within(pids: &[u32], timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    while pids.iter().any(|&pid| is_there(pid)) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}
