//! Whether a webhook could be called from here: for people who set it up. No alert is sent, not even a request.
//!
//! In: the settings of a webhook. Out: the address that took a connection, or the reason why none did.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::address::refusal;
use crate::settings::AlertSettings;

const RESOLVE_TIME_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Resolves the webhook's host and connects to it, as a delivery would, and says nothing there.
pub async fn probe_alert(alert: &AlertSettings) -> Result<SocketAddr, String> {
    let mut reason = "its name has no address".to_owned();
    for address in resolved(&alert.url).await?.into_iter().take(ADDRESSES_MAX) {
        if let Some(why) = refusal(address.ip(), alert.reach) {
            reason = format!("{} {why}", address.ip());
            continue;
        }
        match timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) => reason = format!("{address} cannot be called: {error}"),
            Err(_) => reason = format!("{address} does not answer within {} s", CONNECT_TIME_MAX.as_secs()),
        }
    }
    Err(reason)
}

async fn resolved(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().ok_or_else(|| "its address has no port".to_owned())?;
    let name = match url.host() {
        Some(url::Host::Domain(name)) => name.to_owned(),
        Some(url::Host::Ipv4(address)) => return Ok(vec![SocketAddr::from((address, port))]),
        Some(url::Host::Ipv6(address)) => return Ok(vec![SocketAddr::from((address, port))]),
        None => return Err("its address has no host".to_owned()),
    };
    match timeout(RESOLVE_TIME_MAX, tokio::net::lookup_host((name.as_str(), port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(format!("{name} cannot be resolved: {error}")),
        Err(_) => Err(format!("{name} was not resolved within {} s", RESOLVE_TIME_MAX.as_secs())),
    }
}
