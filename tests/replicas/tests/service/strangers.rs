//! Strangers at a standby: what they send slowly or don't read holds up nobody whose calls the
//! standby hands on as well.

use crate::START;
use anyhow::{Context as _, ensure};
use leasehold_hostile::{ATTACKS, Honest, Target};
use leasehold_replica_tests::Group;
use std::time::Duration;

/// Each lasts so long: longer than a TTL of the honest leader's.
const TIME: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_at_a_standby_hurt_nobody_there() -> anyhow::Result<()> {
    let group = Group::builder().count(2).quick().start().await?;
    let active = group.settled(START).await?;
    let standby = &group.replicas[group.others(active)[0]].server;
    let honest = Honest::start(standby, true, None).await?;
    let target = Target { grpc: standby.address(), http: standby.http_address() };
    for (number, name) in ["slow-bodies", "unread-lists", "unread-keep-alives", "unread-observers"].iter().enumerate() {
        let attack = ATTACKS.iter().find(|attack| attack.name == *name).context("there is such an attack")?;
        if number == 1 {
            // The elections that the next ones ask for.
            (attack.prepare)(target).await?;
        }
        let report = (attack.run)(target, TIME).await?;
        let seen = honest.seen();
        println!("{name}: {report:?}\n{seen:?}");
        ensure!(seen.failures.is_empty(), "{name} hurt honest workers: {:?}", seen.failures);
    }
    ensure!(honest.seen().keep_alives >= 15, "{:?}", honest.seen());
    Ok(())
}
