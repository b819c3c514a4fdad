//! The subcommands that ask once: columns, JSON and exit codes.

use rustix::process::Signal;

use crate::support::{LEASEHOLD, Running, SOON, Server, leasehold, nobody, text, wait_for};

/// The words of each line.
fn words(output: &[u8]) -> Vec<Vec<String>> {
    text(output).lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn list_and_get_show_leaders_in_columns() {
    let server = Server::start();
    let headings = ["NAME", "LEADER", "TOKEN", "STATE", "WAITING", "VALUE"];
    assert_eq!(words(&server.ask(&["list"]).stdout), [headings]);
    let _leaders = ["b/two", "a/one"]
        .map(|election| Running::start(server.command(&["campaign", election, "--name", "me", "--value", "v1"])));
    let token = |election: &str| server.wait_for_leader(election)["fencing_token"].to_string();
    let (one, two) = (token("a/one"), token("b/two"));
    let rows = words(&server.ask(&["list"]).stdout);
    assert_eq!(rows[1..], [["a/one", "me", &one, "led", "0", "v1"], ["b/two", "me", &two, "led", "0", "v1"]]);
    assert_eq!(words(&server.ask(&["list", "b/"]).stdout)[1..], [["b/two", "me", &two, "led", "0", "v1"]]);
    let rows = words(&server.ask(&["get", "b/two"]).stdout);
    assert_eq!(rows[0][6..], ["LAST-CHANGE", "REVISION"]);
    assert_eq!(rows[1][..7], ["b/two", "me", &two, "led", "0", "v1", "elected"]);
}

#[test]
fn list_as_json_is_one_election_a_line() {
    let server = Server::start();
    let _leaders = ["x", "y"].map(|election| Running::start(server.command(&["campaign", election])));
    let leaders = ["x", "y"].map(|election| server.wait_for_leader(election));
    let output = text(&server.ask(&["--output", "json", "list"]).stdout);
    let elections: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(elections.len(), 2);
    for ((election, name), leader) in elections.iter().zip(["x", "y"]).zip(leaders) {
        assert_eq!((&election["name"], &election["leader"]), (&name.into(), &leader));
        assert_eq!(election["leadership"], "LEADERSHIP_LED");
        assert!(leader["fencing_token"].is_u64(), "a number, not a text");
    }
}

#[test]
fn a_prefix_that_is_refused_is_named_as_it_was_typed_and_without_columns() {
    let server = Server::start();
    for args in [&["list", "x//"], &["observe", "x//"]] {
        let output = server.ask(args);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), String::new()), "{args:?}");
        assert!(text(&output.stderr).contains("the prefix \"x//\" has an empty part"), "{}", text(&output.stderr));
    }
}

#[test]
fn an_election_that_nobody_entered_is_vacant() {
    let server = Server::start();
    let output = server.ask(&["get", "nobody"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(words(&output.stdout)[1][..6], ["nobody", "-", "-", "vacant", "0", "-"]);
}

#[test]
fn verify_exits_with_0_for_the_leaders_token_and_1_for_others() {
    let server = Server::start();
    let mut leader = Running::start(server.command(&["--output", "json", "campaign", "demo", "--name", "me"]));
    let elected: serde_json::Value = serde_json::from_str(&leader.lines().next().unwrap().unwrap()).unwrap();
    let token = elected["elected"]["fencing_token"].to_string();
    let task = elected["elected"]["task_token"].as_str().unwrap();
    for args in [&["verify", "demo", &token][..], &["verify", "demo", task], &["verify", task]] {
        let output = server.ask(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), format!("valid: me leads demo with token {token}\n"));
    }
    for args in
        [&["verify", "demo", "1"][..], &["verify", "other", &token], &["verify", "other", task], &["verify", "a.b.c"]]
    {
        let output = server.ask(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with("not valid: "));
    }
    let answer = server.ask_json(&["verify", "other", task]);
    assert_eq!((&answer["valid"], &answer["election"]), (&false.into(), &"other".into()));
    assert_eq!(answer["detail"], "the task token is for the election demo, not other");
    assert_eq!(server.ask_json(&["verify", "demo", &token])["status"], "TOKEN_STATUS_CURRENT");
    assert_eq!(server.ask_json(&["verify", "demo", "1"])["valid"], false);
    assert_eq!(server.ask(&["verify", &token]).status.code(), Some(64));
    leader.signal(Signal::INT);
    leader.status();
    assert_eq!(server.ask(&["verify", "demo", &token]).status.code(), Some(1), "not the leader's any more");
}

#[test]
fn step_down_ends_only_the_leader_that_is_meant() {
    let server = Server::start();
    assert_eq!(server.ask(&["step-down", "demo"]).status.code(), Some(1), "nobody leads");
    let _leader = Running::start(server.command(&["campaign", "demo"]));
    let token = server.wait_for_leader("demo")["fencing_token"].to_string();
    let output = server.ask(&["step-down", "demo", "--token", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!text(&output.stderr).is_empty());
    let output = server.ask(&["step-down", "demo", "--token", &token]);
    assert_eq!(output.status.code(), Some(0));
    let told = text(&output.stdout);
    assert!(
        told.starts_with(&format!("The leader of demo with token {token} was told to hand over. Nobody waits")),
        "{told}"
    );
    let _next = Running::start(server.command(&["campaign", "demo"]));
    wait_for(SOON, || (server.ask_json(&["get", "demo"])["waiting"] == 1).then_some(()));
    let told = text(&server.ask(&["step-down", "demo"]).stdout);
    assert!(told.contains("The next one leads in ") && told.ends_with(" at most.\n"), "{told}");
    assert_eq!(words(&server.ask(&["get", "demo"]).stdout)[1][3], "draining");
}

#[test]
fn status_shows_what_the_replica_holds() {
    let server = Server::start();
    let _leader = Running::start(server.command(&["campaign", "demo"]));
    server.wait_for_leader("demo");
    let status = server.ask_json(&["status"]);
    assert_eq!((&status["role"], &status["leaders"]), (&"ROLE_ACTIVE".into(), &1.into()));
    let rows = words(&server.ask(&["status"]).stdout);
    assert!(rows.contains(&vec!["ROLE".into(), "active".into()]), "{rows:?}");
    assert!(rows.contains(&vec!["LEADERS".into(), "1".into()]));
}

#[test]
fn of_several_endpoints_the_first_that_answers_is_used() {
    let server = Server::start();
    let ask = |endpoints: &str| {
        std::process::Command::new(LEASEHOLD).args(["--endpoint", endpoints, "status"]).output().unwrap()
    };
    let output = ask(&format!("http://127.0.0.1:9, {}", server.endpoint()));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = ask("http://127.0.0.1:9,http://127.0.0.1:10");
    assert_eq!(output.status.code(), Some(69));
    let told = text(&output.stderr);
    assert!(
        told.contains("can't reach the service: http://127.0.0.1:9:") && told.contains("http://127.0.0.1:10:"),
        "{told}"
    );
    assert_eq!(ask("http://127.0.0.1:9,").status.code(), Some(64));
}

#[test]
fn every_subcommand_that_asks_exits_with_69_when_nobody_answers() {
    for args in [
        &["list"][..],
        &["get", "x"],
        &["status"],
        &["verify", "x", "1"],
        &["step-down", "x"],
        &["campaign", "x", "--patience", "0s"],
        &["observe", "--patience", "0s"],
        &["run", "x", "--patience", "0s", "--", "true"],
    ] {
        let output = leasehold(&[&["--endpoint", &nobody()], args].concat()).output();
        assert_eq!(output.unwrap().status.code(), Some(69), "{args:?}");
    }
}

#[test]
fn names_that_the_service_refuses_exit_with_64() {
    let server = Server::start();
    for args in
        [&["get", "a b"][..], &["list", "a b"], &["step-down", ""], &["verify", "a b", "1"], &["observe", "a b"]]
    {
        let output = server.ask(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn help_has_examples_and_exit_codes_and_hides_what_is_internal() {
    let help = |args: &[&str]| text(&std::process::Command::new(LEASEHOLD).args(args).output().unwrap().stdout);
    let main = help(&["--help"]);
    assert!(main.contains("76  the leadership ended before the command did"));
    assert!(!main.contains("__"));
    for subcommand in [
        "run",
        "campaign",
        "observe",
        "list",
        "get",
        "verify",
        "step-down",
        "status",
        "policy",
        "completions",
        "man",
        "version",
    ] {
        assert!(help(&[subcommand, "--help"]).contains(&format!("leasehold {subcommand}")), "{subcommand}");
        assert!(help(&[subcommand, "--help"]).contains("Examples:"), "{subcommand}");
    }
}

#[test]
fn a_policy_file_is_checked_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let file = file.to_str().unwrap();
    let check = |format: &str, file: &str, verb: &str, election: &str| {
        let subject = ["--output", format, "policy", "check", "--as", "system:serviceaccount:team-a:worker"];
        let args = [&subject[..], &["--file", file, verb, election]].concat();
        let output = std::process::Command::new(LEASEHOLD).args(&args).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    std::fs::write(file, "\n[[rule]]\nsubjects = ['**']\nelections = ['{name}/*']\nverbs = ['step-down']\n").unwrap();
    let (code, said, _) = check("table", file, "step-down", "worker/x");
    assert_eq!((code, said), (Some(0), format!("allowed by the rule at {file}:2\n")));
    let (code, said, _) = check("json", file, "campaign", "team-a/x");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["allowed"]), (Some(1), &false.into()));
    assert!(said["detail"].as_str().unwrap().contains("no rule of the policy"), "{said}");

    std::fs::write(file, "[[rule]]\nsubjects = []").unwrap();
    let (code, said, error) = check("table", file, "campaign", "team-a/x");
    assert_eq!((code, said), (Some(64), String::new()));
    assert!(error.contains(&format!("{file}:1: ")), "{error}");
    let (code, _, error) = check("table", "/nowhere/policy", "campaign", "team-a/x");
    assert!(code == Some(64) && error.contains("/nowhere/policy can't be read"), "{error}");
    let (code, _, error) = check("table", file, "lead", "team-a/x");
    assert!(code == Some(64) && error.contains("\"lead\" is no verb"), "{error}");
}

#[test]
fn a_service_that_asks_nobody_knows_an_anonymous_caller_who_may_do_everything() {
    let server = Server::start();
    assert_eq!(words(&server.ask(&["whoami"]).stdout), [["SUBJECT", "anonymous"]]);
    let output = server.ask(&["--output", "json", "whoami"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["subject"], &said["pod_uid"]), (&"anonymous".into(), &"".into()));
    for args in [&["policy", "check", "step-down", "a"][..], &["policy", "check", "--as", "cn:x", "admin", "a"]] {
        let output = server.ask(args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(text(&output.stdout), "allowed by that this server doesn't ask who calls\n");
    }
}
