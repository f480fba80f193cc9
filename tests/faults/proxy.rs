//! The network between a process and the bus: a proxy that can be cut, slow, silent, or deaf.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const CHUNK_BYTES: usize = 16 << 10;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Whole,
    /// Connections break, and new ones are refused.
    Cut,
    /// Nothing comes through, and nobody is told; what was sent comes later.
    Silent,
    /// What is sent is lost, on connections that stay so for ever: as after a router forgot them.
    Deaf,
    /// Every piece comes this much later.
    Slow(Duration),
}

/// A proxy that lives as long as this value.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
}

impl Proxy {
    /// Stands before a server, given as `nats://…`.
    pub(crate) async fn start(server: &str) -> Proxy {
        let target = server.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, seen) = watch::channel(Network::Whole);
        tokio::spawn(async move {
            let mut over = seen.clone();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    // The value is dropped: the test is over.
                    _ = over.wait_for(|_| false) => return,
                };
                if let Ok((near, _)) = accepted {
                    tokio::spawn(carry(near, target.clone(), seen.clone()));
                }
            }
        });
        Proxy { address, network }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn carry(near: TcpStream, target: String, network: watch::Receiver<Network>) {
    if *network.borrow() == Network::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    // The end of one direction ends both.
    tokio::select! {
        _ = pump(near_read, far_write, network.clone()) => {}
        _ = pump(far_read, near_write, network) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut network: watch::Receiver<Network>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut is_deaf = false;
    loop {
        let now = *network.borrow_and_update();
        is_deaf |= now == Network::Deaf;
        if now == Network::Cut {
            return Ok(());
        }
        let read = tokio::select! {
            biased;
            changed = network.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            },
            read = from.read(&mut chunk), if now != Network::Silent => read?,
        };
        if read == 0 {
            return Ok(());
        }
        if is_deaf {
            continue;
        }
        if let Network::Slow(by) = now {
            tokio::time::sleep(by).await;
        }
        to.write_all(&chunk[..read]).await?;
    }
}
