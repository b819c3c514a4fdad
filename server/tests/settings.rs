//! What the environment does to settings. This program starts itself again, as a process can't safely change its own environment.

use leasehold_server::settings::Settings;
use std::process::Command;

/// Prints what this process's environment and command line mean, if it was started for that.
#[test]
#[ignore = "only as a child of the other test"]
fn child() {
    let flags: Vec<String> =
        std::env::var("TEST_FLAGS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    match Settings::from_words(std::iter::once("leasehold-server".to_owned()).chain(flags)) {
        Ok(settings) => {
            println!("got {} {} {} {}", settings.issuer, settings.max_ttl, settings.inbox, settings.insecure)
        }
        Err(error) => println!("got {error}"),
    }
}

fn run(flags: &str, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().expect("a test knows its own program"));
    child.args(["--ignored", "--exact", "child", "--nocapture"]).env_clear().env("HOME", "/home/ada");
    let output =
        child.env("TEST_FLAGS", flags).envs(environment.iter().copied()).output().expect("a program can start itself");
    let text = String::from_utf8(output.stdout).expect("only text is printed");
    let got = text.lines().find_map(|line| line.split_once("got ")).unwrap_or_else(|| panic!("{text}"));
    got.1.to_owned()
}

#[test]
fn flag_goes_before_environment_before_file_before_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("leasehold.toml");
    std::fs::write(&file, "issuer = \"file\"\nmax-ttl = \"21s\"\ninbox = 21\n").unwrap();
    let file = file.to_str().unwrap();

    assert_eq!(run("", &[]), "leasehold 15 s 8192 false");
    assert_eq!(run("", &[("LEASEHOLD_CONFIG", file)]), "file 21 s 21 false");
    assert_eq!(run(&format!("--config {file}"), &[("LEASEHOLD_MAX_TTL", "22s")]), "file 22 s 21 false");
    let environment = [("LEASEHOLD_CONFIG", file), ("LEASEHOLD_MAX_TTL", "22s"), ("LEASEHOLD_ISSUER", "environment")];
    assert_eq!(run("--issuer flag", &environment), "flag 22 s 21 false");
    assert_eq!(run("", &[("LEASEHOLD_INSECURE", "1")]), "leasehold 15 s 8192 true");
    assert_eq!(run("--insecure=false", &[("LEASEHOLD_INSECURE", "1")]), "leasehold 15 s 8192 false");
}

#[test]
fn a_config_file_that_isnt_there_is_an_error() {
    let error = run("", &[("LEASEHOLD_CONFIG", "/does/not/exist.toml")]);
    assert!(error.starts_with("can't read the config file /does/not/exist.toml: "), "{error}");
}
