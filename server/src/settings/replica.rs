//! Settings of a replica on Kubernetes, as meant.

use super::{Flags, SettingsError};
use leasehold_core::{Address, Config, Holder, Limits, Millis, Store};
use std::ffi::OsString;
use std::net::SocketAddr;

/// The longest name of an object in Kubernetes, in bytes.
const MAX_NAME_BYTES: usize = 253;

/// Everything that can be set about a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSettings {
    /// Where the Lease and the Secret are; `None`: where the pod or the kubeconfig says.
    pub namespace: Option<String>,
    /// The Lease's name.
    pub lease: String,
    /// The Secret's name.
    pub keys_secret: String,
    /// The first part of this replica's name in the Lease.
    pub replica: String,
    /// Where others reach it. Port 0 is replaced by the one that it listens on.
    pub advertise: Address,
    /// How long the Lease is good for without a renewal.
    pub duration: Millis,
    /// How often it is renewed.
    pub renew_interval: Millis,
    /// How long one request may take.
    pub request_timeout: Millis,
    /// How much before its end the right ends.
    pub margin: Millis,
}

impl ReplicaSettings {
    pub(super) fn resolve(
        flags: &Flags,
        listen: SocketAddr,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let named = |name: &str| environment(name)?.into_string().ok().filter(|text| !text.is_empty());
        let defaults = Config::replica(Holder(String::new()), Millis(15_000));
        let pod_ip = named("POD_IP").and_then(|ip| ip.parse().ok()).map(|ip| SocketAddr::new(ip, listen.port()));
        let own = pod_ip.or_else(|| (!listen.ip().is_unspecified()).then_some(listen)).map(|own| own.to_string());
        let settings = Self {
            namespace: flags.namespace.clone(),
            lease: flags.lease.clone().unwrap_or_else(|| "leasehold".to_owned()),
            keys_secret: flags.keys_secret.clone().unwrap_or_else(|| "leasehold-keys".to_owned()),
            replica: flags.replica.clone().or_else(|| named("POD_NAME")).unwrap_or_else(host_name),
            advertise: Address::new(&flags.advertise.clone().or(own).ok_or(SettingsError::NoAdvertise { listen })?)?,
            duration: flags.lease_duration.map_or(defaults.duration, super::Span::millis),
            renew_interval: flags.renew_interval.map_or(defaults.renew_interval, super::Span::millis),
            request_timeout: flags.request_timeout.map_or(Millis(1500), super::Span::millis),
            margin: flags.lease_margin.map_or(defaults.margin, super::Span::millis),
        };
        settings.validate()?;
        Ok(settings)
    }

    fn validate(&self) -> Result<(), SettingsError> {
        let names = [
            ("--namespace", self.namespace.as_deref().unwrap_or("default")),
            ("--lease", &self.lease),
            ("--keys-secret", &self.keys_secret),
            ("--replica", &self.replica),
        ];
        for (flag, name) in names {
            let fair = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(fair) {
                return Err(SettingsError::BadName { flag, name: name.to_owned() });
            }
        }
        Ok(())
    }

    /// What the core needs to know of it, for a replica of this name.
    #[must_use]
    pub fn core_config(&self, me: Holder, max_ttl: Millis, limits: Limits) -> Config {
        Config {
            duration: self.duration,
            renew_interval: self.renew_interval,
            margin: self.margin,
            max_ttl,
            limits,
            store: Store::Lease { me, request_timeout: self.request_timeout },
        }
    }

    /// The address that others are told, once it is known where this replica listens.
    #[must_use]
    pub fn advertised(&self, listening: SocketAddr) -> Address {
        self.advertise.clone().or_port(listening.port())
    }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fair: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '-' }).collect();
    if fair.is_empty() { "replica".to_owned() } else { fair }
}
