//! What the service tells, in types of this crate: each is made of a message of the contract, and
//! can be turned into it again.

use crate::proto;
use std::fmt;
use std::time::Duration;

/// A type of this crate, and how the contract writes it as the field of a message.
trait Field<Written>: Sized {
    fn read(written: Written) -> Self;
    fn write(self) -> Written;
}

impl<T: Field<W>, W> Field<Option<W>> for Option<T> {
    fn read(written: Option<W>) -> Self {
        written.map(T::read)
    }

    fn write(self) -> Option<W> {
        self.map(T::write)
    }
}

/// The service sends no negative durations: one is read as none at all.
impl Field<prost_types::Duration> for Duration {
    fn read(written: prost_types::Duration) -> Self {
        written.try_into().unwrap_or_default()
    }

    fn write(self) -> prost_types::Duration {
        self.try_into().unwrap_or_default()
    }
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Field<$type> for $type {
            fn read(written: $type) -> Self {
                written
            }

            fn write(self) -> $type {
                self
            }
        })*
    };
}

plain!(bool, u32, u64, String);

/// Declares enums of this crate with the variants of the contract's. Prefix: of the contract's
/// names.
macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident is $written:ident, $prefix:literal { $($(#[$of:meta])* $variant:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            /// The service names none, or one that this version of the crate doesn't know.
            #[default]
            Unspecified,
            $($(#[$of])* $variant,)*
        }

        impl $name {
            /// The name in the contract without its prefix, e.g. `EXPIRED`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                let name = proto::$written::from(self).as_str_name();
                name.strip_prefix($prefix).unwrap_or(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl From<proto::$written> for $name {
            fn from(written: proto::$written) -> Self {
                match written {
                    proto::$written::Unspecified => Self::Unspecified,
                    $(proto::$written::$variant => Self::$variant,)*
                }
            }
        }

        impl From<$name> for proto::$written {
            fn from(own: $name) -> Self {
                match own {
                    $name::Unspecified => Self::Unspecified,
                    $($name::$variant => Self::$variant,)*
                }
            }
        }

        impl Field<i32> for $name {
            fn read(written: i32) -> Self {
                proto::$written::try_from(written).map_or(Self::Unspecified, Self::from)
            }

            fn write(self) -> i32 {
                proto::$written::from(self).into()
            }
        }
    )*};
}

/// Declares structs of this crate with the fields of a message. `as`: the field's name in the
/// message.
macro_rules! structs {
    ($($(#[$doc:meta])* $name:ident is $message:ident {
        $($(#[$of:meta])* $field:ident: $type:ty as $written:ident,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$of])* pub $field: $type,)*
        }

        impl From<proto::$message> for $name {
            fn from(message: proto::$message) -> Self {
                Self { $($field: Field::read(message.$written),)* }
            }
        }

        impl From<$name> for proto::$message {
            fn from(own: $name) -> Self {
                Self { $($written: own.$field.write(),)* }
            }
        }

        impl Field<proto::$message> for $name {
            fn read(written: proto::$message) -> Self {
                written.into()
            }

            fn write(self) -> proto::$message {
                self.into()
            }
        }
    )*};
}

enums! {
    /// Why a candidacy ended.
    EndReason is EndReason, "END_REASON_" {
        /// Its worker resigned.
        Resigned,
        /// No KeepAlive was accepted within its ttl, or its ticket was too old to be put back after
        /// a failover.
        Expired,
        /// A candidate of the same name said that this one is dead.
        Replaced,
        /// After a failover another leader with a higher fencing token was found.
        Overtaken,
        /// An operator ended the leadership.
        SteppedDown,
        /// It was a try, and wasn't granted in time.
        NotGranted,
    }

    /// Why an election changed.
    ChangeReason is ChangeReason, "CHANGE_REASON_" {
        /// A candidate was granted the lead.
        Elected,
        /// The leader changed its value.
        Proclaimed,
        /// The leader resigned, or its stream closed.
        Resigned,
        /// The leader ran out of time.
        Expired,
        /// The leader was replaced by its successor of the same name.
        Replaced,
        /// A leader of the former tenure with a higher fencing token came back.
        Overtaken,
        /// The leader was told to hand over. It still leads.
        Draining,
        /// The leader handed over as it was told.
        SteppedDown,
        /// A leader of the former tenure was put back, with its fencing token.
        Restored,
        /// The election is vacant, and on hold since the former tenure.
        Held,
    }

    /// Whether an election has a leader.
    ElectionState is Leadership, "LEADERSHIP_" {
        /// It has none.
        Vacant,
        /// It has one.
        Led,
        /// The service settles after a start: a leader of the former tenure may still be out there.
        Unsettled,
    }

    /// What a token is worth.
    TokenStatus is TokenStatus, "TOKEN_STATUS_" {
        /// It is the current leader's.
        Current,
        /// The election has no leader, or one with another token.
        NotLeading,
        /// A task token whose time is over. Its bearer may still lead, with a newer one.
        Expired,
        /// No task token of this service: damaged, forged, or signed with another key.
        Invalid,
    }

    /// What a replica is.
    Role is Role, "ROLE_" {
        /// It runs the elections.
        Active,
        /// It doesn't, for now, and forwards calls to the replica that does.
        Standby,
    }
}

structs! {
    /// The leader of an election, as others see it.
    Leader is Leader {
        /// The label that it gave itself.
        candidate: String as candidate,
        /// Its fencing token; below 2^53.
        fencing_token: u64 as fencing_token,
        /// What it proclaimed last, at most 4096 bytes.
        value: String as value,
        /// Whether it was told to hand over.
        draining: bool as draining,
        /// Whether it is leased. Otherwise it leads as long as its stream lasts.
        leased: bool as leased,
    }

    /// An election at the moment of the answer.
    Election is Election {
        /// Its name.
        name: String as name,
        /// Whether it has a leader.
        state: ElectionState as leadership,
        /// The leader, if it is led.
        leader: Option<Leader> as leader,
        /// The number of its latest change; 0 if none is known.
        revision: u64 as revision,
        /// Why it changed last.
        reason: ChangeReason as reason,
        /// How many candidates wait.
        waiting: u32 as waiting,
        /// Set while it is on hold: it isn't granted (again) for this long.
        hold: Option<Duration> as hold,
        /// If it is unsettled: how long that lasts.
        settling: Option<Duration> as settling,
    }

    /// The state of an election after one of its changes.
    ElectionChange is ElectionChange {
        /// The name of the election.
        election: String as election,
        /// The number of the change: it rises with each one; below 2^53.
        revision: u64 as revision,
        /// The leader after the change. None: the election is vacant.
        leader: Option<Leader> as leader,
        /// Why it changed.
        reason: ChangeReason as reason,
        /// Whether changes of this election right before this one were left out.
        missed_changes: bool as missed_changes,
        /// Set while the election is on hold: it isn't granted (again) for this long.
        hold: Option<Duration> as hold,
    }

    /// What a token is worth, and who leads the election.
    Verification is VerifyTokenResponse {
        /// The tenure of the replica that answers.
        tenure: u64 as tenure,
        /// Whether the token is the current leader's.
        valid: bool as valid,
        /// Why, or why not.
        status: TokenStatus as status,
        /// The election that was asked about.
        election: String as election,
        /// Its leader. None: it is vacant.
        leader: Option<Leader> as leader,
        /// Why not, for people.
        detail: String as detail,
    }

    /// A leader that was told to hand over.
    StepDown is StepDownResponse {
        /// The tenure of the replica that answers.
        tenure: u64 as tenure,
        /// The fencing token of the leadership that ends.
        fencing_token: u64 as fencing_token,
        /// Left until the next candidate is granted, if the leader doesn't resign before.
        remaining: Option<Duration> as remaining,
    }

    /// Who this client is, as the service has found out.
    Identity is WhoAmIResponse {
        /// The tenure of the replica that answers.
        tenure: u64 as tenure,
        /// In whose name it enters elections; `anonymous` where the service doesn't ask who calls.
        subject: String as subject,
        /// The name of the pod that its token is bound to; empty if it is bound to none.
        pod_name: String as pod_name,
        /// The uid of that pod.
        pod_uid: String as pod_uid,
        /// How long its token is good for. None: without an end.
        valid_for: Option<Duration> as valid_for,
    }

    /// A decision of the service's policy.
    PolicyDecision is CheckPolicyResponse {
        /// The tenure of the replica that answers.
        tenure: u64 as tenure,
        /// Whether the policy allows it.
        allowed: bool as allowed,
        /// Which rule allows it, or how to allow it.
        detail: String as detail,
    }

    /// What a replica is, and what it holds.
    ReplicaStatus is GetStatusResponse {
        /// Its tenure; 0 if it isn't active.
        tenure: u64 as tenure,
        /// Whether it runs the elections.
        role: Role as role,
        /// The version of the server.
        version: String as version,
        /// How long this tenure has lasted.
        tenure_age: Option<Duration> as tenure_age,
        /// How long nothing is granted yet. None: that is over.
        settling: Option<Duration> as settling,
        /// The longest ttl that a candidate may ask for.
        max_ttl: Option<Duration> as max_ttl,
        /// Elections with a candidate.
        elections: u64 as elections,
        /// Candidacies that wait, lead or drain.
        candidacies: u64 as candidacies,
        /// Candidacies that lead or drain.
        leaders: u64 as leaders,
        /// Open streams of observers.
        observers: u64 as observers,
        /// The newest number that was handed out.
        revision: u64 as revision,
        /// The name of this replica in the Lease; empty for a lone server.
        replica: String as replica,
        /// The Lease, as `NAMESPACE/NAME`; empty for a lone server.
        lease: String as lease,
        /// The replica that a standby forwards to, if it knows one.
        active: Option<ActiveReplica> as active,
        /// Candidacies of the active replica that a standby has in its mirror.
        mirrored: u64 as mirrored,
    }

    /// The active replica, as a standby knows it.
    ActiveReplica is ActiveReplica {
        /// Its tenure.
        tenure: u64 as tenure,
        /// Where it serves gRPC, as `HOST:PORT`.
        address: String as address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_as_it_was() {
        let leader = proto::Leader { candidate: "a".to_owned(), fencing_token: 7, leased: true, ..Default::default() };
        let message = proto::Election {
            name: "e".to_owned(),
            leadership: proto::Leadership::Led.into(),
            leader: Some(leader),
            reason: proto::ChangeReason::SteppedDown.into(),
            hold: Duration::from_millis(1500).try_into().ok(),
            ..Default::default()
        };
        let election = Election::from(message.clone());
        assert_eq!((election.state, election.reason.as_str()), (ElectionState::Led, "STEPPED_DOWN"));
        assert_eq!(election.hold, Some(Duration::from_millis(1500)));
        assert_eq!(proto::Election::from(election), message);
        let unknown = Election::from(proto::Election { reason: 99, ..message });
        assert_eq!(unknown.reason, ChangeReason::Unspecified, "of a newer service");
    }
}
