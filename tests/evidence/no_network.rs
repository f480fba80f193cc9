//! Nothing in verification reaches out: `tests/run` runs this part in a network namespace of its own, which is empty.

use std::net::{TcpStream, UdpSocket};

use crate::fixtures::{say, skipped};

#[test]
fn there_is_no_network_where_none_is_promised() {
    if std::env::var_os("CUSTODY_NO_NETWORK").is_none() {
        return skipped("nobody took the network away; tests/run evidence does where the system lets it");
    }
    let devices = std::fs::read_to_string("/proc/self/net/dev").unwrap();
    let names: Vec<&str> = devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    assert_eq!(names, ["lo"]);
    // Not even loopback is up: whoever sends anything gets an error.
    assert!(UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"anything", "127.0.0.1:9").is_err());
    assert!(TcpStream::connect("192.0.2.1:443").is_err());
    say("network: none; everything here was verified without one");
}
