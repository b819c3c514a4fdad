//! The way to the API server: in a pod with the pod's own service account, elsewhere with a
//! kubeconfig.

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub(super) async fn api_config() -> anyhow::Result<Config> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && std::env::var_os("KUBECONFIG").is_none() {
        return Config::incluster().context("this looks like a pod, but its service account can't be used");
    }
    let kubeconfig = Kubeconfig::read().context(
        "--kubernetes needs a cluster: run in a pod, or set KUBECONFIG to a kubeconfig (without one, ~/.kube/config is read)",
    )?;
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(kubeconfig, &options).await.context("the kubeconfig can't be used")
}

pub(super) fn api_client(config: Config) -> anyhow::Result<Client> {
    Client::try_from(config).context("the configuration of the Kubernetes client can't be used")
}
