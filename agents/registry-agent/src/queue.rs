//! The looks that the agent takes without being asked: after a push, after evidence was attached.
//!
//! In: the durable queue of the state. Out: events of what is found. A look that fails is told at once and tried again
//! with a growing wait; after the last attempt the correlator's own question is what finds it. A look whose finds the bus
//! does not take now is put off, which is no attempt. A look that ends well says nothing more: only a question is answered
//! with "there is nothing".

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bus_schema::fleet::Unavailable;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, SayError, unasked};
use crate::look_up::{Found, LookingUp};
use crate::media_type::Content;
use crate::sink::OnTheBus;
use crate::state::Waiting;

/// The longest sleep between two looks at the queue.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// How often a digest that the registry does not have is tried: some registries show a push a moment later.
const MISSING_ATTEMPTS_MAX: u32 = 3;

/// Works through the queue until `stop`, then finishes what is in hand.
pub(crate) async fn run(agent: &Arc<Agent>, stop: &CancellationToken) -> Result<(), SayError> {
    let in_hand_max = agent.tuning.look_ups_in_hand_max;
    let (mut in_hand, mut taken) = (FuturesUnordered::new(), BTreeSet::new());
    let result = loop {
        let room = in_hand_max - in_hand.len();
        let mut sleep = SLEEP_MAX;
        if room > 0 {
            let (now, skip) = (Timestamp::now(), taken.clone());
            let (due, next) = agent.state.read(move |view| view.due_look_ups(now, room, &skip)).await?;
            for waiting in due {
                taken.insert(waiting.key.clone());
                in_hand.push(one(agent, waiting));
            }
            sleep = next.map_or(SLEEP_MAX, |next| until(now, next).min(SLEEP_MAX));
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            Some((key, done)) = in_hand.next(), if !in_hand.is_empty() => {
                taken.remove(&key);
                if let Err(error) = done {
                    break Err(error);
                }
            }
            () = agent.queued.notified(), if room > 0 => {}
            () = tokio::time::sleep(sleep) => {}
        }
    };
    while in_hand.next().await.is_some() {}
    result
}

async fn one(agent: &Arc<Agent>, waiting: Waiting) -> (String, Result<(), SayError>) {
    let key = waiting.key.clone();
    let done = match look(agent, waiting.clone()).await {
        Err(error) if error.is_temporary() => {
            tracing::warn!(error = fleet_runtime::error_chain(&error), "a look waits for the bus");
            let wait = agent.backoff(waiting.record.attempts, None);
            agent.state.write(move |batch| batch.put_off(&waiting, Timestamp::now(), wait)).await
        }
        done => return (key, done),
    };
    (key, done.map_err(SayError::from))
}

async fn look(agent: &Arc<Agent>, waiting: Waiting) -> Result<(), SayError> {
    let look_up = &waiting.record.look_up;
    let Some(watched) = agent.watched(&look_up.repository) else {
        // The registry was taken out of the settings while the look waited: a question about it says so.
        return Ok(agent.state.write(move |batch| batch.looked(&waiting)).await?);
    };
    let (client, has_referrers_api) = (&watched.client, watched.settings.referrers_api);
    let trace = waiting.record.trace.as_ref();
    let sink = OnTheBus { publisher: &agent.publisher, trace };
    let looking_up = LookingUp::new(client, &look_up.repository, has_referrers_api, &sink);
    let found = looking_up.run(look_up.digest, look_up.what, agent.tuning.look_up_timeout).await?;
    let attempts = waiting.record.attempts + 1;
    let wait = match &found {
        Found { problem: None, is_missing: false, .. } => None,
        Found { problem: None, is_missing: true, .. } => {
            (attempts < MISSING_ATTEMPTS_MAX).then(|| agent.backoff(attempts, None))
        }
        Found { problem: Some(problem), .. } => {
            let event = unasked(look_up, problem.reason.clone(), problem.detail.clone());
            let envelope = agent.publisher.envelope(Timestamp::now(), trace.cloned(), event);
            agent.publisher.publish(&envelope).await?;
            let may_pass = !matches!(problem.reason, Unavailable::CutOff);
            let again = may_pass && attempts < agent.tuning.look_up_attempts_max;
            again.then(|| agent.backoff(attempts - 1, problem.retry_after))
        }
    };
    // What could not be read counts as an image: a push is rather said once too often than not at all.
    let is_said = match found.content {
        Some(content) => content == Content::Image,
        None => wait.is_none(),
    };
    let forget_unsaid = is_said || found.content.is_some();
    let ended = agent.state.write(move |batch| {
        if is_said {
            waiting.record.unsaid.iter().try_for_each(|unsaid| batch.say(unsaid))?;
        }
        match wait {
            Some(wait) => batch.look_again(&waiting, Timestamp::now(), wait, forget_unsaid),
            None => batch.looked(&waiting),
        }
    });
    ended.await?;
    agent.say_waiting().await
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    now.until(then).ok().and_then(|span| Duration::try_from(span).ok()).unwrap_or_default()
}
