//! etcd, the API server and its controllers.

use std::time::{Duration, Instant};

use harness::servers::controllers::ControllerManager;
use harness::servers::etcd::Etcd;
use harness::servers::kube_apiserver::{AuditPlan, Identity, KubeApiserver};
use harness::servers::listener::Listener;
use harness::servers::pods::{ContainerReport, PodPlan, delete_pod, ensure_namespace, run_pod};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use tempfile::tempdir;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_pod_runs_the_digest_that_the_test_reports() {
    let folder = tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).await.unwrap();
    let stranger = Identity::user("token-of-a-stranger", "stranger");
    let server = KubeApiserver::start(folder.path(), &etcd, &[stranger]).await.unwrap();
    let admin = server.admin().await.unwrap();
    assert_eq!(admin.apiserver_version().await.unwrap().git_version, "v1.37.2");
    assert!(!server.cluster_id().await.unwrap().is_empty());

    ensure_namespace(&admin, "payments").await.unwrap();
    let plan = PodPlan {
        namespace: "payments".to_owned(),
        name: "api-0".to_owned(),
        containers: vec![("api".to_owned(), format!("127.0.0.1:5000/acme/api@{DIGEST}"))],
        ..PodPlan::default()
    };
    let report = ContainerReport::containerd("api", &plan.containers[0].1, "127.0.0.1:5000/acme/api", DIGEST);
    run_pod(&admin, &plan, &[report]).await.unwrap();

    let pods: Api<Pod> = Api::namespaced(admin.clone(), "payments");
    let status = pods.get("api-0").await.unwrap().status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(status.container_statuses.unwrap()[0].image_id, format!("127.0.0.1:5000/acme/api@{DIGEST}"));

    let refused: Api<Pod> = Api::namespaced(server.client("token-of-a-stranger").await.unwrap(), "payments");
    let error = refused.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 403), "{error}");

    delete_pod(&admin, "payments", "api-0").await.unwrap();
    assert!(pods.get_opt("api-0").await.unwrap().is_none());
}

#[tokio::test]
async fn controllers_make_pods_and_the_audit_webhook_tells() {
    let folder = tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).await.unwrap();
    let listener = Listener::start().await.unwrap();
    let audit = AuditPlan {
        policy: json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "rules": [
                { "level": "Metadata", "resources": [{ "group": "", "resources": ["pods"] }] },
                { "level": "None" },
            ],
        }),
        webhook_url: Some(format!("{}/audit", listener.url())),
    };
    let server = KubeApiserver::start_audited(folder.path(), &etcd, &[], Some(&audit)).await.unwrap();
    let _controllers = ControllerManager::start(folder.path(), &server).unwrap();
    let admin = server.admin().await.unwrap();
    ensure_namespace(&admin, "shop").await.unwrap();

    let deployments: Api<Deployment> = Api::namespaced(admin.clone(), "shop");
    let deployment = serde_json::from_value(json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
            },
        },
    }));
    deployments.create(&PostParams::default(), &deployment.unwrap()).await.unwrap();

    let pods: Api<Pod> = Api::namespaced(admin, "shop");
    let deadline = Instant::now() + Duration::from_secs(60);
    while pods.list(&ListParams::default()).await.unwrap().items.len() < 2 {
        assert!(Instant::now() < deadline, "no pods");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told = listener.wait_for(Duration::from_secs(30), |request| {
        String::from_utf8_lossy(&request.body).contains(r#""verb":"create""#)
    });
    assert_eq!(told.await.unwrap().path, "/audit");
}
