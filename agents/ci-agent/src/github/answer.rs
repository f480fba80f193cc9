//! Answers to "which run is this?" and "which attestations has this digest?", by look-ups in the REST API.
//!
//! In: a question. Out: ordinary events (`run.started`, `run.finished`, `job.finished`, `attestation.attached`), and always
//! an end.

mod attestations;
mod runs;

use async_trait::async_trait;
use bus_schema::TraceParent;
use bus_schema::fleet::EvidenceRequested;
use bus_schema::question::Question;
use fleet_runtime::asked::Answer;
use fleet_runtime::publisher::Publisher;
use fleet_runtime::worker::Handled;
use github_client::answering::{self, AnswerEvents, AskedForges, LookUpEnd, Stop};

/// Answers the questions of one agent.
#[derive(Debug)]
pub struct Answers {
    publisher: Publisher,
    forges: AskedForges,
}

impl Answers {
    pub fn new(publisher: Publisher, forges: AskedForges) -> Answers {
        Answers { publisher, forges }
    }

    async fn look_up(
        &self,
        request: &EvidenceRequested,
        events: &mut AnswerEvents<'_>,
    ) -> Result<LookUpEnd, Stop> {
        match &request.question {
            Question::Run { repository, run } => {
                let api = self.forges.client(repository)?;
                let repository = answering::repository(api, repository).await?.reference;
                runs::look_up(api, &repository, run, events).await
            }
            Question::Attestations { repository, digest } => {
                let api = self.forges.client(repository)?;
                let repository = answering::repository(api, repository).await?.reference;
                let blobs = self.publisher.bus().blobs();
                attestations::look_up(api, &repository, digest, blobs.as_ref(), events).await
            }
            Question::Image { .. } | Question::Commit { .. } => {
                Ok(LookUpEnd::unconfigured("this agent answers questions about runs and attestations"))
            }
        }
    }
}

#[async_trait]
impl Answer for Answers {
    async fn answer(&self, request: &EvidenceRequested, trace: Option<&TraceParent>) -> Handled {
        let mut events = AnswerEvents::new(&self.publisher, request, trace);
        let ended = match self.look_up(request, &mut events).await {
            Ok(end) | Err(Stop::End(end)) => events.end(end).await,
            Err(Stop::Bus(error)) => Err(error),
        };
        answering::handled(ended)
    }
}
