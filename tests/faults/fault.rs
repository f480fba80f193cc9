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

#[derive(Debug, Clone, Copy, PartialEq)]
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

const SERVER: Who = Who::Server(0);
/// Drawn when it strikes.
const SOME_TIME: SignedDuration = SignedDuration::ZERO;
const SLOW: Network = Network::Slow(Duration::ZERO);

/// What can strike a fleet on any bus. Which server it is, and how hard it strikes, is drawn when it does.
const ANYWHERE: [Fault; 14] = [
    Fault::Kill(Who::Agent),
    Fault::Kill(Who::Correlator),
    Fault::Kill(SERVER),
    Fault::Restart(Who::Agent),
    Fault::Restart(Who::Correlator),
    Fault::Stop(Who::Agent),
    Fault::Stop(Who::Correlator),
    Fault::Stop(SERVER),
    Fault::Clock { who: Who::Agent, jump: SOME_TIME },
    Fault::Clock { who: Who::Correlator, jump: SOME_TIME },
    Fault::FullDisk(Who::Agent),
    Fault::FullDisk(Who::Correlator),
    Fault::ReadOnlyBus(0),
    Fault::AlertsRefused,
];
/// What strikes a node of three, and nobody else.
const A_NODE: [Fault; 3] = [Fault::Kill(SERVER), Fault::Stop(SERVER), Fault::ReadOnlyBus(0)];
const NETWORKS: [Network; 4] = [Network::Cut, Network::Silent, Network::Deaf, SLOW];
/// Between the bus and the agent, and the correlator.
const SIDES: [(bool, bool); 3] = [(true, false), (false, true), (true, true)];

impl Fault {
    /// What strikes first in a round, whose number counts over all seeds: as many rounds as there are faults
    /// suffer each of them once, in an order that is drawn anew each time. On three servers one round of four
    /// is for any.
    pub(crate) fn of_round(number: u64, random: &mut Random, bus: &Bus) -> Fault {
        let mut deck: Vec<Option<Fault>> = Fault::due(bus).into_iter().map(Some).collect();
        if bus.nodes() > 1 {
            deck.push(None);
        }
        let count = deck.len() as u64;
        let mut order = Random::of_seed(!(number / count));
        for last in (1..deck.len()).rev() {
            deck.swap(last, usize::try_from(order.below(last as u64 + 1)).unwrap());
        }
        deck[usize::try_from(number % count).unwrap()].unwrap_or_else(|| Fault::any(random, bus))
    }

    /// What must have happened at least once.
    pub(crate) fn due(bus: &Bus) -> Vec<Fault> {
        if bus.nodes() > 1 { A_NODE.to_vec() } else { Fault::all(bus) }
    }

    pub(crate) fn any(random: &mut Random, bus: &Bus) -> Fault {
        random.pick(&Fault::all(bus))
    }

    fn all(bus: &Bus) -> Vec<Fault> {
        let mut all = ANYWHERE.to_vec();
        if bus.nodes() == 1 {
            let on_a_side =
                |network| SIDES.map(|(agent, correlator)| Fault::Network { agent, correlator, network });
            all.extend(NETWORKS.into_iter().flat_map(on_a_side));
            all.push(Fault::FullBus);
        }
        all
    }

    /// The same with the server that it strikes, and how hard.
    pub(crate) fn drawn(self, random: &mut Random, bus: &Bus) -> Fault {
        let node = usize::try_from(random.below(bus.nodes() as u64)).unwrap();
        match self {
            Fault::Kill(Who::Server(_)) => Fault::Kill(Who::Server(node)),
            Fault::Stop(Who::Server(_)) => Fault::Stop(Who::Server(node)),
            Fault::ReadOnlyBus(_) => Fault::ReadOnlyBus(node),
            Fault::Clock { who, .. } => {
                let minutes = random.pick(&JUMP_MINUTES) * random.pick(&[1, -1]);
                Fault::Clock { who, jump: SignedDuration::from_mins(minutes) }
            }
            Fault::Network { agent, correlator, network: Network::Slow(_) } => {
                Fault::Network { agent, correlator, network: Network::Slow(random.millis(10..150)) }
            }
            other => other,
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
