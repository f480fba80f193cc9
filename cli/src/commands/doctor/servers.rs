//! Whether the NATS servers of the settings take this process. Nothing is made or said there.

use fleet_runtime::bus::nats::{self, NatsSettings};
use fleet_runtime::error_chain;

use super::Finding;

const ADVICE: &str = "see that it runs and can be reached from here, and that [bus] has the credential that `custody fleet enroll` \
                      made for this process";

pub(super) async fn look(bus: &NatsSettings) -> Vec<Finding> {
    let probed = nats::probe(bus).await;
    let one_answers = probed.iter().any(|server| server.answer.is_ok());
    let finding = |server: nats::Probed| {
        let what = format!("NATS server {}", server.address);
        match server.answer {
            Ok(said) => Finding::works(what, said),
            // The others of its cluster go on without it.
            Err(error) if one_answers => Finding::lacks(what, error_chain(&error), ADVICE),
            Err(error) => Finding::fails(what, error_chain(&error), ADVICE),
        }
    };
    probed.into_iter().map(finding).collect()
}
