//! The parts put to work, each kept running until its stage of the end.

use std::sync::Arc;

use fleet_runtime::publisher::Publisher;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Context, Parts, supervised};
use crate::consume::Consume;
use crate::contracts::{Copies, Watch};
use crate::deliver::Deliver;
use crate::dispatch::Dispatch;
use crate::heads::Heads;
use crate::recorder::Recorder;
use crate::settings::Settings;
use crate::verification::Verification;

pub(super) fn spawn_takers(
    takers: &mut JoinSet<anyhow::Result<()>>,
    settings: &Settings,
    context: &Context,
    parts: &Parts,
    recorder: &Recorder,
    consume: Consume,
    stop: &CancellationToken,
) {
    let consume = Arc::new(consume);
    takers.spawn(supervised::run(context.health.check("events"), stop.clone(), move |check, stop| {
        let consume = Arc::clone(&consume);
        async move { consume.run(check, stop).await }
    }));
    let watch = Arc::new(Watch {
        folder: settings.correlator.contracts.clone(),
        every: settings.correlator.contracts_poll,
        copies: Copies::of_data(&context.data),
        roots_every: settings.correlator.trust_root_poll,
        recorder: recorder.clone(),
        shared: Arc::clone(&parts.shared),
        metrics: parts.metrics.clone(),
    });
    takers.spawn(supervised::run(context.health.check("contracts"), stop.clone(), move |check, stop| {
        let watch = Arc::clone(&watch);
        async move { watch.run(check, stop).await }
    }));
}

pub(super) fn spawn_verification(
    verifiers: &mut JoinSet<anyhow::Result<()>>,
    settings: &Settings,
    context: &Context,
    parts: &Parts,
    recorder: &Recorder,
    stop: &CancellationToken,
) {
    let verification = Arc::new(Verification {
        store: Arc::clone(&parts.store),
        bus: Arc::clone(&context.bus),
        shared: Arc::clone(&parts.shared),
        recorder: recorder.clone(),
        metrics: parts.metrics.clone(),
        jobs_max: settings.correlator.verifications_max,
        cache: parts.cache.clone(),
    });
    verifiers.spawn(supervised::run(
        context.health.check("verification"),
        stop.clone(),
        move |check, stop| {
            let verification = Arc::clone(&verification);
            async move { verification.run(check, stop).await }
        },
    ));
}

pub(super) fn spawn_doers(
    doers: &mut JoinSet<anyhow::Result<()>>,
    settings: &Settings,
    context: &Context,
    parts: &Parts,
    recorder: Recorder,
    stop: &CancellationToken,
) {
    let dispatch = Arc::new(Dispatch {
        store: Arc::clone(&parts.store),
        bus: Arc::clone(&context.bus),
        publisher: Publisher::new(
            Arc::clone(&context.bus),
            settings.correlator.id.clone(),
            context.published.clone(),
        ),
        shared: Arc::clone(&parts.shared),
        recorder: recorder.clone(),
        metrics: parts.metrics.clone(),
    });
    doers.spawn(supervised::run(context.health.check("publishing"), stop.clone(), move |check, stop| {
        let dispatch = Arc::clone(&dispatch);
        async move { dispatch.run(check, stop).await }
    }));
    let heads = Arc::new(Heads {
        store: Arc::clone(&parts.store),
        bus: Arc::clone(&context.bus),
        every: settings.correlator.head_interval,
        last: Arc::clone(&parts.answers.head),
    });
    doers.spawn(supervised::run(context.health.check("log-head"), stop.clone(), move |check, stop| {
        let heads = Arc::clone(&heads);
        async move { heads.run(check, stop).await }
    }));
    let deliver = Deliver {
        store: Arc::clone(&parts.store),
        bus: Arc::clone(&context.bus),
        shared: Arc::clone(&parts.shared),
        recorder,
        metrics: parts.metrics.clone(),
        public_url: parts.public_url.clone(),
        settle: Deliver::settle_for(&settings.alerts),
    };
    if settings.alerts.is_empty() {
        doers.spawn(supervised::run(context.health.check("alerts"), stop.clone(), move |check, stop| {
            deliver.clone().run_without(check, stop)
        }));
        return;
    }
    for alert in &settings.alerts {
        let (deliver, alert) = (deliver.clone(), alert.clone());
        let check = context.health.check(format!("alerts-{}", alert.name()));
        doers.spawn(supervised::run(check, stop.clone(), move |check, stop| {
            deliver.clone().run(alert.clone(), check, stop)
        }));
    }
}
