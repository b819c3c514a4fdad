//! What stands in the commands of both languages: words, flags, lengths of time, and what a worker
//! enters with.

use datadriven::TestCase;
use leasehold_core::{Attempt, CandidateName, ElectionName, Entry, Millis, PodUid, Replace, Subject, Value};
use std::fmt::Display;
use std::str::FromStr;

/// The worker's name, and what it asks for.
pub(crate) fn entry(case: &mut TestCase) -> Result<(String, Entry), String> {
    let election = election(&need::<String>(case, "election")?)?;
    let no_wait = flag(case, "no-wait")?;
    let replace_former = match (flag(case, "replace-former")?, flag(case, "replace-former-of-the-pod")?) {
        (true, _) => Replace::All,
        (false, true) => Replace::OfItsPod,
        (false, false) => Replace::Nobody,
    };
    let pod = optional::<String>(case, "pod")?.map(|pod| PodUid::new(&pod)).transpose().map_err(text)?;
    let (ttl, max_wait) = (length(case, "ttl")?, length(case, "max-wait")?);
    let value = value(case)?;
    let subject = optional::<String>(case, "subject")?;
    let subject = subject.map_or(Ok(Subject::anonymous()), |subject| Subject::new(&subject)).map_err(text)?;
    let attempt =
        optional::<String>(case, "attempt")?.map(|attempt| Attempt::new(&attempt)).transpose().map_err(text)?;
    let hold = length(case, "hold")?.unwrap_or(Millis(0));
    let name = optional::<String>(case, "name")?;
    let worker = word(case)?;
    let candidate = CandidateName::new(name.as_ref().unwrap_or(&worker)).map_err(text)?;
    let entry =
        Entry { election, candidate, subject, pod, ttl, value, no_wait, max_wait, replace_former, attempt, hold };
    Ok((worker, entry))
}

/// A value as it is given, or one of so many bytes; an empty one if nothing is.
pub(crate) fn value(case: &mut TestCase) -> Result<Value, String> {
    let value = optional::<String>(case, "value")?;
    let bytes = optional::<usize>(case, "value-bytes")?;
    Value::new(&value.unwrap_or_else(|| "v".repeat(bytes.unwrap_or_default()))).map_err(text)
}

/// A length of time, if it is given.
pub(crate) fn length(case: &mut TestCase, name: &str) -> Result<Option<Millis>, String> {
    optional::<String>(case, name)?.map(|length| duration(&length)).transpose()
}

/// The one word of a command that stands for itself.
pub(crate) fn word(case: &mut TestCase) -> Result<String, String> {
    let mut words: Vec<_> = case.args.iter().filter(|(_, values)| values.is_empty()).map(|(word, _)| word).collect();
    words.sort();
    let [word] = words[..] else { return Err(format!("one word is expected, not {words:?}")) };
    let word = word.clone();
    case.args.remove(&word);
    Ok(word)
}

pub(crate) fn election(name: &str) -> Result<ElectionName, String> {
    ElectionName::new(name).map_err(text)
}

pub(crate) fn flag(case: &mut TestCase, name: &str) -> Result<bool, String> {
    case.take_flag(name).map_err(text)
}

pub(crate) fn optional<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    case: &mut TestCase,
    name: &str,
) -> Result<Option<T>, String> {
    case.try_take_arg(name).map_err(text)
}

pub(crate) fn need<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    case: &mut TestCase,
    name: &str,
) -> Result<T, String> {
    case.take_arg(name).map_err(text)
}

/// `15s`, `1.05s` or `200ms`.
pub(crate) fn duration(text: &str) -> Result<Millis, String> {
    let millis = if let Some(millis) = text.strip_suffix("ms") {
        millis.parse().ok()
    } else {
        let (whole, part) = text.strip_suffix('s').map_or(("", ""), |s| s.split_once('.').unwrap_or((s, "")));
        let part = format!("{part:0<3}");
        whole.parse::<u64>().ok().zip(part.parse::<u64>().ok()).map(|(whole, part)| whole * 1000 + part)
    };
    millis.map(Millis).ok_or_else(|| format!("{text} is no length of time"))
}

pub(crate) fn text(error: impl Display) -> String {
    error.to_string()
}
