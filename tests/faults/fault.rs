//! What a fleet suffers, chosen by a seed.

use std::time::Duration;

use axum::http::StatusCode;
use harness::servers::nats_wire::NatsWire;
use jiff::SignedDuration;

use crate::fleet::{Bus, Fleet, Who};
use crate::proxy::Network;
use crate::random::Random;

/// A subject of the events' stream, and a payload that is no event.
const FILL_SUBJECT: &str = "custody.in.registry.image.pushed";
const FILL_BYTES: usize = 200 << 10;
const FILLS_MAX: usize = 40;
/// Smaller than the databases of both processes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// How far a clock jumps, in minutes. Less than the day from which on an event counts as one from the future.
const JUMP_MINUTES: [i64; 4] = [1, 10, 60, 5 * 60];

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// `kill -9`, and started when all is made whole.
    Kill(Who),
    /// `kill -9`, and started at once, whatever else is wrong then.
    Restart(Who),
    /// Stopped for a while.
    Stop(Who),
    /// The wall clock of a process is set forward or back, and right again when all is made whole. A server's is not: it is
    /// linked with no C library.
    Clock {
        who: Who,
        jump: SignedDuration,
    },
    Network {
        agent: bool,
        correlator: bool,
        network: Network,
    },
    /// Nobody takes events from the bus, and it is full.
    FullBus,
    /// A server can write nothing more and reads go on, as on a file system that became read-only. It takes nothing until it
    /// is started again, even when it could write.
    ReadOnlyBus(usize),
    /// The disk of a process has no more room.
    FullDisk(Who),
    /// Who is told of cases answers with an error.
    AlertsRefused,
}

impl Fault {
    pub(crate) fn choose(random: &mut Random, bus: &Bus) -> Fault {
        let nodes = bus.nodes();
        let node = usize::try_from(random.below(nodes as u64)).unwrap();
        let server = Who::Server(node);
        let who = random.pick(&[Who::Agent, Who::Correlator, server]);
        let ours = random.pick(&[Who::Agent, Who::Correlator]);
        let is_alone = nodes == 1;
        match random.below(if is_alone { 19 } else { 10 }) {
            0 | 1 => Fault::Kill(who),
            2 => Fault::Restart(ours),
            3 => Fault::Kill(server),
            4 => Fault::Stop(who),
            5 => Fault::AlertsRefused,
            6 => Fault::FullDisk(ours),
            7 | 8 => {
                let minutes = random.pick(&JUMP_MINUTES) * random.pick(&[1, -1]);
                Fault::Clock { who: ours, jump: SignedDuration::from_mins(minutes) }
            }
            9 => Fault::ReadOnlyBus(node),
            10 => Fault::FullBus,
            _ => {
                let slow = Network::Slow(random.millis(10..150));
                let network = [Network::Cut, Network::Cut, Network::Silent, Network::Deaf, slow];
                let network = random.pick(&network);
                let (agent, correlator) = random.pick(&[(true, false), (false, true), (true, true)]);
                Fault::Network { agent, correlator, network }
            }
        }
    }

    /// Begins it. It ends when the fleet is made whole; what was stopped goes on by then.
    pub(crate) async fn strike(self, fleet: &mut Fleet) {
        match self {
            Fault::Kill(who) => fleet.kill(who),
            Fault::Restart(who) => {
                fleet.kill(who);
                fleet.start_again(who).await;
            }
            Fault::Stop(who) => fleet.signal(who, "STOP"),
            Fault::Network { agent, correlator, network } => {
                if let Bus::One { to_agent, to_correlator, .. } = &fleet.bus {
                    if agent {
                        to_agent.set(network);
                    }
                    if correlator {
                        to_correlator.set(network);
                    }
                }
            }
            Fault::Clock { who, jump } => fleet.clock(who).set(jump),
            Fault::FullBus => {
                fleet.kill(Who::Correlator);
                fill(&mut fleet.wire().await).await;
            }
            Fault::ReadOnlyBus(node) => fleet.make_read_only(node),
            Fault::FullDisk(Who::Agent) => fleet.agent.limit_files(Some(FILE_BYTES_MAX)).unwrap(),
            Fault::FullDisk(_) => fleet.correlator.limit_files(Some(FILE_BYTES_MAX)).unwrap(),
            Fault::AlertsRefused => fleet.alerts.answer(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// Whether it needs a bus that works.
    pub(crate) fn needs_the_bus(&self) -> bool {
        matches!(self, Fault::FullBus)
    }

    pub(crate) fn ends_before_whole(self, fleet: &mut Fleet) {
        if let Fault::Stop(who) = self {
            fleet.signal(who, "CONT");
        }
    }

    /// How long it lasts. A kill has done its work at once.
    pub(crate) fn time(self, random: &mut Random) -> Duration {
        match self {
            Fault::Kill(_) | Fault::Restart(_) => random.millis(0..300),
            Fault::Stop(_) => random.millis(200..2500),
            Fault::Network { .. }
            | Fault::FullBus
            | Fault::FullDisk(_)
            | Fault::AlertsRefused
            | Fault::Clock { .. } => random.millis(100..1500),
            Fault::ReadOnlyBus(_) => random.millis(500..2500),
        }
    }
}

/// Publishes until the stream takes no more.
async fn fill(wire: &mut NatsWire) {
    let payload = vec![b'x'; FILL_BYTES];
    for _ in 0..FILLS_MAX {
        let answer = wire.request(FILL_SUBJECT, &payload).await.unwrap();
        if String::from_utf8_lossy(&answer).contains("maximum") {
            return;
        }
    }
    panic!("the stream took {FILLS_MAX} messages and is not full");
}
