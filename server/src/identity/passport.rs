//! What a standby says of the caller of a call that it hands on: authenticated with a key that only
//! replicas have, good for one tenure, one method and a minute.
//!
//! It isn't encrypted: nothing in it is a secret, and a random nonce for each call would wear out a
//! key (`ticket.rs` says how). Whoever can read what replicas say to each other could use one again
//! within that minute; TLS between replicas keeps them from reading.

use super::{Identified, Identity, Pod};
use crate::keys::Keys;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_core::{PodUid, Subject, Tenure};
use prost::Message;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac::{self, HMAC_SHA256};
use std::sync::Arc;
use tonic::codegen::http::{HeaderName, HeaderValue};

/// Carries a passport.
pub(crate) const CALLER: HeaderName = HeaderName::from_static("leasehold-caller");

/// How far the clocks of two replicas may differ, the time on the way included, in seconds.
const FRESH_SECONDS: u64 = 60;
/// Makes the derived key useless for any other purpose.
const SALT: &[u8] = b"leasehold caller v1";
const TAG_BYTES: usize = 32;

/// Makes passports, and checks them.
#[derive(Clone, Debug)]
pub(crate) struct Passports {
    key: hmac::Key,
}

/// What a passport says.
#[derive(Clone, PartialEq, Message)]
struct Passport {
    #[prost(string, tag = "1")]
    subject: String,
    #[prost(string, tag = "2")]
    pod_name: String,
    /// Empty: the token isn't bound to a pod.
    #[prost(string, tag = "3")]
    pod_uid: String,
    #[prost(uint64, tag = "4")]
    until: u64,
    /// Where the call came from first.
    #[prost(string, tag = "5")]
    from: String,
    #[prost(uint64, tag = "6")]
    tenure: u64,
    #[prost(string, tag = "7")]
    path: String,
    #[prost(uint64, tag = "8")]
    issued: u64,
}

impl Passports {
    /// Of the replicas that share these keys.
    pub(crate) fn new(keys: &Keys) -> Self {
        let master = Salt::new(HKDF_SHA256, SALT).extract(keys.ticket());
        let okm =
            master.expand(&[b"passport"], HMAC_SHA256).expect("HKDF-SHA256 gives up to 8160 bytes, a key takes 32");
        Self { key: hmac::Key::from(okm) }
    }

    /// For a call of this method to the active replica of this tenure.
    pub(crate) fn issue(&self, caller: &Identified, tenure: Tenure, path: &str, now: u64) -> HeaderValue {
        let Identity { subject, pod, until } = &*caller.identity;
        let passport = Passport {
            subject: subject.to_string(),
            pod_name: pod.as_ref().map(|pod| pod.name.clone()).unwrap_or_default(),
            pod_uid: pod.as_ref().map(|pod| pod.uid.to_string()).unwrap_or_default(),
            until: *until,
            from: caller.from.map(|from| from.to_string()).unwrap_or_default(),
            tenure: tenure.0,
            path: path.to_owned(),
            issued: now,
        };
        let mut bytes = passport.encode_to_vec();
        let tag = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        HeaderValue::try_from(URL_SAFE_NO_PAD.encode(bytes)).expect("base64 is ASCII")
    }

    /// The caller of a call that was handed on. `None`: no replica says that of this call.
    pub(crate) fn open(
        &self,
        passport: &HeaderValue,
        tenure: Option<Tenure>,
        path: &str,
        now: u64,
    ) -> Option<Identified> {
        let bytes = URL_SAFE_NO_PAD.decode(passport).ok()?;
        let (bytes, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        hmac::verify(&self.key, bytes, tag).ok()?;
        let said = Passport::decode(bytes).ok()?;
        let fits =
            Some(Tenure(said.tenure)) == tenure && said.path == path && now.abs_diff(said.issued) <= FRESH_SECONDS;
        if !fits || now >= said.until {
            return None;
        }
        let uid = if said.pod_uid.is_empty() { None } else { Some(PodUid::new(&said.pod_uid).ok()?) };
        let pod = uid.map(|uid| Pod { name: said.pod_name, uid });
        let identity = Identity { subject: Subject::new(&said.subject).ok()?, pod, until: said.until };
        Some(Identified { identity: Arc::new(identity), from: said.from.parse().ok() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/leasehold.v1.ElectionService/Campaign";

    fn caller(pod: Option<Pod>) -> Identified {
        let subject = Subject::new("system:serviceaccount:team-a:worker").unwrap();
        Identified { identity: Arc::new(Identity { subject, pod, until: 2000 }), from: Some([10, 0, 0, 7].into()) }
    }

    #[test]
    fn what_a_replica_says_is_what_another_hears() {
        let passports = Passports::new(&Keys::generate());
        for pod in [None, Some(Pod { name: "worker-0".to_owned(), uid: PodUid::new("7c8d").unwrap() })] {
            let said = caller(pod);
            let passport = passports.issue(&said, Tenure(7), PATH, 1000);
            let heard = passports.open(&passport, Some(Tenure(7)), PATH, 1000).unwrap();
            assert_eq!((heard.identity, heard.from), (said.identity, said.from));
        }
    }

    #[test]
    fn a_passport_is_good_for_its_call_only() {
        let keys = Keys::generate();
        let passports = Passports::new(&keys);
        let good = passports.issue(&caller(None), Tenure(7), PATH, 1000);
        let open = |passport: &HeaderValue, tenure, path, now| passports.open(passport, tenure, path, now).is_some();
        let seven = Some(Tenure(7));
        for (now, fresh) in [(939, false), (940, true), (1060, true), (1061, false)] {
            assert_eq!(open(&good, seven, PATH, now), fresh, "{now}");
        }
        assert!(!open(&good, Some(Tenure(8)), PATH, 1000) && !open(&good, None, PATH, 1000));
        assert!(!open(&good, seven, "/leasehold.v1.AdminService/StepDown", 1000));
        let ended = passports.issue(&caller(None), Tenure(7), PATH, 2000);
        assert!(!open(&ended, seven, PATH, 2000), "the token that it stands for is over");
        assert!(Passports::new(&Keys::generate()).open(&good, seven, PATH, 1000).is_none(), "of another service");
        assert!(Passports::new(&keys).open(&good, seven, PATH, 1000).is_some(), "of another replica");

        let bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!open(&HeaderValue::try_from(URL_SAFE_NO_PAD.encode(changed)).unwrap(), seven, PATH, 1000), "{at}");
            assert!(
                !open(&HeaderValue::try_from(URL_SAFE_NO_PAD.encode(&bytes[..at])).unwrap(), seven, PATH, 1000),
                "{at}"
            );
        }
        for garbage in ["", "AA", "====", "a b"] {
            assert!(!open(&HeaderValue::from_static(garbage), seven, PATH, 1000), "{garbage:?}");
        }
    }
}
