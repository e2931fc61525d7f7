//! Network flow logs: no record is lost, and none counts twice.

use meshtrail_event::Kind;
use tailscale_api_stand_in::InjectedFault;

use super::{Run, Scene, ago, now};
use crate::poll::Poller as _;

const PATH: &str = "logging/network";

/// A report of the `n`th window, which the log service took at `logged`.
fn report(n: i64, logged: i64) -> String {
    let at = |nanos: i64| meshtrail_event::Timestamp::from_nanos(nanos).to_string();
    serde_json::json!({
        "logged": at(logged), "nodeId": "n1CNTRL", "start": at(logged - 7_000_000_000), "end": at(logged - 2_000_000_000),
        "virtualTraffic": [
            {"proto": 6, "src": "100.64.0.1:51822", "dst": "100.64.0.2:5432", "txPkts": n + 1, "txBytes": 100 + n},
            {"proto": 17, "src": "100.64.0.1:53", "dst": "100.64.0.3:53", "rxPkts": 1, "rxBytes": 60},
        ],
    })
    .to_string()
}

async fn scene(count: i64) -> Scene {
    let scene = Scene::new().await;
    for n in 0..count {
        let logged = ago(3_000 - 5 * n);
        scene.api.world().flows.add(logged, report(n, logged));
    }
    scene
}

async fn counted(run: &Run) -> usize {
    run.events().await.iter().filter(|event| event.kind == Kind::FlowCounted).count()
}

#[tokio::test]
async fn whatever_the_api_does_each_connection_is_counted_once() {
    for fault in [
        InjectedFault::CutBody,
        InjectedFault::HalfJson,
        InjectedFault::Shuffled,
        InjectedFault::Duplicated,
        InjectedFault::Status(502, None),
        InjectedFault::WebPage,
        InjectedFault::ExtraMember("newer".to_owned()),
        InjectedFault::NoList,
    ] {
        let scene = scene(40).await;
        let run = scene.run().await;
        let mut poller = run.flows();
        scene.api.world().inject(PATH, fault.clone());
        for _ in 0..3 {
            poller.poll(now()).await;
        }
        assert_eq!(counted(&run).await, 80, "{fault:?}");
    }
}

#[tokio::test]
async fn a_restart_counts_on_where_the_trail_ends() {
    let scene = scene(40).await;
    let run = scene.run().await;
    run.flows().poll(now()).await;
    run.stop().await;
    let logged = ago(1);
    scene.api.world().flows.add(logged, report(40, logged));
    let run = scene.run().await;
    let asked = scene.api.world().requests.len();
    run.flows().poll(now()).await;
    assert_eq!(counted(&run).await, 82);
    assert_eq!(scene.api.world().requests.len() - asked, 1, "the rest is not asked for again");
}
