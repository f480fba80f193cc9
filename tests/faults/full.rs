//! An outbox that fills: beyond its bound the agent asks to come again, and what it had taken is not lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::said::say;
use jiff::Timestamp;
use reqwest::StatusCode;

use crate::conclusions::quiet;
use crate::fleet::{Bus, Fleet};
use crate::images::Images;
use crate::load::Load;
use crate::proxy::Network;
use crate::rounds::check_log;

const OUTBOX_MIB_MAX: u64 = 1;
/// Each is two events of some kilobytes.
const NOTIFICATIONS_MAX: u64 = 2000;
const ROOM_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_asks_to_come_again_and_loses_nothing() {
    let images = Arc::new(Images::make(0));
    let mut fleet = Fleet::on_one_server(Arc::clone(&images), OUTBOX_MIB_MAX).await;
    let load = Load::new(Arc::clone(&images), Arc::clone(&fleet.intake));
    let Bus::One { to_agent, .. } = &fleet.bus else { panic!("one server") };
    to_agent.set(Network::Cut);
    let body = |number: u64| Images::unclaimed(number, Timestamp::now()).to_string();
    let mut taken = 0;
    while load.try_once(&body(taken)).await.unwrap() == StatusCode::ACCEPTED {
        taken += 1;
        assert!(taken < NOTIFICATIONS_MAX, "the outbox is not full");
    }
    // The same again, and still no word that it was kept.
    assert_eq!(load.try_once(&body(taken)).await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    fleet.make_whole().await;
    let began = Instant::now();
    while load.try_once(&body(taken)).await.unwrap() != StatusCode::ACCEPTED {
        assert!(began.elapsed() < ROOM_WITHIN, "no room was made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    quiet(&mut fleet).await;
    fleet.agent.stop().await.unwrap();
    fleet.correlator.stop().await.unwrap();
    check_log(&fleet, taken + 1).await;
    say("faults", &format!("{taken} notifications filled an outbox; events lost 0, effects twice 0"));
}
