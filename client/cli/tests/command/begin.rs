//! How each subcommand begins: where the service is, that it may be just starting, and what is said
//! when it can't be reached.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::page::Page;
use crate::support::{Running, SOON, Server, leasehold, nobody, text, wait_for};

/// `status` of this endpoint.
fn status(endpoint: &str) -> Output {
    leasehold(&["--endpoint", endpoint, "status"]).output().unwrap()
}

/// Exit code and what was said.
fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr))
}

#[test]
fn an_endpoint_needs_no_scheme() {
    let server = Server::start();
    let address = server.address().to_string();
    for endpoint in
        [address.clone(), format!("http://{address}"), format!("http://{address}/"), format!("{address},a:1")]
    {
        let output = status(&endpoint);
        assert_eq!(output.status.code(), Some(0), "{endpoint}: {}", text(&output.stderr));
    }
    let script = r#"echo $LEASEHOLD_ENDPOINT; exec "$0" get demo"#;
    let run = ["--endpoint", &address, "run", "demo", "-q", "--", "sh", "-c", script, crate::support::LEASEHOLD];
    let output = leasehold(&run).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with(&format!("{address}\n")), "{}", text(&output.stdout));
}

#[test]
fn an_endpoint_that_cannot_be_one_exits_with_64_and_says_what_to_give() {
    for (endpoint, said) in [
        ("127.0.0.1:99999", "the port isn't a number from 1 to 65535"),
        ("http://127.0.0.1:7400/leasehold", "nothing may follow the port; give HOST:PORT"),
        ("dns:leasehold:7400", "this scheme isn't supported"),
        ("/tmp/x", "it is the path of a file"),
        ("unix:/run/leasehold.sock", "sockets of Unix aren't supported; give HOST:PORT"),
        ("ftp://127.0.0.1:7400", "this scheme isn't supported; give HOST:PORT, https://HOST:PORT or http://HOST:PORT"),
        ("127.0.0.1", "the port is missing"),
        ("", "HOST"),
    ] {
        let (code, said_now) = told(&status(endpoint));
        assert_eq!(code, Some(64), "{endpoint}: {said_now}");
        assert!(said_now.contains(said) && said_now.contains(endpoint), "{endpoint}: {said_now}");
    }
}

#[test]
fn the_endpoint_can_stand_in_the_environment_and_an_empty_variable_says_nothing() {
    let server = Server::start();
    let ask = |value: &str| {
        let output = leasehold(&["get", "demo"]).env("LEASEHOLD_ENDPOINT", value).output().unwrap();
        told(&output)
    };
    assert_eq!(ask(&server.address().to_string()).0, Some(0));
    for empty in ["", " ", ",", " , "] {
        let (code, said) = ask(empty);
        // Whoever may listen at the default address: it was asked.
        assert!(code == Some(0) || (code == Some(69) && said.contains("127.0.0.1:7400")), "{code:?}: {said}");
    }
    let output = leasehold(&["--endpoint", &server.address().to_string(), "status"])
        .env("LEASEHOLD_ENDPOINT", "nonsense")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "the option counts");
}

#[test]
fn absurd_times_exit_with_64() {
    let server = Server::start();
    for time in ["99999999999999s", "18446744073709551615s", "11years", "-1s", "soon"] {
        for args in [
            &["run", "demo", "--timeout", time, "--", "true"][..],
            &["run", "demo", "--ttl", time, "--", "true"],
            &["run", "demo", "--grace", time, "--", "true"],
            &["run", "demo", "--health-cmd", "true", "--health-timeout", time, "--", "true"],
            &["run", "demo", "--health-cmd", "true", "--health-interval", time, "--", "true"],
            &["campaign", "demo", "--patience", time],
            &["observe", "--patience", time],
        ] {
            let output = server.ask(args);
            assert_eq!(output.status.code(), Some(64), "{args:?}: {}", text(&output.stderr));
        }
    }
    assert_eq!(server.ask(&["run", "demo", "--timeout", "3650d", "--", "true"]).status.code(), Some(0));
    assert_eq!(server.ask(&["campaign", "demo", "--ttl", "10d", "--no-wait"]).status.code(), Some(64), "max_ttl");
}

#[test]
fn a_service_that_is_just_starting_is_waited_for() {
    let address = nobody();
    let scratch = TempDir::new().unwrap();
    let start = |args: &[&str]| Running::start(leasehold(&[&["--endpoint", &address], args].concat()));
    let mark = scratch.path().join("ran").display().to_string();
    let mut run = start(&["run", "demo", "--", "touch", &mark]);
    let mut campaign = start(&["campaign", "other"]);
    let mut observer = start(&["observe"]);
    thread::sleep(Duration::from_millis(1500));
    assert!(run.is_running() && campaign.is_running() && observer.is_running());
    let server = Server::start_at(TempDir::new().unwrap(), &address);
    assert_eq!(run.code(), 0);
    assert!(scratch.path().join("ran").exists());
    let said = run.stderr();
    assert!(said.contains("can't be reached") && said.contains("trying for another"), "{said}");
    server.wait_for_leader("other");
    wait_for(SOON, || (server.ask_json(&["status"])["observers"] == 1).then_some(()));
    for process in [&mut campaign, &mut observer] {
        process.signal(Signal::INT);
        assert_eq!(process.code(), 0);
    }
}

#[test]
fn patience_ends_and_a_shorter_timeout_ends_it_sooner() {
    let address = nobody();
    for args in [
        &["run", "demo", "--patience", "700ms", "--", "true"][..],
        &["run", "demo", "--timeout", "700ms", "--", "true"],
        &["campaign", "demo", "--patience", "700ms"],
        &["observe", "--patience", "700ms"],
    ] {
        let start = Instant::now();
        let output = leasehold(&[&["--endpoint", &address], args].concat()).output().unwrap();
        let (code, said) = told(&output);
        assert_eq!(code, Some(69), "{said}");
        assert!(said.contains(&format!("http://{address}")) && said.contains("leasehold-server"), "{said}");
        assert!((400..5000).contains(&start.elapsed().as_millis()), "{args:?}: {:?}", start.elapsed());
    }
}

#[test]
fn a_signal_ends_the_wait_for_the_service() {
    for (args, code) in [(&["run", "demo", "--", "true"][..], 143), (&["campaign", "demo"], 0), (&["observe"], 0)] {
        let mut process = Running::start(leasehold(&[&["--endpoint", &nobody()], args].concat()));
        thread::sleep(Duration::from_millis(500));
        process.signal(Signal::TERM);
        let start = Instant::now();
        assert_eq!(process.code(), code, "{args:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[test]
fn a_proxys_page_exits_with_69_and_another_endpoint_is_asked() {
    let server = Server::start();
    for code in [502, 503, 504, 429] {
        let page = Page::start(code).address.to_string();
        for args in [
            &["status"][..],
            &["list"],
            &["run", "demo", "--patience", "0s", "--", "true"],
            &["observe", "--patience", "0s"],
        ] {
            let output = leasehold(&[&["--endpoint", &page], args].concat()).output().unwrap();
            let (exit, said) = told(&output);
            assert_eq!(exit, Some(69), "{args:?}: {said}");
            assert!(said.contains(&format!("a proxy at {page} answered {code}")), "{said}");
        }
        let both = format!("{page},{}", server.address());
        for args in [&["status"][..], &["get", "demo"], &["run", "demo", "--", "true"]] {
            let output = leasehold(&[&["--endpoint", &both], args].concat()).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        }
    }
}

#[test]
fn an_observer_and_a_leader_outlive_a_proxy_whose_service_stops() {
    let server = Server::start();
    let proxy = Page::before(Some(server.address()), 502).address.to_string();
    let mut observer = Running::start(leasehold(&["--endpoint", &proxy, "observe"]));
    let mut campaign = Running::start(leasehold(&["--endpoint", &proxy, "campaign", "demo", "--ttl", "10s"]));
    let token = server.wait_for_leader("demo")["fencing_token"].clone();
    wait_for(SOON, || (server.ask_json(&["status"])["observers"] == 1).then_some(()));
    let server = server.pause_for(Duration::from_secs(2));
    wait_for(SOON, || (server.ask_json(&["status"])["observers"] == 1).then_some(()));
    assert_eq!(server.wait_for_leader("demo")["fencing_token"], token);
    assert!(campaign.is_running() && observer.is_running());
    observer.signal(Signal::INT);
    assert_eq!(observer.code(), 0);
    let said = observer.stderr();
    assert!(said.contains(&format!("a proxy at {proxy} answered 502 Bad Gateway")), "{said}");
}

#[test]
fn a_refusal_without_leaseholds_details_sends_to_the_next_endpoint() {
    let server = Server::start();
    for code in [7, 8, 16] {
        let other = Page::refusing(code).address.to_string();
        let (exit, said) = told(&status(&other));
        assert_eq!(exit, Some(69), "{said}");
        let what = format!("something answers at http://{other}, but not Leasehold's gRPC (default port 7400)");
        assert!(said.contains(&what) && said.contains("upstream connect error.\n"), "{said}");
        let both = format!("{other},{}", server.address());
        assert_eq!(status(&both).status.code(), Some(0), "{code}");
        let run = leasehold(&["--endpoint", &both, "run", "demo", "--", "true"]).output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{code}: {}", text(&run.stderr));
    }
}

#[test]
fn what_is_not_leasehold_is_named_for_what_it_is() {
    let server = Server::start();
    let (code, said) = told(&status(server.http()));
    assert_eq!(code, Some(69));
    let what = format!("something answers at http://{}, but not Leasehold's gRPC (default port 7400)", server.http());
    assert!(said.contains(&what), "{said}");
    let both = format!("{},{}", server.http(), server.address());
    assert_eq!(status(&both).status.code(), Some(0));
    let page = Page::start(404).address.to_string();
    let (code, said) = told(&status(&page));
    assert_eq!(code, Some(69));
    assert!(said.contains("but not Leasehold's gRPC") && said.contains("404 Not Found"), "{said}");
}

#[test]
fn errors_are_json_where_answers_are() {
    let server = Server::start();
    let address = server.address().to_string();
    let nobody = nobody();
    for (args, exit, reason) in [
        (&["--endpoint", &address, "get", "a b"][..], 64, Some(("INVALID_ARGUMENT", "INVALID_NAME"))),
        (&["--endpoint", &address, "step-down", "demo"], 1, Some(("FAILED_PRECONDITION", "NO_LEADER"))),
        (&["--endpoint", &nobody, "list"], 69, None),
        (&["--endpoint", "unix:/x", "list"], 64, None),
        (&["get"], 64, None),
        (&["run", "demo"], 64, None),
        (&["--endpoint", &address, "run", "demo", "--", "no-such-command"], 127, None),
        (&["--endpoint", &address, "verify", "7"], 64, None),
    ] {
        let output = leasehold(&[&["-o", "json"], args].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{args:?}");
        let error: Value = serde_json::from_str(&text(&output.stderr)).unwrap();
        let error = &error["error"];
        assert_eq!(error["exit_code"], exit);
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        let (code, name) = reason.map_or((Value::Null, Value::Null), |(code, name)| (code.into(), name.into()));
        assert_eq!((&error["code"], &error["reason"]), (&code, &name));
    }
    // All that is said, not the end alone.
    let output = server.ask(&["-o", "json", "run", "demo", "--", "true"]);
    let said: Value = serde_json::from_str(&text(&output.stderr)).unwrap();
    assert!(said["message"].as_str().unwrap().starts_with("leading demo with fencing token "), "{said}");
}

#[test]
fn times_in_json_have_whole_milliseconds() {
    let server = Server::start();
    let mut leader = Running::start(server.command(&["-o", "json", "campaign", "demo"]));
    let mut events = leader.lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert!(events.next().unwrap()["elected"].is_object());
    let is_time = |time: &Value| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let time = time.as_str().and_then(|time| time.strip_suffix('s')).unwrap_or_default();
        match time.split_once('.') {
            None => digits(time),
            Some((seconds, millis)) => digits(seconds) && digits(millis) && millis.len() == 3,
        }
    };
    let stepped = server.ask_json(&["step-down", "demo"]);
    let draining = events.next().unwrap();
    let status = server.ask_json(&["status"]);
    for time in [&stepped["remaining"], &draining["draining"]["remaining"], &status["max_ttl"], &status["tenure_age"]] {
        assert!(is_time(time), "{time}");
    }
}

/// Variables that name a proxy for programs that heed them.
fn behind_proxies(command: &mut Command, proxy: &str) {
    for name in ["http_proxy", "https_proxy", "all_proxy", "grpc_proxy"] {
        for name in [name.to_owned(), name.to_uppercase()] {
            command.env(name, format!("http://{proxy}"));
        }
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
}

#[test]
fn no_proxy_of_the_environment_is_used() {
    let server = Server::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    for args in [&["status"][..], &["list"], &["run", "demo", "--", "true"], &["campaign", "demo", "--no-wait"]] {
        let mut command = server.command(args);
        behind_proxies(&mut command, &proxy);
        let mut process = Running::start(command);
        if args[0] == "campaign" {
            server.wait_for_leader("demo");
            process.signal(Signal::INT);
        }
        assert_eq!(process.code(), 0, "{args:?}");
    }
    assert!(listener.accept().is_err(), "the proxy was asked");
    // The listener would have told.
    std::net::TcpStream::connect(&proxy).unwrap().write_all(b"x").unwrap();
    wait_for(SOON, || listener.accept().ok());
}
