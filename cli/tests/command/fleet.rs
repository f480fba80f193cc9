//! `custody up` on a settings file of servers on loopback that do not answer, and what the doctor says of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use serde_json::Value;

use crate::json::ask;
use crate::questions::Running;
use crate::{custody, out, run};

const TOKEN: &str = "a-token-of-the-registry";
const WEBHOOK_KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// Discard: nothing answers there.
pub(crate) const NOBODY: &str = "127.0.0.1:9";

/// Settings with a registry, an alert and a forge at these addresses; every listener takes a free port.
pub(crate) fn write_settings(folder: &Path, alert: &str, forge: &str) {
    fs::create_dir_all(folder.join("contracts")).unwrap();
    for (file, text) in
        [("notifications", TOKEN), ("alerts", WEBHOOK_KEY), ("github", "a-token-of-the-forge")]
    {
        fs::write(folder.join(file), text).unwrap();
    }
    let settings = format!(
        "[intake]\nlisten = \"127.0.0.1:0\"\n[operations]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [[registry]]\nhost = \"{NOBODY}\"\nurl = \"http://{NOBODY}\"\nrepositories = [\"acme/api\"]\n\
         notification_token_file = \"notifications\"\n\
         [[github]]\nwatch = [\"acme\"]\napi_url = \"http://{forge}\"\ntoken_file = \"github\"\n\
         [[alert]]\nname = \"on-call\"\nurl = \"http://{alert}/custody\"\nallow_loopback = true\nsecret_file = \"alerts\"\n"
    );
    fs::write(folder.join("custody.toml"), settings).unwrap();
}

pub(crate) fn finding<'a>(doctor: &'a Value, what: &str) -> &'a Value {
    let findings = doctor["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["what"] == what)
        .unwrap_or_else(|| panic!("no {what} in {doctor:#}"))
}

#[test]
fn a_fleet_says_where_it_answers_and_keeps_what_it_could_not_understand() {
    let folder = tempfile::tempdir().unwrap();
    write_settings(folder.path(), NOBODY, NOBODY);
    let data = folder.path().join("data");
    let mut up = custody(folder.path());
    let (child, started) =
        Running::start(up.args(["up", "--output", "json", "--data", data.to_str().unwrap()]));
    assert_eq!(started["event"], "started");
    assert_eq!(started["data"].as_str(), data.to_str());
    let webhooks: SocketAddr =
        started["webhooks"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    for place in ["api", "operations"] {
        assert!(started[place].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{started}");
    }

    check_metrics(started["operations"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap());

    let answer = post(webhooks, "/registry/notifications", "{\"events\": \"none\"}");
    let ask = |arguments: &[&str]| ask(folder.path(), &data, arguments);
    let (_, listed) = ask(&["deadletter", "list"]);
    let letter = &listed["letters"][0];
    assert_eq!(letter["source"], "registry-agent", "{answer}\n{listed}");
    let number = letter["number"].as_u64().unwrap().to_string();
    let (code, replayed) = ask(&["deadletter", "replay", &number]);
    assert_eq!(code, Some(1), "what came over HTTP is sent again by its sender: {replayed}");
    assert!(replayed["problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{replayed}");

    let (code, doctor) = ask(&["doctor"]);
    assert_eq!(code, Some(1));
    assert_eq!(finding(&doctor, "process")["state"], "works");
    assert_eq!(finding(&doctor, "contracts in force")["detail"], "no pipeline");
    assert!(finding(&doctor, "images")["detail"].as_str().unwrap().contains("0 images claimed"));
    finding(&doctor, "agent registry");
    drop(child);
}

/// Every agent says the same of itself, and the dashboards name only what is said.
fn check_metrics(operations: SocketAddr) {
    let mut text = get(operations, "/metrics");
    // Agents report at their start.
    for _ in 0..200 {
        if text.contains("custody_last_published_seconds{") {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(50));
        text = get(operations, "/metrics");
    }
    let served: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, _)| name)
        .collect();
    let is_served = |name: &str| {
        served.contains(name) || name.strip_suffix("_total").is_some_and(|name| served.contains(name))
    };
    for agent in ["registry", "source-github", "ci-github"] {
        for name in [
            "events_seen_total",
            "events_published_total",
            "events_refused_total",
            "dead_lettered_total",
            "lag_seconds",
            "outbox_bytes",
        ] {
            let sample = format!("custody_{name}{{agent=\"{agent}\"");
            assert!(text.contains(&sample), "{sample} is not in\n{text}");
        }
    }
    // What a rule counts is there before it happens: no increase is seen in a series that begins at one.
    for begun in [
        "loop_restarts_total{loop=\"registry-agent\"}",
        "loop_restarts_total{loop=\"source-agent questions\"}",
        "publish_denied_total{agent=\"registry\",kind=\"events\"}",
        "dead_lettered_total{agent=\"registry\",kind=\"notification\"}",
        "dead_lettered_total{agent=\"source-github\",kind=\"not-understood\"}",
        "correlator_refused_total{kind=\"unknown_agent\"}",
        "correlator_refused_total{kind=\"scope\"}",
        "correlator_refused_total{kind=\"unknown_version\"}",
        "verifications_total{kind=\"failed\"}",
        "alert_attempts_total{sink=\"on-call\",kind=\"retry\"}",
    ] {
        assert!(text.contains(&format!("custody_{begun} 0\n")), "{begun} is not at zero in\n{text}");
    }
    let dashboards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dashboards");
    for file in ["custody.json", "alerts.yaml"] {
        let names = fs::read_to_string(dashboards.join(file)).unwrap();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named: BTreeSet<&str> =
            names.split(|c| !is_word(c)).filter(|word| word.starts_with("custody_")).collect();
        assert!(named.len() > 5, "{named:?}");
        // A forge's budget is known when it has answered.
        let is_known = |name: &str| is_served(name) || name == "custody_api_budget_left";
        let unknown: Vec<&&str> = named.iter().filter(|name| !is_known(name)).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which nobody serves");
        // The correlator speaks when a verdict changes: its silence is none.
        let spoken = "custody_last_published_seconds";
        let of_agents = format!("{spoken}{{agent!=");
        assert!(names.contains(&of_agents) && !names.replace(&of_agents, "").contains(spoken), "{file}");
        let is_counted = |name: &&&str| file == "alerts.yaml" && name.ends_with("_total");
        for counted in named.iter().filter(is_counted) {
            let mut series = text.lines().filter(|line| line.starts_with(*counted));
            assert!(
                series.any(|line| !line.contains("kind=\"none\"")),
                "{counted} begins with no word of its own"
            );
        }
    }
}

fn get(from: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(from).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn post(to: SocketAddr, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {TOKEN}\r\n");
    let kind = "Content-Type: application/vnd.docker.distribution.events.v2+json";
    write!(stream, "{head}{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_doctor_says_what_does_not_answer_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    write_settings(folder.path(), NOBODY, NOBODY);
    let (code, doctor) = ask(folder.path(), &folder.path().join("data"), &["doctor"]);
    assert_eq!(code, Some(1));
    let whats = [
        format!("registry {NOBODY}: answer"),
        "forge github.com, acme".to_owned(),
        "alert on-call".to_owned(),
    ];
    for what in &whats {
        let finding = finding(&doctor, what);
        assert_eq!(finding["state"], "fails", "{finding}");
        assert!(finding["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{finding}");
    }
    let data = folder.path().join("data");
    let text = run(folder.path(), &["doctor", "--data", data.to_str().unwrap()]);
    assert_eq!(text.status.code(), Some(1));
    for expected in ["fails  alert on-call: 127.0.0.1:9 cannot be called", "do: check its url"] {
        assert!(out(&text).contains(expected), "no {expected:?} in {}", out(&text));
    }
}

#[test]
fn the_doctor_calls_the_webhook_without_a_word_and_tries_each_permission() {
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let forge = TcpListener::bind("127.0.0.1:0").unwrap();
    let (sink_address, forge_address) = (sink.local_addr().unwrap(), forge.local_addr().unwrap());
    let heard = thread::spawn(move || {
        let mut heard = Vec::new();
        sink.accept().unwrap().0.read_to_end(&mut heard).unwrap();
        heard
    });
    thread::spawn(move || forge.incoming().flatten().for_each(answer_as_forge));
    let folder = tempfile::tempdir().unwrap();
    write_settings(folder.path(), &sink_address.to_string(), &forge_address.to_string());
    let (_, doctor) = ask(folder.path(), &folder.path().join("data"), &["doctor"]);
    assert_eq!(finding(&doctor, "alert on-call")["state"], "works", "{doctor:#}");
    assert_eq!(heard.join().unwrap(), b"", "something was sent to the webhook");
    for (permission, state) in
        [("contents", "works"), ("pull requests", "fails"), ("actions", "fails"), ("attestations", "works")]
    {
        let finding = finding(&doctor, &format!("forge github.com, acme/api, {permission}"));
        assert_eq!(finding["state"], state, "{finding}");
        if state == "fails" {
            assert!(finding["advice"].as_str().unwrap().contains(permission), "{finding}");
        }
    }
}

/// A forge whose token may read contents and attestations, is denied pull requests, and does not see actions.
fn answer_as_forge(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let (status, body) = match path {
        "/users/acme" => ("200 OK", "{\"login\": \"acme\"}"),
        "/users/acme/repos" => ("200 OK", "[{\"name\": \"api\"}]"),
        "/repos/acme/api/commits" => ("200 OK", "[]"),
        "/repos/acme/api/pulls" => ("403 Forbidden", "{\"message\": \"Resource not accessible\"}"),
        _ => ("404 Not Found", "{\"message\": \"Not Found\"}"),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close");
    let _ = write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}");
}
