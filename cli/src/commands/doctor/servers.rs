//! Whether the NATS servers of the settings take this process. Nothing is made or said there.

use fleet_runtime::bus::nats::{self, NatsSettings};
use fleet_runtime::error_chain;

use super::Finding;

const ADVICE: &str = "see that it runs and can be reached from here, and that [bus] has the credential that `custody fleet enroll` \
                      made for this process";

const NO_JETSTREAM: &str =
    "add `jetstream { … }` to its configuration; deploy/streams/server has one that fits";

pub(super) async fn look(bus: &NatsSettings) -> Vec<Finding> {
    let probed = nats::probe(bus).await;
    let one_answers = probed.iter().any(|server| server.answer.is_ok());
    let one_keeps = probed.iter().any(|server| server.answer.as_ref().is_ok_and(|said| said.has_jetstream));
    let finding = |server: nats::Probed| {
        let what = format!("NATS server {}", server.address);
        match server.answer {
            Ok(said) => answered(what, &said, one_keeps),
            // The others of its cluster go on without it.
            Err(error) if one_answers => Finding::lacks(what, error_chain(&error), ADVICE),
            Err(error) => Finding::fails(what, error_chain(&error), ADVICE),
        }
    };
    probed.into_iter().map(finding).collect()
}

/// `one_keeps`: a server of the settings keeps streams, of which this one may be a neighbour.
fn answered(what: String, said: &nats::Answered, one_keeps: bool) -> Finding {
    let who = format!("{}, version {}", said.name, said.version);
    let needed = nats::Answered::MESSAGE_BYTES_NEEDED;
    if said.message_bytes_max < needed {
        let taken = said.message_bytes_max;
        let detail =
            format!("{who}: it takes messages of {taken} bytes, and those of custody have up to {needed}");
        return Finding::fails(what, detail, "set `max_payload: 2MB` in its configuration");
    }
    match (said.has_jetstream, one_keeps) {
        (true, _) => Finding::works(what, who),
        (false, true) => Finding::lacks(what, format!("{who}: it has no JetStream of its own"), NO_JETSTREAM),
        (false, false) => Finding::fails(what, format!("{who}: it has no JetStream"), NO_JETSTREAM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::State;

    #[test]
    fn a_server_on_which_nothing_can_run_does_not_work() {
        let check = |has_jetstream, message_bytes_max, one_keeps| {
            let said = nats::Answered {
                name: "n".to_owned(),
                version: "2".to_owned(),
                has_jetstream,
                message_bytes_max,
            };
            answered("server".to_owned(), &said, one_keeps).state
        };
        let enough = nats::Answered::MESSAGE_BYTES_NEEDED;
        assert_eq!(check(true, enough, true), State::Works);
        assert_eq!(check(false, enough, false), State::Fails);
        assert_eq!(check(false, enough, true), State::Lacks);
        assert_eq!(check(true, enough - 1, true), State::Fails);
    }
}
