//! Health, in the words of gRPC and of the HTTP port. Readiness doesn't depend on being active: a
//! rolling update would wait for standbys that wait for the active replica's end.

use crate::http::Health;
use crate::service::{Admin, Elections};
use leasehold_proto::v1::admin_service_server::AdminServiceServer;
use leasehold_proto::v1::election_service_server::ElectionServiceServer;
use leasehold_shell::Phase;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// gRPC health, for the server ("") and each service.
pub(crate) async fn report(mut reporter: HealthReporter, mut phases: watch::Receiver<Phase>) {
    let names = ["", ElectionServiceServer::<Elections>::NAME, AdminServiceServer::<Admin>::NAME];
    loop {
        let phase = phases.borrow_and_update().clone();
        let serving = matches!(phase, Phase::Active { .. } | Phase::Standby { follows: true, .. });
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in names {
            reporter.set_service_status(name, status).await;
        }
        if phase == Phase::Stopped || phases.changed().await.is_err() {
            break;
        }
    }
    // Ends the streams of those who watch: the shutdown would wait for them.
    for name in names {
        reporter.clear_service_status(name).await;
    }
}

/// The loop's phase in the words of the HTTP port.
pub(crate) fn watch(mut phases: watch::Receiver<Phase>) -> watch::Receiver<Health> {
    let (sender, health) = watch::channel(Health::Starting);
    tokio::spawn(async move {
        loop {
            let phase = phases.borrow_and_update().clone();
            sender.send_replace(match phase {
                Phase::Active { .. } | Phase::Standby { heard: true, .. } => Health::Ready,
                Phase::Standby { heard: false, .. } => Health::NotReady(
                    "there is no tenure: the store isn't read yet, or doesn't confirm writes".to_owned(),
                ),
                Phase::Stopped => Health::Stopping,
            });
            if phases.changed().await.is_err() {
                return;
            }
        }
    });
    health
}
