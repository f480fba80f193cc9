//! Hosts of registries and forges: a domain name, an IPv4 address or an IPv6 address in brackets, with a port where it
//! is not the default (the `domain` of the distribution project's reference grammar).

use std::net::Ipv6Addr;

use crate::ParseError;

/// The longest host with its port, in bytes.
pub const HOST_BYTES_MAX: usize = 255;

/// Checks a host and gives its one canonical text: lower-case, an IPv6 address in its shortest form.
pub(crate) fn canonical_host(kind: &'static str, text: &str) -> Result<String, ParseError> {
    let refuse = |position: usize, reason: &'static str| Err(ParseError::new(kind, text, position, reason));
    if text.is_empty() {
        return refuse(0, "it is empty");
    }
    if text.len() > HOST_BYTES_MAX {
        return refuse(HOST_BYTES_MAX, "longer than 255 bytes");
    }
    let (host, port_at) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, _)) = rest.split_once(']') else {
                return refuse(0, "a bracket that does not close");
            };
            let Ok(address) = address.parse::<Ipv6Addr>() else {
                return refuse(1, "not an IPv6 address in the brackets");
            };
            (format!("[{address}]"), rest.find(']').map_or(text.len(), |end| end + 2))
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            check_domain(kind, text, &text[..end])?;
            (text[..end].to_ascii_lowercase(), end)
        }
    };
    match &text[port_at..] {
        "" => Ok(host),
        port => {
            check_port(kind, text, port_at)?;
            Ok(format!("{host}{port}"))
        }
    }
}

/// Labels of letters, digits and inner hyphens, separated by dots.
fn check_domain(kind: &'static str, text: &str, domain: &str) -> Result<(), ParseError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let mut label_at = 0;
    for label in domain.split('.') {
        let refuse =
            |offset: usize, reason: &'static str| Err(ParseError::new(kind, text, label_at + offset, reason));
        if label.is_empty() {
            return refuse(0, "an empty label in the host");
        }
        if let Some(offset) = label.bytes().position(|byte| !allowed(byte)) {
            return refuse(offset, "not a letter, digit, hyphen or dot in the host");
        }
        if label.starts_with('-') {
            return refuse(0, "a label of the host begins with a hyphen");
        }
        if label.ends_with('-') {
            return refuse(label.len() - 1, "a label of the host ends with a hyphen");
        }
        label_at += label.len() + 1;
    }
    Ok(())
}

/// A colon and a port from 1 to 65535 without leading zeros, so that one port has one text.
fn check_port(kind: &'static str, text: &str, port_at: usize) -> Result<(), ParseError> {
    let Some(digits) = text[port_at..].strip_prefix(':') else {
        return Err(ParseError::new(kind, text, port_at, "neither the end nor a colon after the host"));
    };
    match digits.parse::<u16>() {
        Ok(port) if port > 0 && port.to_string() == digits => Ok(()),
        _ => Err(ParseError::new(kind, text, port_at + 1, "not a port from 1 to 65535")),
    }
}
