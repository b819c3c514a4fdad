//! Frames: how the state of the active replica is written down for standbys.

use crate::candidacy::{Candidacy, Hold, Packed};
use leasehold_core::{BatchParts, Carried, ChangeNumber, Enrolment, Held, MirrorBatch, Tenure, Unlawful};
use leasehold_shell::News;
use prost::Message;

/// The format that is written, and the only one that is read. A reader skips fields that it doesn't
/// know. So a new field that a reader may skip needs no new format.
const FORMAT: u64 = 1;
/// A frame that is as long as this takes no more. Its last candidacy may make it some KiB longer.
const FRAME_BYTES: usize = 1024 * 1024;
/// A candidacy is shorter than this: a value of 4 KiB and three names.
const CANDIDACY_BYTES: usize = 8192;

/// A part of a batch.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Frame {
    #[prost(uint64, tag = "1")]
    format: u64,
    #[prost(uint64, tag = "2")]
    tenure: u64,
    #[prost(uint64, tag = "3")]
    after: u64,
    #[prost(uint64, tag = "4")]
    number: u64,
    /// It is all that there is.
    #[prost(bool, tag = "5")]
    snapshot: bool,
    /// The next frame goes on with this batch.
    #[prost(bool, tag = "6")]
    pub(crate) goes_on: bool,
    #[prost(message, repeated, tag = "7")]
    there: Vec<Candidacy>,
    #[prost(uint64, repeated, tag = "8")]
    gone: Vec<u64>,
    #[prost(message, repeated, tag = "9")]
    holds: Vec<Hold>,
}

/// Why frames are no batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFrames {
    /// Another version of this program wrote them.
    #[error(
        "the frames of the mirror have the format {found}, and leasehold-server {} knows the format {FORMAT} only: bring all replicas \
         to one version; until then nothing is mirrored, and a change of the active replica costs what its crash costs",
        env!("CARGO_PKG_VERSION")
    )]
    OtherFormat {
        /// Their format; zero if there is none.
        found: u64,
    },
    /// They tell of something that no replica has.
    #[error("a frame of the mirror doesn't make sense: {0}")]
    Unlawful(#[from] Unlawful),
}

/// The frames of one piece of news.
pub(crate) fn frames(news: &News) -> Vec<Frame> {
    let (batch, snapshot) = match news {
        News::Snapshot(batch) => (batch, true),
        News::Changed(batch) => (batch, false),
    };
    let empty = Frame {
        format: FORMAT,
        tenure: batch.tenure.0,
        after: batch.after.0,
        number: batch.number.0,
        snapshot,
        goes_on: true,
        there: Vec::new(),
        gone: Vec::new(),
        holds: Vec::new(),
    };
    let mut frames = vec![Frame { gone: batch.gone.iter().map(|id| id.0).collect(), ..empty.clone() }];
    let mut bytes = 0;
    for carried in &batch.there {
        let there = carried.pack();
        bytes += there.encoded_len();
        if bytes > FRAME_BYTES {
            bytes = 0;
            frames.push(empty.clone());
        }
        if let Some(last) = frames.last_mut() {
            last.there.push(there);
        }
    }
    for held in &batch.holds {
        let hold = held.pack();
        bytes += hold.encoded_len();
        if bytes > FRAME_BYTES {
            bytes = 0;
            frames.push(empty.clone());
        }
        if let Some(last) = frames.last_mut() {
            last.holds.push(hold);
        }
    }
    if let Some(last) = frames.last_mut() {
        last.goes_on = false;
    }
    frames
}

/// The batch of these frames, and whether it is a snapshot.
pub(crate) fn batch(frames: &[Frame]) -> Result<(MirrorBatch, bool), BadFrames> {
    let formats = frames.iter().map(|frame| frame.format);
    let (Some(first), None) = (frames.first(), formats.clone().find(|format| *format != FORMAT)) else {
        return Err(BadFrames::OtherFormat { found: formats.max().unwrap_or_default() });
    };
    let batch = MirrorBatch::from_parts(BatchParts {
        tenure: Tenure(first.tenure),
        after: ChangeNumber(first.after),
        number: ChangeNumber(first.number),
        there: frames.iter().flat_map(|frame| &frame.there).map(Carried::unpack).collect::<Result<_, _>>()?,
        gone: frames.iter().flat_map(|frame| &frame.gone).copied().map(Enrolment).collect(),
        holds: frames.iter().flat_map(|frame| &frame.holds).map(Held::unpack).collect::<Result<_, _>>()?,
    });
    Ok((batch?, first.snapshot))
}

/// The longest frame, sealed.
pub(crate) fn longest(gone: usize) -> usize {
    FRAME_BYTES + CANDIDACY_BYTES + gone * 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::{Attempt, ElectionName, FencingToken, Millis, Ticket, TicketParts, Value};
    use std::sync::Arc;

    fn carried(number: u64) -> Carried {
        let parts = TicketParts {
            value: Value::new(&"v".repeat(4000)).unwrap(),
            enrolment: Enrolment(number),
            place: Enrolment(number - 1),
            token: Some(FencingToken(number)),
            hold: Millis(number),
            issued: Tenure(1_000_000 + number % 2),
            ..crate::candidacy::tests::parts()
        };
        let attempt = number.is_multiple_of(4).then(|| Attempt::new("first").unwrap());
        let drains_until = number.is_multiple_of(3).then_some(Millis(9));
        Carried { ticket: Ticket::from_parts(parts).unwrap(), drains_until, attempt }
    }

    fn whole(candidacies: u64) -> MirrorBatch {
        let there = (10..10 + candidacies).map(carried).collect();
        let held = |number| Held { election: ElectionName::new(&format!("h{number}")).unwrap(), until: Millis(number) };
        let holds = (0..100).map(held).collect();
        let (tenure, after, number) = (Tenure(7), ChangeNumber(3), ChangeNumber(9));
        let parts = BatchParts { tenure, after, number, there, gone: vec![Enrolment(5)], holds };
        MirrorBatch::from_parts(parts).unwrap()
    }

    #[test]
    fn a_batch_survives_its_frames() {
        let whole = whole(1000);
        for (news, snapshot) in
            [(News::Snapshot(Arc::new(whole.clone())), true), (News::Changed(Arc::new(whole.clone())), false)]
        {
            let frames = frames(&news);
            assert!(frames.len() > 3, "{} frames", frames.len());
            assert!(frames.iter().all(|frame| frame.encoded_len() <= longest(1)));
            let going_on = frames.iter().filter(|frame| frame.goes_on).count();
            assert_eq!(going_on, frames.len() - 1);
            assert_eq!(batch(&frames), Ok((whole.clone(), snapshot)));
        }
    }

    /// Found by fuzzing: numbers that no replica has reached the core, whose invariants they break.
    #[test]
    fn what_is_unlawful_makes_no_batch() {
        let good = frames(&News::Snapshot(Arc::new(whole(1))));
        let nameless = Candidacy::default();
        let late = Held { election: ElectionName::new("h").unwrap(), until: Millis(u64::MAX) }.pack();
        for (there, holds, says) in [
            (vec![nameless], Vec::new(), "the election name is empty"),
            (Vec::new(), vec![late], "hold is 18446744073709551615; it must lie between"),
        ] {
            let error = batch(&[Frame { there, holds, ..good[0].clone() }]).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn another_format_makes_no_batch_and_what_may_be_skipped_is() {
        let good = frames(&News::Snapshot(Arc::new(whole(1))));
        for found in [0, FORMAT + 1] {
            let error = batch(&[Frame { format: found, ..good[0].clone() }]).unwrap_err().to_string();
            assert!(error.contains(&format!("the format {found}, and leasehold-server ")), "{error}");
        }
        // Field 15, a number.
        let more = [good[0].encode_to_vec(), vec![0x78, 0x01]].concat();
        assert_eq!(batch(&[Frame::decode(&*more).unwrap()]), batch(&good));
    }
}
