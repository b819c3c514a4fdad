//! One campaign and its resign, message by message: what a cycle is, and what the bare service
//! imitates.

use anyhow::{Context as _, Result, bail, ensure};
use leasehold_harness::ElectionClient;
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::{CampaignRequest, CampaignResponse, Elected, EndReason, ResignRequest, ResignResponse};
use prost::Message as _;
use tonic::Streaming;

use crate::callers::said_by;

/// The messages that a server sent in one cycle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exchange {
    /// `Enrolled`, with a ticket.
    pub(crate) enrolled: CampaignResponse,
    /// `Elected`, with a ticket, a fencing token and a task token.
    pub(crate) elected: CampaignResponse,
    /// The answer to Resign.
    pub(crate) resigned: ResignResponse,
    /// `Ended` as RESIGNED, the last on the stream.
    pub(crate) ended: CampaignResponse,
}

impl Exchange {
    /// Makes one cycle: Campaign, to be granted at once, with a task token if the request wants one
    /// and without it if not; Resign; the end of the stream. The caller shows this token.
    ///
    /// # Errors
    ///
    /// When a call fails, or the server sends anything else than these messages in this order.
    pub(crate) async fn make(
        client: &mut ElectionClient,
        request: CampaignRequest,
        token: Option<&str>,
    ) -> Result<Self> {
        let want_task_token = request.want_task_token;
        let mut stream = client.campaign(said_by(token, request)).await.context("Campaign failed")?.into_inner();
        let enrolled = next(&mut stream).await?;
        match &enrolled.event {
            Some(Event::Enrolled(event)) if !event.ticket.is_empty() => {}
            other => bail!("the stream begins with {other:?}, not with Enrolled and a ticket"),
        }
        let elected = next(&mut stream).await?;
        let Elected { ticket, task_token, .. } = elected_in(&elected)?;
        ensure!(
            task_token.is_empty() != want_task_token,
            "asked: {want_task_token}, but the task token is {task_token:?}"
        );
        let ticket = ticket.clone();
        let resigned =
            client.resign(said_by(token, ResignRequest { ticket })).await.context("Resign failed")?.into_inner();
        ensure!(resigned.was_leading && !resigned.already_ended, "Resign of a leader answers {resigned:?}");
        let ended = next(&mut stream).await?;
        match &ended.event {
            Some(Event::Ended(event)) if event.reason() == EndReason::Resigned => {}
            other => bail!("after Resign comes {other:?}, not Ended as RESIGNED"),
        }
        let last = stream.message().await.context("the stream doesn't end with OK")?;
        ensure!(last.is_none(), "after Ended comes {last:?}");
        Ok(Self { enrolled, elected, resigned, ended })
    }

    /// The fencing token of the grant.
    ///
    /// # Errors
    ///
    /// When there is none, which `make` would have refused.
    pub(crate) fn fencing_token(&self) -> Result<u64> {
        Ok(elected_in(&self.elected)?.fencing_token)
    }

    /// The messages as text: a field each in hexadecimal, separated by commas.
    pub(crate) fn to_text(&self) -> String {
        let events = [&self.enrolled, &self.elected, &self.ended].map(|event| hex(&event.encode_to_vec()));
        let [enrolled, elected, ended] = events;
        [enrolled, elected, hex(&self.resigned.encode_to_vec()), ended].join(",")
    }

    /// Reads what `to_text` made.
    ///
    /// # Errors
    ///
    /// When it isn't that.
    pub(crate) fn from_text(text: &str) -> Result<Self> {
        let fields = text.split(',').map(bytes).collect::<Option<Vec<_>>>().context("not hexadecimal")?;
        let [enrolled, elected, resigned, ended] = fields.as_slice() else {
            bail!("{} messages instead of 4", fields.len());
        };
        Ok(Self {
            enrolled: CampaignResponse::decode(enrolled.as_slice())?,
            elected: CampaignResponse::decode(elected.as_slice())?,
            resigned: ResignResponse::decode(resigned.as_slice())?,
            ended: CampaignResponse::decode(ended.as_slice())?,
        })
    }
}

/// The event `Elected`, with what every leased one has.
fn elected_in(message: &CampaignResponse) -> Result<&Elected> {
    match &message.event {
        Some(Event::Elected(event)) if event.fencing_token > 0 && !event.ticket.is_empty() => Ok(event),
        other => bail!("after Enrolled comes {other:?}, not Elected with ticket and fencing token"),
    }
}

/// The next message that isn't a heartbeat.
async fn next(stream: &mut Streaming<CampaignResponse>) -> Result<CampaignResponse> {
    loop {
        let message = stream.message().await.context("the stream broke")?.context("the stream ended early")?;
        if !matches!(message.event, Some(Event::Heartbeat(_))) {
            return Ok(message);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<_>>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Exchange, bytes};
    use leasehold_proto::v1::campaign_response::Event;
    use leasehold_proto::v1::{CampaignResponse, Elected, EndReason, Ended, Enrolled, ResignResponse};

    /// What a server might send.
    pub(crate) fn sample() -> Exchange {
        let tenure = 1 << 50;
        let event = |event| CampaignResponse { tenure, event: Some(event), version: 0 };
        Exchange {
            enrolled: event(Event::Enrolled(Enrolled {
                ticket: vec![7; 180],
                enrolment: tenure,
                ..Default::default()
            })),
            elected: event(Event::Elected(Elected {
                fencing_token: tenure,
                ticket: vec![8; 190],
                task_token: "t".repeat(300),
            })),
            resigned: ResignResponse { tenure, was_leading: true, already_ended: false },
            ended: event(Event::Ended(Ended { reason: EndReason::Resigned.into(), detail: "It resigned.".to_owned() })),
        }
    }

    #[test]
    fn text_and_back_is_the_same() {
        let sample = sample();
        assert_eq!(Exchange::from_text(&sample.to_text()).expect("it was just made"), sample);
        assert!(Exchange::from_text("00,01").is_err());
        assert_eq!((bytes("0aff"), bytes("0"), bytes("zz")), (Some(vec![10, 255]), None, None));
    }
}
