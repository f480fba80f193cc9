//! `custody where <digest>`.

use correlator_service::api::types::{Place, RunsIn};

use crate::answers::Answers;
use crate::data::DataFolder;
use crate::exit::Exit;
use crate::output::Output;
use fleet_runtime::outside_text::shown;

pub(crate) async fn run(image: &str, data: &DataFolder, output: Output) -> anyhow::Result<Exit> {
    let places = Answers::of(data).await?.places(image).await?;
    output.either(&places, |paint| {
        let mut text = format!("{}\n", paint.strong(&places.digest.to_string()));
        match places.places.is_empty() {
            true => text.push_str("runs nowhere that custody watches, and never did\n"),
            false => text.extend(places.places.iter().map(|place| line(place) + "\n")),
        }
        if places.cut {
            text.push_str("and more than fit here\n");
        }
        text
    })?;
    Ok(Exit::Fine)
}

/// One place in words.
pub(crate) fn line(place: &Place) -> String {
    let when = match (place.state, place.since, place.until) {
        (RunsIn::Running, Some(since), _) => format!("since {since}"),
        (RunsIn::Ended, _, Some(until)) => format!("ended {until}"),
        (RunsIn::Running, None, _) => "now".to_owned(),
        (RunsIn::Ended, _, None) => "ended".to_owned(),
    };
    let relation = match place.relation.as_str() {
        "same" => String::new(),
        other => format!(", as {}, which lies {other} it", place.digest),
    };
    let Place { cluster_name, namespace, kind, name, slot, .. } = place;
    let containers = match place.containers {
        1 => "1 container".to_owned(),
        count => format!("{count} containers"),
    };
    shown(&format!("  {cluster_name}/{namespace}/{kind}/{name}  slot {slot}, {containers}, {when}{relation}"))
}
