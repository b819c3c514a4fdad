//! `leasehold verify`.

use leasehold::{Error, Reason, Token};
use leasehold_proto::v1::{TokenStatus, VerifyTokenResponse};

use super::Context;
use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output::{self, json, words};

pub(crate) async fn verify(context: &Context, election: Option<String>, token: &str) -> anyhow::Result<Exit> {
    let (election, token) = parse(election, token)?;
    let client = context.client().await?;
    let answer = match client.verify(election.as_str(), token.clone()).await {
        Err(error) if is_of_another(&error, &election, &token) => {
            of_another(election, client.verify("", token).await?.into())
        }
        answer => answer?.into(),
    };
    let text = match context.format {
        Format::Json => json::line("VerifyTokenResponse", &answer)?,
        Format::Table => in_words(&answer),
    };
    output::line(&text)?;
    Ok(if answer.valid { Exit::Done } else { Exit::No })
}

/// Whether the service may have refused this because the token names another election.
fn is_of_another(error: &Error, asked: &str, token: &Token) -> bool {
    let is_request = matches!(error, Error::Refused { reason: Reason::InvalidRequest, .. });
    is_request && !asked.is_empty() && matches!(token, Token::Task(_))
}

/// The answer for the election that was asked about, made of the answer for the token's own.
fn of_another(asked: String, answer: VerifyTokenResponse) -> VerifyTokenResponse {
    if answer.election == asked {
        return answer;
    }
    let detail = format!("the task token is for the election {}, not {asked}", answer.election);
    let status = match answer.status() {
        TokenStatus::Current => TokenStatus::NotLeading,
        other => other,
    };
    VerifyTokenResponse { valid: false, status: status.into(), election: asked, leader: None, detail, ..answer }
}

/// Without an election only a task token will do.
fn parse(election: Option<String>, token: &str) -> Result<(String, Token), Failure> {
    match (election, token_of(token)?) {
        (Some(election), token) => Ok((election, token)),
        (None, task @ Token::Task(_)) => Ok((String::new(), task)),
        (None, Token::Fencing(token)) => {
            let hint = format!("leasehold verify ELECTION {token}");
            Err(refused(format!("a fencing token doesn't say of which election it is: {hint}")))
        }
    }
}

/// A number is a fencing token, three parts with dots between them are a task token. Whether it is
/// a good one is for the service to say.
fn token_of(text: &str) -> Result<Token, Failure> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Ok(Token::Fencing(number));
    }
    if text.split('.').count() == 3 && !text.contains('/') {
        return Ok(Token::Task(text.to_owned()));
    }
    let text = words::brief(text);
    Err(refused(format!(
        "{text:?} is neither a fencing token (a number) nor a task token (three parts with dots between them)."
    )))
}

fn refused(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

fn in_words(answer: &VerifyTokenResponse) -> String {
    let election = words::printable(&answer.election);
    match &answer.leader {
        Some(leader) if answer.valid => {
            let candidate = words::printable(&leader.candidate);
            format!("valid: {candidate} leads {election} with token {}", leader.fencing_token)
        }
        _ if answer.valid => format!("valid: it is the token of the leader of {election}"),
        _ => format!("not valid: {}", words::printable(&answer.detail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(election: Option<&str>, token: &str) -> Result<(String, Token), String> {
        parse(election.map(str::to_owned), token).map_err(|failure| failure.to_string())
    }

    #[test]
    fn numbers_are_fencing_tokens_and_three_parts_a_task_token() {
        assert_eq!(parsed(Some("demo"), "17"), Ok(("demo".into(), Token::Fencing(17))));
        assert_eq!(parsed(Some("demo"), "a.b.c\n"), Ok(("demo".into(), Token::Task("a.b.c".into()))));
        assert_eq!(parsed(None, "a.b.c"), Ok((String::new(), Token::Task("a.b.c".into()))));
    }

    #[test]
    fn the_token_of_another_election_is_not_valid_for_this_one() {
        let answer = VerifyTokenResponse {
            tenure: 7,
            valid: true,
            status: TokenStatus::Current.into(),
            election: "mine".into(),
            ..Default::default()
        };
        let answer = of_another("other".into(), answer);
        assert_eq!((answer.tenure, answer.valid, answer.status()), (7, false, TokenStatus::NotLeading));
        assert_eq!(in_words(&answer), "not valid: the task token is for the election mine, not other");
    }

    #[test]
    fn a_fencing_token_needs_its_election() {
        let error = parsed(None, "17").unwrap_err();
        assert!(error.contains("leasehold verify ELECTION 17"), "{error}");
    }

    #[test]
    fn anything_else_is_refused() {
        for token in ["demo", "soon", "-1", "a.b/x.c", "1.2", ""] {
            assert!(parsed(Some("demo"), token).is_err(), "{token}");
            assert!(parsed(None, token).is_err(), "{token}");
        }
    }
}
