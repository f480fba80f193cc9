//! What `custody up` found: how many of the images that run are claimed, and the pipeline to write next.

use std::time::Duration;

use correlator_service::Handle;
use correlator_service::api::types::ImageCounts;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::screen::Screen;
use fleet_runtime::outside_text::shown;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Agents list what is there at their start; this is given to the slower ones.
const SETTLE: Duration = Duration::from_secs(4);
/// After this without a running image the look says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something runs, and tells it once.
pub(crate) async fn tell(handle: Handle, screen: Screen, stop: CancellationToken) -> anyhow::Result<()> {
    let began = tokio::time::Instant::now();
    loop {
        let images = handle.answers().status().await?.images;
        let is_known = images.claimed + images.unclaimed > 0;
        if !is_known && began.elapsed() < PATIENCE {
            if pause(LOOK_EVERY, &stop).await {
                return Ok(());
            }
            continue;
        }
        if is_known && pause(SETTLE, &stop).await {
            return Ok(());
        }
        let images = handle.answers().status().await?.images;
        screen.tell(&Looked { event: "images", images: &images }, &text(&images));
        return Ok(());
    }
}

/// What was found, for scripts.
#[derive(Debug, Serialize)]
struct Looked<'a> {
    event: &'static str,
    images: &'a ImageCounts,
}

/// How many are claimed, and what to write next.
fn text(images: &ImageCounts) -> String {
    let mut text = counts(images);
    if let Some(suggestion) = &images.suggestion {
        let yaml: Vec<String> = suggestion.yaml.lines().map(|line| format!("  {}", shown(line))).collect();
        text.push_str(&format!(
            "\nThe pipeline to write next, for {}; complete it and save it as {} in the contracts folder:\n\n{}\n",
            shown(&suggestion.repository),
            shown(&suggestion.file),
            yaml.join("\n")
        ));
    }
    text
}

/// How many are claimed, in one or two lines.
pub(crate) fn counts(images: &ImageCounts) -> String {
    let more = if images.cut { ", and more than were counted" } else { "" };
    let mut text = format!("{} images claimed, {} not{more}", images.claimed, images.unclaimed);
    if images.claimed + images.unclaimed == 0 {
        text.push_str("; no cluster has reported a running container yet");
    }
    if let Some(busiest) = images.unclaimed_repositories.first() {
        let (repository, containers) = (shown(&busiest.repository), busiest.containers);
        text.push_str(&format!(
            "; the busiest that nothing claims is {repository} ({containers} containers)"
        ));
    }
    text
}

async fn pause(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => false,
        () = stop.cancelled() => true,
    }
}
