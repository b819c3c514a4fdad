//! Completions: what a shell asks this program for while a command line is typed. They know the
//! elections of the service.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, CompletionCandidate, Shell};
use futures::TryStreamExt as _;
use leasehold::{Access, Client};

use crate::args::{self, AccessArgs, Cli};
use crate::exit::Exit;

/// Names the shell that asks.
const VARIABLE: &str = "LEASEHOLD_COMPLETE";

/// How long a person who types a command line waits for the service.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many elections are offered.
const MOST: usize = 1000;

/// Bash cuts words at colons, so addresses need a script of our own.
const BASH: &str = include_str!("complete/leasehold.bash");

/// Writes what the shell is to load.
pub(crate) fn script(shell: Shell, into: &mut dyn Write) -> anyhow::Result<()> {
    if shell == Shell::Bash {
        return Ok(into.write_all(BASH.as_bytes())?);
    }
    let shells = Shells::builtins();
    let name = shell.to_string();
    let completer = shells.completer(&name).ok_or_else(|| anyhow::anyhow!("there are no completions for {name}"))?;
    Ok(completer.write_registration(VARIABLE, "leasehold", "leasehold", "leasehold", into)?)
}

/// Whether a shell asks.
pub(crate) fn was_asked() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty())
}

/// Answers the shell.
pub(crate) fn answer() -> anyhow::Result<Exit> {
    let directory = std::env::current_dir().ok();
    let env = CompleteEnv::with_factory(Cli::command).var(VARIABLE).bin("leasehold").completer("leasehold");
    env.try_complete(std::env::args_os(), directory.as_deref())?;
    Ok(Exit::Done)
}

/// Elections whose names begin so.
pub(crate) fn elections(begun: &OsStr) -> Vec<CompletionCandidate> {
    names(begun).into_iter().map(CompletionCandidate::new).collect()
}

/// Elections whose names begin so, and the prefixes that they have up to their next slash.
pub(crate) fn prefixes(begun: &OsStr) -> Vec<CompletionCandidate> {
    let names = names(begun);
    let mut all: Vec<_> = names.iter().filter_map(|name| prefix(name, begun.len()).map(str::to_owned)).collect();
    all.dedup();
    all.extend(names);
    all.into_iter().map(CompletionCandidate::new).collect()
}

/// A name up to the first slash after what was typed of it.
fn prefix(name: &str, typed: usize) -> Option<&str> {
    let slash = typed + name.get(typed..)?.find('/')?;
    Some(&name[..=slash])
}

/// The names of elections that begin so. None if the service doesn't answer: a command line that is
/// being typed is no place for errors.
fn names(begun: &OsStr) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (Some(begun), Ok(runtime)) = (begun.to_str(), runtime) else { return Vec::new() };
    let words: Vec<_> = std::env::args().skip_while(|word| word != "--").skip(1).collect();
    let endpoint = args::endpoint(option_in(&words, "--endpoint"));
    let access = access_in(&words).access();
    let asked = async { tokio::time::timeout(PATIENCE, ask(endpoint, access, begun)).await };
    runtime.block_on(asked).ok().and_then(Result::ok).unwrap_or_default()
}

async fn ask(endpoint: String, access: Access, begun: &str) -> Result<Vec<String>, leasehold::Error> {
    let mut elections = Client::connect_with(endpoint, access).await?.list(begun);
    let mut names = Vec::new();
    while let Some(election) = elections.try_next().await? {
        names.push(election.name);
        if names.len() == MOST {
            break;
        }
    }
    Ok(names)
}

/// Whom to trust and what to show, in a command line that is being typed.
fn access_in(words: &[String]) -> AccessArgs {
    let file = |option| option_in(words, option).map(PathBuf::from);
    AccessArgs { ca: file("--ca"), cert: file("--cert"), key: file("--key"), token_file: file("--token-file") }
}

/// The value of an option in a command line that is being typed.
fn option_in(words: &[String], option: &str) -> Option<String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix(option) {
            Some("") => return words.next().cloned(),
            Some(rest) if rest.starts_with('=') => return Some(rest[1..].to_owned()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_the_next_slash() {
        assert_eq!(prefix("billing/eu/nightly", 0), Some("billing/"));
        assert_eq!(prefix("billing/eu/nightly", 4), Some("billing/"));
        assert_eq!(prefix("billing/eu/nightly", 8), Some("billing/eu/"));
        assert_eq!(prefix("billing/eu/nightly", 12), None);
        assert_eq!(prefix("demo", 9), None);
    }

    #[test]
    fn the_endpoint_is_found_where_it_was_typed() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let found = |line: &str| option_in(&words(line), "--endpoint");
        assert_eq!(found("leasehold --endpoint a:1 get").as_deref(), Some("a:1"));
        assert_eq!(found("leasehold get --endpoint=a:1,b:1 x").as_deref(), Some("a:1,b:1"));
        assert_eq!(found("leasehold get --endpoints=a:1"), None);
        assert_eq!(found("leasehold get --endpoint"), None);
        let access = access_in(&words("leasehold --ca a.crt --token-file=token get"));
        assert_eq!((access.ca, access.token_file), (Some("a.crt".into()), Some("token".into())));
    }

    #[test]
    fn there_is_a_script_for_every_shell() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let mut script = Vec::new();
            super::script(shell, &mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains(VARIABLE), "{shell}");
        }
    }
}
