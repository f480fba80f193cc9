//! NATS' own protocol in its smallest form, for what a test does behind the product's back.
//!
//! In: a server's address, a user. Out: requests and their answers. It shares no code with the client under test.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::login::Login;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A connection that sends one thing at a time.
#[derive(Debug)]
pub struct NatsWire {
    stream: BufReader<TcpStream>,
    requests: u64,
}

impl NatsWire {
    /// Connects in plain text.
    pub async fn connect(url: &str, login: Option<&Login>) -> anyhow::Result<NatsWire> {
        let address = url.strip_prefix("nats://").context("an address begins with nats://")?;
        let mut wire = NatsWire { stream: BufReader::new(TcpStream::connect(address).await?), requests: 0 };
        wire.line().await.context("the server's greeting")?;
        let mut hello =
            json!({ "verbose": false, "pedantic": false, "headers": true, "no_responders": true });
        if let Some(login) = login {
            hello["user"] = json!(login.name);
            hello["pass"] = json!(login.password);
        }
        wire.write(format!("CONNECT {hello}\r\nPING\r\n").as_bytes()).await?;
        loop {
            match wire.line().await?.as_str() {
                "PONG" => return Ok(wire),
                line if line.starts_with("-ERR") => bail!("refused: {line}"),
                _ => {}
            }
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
        let inbox = format!("_INBOX.wire.{}.{}", std::process::id(), self.requests);
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
        self.stream.get_mut().write_all(bytes).await?;
        Ok(())
    }
}
