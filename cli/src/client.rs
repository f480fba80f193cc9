//! Asks the running process over its API on loopback.
//!
//! In: what `running.json` says. Out: answers of the API's own types, or a failure that says what to do. A process that is
//! gone is no failure here: its data folder is opened instead.

use std::time::Duration;

use anyhow::Context;
use correlator_service::api::types::ApiError;
use correlator_service::api::{CHANGE_HEADER, PREFIX};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::DataFolder;
use crate::exit::Failure;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The API of one running process.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: Url,
    process: u32,
    time_max: Duration,
}

impl Api {
    /// The API of the process that has the folder, if one answers.
    pub(crate) async fn of_running(data: &DataFolder) -> anyhow::Result<Option<Api>> {
        let Some(running) = data.running()? else { return Ok(None) };
        let base: Url = match running.api.parse() {
            Ok(base) => base,
            Err(_) => return Ok(None),
        };
        // What the file says is not trusted further than this machine.
        let is_loopback = match base.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            _ => false,
        };
        if !is_loopback {
            return Ok(None);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("make an HTTP client")?;
        let api = Api { client, base, process: running.process, time_max: REQUEST_TIME_MAX };
        let probe = api.client.get(api.url("/log/head")?).timeout(CONNECT_TIME_MAX).send().await;
        match probe {
            Ok(response) if response.status().is_success() => Ok(Some(api)),
            _ => Ok(None),
        }
    }

    /// The same, for what may take longer.
    pub(crate) fn with_time(self, time_max: Duration) -> Api {
        Api { time_max, ..self }
    }

    /// The number of the process.
    pub(crate) fn process(&self) -> u32 {
        self.process
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> anyhow::Result<T> {
        let request = self.client.get(self.url(path)?).timeout(self.time_max).query(query);
        self.read(request.send().await).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let request = self
            .client
            .post(self.url(path)?)
            .timeout(self.time_max)
            .header(CHANGE_HEADER, "command")
            .json(body);
        self.read(request.send().await).await
    }

    fn url(&self, path: &str) -> anyhow::Result<Url> {
        self.base.join(&format!("{PREFIX}{path}")).context("make an address of the API")
    }

    async fn read<T: DeserializeOwned>(&self, sent: reqwest::Result<Response>) -> anyhow::Result<T> {
        let process = self.process;
        let response = sent.map_err(|error| {
            let cause = fleet_runtime::error_chain(&error.without_url());
            Failure::unreachable(format!("the running process {process} does not answer: {cause}"))
        })?;
        let status = response.status();
        let bytes = bounded(response).await?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).context("read the answer of the running process");
        }
        let said = serde_json::from_slice::<ApiError>(&bytes).map(|error| error.message);
        let message = said.unwrap_or_else(|_| format!("the running process answered {status}"));
        Err(match status {
            StatusCode::SERVICE_UNAVAILABLE => Failure::unreachable(message),
            _ => Failure::usage(message),
        })
    }
}

async fn bounded(mut response: Response) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.context("read the answer of the running process")? {
        anyhow::ensure!(
            bytes.len() + chunk.len() <= ANSWER_BYTES_MAX,
            "the answer is larger than {ANSWER_BYTES_MAX} bytes"
        );
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
