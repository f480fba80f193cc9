//! Asks the running process over its API on loopback.
//!
//! In: the folder's lock, and what `running.json` says. Out: answers of the API's own types, or a failure that says what to do.
//! A process that is gone is no failure here: its data folder is opened instead.

use std::time::Duration;

use anyhow::Context;
use correlator_service::api::types::ApiError;
use correlator_service::api::{CHANGE_HEADER, PREFIX};
use correlator_store::Store;
use fleet_runtime::instance::INSTANCE_HEADER;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::DataFolder;
use crate::exit::Failure;
use crate::house::store_failure;

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
    /// The API of the process that has the folder. Who has it, the folder's lock says, which ends with the process; one that
    /// has it and does not answer is a failure, and so is another that answers in its place.
    pub(crate) async fn of_running(data: &DataFolder) -> anyhow::Result<Option<Api>> {
        let running = data.running()?;
        let holder = Store::holder(&data.correlator()).map_err(|error| store_failure(&error))?;
        let Some(holder) = holder else { return Ok(None) };
        let noted = running.filter(|noted| holder.process.is_none_or(|process| process == noted.process));
        let process = holder.process.or(noted.as_ref().map(|noted| noted.process));
        let silent = |why: &str| silent(data, process, why);
        let Some(noted) = noted else {
            return Err(silent("has the folder, and has not said yet where it answers"));
        };
        let base = on_loopback(&noted.api).ok_or_else(|| {
            silent(&format!("has the folder, and answers at {}: only this machine is asked", noted.api))
        })?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("make an HTTP client")?;
        let api = Api { client, base, process: noted.process, time_max: REQUEST_TIME_MAX };
        let probed = api.client.get(api.url("/log/head")?).timeout(CONNECT_TIME_MAX).send().await;
        let response = probed.map_err(|error| {
            let cause = fleet_runtime::error_chain(&error.without_url());
            silent(&format!("has the folder, and does not answer: {cause}"))
        })?;
        if !is_of(&response, &noted.instance) {
            return Err(silent(&format!("has the folder, and another one answers at {}", noted.api)));
        }
        match response.status() {
            status if status.is_success() => Ok(Some(api)),
            status => {
                let said = bounded(response).await.ok();
                let said = said.and_then(|bytes| serde_json::from_slice::<ApiError>(&bytes).ok());
                let said = said.map_or_else(|| status.to_string(), |error| error.message);
                Err(silent(&format!("has the folder, and does not answer: {said}")))
            }
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

/// What the note says is not trusted further than this machine.
fn on_loopback(api: &str) -> Option<Url> {
    let base: Url = api.parse().ok()?;
    let is_loopback = match base.host()? {
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
        url::Host::Domain(_) => false,
    };
    is_loopback.then_some(base)
}

/// Whether an answer is of the process that wrote the note.
pub(crate) fn is_of(response: &Response, instance: &str) -> bool {
    let said = response.headers().get(INSTANCE_HEADER).and_then(|value| value.to_str().ok());
    said.is_some_and(|said| said == instance)
}

fn silent(data: &DataFolder, process: Option<u32>, why: &str) -> anyhow::Error {
    let process =
        process.map_or_else(|| "another custody process".to_owned(), |number| format!("process {number}"));
    Failure::unreachable(format!("{process} {why} (the data folder is {})", data.path().display()))
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
