//! The Kubernetes controllers that tests with owners and namespaces may want: Deployments make ReplicaSets and pods,
//! deleted namespaces go away. Optional: a test that writes owners by hand does not need it.

use std::path::Path;

use super::kube_apiserver::{ADMIN_TOKEN, KubeApiserver};
use super::process::{Plan, Process};
use crate::provision::Tool;

const CONTROLLERS: &str = "deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,\
job-controller,cronjob-controller,namespace-controller,garbage-collector-controller,serviceaccount-controller,\
root-ca-certificate-publisher-controller";

/// A running controller manager.
#[derive(Debug)]
pub struct ControllerManager {
    /// The process, to stop or kill it.
    pub process: Process,
}

impl ControllerManager {
    /// Starts the controllers for a running API server; they work a moment after this returns.
    pub fn start(folder: &Path, apiserver: &KubeApiserver) -> anyhow::Result<Self> {
        let kubeconfig = apiserver.kubeconfig(ADMIN_TOKEN, "controller-manager")?;
        let plan = Plan::new("controller-manager", Tool::Kube.binary()?, folder.join("controller-manager"))
            .arg("controller-manager")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--leader-elect=false", "--bind-address", "127.0.0.1", "--secure-port", "0"])
            .arg("--service-account-private-key-file")
            .arg(apiserver.service_account_key())
            .arg("--root-ca-file")
            .arg(apiserver.authority_file())
            .args([
                "--kube-api-qps",
                "500",
                "--kube-api-burst",
                "1000",
                "--concurrent-replicaset-syncs",
                "10",
            ])
            .arg(format!("--controllers={CONTROLLERS}"));
        Ok(Self { process: Process::start(plan)? })
    }
}
