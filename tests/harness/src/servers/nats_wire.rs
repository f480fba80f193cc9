//! NATS' own protocol in its smallest form, for what a test does behind the product's back.
//!
//! In: a server's address, a user. Out: requests and their answers, and what the server refuses. It shares no code with the
//! client under test.

use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::certificates::CertificateFiles;
use super::login::Login;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A connection that sends one thing at a time.
pub struct NatsWire {
    stream: BufReader<Box<dyn Way>>,
    inbox: String,
    requests: u64,
    heard: u64,
}

/// In plain text or encrypted.
trait Way: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Way for T {}

impl std::fmt::Debug for NatsWire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NatsWire").field("inbox", &self.inbox).finish_non_exhaustive()
    }
}

/// How a process shows who it is on an encrypted server.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The authority of the server's certificate, as PEM.
    pub authority: &'a str,
    /// The certificate that is shown.
    pub certificate: &'a CertificateFiles,
    /// The user's seed, where one is shown.
    pub seed: Option<&'a str>,
    /// The prefix of the inboxes that the user may listen to.
    pub inbox: String,
}

impl NatsWire {
    /// Connects in plain text.
    pub async fn connect(url: &str, login: Option<&Login>) -> anyhow::Result<NatsWire> {
        let stream = dial(url).await?;
        let mut wire = NatsWire::on(Box::new(stream), "_INBOX".to_owned());
        wire.line().await.context("the server's greeting")?;
        let mut hello = hello();
        if let Some(login) = login {
            hello["user"] = json!(login.name);
            hello["pass"] = json!(login.password);
        }
        wire.greet(&hello).await
    }

    /// Connects encrypted.
    pub async fn connect_shown(url: &str, shown: &Shown<'_>) -> anyhow::Result<NatsWire> {
        let mut stream = dial(url).await?;
        // The greeting comes in plain text, and nothing after it: what follows is encrypted.
        let mut greeting = Vec::new();
        while !greeting.ends_with(b"\r\n") {
            greeting.push(stream.read_u8().await.context("the server's greeting")?);
        }
        let greeting = String::from_utf8(greeting)?;
        let greeting: Value = serde_json::from_str(greeting.trim_start_matches("INFO").trim())?;
        let encrypted = TlsConnector::from(super::certificates::client(shown.authority, shown.certificate)?);
        let encrypted = encrypted.connect("localhost".try_into()?, stream).await?;
        let wire = NatsWire::on(Box::new(encrypted), shown.inbox.clone());
        let mut hello = hello();
        if let Some(seed) = shown.seed {
            let keys = nkeys::KeyPair::from_seed(seed)?;
            let nonce = greeting["nonce"].as_str().context("the server gives no nonce")?;
            hello["nkey"] = json!(keys.public_key());
            hello["sig"] = json!(URL_SAFE_NO_PAD.encode(keys.sign(nonce.as_bytes())?));
        }
        wire.greet(&hello).await
    }

    fn on(stream: Box<dyn Way>, inbox: String) -> NatsWire {
        NatsWire { stream: BufReader::new(stream), inbox, requests: 0, heard: 0 }
    }

    async fn greet(mut self, hello: &Value) -> anyhow::Result<NatsWire> {
        self.write(format!("CONNECT {hello}\r\n").as_bytes()).await?;
        match self.refusals().await?.as_slice() {
            [] => Ok(self),
            [refused, ..] => bail!("refused: {refused}"),
        }
    }

    /// Publishes with a place for the answer; what the server refuses of it.
    pub async fn publish(
        &mut self,
        subject: &str,
        answer_to: &str,
        headers: &str,
        payload: &[u8],
    ) -> anyhow::Result<Vec<String>> {
        let headers = format!("NATS/1.0\r\n{headers}\r\n");
        let total = headers.len() + payload.len();
        let line = format!("HPUB {subject} {answer_to} {} {total}\r\n{headers}", headers.len());
        self.write(&[line.as_bytes(), payload, b"\r\n"].concat()).await?;
        self.refusals().await
    }

    /// Subscribes; what the server refuses of it.
    pub async fn subscribe(&mut self, subject: &str) -> anyhow::Result<Vec<String>> {
        self.requests += 1;
        self.write(format!("SUB {subject} {}\r\n", self.requests).as_bytes()).await?;
        self.refusals().await
    }

    /// How many messages have come that nobody waited for.
    pub async fn heard(&mut self) -> anyhow::Result<u64> {
        self.refusals().await?;
        Ok(self.heard)
    }

    /// What the server has said against what was sent so far.
    async fn refusals(&mut self) -> anyhow::Result<Vec<String>> {
        self.write(b"PING\r\n").await?;
        let mut refused = Vec::new();
        let pong = async {
            loop {
                let line = self.line().await?;
                match line.split(' ').next().unwrap_or_default() {
                    "PONG" => return anyhow::Ok(()),
                    "PING" => self.write(b"PONG\r\n").await?,
                    "-ERR" => refused.push(line),
                    "MSG" | "HMSG" => {
                        self.heard += 1;
                        let total: usize = line.rsplit(' ').next().unwrap_or_default().parse()?;
                        self.stream.read_exact(&mut vec![0; total.min(ANSWER_BYTES_MAX) + 2]).await?;
                    }
                    _ => {}
                }
            }
        };
        let ended = timeout(ANSWER_WITHIN, pong).await.context("no answer in time")?;
        match ended {
            // A server that ends the connection has refused it.
            Err(_) if !refused.is_empty() => Ok(refused),
            ended => ended.map(|()| refused),
        }
    }

    /// A request of JetStream's API; `subject` without its prefix. An answer that is an error is one here.
    pub async fn ask(&mut self, subject: &str, payload: &Value) -> anyhow::Result<Value> {
        let answer = self.request(&format!("$JS.API.{subject}"), payload.to_string().as_bytes()).await?;
        let answer: Value = serde_json::from_slice(&answer).context("the answer is no JSON")?;
        if !answer["error"].is_null() {
            bail!("{subject}: {}", answer["error"]);
        }
        Ok(answer)
    }

    /// Sends a payload and waits for the answer.
    pub async fn request(&mut self, subject: &str, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.requests += 1;
        let inbox = format!("{}.wire.{}.{}", self.inbox, std::process::id(), self.requests);
        let number = self.requests;
        let mut bytes = format!(
            "SUB {inbox} {number}\r\nUNSUB {number} 1\r\nPUB {subject} {inbox} {}\r\n",
            payload.len()
        )
        .into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.write(&bytes).await?;
        timeout(ANSWER_WITHIN, self.answer()).await.context("no answer in time")?
    }

    async fn answer(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            let line = self.line().await?;
            let words: Vec<&str> = line.split(' ').collect();
            let (headers, total) = match words[..] {
                ["MSG", .., total] => (0, total.parse()?),
                ["HMSG", .., headers, total] => (headers.parse()?, total.parse()?),
                ["PING"] => {
                    self.write(b"PONG\r\n").await?;
                    continue;
                }
                ["-ERR", ..] => bail!("{line}"),
                _ => continue,
            };
            let total: usize = total;
            anyhow::ensure!(total <= ANSWER_BYTES_MAX && headers <= total, "an answer of {total} bytes");
            let mut bytes = vec![0; total + 2];
            self.stream.read_exact(&mut bytes).await?;
            bytes.truncate(total);
            return Ok(bytes.split_off(headers));
        }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }

    async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await?;
        Ok(stream.flush().await?)
    }
}

async fn dial(url: &str) -> anyhow::Result<TcpStream> {
    let address = url.strip_prefix("nats://").context("an address begins with nats://")?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn hello() -> Value {
    json!({ "verbose": false, "pedantic": false, "headers": true, "no_responders": true })
}
