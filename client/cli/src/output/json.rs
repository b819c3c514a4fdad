//! JSON, one object a line: messages of the API with fields named as in the proto, and what this
//! command says itself.

use std::sync::LazyLock;

use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, SerializeOptions, Value};

/// Fields with their default values are left out only where they are messages: a script finds every
/// number, text and flag. Our 64-bit numbers stay below 2^53, so they are numbers here too.
const OPTIONS: SerializeOptions =
    SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(leasehold_proto::FILE_DESCRIPTOR_SET).expect("the contract was compiled into this program")
});

/// The line for `message`, which is `leasehold.v1.{name}`.
pub(crate) fn line(name: &str, message: &impl Message) -> anyhow::Result<String> {
    let kind = POOL.get_message_by_name(&format!("leasehold.v1.{name}"));
    let kind = kind.ok_or_else(|| anyhow::anyhow!("the contract has no message {name}"))?;
    let mut dynamic = DynamicMessage::decode(kind, message.encode_to_vec().as_slice())?;
    round_times(&mut dynamic);
    let mut text = Vec::new();
    dynamic.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &OPTIONS)?;
    Ok(String::from_utf8(text)?)
}

/// Cuts times to whole milliseconds, so that each is written as `"15s"` or `"1.500s"`.
fn round_times(message: &mut DynamicMessage) {
    let is_time = message.descriptor().full_name() == "google.protobuf.Duration";
    for (field, value) in message.fields_mut() {
        match value {
            Value::I32(nanos) if is_time && field.name() == "nanos" => *nanos -= *nanos % 1_000_000,
            Value::Message(inner) => round_times(inner),
            Value::List(values) => values.iter_mut().filter_map(Value::as_message_mut).for_each(round_times),
            _ => {}
        }
    }
}

/// An object of fields whose values are JSON already.
pub(crate) fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{}:{value}", text(name))).collect();
    format!("{{{}}}", fields.join(","))
}

/// A text as JSON.
pub(crate) fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use leasehold_proto::v1;
    use prost_reflect::prost_types::Duration;

    use super::*;

    #[test]
    fn fields_are_named_as_in_the_proto_and_numbers_are_numbers() {
        let leader = v1::Leader {
            candidate: "a".into(),
            fencing_token: 9_007_199_254_740_991,
            leased: true,
            ..Default::default()
        };
        let election = v1::Election {
            name: "demo".into(),
            leadership: v1::Leadership::Led.into(),
            leader: Some(leader),
            revision: 7,
            reason: v1::ChangeReason::Elected.into(),
            waiting: 0,
            ..Default::default()
        };
        let json = concat!(
            r#"{"name":"demo","leadership":"LEADERSHIP_LED","#,
            r#""leader":{"candidate":"a","fencing_token":9007199254740991,"value":"","draining":false,"leased":true},"#,
            r#""revision":7,"reason":"CHANGE_REASON_ELECTED","waiting":0}"#
        );
        assert_eq!(line("Election", &election).unwrap(), json);
    }

    #[test]
    fn an_event_has_only_the_field_of_its_kind() {
        let settling = Some(Duration { seconds: 1, nanos: 500_000_000 });
        let event = v1::campaign_response::Event::Waiting(v1::Waiting { ahead: 0, settling, hold: None });
        let response = v1::CampaignResponse { tenure: 5, event: Some(event), version: 0 };
        let json = r#"{"tenure":5,"waiting":{"ahead":0,"settling":"1.500s"},"version":0}"#;
        assert_eq!(line("CampaignResponse", &response).unwrap(), json);
    }

    #[test]
    fn times_have_whole_milliseconds() {
        for (seconds, nanos, shown) in [
            (15, 0, r#""15s""#),
            (1, 500_000_000, r#""1.500s""#),
            (13, 991_695_514, r#""13.991s""#),
            (0, 999_999, r#""0s""#),
        ] {
            let remaining = Some(Duration { seconds, nanos });
            let draining = v1::Draining { fencing_token: 7, remaining };
            assert_eq!(line("Draining", &draining).unwrap(), format!(r#"{{"fencing_token":7,"remaining":{shown}}}"#));
        }
        // Deeper inside as well.
        let event = v1::campaign_response::Event::Draining(v1::Draining {
            fencing_token: 7,
            remaining: Some(Duration { seconds: 0, nanos: 1_234_567 }),
        });
        let response = v1::CampaignResponse { tenure: 5, event: Some(event), version: 0 };
        assert!(line("CampaignResponse", &response).unwrap().contains(r#""remaining":"0.001s""#));
    }

    #[test]
    fn what_is_said_is_escaped() {
        let line = object(&[("message", text("a \"b\"\n")), ("code", "7".to_owned())]);
        assert_eq!(line, r#"{"message":"a \"b\"\n","code":7}"#);
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let vacant = v1::Election { name: "demo".into(), ..Default::default() };
        let json = concat!(
            r#"{"name":"demo","leadership":"LEADERSHIP_UNSPECIFIED","revision":0,"#,
            r#""reason":"CHANGE_REASON_UNSPECIFIED","waiting":0}"#
        );
        assert_eq!(line("Election", &vacant).unwrap(), json);
    }
}
