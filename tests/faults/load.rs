//! The registry's part: notifications in their order, each repeated until it is answered with 2xx.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{Client, StatusCode};

use crate::fleet::TOKEN;
use crate::images::Images;
use crate::random::Random;

const ANSWERED_WITHIN: Duration = Duration::from_secs(120);
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// A registry that did not hear an answer sends what was taken again.
const REPEATED_ONE_IN: u64 = 5;
const KIND: &str = "application/vnd.docker.distribution.events.v2+json";

#[derive(Clone)]
pub(crate) struct Load {
    images: Arc<Images>,
    intake: Arc<Mutex<String>>,
    client: Client,
}

impl Load {
    pub(crate) fn images(&self) -> &Images {
        &self.images
    }

    pub(crate) fn new(images: Arc<Images>, intake: Arc<Mutex<String>>) -> Load {
        Load { images, intake, client: Client::builder().timeout(ATTEMPT).build().unwrap() }
    }

    /// Posts these numbers until each was answered with 2xx, with pauses between them.
    pub(crate) async fn post(&self, numbers: std::ops::Range<u64>, mut random: Random) {
        for number in numbers {
            let body = self.images.notification(number, Timestamp::now()).to_string();
            self.post_body(&body).await;
            if random.one_in(REPEATED_ONE_IN) {
                self.post_body(&body).await;
            }
            tokio::time::sleep(random.millis(0..60)).await;
        }
    }

    async fn post_body(&self, body: &str) {
        let began = Instant::now();
        loop {
            let answer = self.try_once(body).await;
            if answer.as_ref().is_ok_and(StatusCode::is_success) {
                return;
            }
            assert!(began.elapsed() < ANSWERED_WITHIN, "a notification was not taken: {answer:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Posts once; tells the answer.
    pub(crate) async fn try_once(&self, body: &str) -> reqwest::Result<StatusCode> {
        let url = format!("{}/registry/notifications", self.intake.lock().unwrap());
        let request = self.client.post(url).bearer_auth(TOKEN).header("Content-Type", KIND);
        Ok(request.body(body.to_owned()).send().await?.status())
    }
}
