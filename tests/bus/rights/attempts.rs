//! What a credential must not reach: everything that it has no right to, named one by one.

use bus_schema::Stage;
use fleet_runtime::bus::Stream;
use fleet_runtime::bus::nats::Role;

const SCOPE: &str = "0123456789abcdef";
/// Requests of JetStream's API about one stream.
const STREAM_REQUESTS: [&str; 14] = [
    "STREAM.CREATE",
    "STREAM.UPDATE",
    "STREAM.INFO",
    "STREAM.DELETE",
    "STREAM.PURGE",
    "STREAM.SNAPSHOT",
    "STREAM.RESTORE",
    "STREAM.MSG.GET",
    "STREAM.MSG.DELETE",
    "STREAM.PEER.REMOVE",
    "STREAM.LEADER.STEPDOWN",
    "CONSUMER.NAMES",
    "CONSUMER.LIST",
    "DIRECT.GET",
];
/// Requests about one consumer.
const CONSUMER_REQUESTS: [&str; 9] = [
    "CONSUMER.CREATE",
    "CONSUMER.DURABLE.CREATE",
    "CONSUMER.INFO",
    "CONSUMER.DELETE",
    "CONSUMER.MSG.NEXT",
    "CONSUMER.PAUSE",
    "CONSUMER.RESET",
    "CONSUMER.UNPIN",
    "CONSUMER.LEADER.STEPDOWN",
];
const API_REQUESTS: [&str; 8] = [
    "INFO",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.TEMPLATE.CREATE.x",
    "ACCOUNT.PURGE.CUSTODY",
    "META.LEADER.STEPDOWN",
    "SERVER.REMOVE",
    "ACCOUNT.STREAM.MOVE.CUSTODY.events",
];
const SYSTEM: [&str; 8] = [
    "$SYS.REQ.ACCOUNT.CUSTODY.CONNZ",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.ACCOUNT.CUSTODY.CONNECT",
    "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.events.correlator",
    "$JS.FC.events.correlator.x",
    "_R_.x",
    "anything",
];

/// A subject that a pattern matches.
pub(crate) fn instance(pattern: &str) -> String {
    let tokens = pattern.split('.').map(|token| match token {
        "*" => "x1",
        ">" => "x1.x2",
        token => token,
    });
    tokens.collect::<Vec<_>>().join(".")
}

/// Everything that one member of these roles must not publish.
pub(crate) fn forbidden_subjects(of: &Role, roles: &[Role]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for role in roles {
        let id = role.id();
        for stage in Stage::ALL {
            let stage = stage.as_str();
            all.push(format!("custody.in.{stage}.{id}"));
            all.push(format!("custody.in.{stage}.{id}.{SCOPE}.image.pushed.v1"));
            all.push(format!("custody.in.{stage}.{id}.{SCOPE}.attestation.attached.v1"));
            all.push(format!("custody.out.{stage}.{SCOPE}.verdict.changed.v1"));
        }
        all.push(format!("custody.dead.agent.{id}"));
        all.push(format!("custody.dead.agent.{id}.deeper"));
        all.push(format!("_INBOX.{id}.x"));
        all.push(format!("$O.blobs-{id}.C.x"));
        all.push(format!("$O.blobs-{id}.M.x"));
        all.push(format!("$O.blobs-{id}.M.x.y"));
        all.push(format!("$JS.ACK.questions.{id}.1.1.1.1.1"));
        all.push(format!("$JS.ACK.events.{id}.1.1.1.1.1"));
    }
    all.extend(
        [
            "custody.dead.fleet",
            "custody.dead.other",
            "custody.in.x",
            "custody",
            "$O.blobs.C.x",
            "$O.blobs.M.x",
        ]
        .map(str::to_owned),
    );
    all.extend(["registry", "ci", "source", "cluster"].map(|kind| format!("custody.ask.{kind}.{SCOPE}")));
    all.extend(["verdicts", "log", "other"].map(|bucket| format!("$KV.{bucket}.x")));
    let buckets = roles.iter().map(|role| format!("OBJ_blobs-{}", role.id()));
    let fixed = ["given-up", "KV_verdicts", "KV_log", "OBJ_blobs", "made-up"].map(str::to_owned);
    let streams: Vec<String> =
        Stream::ALL.map(|stream| stream.name().to_owned()).into_iter().chain(fixed).chain(buckets).collect();
    for stream in &streams {
        all.extend(STREAM_REQUESTS.iter().map(|request| format!("$JS.API.{request}.{stream}")));
        for consumer in roles.iter().map(|role| role.id().as_str()).chain(["given-up", "made-up"]) {
            all.extend(
                CONSUMER_REQUESTS.iter().map(|request| format!("$JS.API.{request}.{stream}.{consumer}")),
            );
        }
    }
    all.extend(API_REQUESTS.iter().map(|request| format!("$JS.API.{request}")));
    all.extend(SYSTEM.map(str::to_owned));
    all.retain(|subject| !may(of, subject));
    all
}

/// Everything that one member must not listen to.
pub(crate) fn forbidden_subscriptions(of: &Role, roles: &[Role]) -> Vec<String> {
    let mut all: Vec<String> = [
        ">",
        "*",
        "_INBOX.>",
        "_INBOX.*.>",
        "_INBOX.*",
        "custody.>",
        "custody.in.>",
        "custody.ask.>",
        "custody.out.>",
        "custody.dead.>",
        "$JS.>",
        "$JS.API.>",
        "$JS.ACK.>",
        "$JS.EVENT.>",
        "$KV.>",
        "$O.>",
        "$SYS.>",
        "_R_.>",
    ]
    .map(str::to_owned)
    .into();
    for role in roles.iter().filter(|role| *role != of) {
        let rights = role.rights();
        all.extend(rights.publish_subjects().chain(rights.subscribe_subjects()).map(str::to_owned));
        all.push(format!("_INBOX.{}.x", role.id()));
    }
    all.extend(of.rights().publish_subjects().map(str::to_owned));
    all
}

/// Whether a role's table allows a subject; read here once more, and not by the code under test.
pub(crate) fn may(role: &Role, subject: &str) -> bool {
    role.rights().publish_subjects().any(|pattern| {
        let (mut pattern, mut tokens) = (pattern.split('.'), subject.split('.'));
        loop {
            match (pattern.next(), tokens.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    })
}
