//! Free loopback ports for servers that cannot choose their own.
//!
//! A port is found by binding and closing, so another process may take it before the server does: whoever starts a server
//! this way starts it again, on new ports, when it says that the address is in use. Who must tell others of a
//! port long before it is listened on cannot do so, and holds it until then.

use std::net::TcpListener;

use anyhow::Context;

/// A loopback port that nothing listened on a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Several of them, all different.
pub fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    Ok(HeldPorts::take()?.ports)
}

/// Ports that nobody else gets until this is dropped.
#[derive(Debug)]
pub struct HeldPorts<const N: usize> {
    /// All different.
    pub ports: [u16; N],
    _listeners: Vec<TcpListener>,
}

impl<const N: usize> HeldPorts<N> {
    /// Free ones.
    pub fn take() -> anyhow::Result<Self> {
        let mut listeners = Vec::with_capacity(N);
        let mut ports = [0; N];
        for port in &mut ports {
            let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
            *port = listener.local_addr()?.port();
            listeners.push(listener);
        }
        Ok(Self { ports, _listeners: listeners })
    }
}
