//! The mirror's frames: what an active replica of another version, or a broken one, tells a
//! standby.

use crate::script::{Script, fixed};
use leasehold_core::{BatchParts, ChangeNumber, Enrolment, MirrorBatch, Tenure};
use leasehold_server::fuzzing::{mirror_frames, open_frames, seal_frames};
use leasehold_server::keys::Keys;
use std::sync::LazyLock;

static KEYS: LazyLock<Keys> = LazyLock::new(Keys::generate);

/// Frames that nobody sealed, frames of any content, and real ones that are damaged on their way.
///
/// # Panics
/// If a forgery is opened, or if a batch changes on its way.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 3 {
        0 => assert_eq!(open_frames(&KEYS, &[script.rest().to_vec()]), None, "bytes that nobody sealed are opened"),
        1 => {
            let mut frames = Vec::new();
            while !script.is_over() && frames.len() < 8 {
                frames.push(script.blob().to_vec());
            }
            if let Some((batch, snapshot)) = open_frames(&KEYS, &seal_frames(&KEYS, &frames)) {
                survives(&batch, snapshot);
            }
        }
        _ => {
            let (batch, snapshot) = (batch(&mut script), script.flag());
            let sealed = survives(&batch, snapshot);
            damaged(&mut script, sealed);
        }
    }
}

fn survives(batch: &MirrorBatch, snapshot: bool) -> Vec<Vec<u8>> {
    let sealed = seal_frames(&KEYS, &mirror_frames(batch, snapshot));
    assert_eq!(open_frames(&KEYS, &sealed), Some((batch.clone(), snapshot)));
    sealed
}

fn batch(script: &mut Script<'_>) -> MirrorBatch {
    let tenure = Tenure(script.number());
    let (after, number) = (ChangeNumber(script.number()), ChangeNumber(script.number()));
    let there = (0..script.byte() % 8).map(|_| {
        let ticket = script.ticket();
        script.carried(ticket)
    });
    let there = there.collect();
    let gone = (0..script.byte() % 8).map(|_| Enrolment(script.number())).collect();
    let parts = BatchParts { tenure, after, number, there, gone, holds: script.holds() };
    fixed(MirrorBatch::from_parts(parts))
}

/// Any byte that is changed, and any frame that isn't in its place, is noticed. One that is missing
/// at the end is the reader's business: a frame says whether another one follows.
fn damaged(script: &mut Script<'_>, mut sealed: Vec<Vec<u8>>) {
    let which = usize::from(script.byte()) % sealed.len();
    let at = script.number() as usize % sealed[which].len();
    match script.byte() % 3 {
        0 => sealed[which][at] ^= script.byte().max(1),
        1 => sealed[which].truncate(at),
        _ => sealed.insert(0, sealed[which].clone()),
    }
    // The first one, sent twice, is right the first time.
    assert!(open_frames(&KEYS, &sealed).is_none(), "damaged frames are opened");
}

/// A frame with a candidacy in it, and what makes batches.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    // format 1, tenure 100, after 1, number 2, snapshot; in it e1, c1, anonymous, v, 15 s, 101,
    // 101, 102, tenure 100, accepted at 5
    let there = b"\x0a\x02e1\x12\x02c1\x1a\x09anonymous\x22\x01v\x28\x98\x75\x30\x65\x38\x65\x40\x66\x48\x64\x50\x05";
    let head = b"\x08\x01\x10\x64\x18\x01\x20\x02\x28\x01\x3a";
    let frame = [head.as_slice(), &[there.len() as u8], there, b"\x42\x02\x03\x04"].concat();
    let framed = [&[1, 0, frame.len() as u8], frame.as_slice()].concat();
    vec![
        b"\x00no frame".to_vec(),
        framed.clone(),
        [framed.as_slice(), &framed[1..]].concat(),
        b"\x02\x50\x01\x02\x01\x01\x02\x03\x00\x40\x41\x42\x01\x43\x44\x45\x01\x20\x02\x07\x08\x01\x00\x05\x00\x01"
            .to_vec(),
    ]
}
