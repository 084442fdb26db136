//! Where a request may go.
//!
//! Whoever may subscribe chooses where this server sends requests, from inside the operator's
//! network. So only public addresses and the usual ports are open, but for what the operator opens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Host, Url};

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    prefix: u8,
    v4: bool,
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an address, or an address, a slash and the length of the prefix: 10.1.0.0/16")]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| InvalidNetwork)?;
        let (bits, v4) = wide(address);
        let whole: u8 = if v4 { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.trim().parse().map_err(|_| InvalidNetwork)?,
            None => whole,
        };
        if prefix > whole {
            return Err(InvalidNetwork);
        }
        Ok(Self { bits, prefix: prefix + (128 - whole), v4 })
    }
}

impl Network {
    const fn of_v4(octets: [u8; 4], prefix: u8) -> Self {
        Self { bits: u32::from_be_bytes(octets) as u128, prefix: prefix + 96, v4: true }
    }

    const fn of_v6(segments: [u16; 8], prefix: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = segments;
        Self { bits: Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(), prefix, v4: false }
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let (bits, v4) = wide(address);
        let differing = (bits ^ self.bits).checked_shr(128 - u32::from(self.prefix));
        v4 == self.v4 && differing.unwrap_or(0) == 0
    }
}

/// The bits of an address, those of version 4 at the low end.
fn wide(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

/// What is not public in version 4.
const CLOSED_V4: [Network; 15] = [
    Network::of_v4([0, 0, 0, 0], 8),
    Network::of_v4([10, 0, 0, 0], 8),
    Network::of_v4([100, 64, 0, 0], 10),
    Network::of_v4([127, 0, 0, 0], 8),
    // Link-local: where clouds keep their metadata.
    Network::of_v4([169, 254, 0, 0], 16),
    Network::of_v4([172, 16, 0, 0], 12),
    Network::of_v4([192, 0, 0, 0], 24),
    Network::of_v4([192, 0, 2, 0], 24),
    Network::of_v4([192, 88, 99, 0], 24),
    Network::of_v4([192, 168, 0, 0], 16),
    Network::of_v4([198, 18, 0, 0], 15),
    Network::of_v4([198, 51, 100, 0], 24),
    Network::of_v4([203, 0, 113, 0], 24),
    Network::of_v4([224, 0, 0, 0], 4),
    Network::of_v4([240, 0, 0, 0], 4),
];

/// All that is public in version 6, and what within it is not.
const PUBLIC_V6: Network = Network::of_v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const CLOSED_V6: [Network; 4] = [
    // Protocol assignments, Teredo among them, and documentation.
    Network::of_v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    Network::of_v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32),
    Network::of_v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    // 6to4 may lead to any address of version 4.
    Network::of_v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
];

/// Whether anybody may be expected to reach the address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !CLOSED_V4.iter().any(|network| network.holds(address)),
        // Mapped, translated (NAT64) and all other forms that hold an address of version 4 lie
        // outside what is public.
        IpAddr::V6(_) => {
            PUBLIC_V6.holds(address) && !CLOSED_V6.iter().any(|network| network.holds(address))
        }
    }
}

/// The ports that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// Every one.
    Any,
    /// These.
    These(Vec<u16>),
}

/// Where requests may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRules {
    /// Networks that are open although they are not public.
    pub networks: Vec<Network>,
    /// Ports that are open.
    pub ports: Ports,
}

impl Default for AddressRules {
    fn default() -> Self {
        Self { networks: Vec::new(), ports: Ports::These(vec![80, 443]) }
    }
}

/// Why an address is not one that is delivered to. The texts are fit for clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It cannot be read.
    #[error("The subscriber's address is no valid URL.")]
    NotUrl,
    /// It names nobody.
    #[error("The subscriber's address must name a host.")]
    NoHost,
    /// It holds a name or a password, which would be shown with the subscription.
    #[error("The subscriber's address must not hold a user name or password.")]
    Credentials,
    /// The host is not one that may be reached.
    #[error("The subscriber's address is in a network that is not delivered to.")]
    Closed,
    /// The port is not one that may be used.
    #[error("The subscriber's port {0} is not one that is delivered to.")]
    Port(u16),
    /// It is no mail address.
    #[error("The subscriber's mail address is not valid.")]
    NotMail,
}

impl AddressRules {
    /// Whether a connection to this address may be made.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        // An operator who opens a network opens it in the mapped form, too.
        let plain = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        self.networks.iter().any(|network| network.holds(plain)) || is_public(address)
    }

    fn allows_port(&self, port: u16) -> bool {
        match &self.ports {
            Ports::Any => true,
            Ports::These(open) => open.contains(&port),
        }
    }

    /// Reads a webhook's address as a client gives it: what can be told without asking anybody.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong.
    pub fn read(&self, subscriber: &str) -> Result<Url, AddressError> {
        let url = Url::parse(subscriber).map_err(|_| AddressError::NotUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        let literal = match url.host() {
            None => return Err(AddressError::NoHost),
            Some(Host::Domain("")) => return Err(AddressError::NoHost),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        match literal {
            Some(address) if !self.allows(address) => Err(AddressError::Closed),
            _ => Ok(url),
        }
    }

    /// Reads a webhook's address in order to send to it.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong.
    pub fn target(&self, subscriber: &str) -> Result<Url, AddressError> {
        let url = self.read(subscriber)?;
        match url.port_or_known_default() {
            Some(port) if self.allows_port(port) => Ok(url),
            port => Err(AddressError::Port(port.unwrap_or(0))),
        }
    }

    /// Checks a subscriber's address of any scheme as a client gives it. Schemes that are not known
    /// here are somebody else's to check.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong, fit for clients.
    pub fn check_subscriber(&self, subscriber: &str) -> Result<(), AddressError> {
        let Some((scheme, rest)) = subscriber.split_once(':') else {
            return Err(AddressError::NotUrl);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => self.read(subscriber).map(|_| ()),
            "trust+http" => self.read(&format!("http:{rest}")).map(|_| ()),
            "trust+https" => self.read(&format!("https:{rest}")).map(|_| ()),
            "mailto" => crate::mail::recipient(subscriber).map(|_| ()).ok_or(AddressError::NotMail),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.v4 {
            let low = u32::try_from(self.bits).unwrap_or_default();
            write!(f, "{}/{}", Ipv4Addr::from_bits(low), self.prefix - 96)
        } else {
            write!(f, "{}/{}", Ipv6Addr::from_bits(self.bits), self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_public_addresses_is_open() {
        let rules = AddressRules::default();
        for closed in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!rules.allows(closed.parse().unwrap()), "{closed}");
        }
        for open in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "193.0.0.1", "2606:4700::1111", "2a00::1"]
        {
            assert!(rules.allows(open.parse().unwrap()), "{open}");
        }
    }

    #[test]
    fn an_operator_opens_networks_in_every_form() {
        let networks = ["127.0.0.0/8", "fd00::/8", "10.1.2.3"].map(|n| n.parse().unwrap());
        let rules = AddressRules { networks: networks.to_vec(), ..AddressRules::default() };
        for open in ["127.0.0.1", "::ffff:127.0.0.1", "fd00::5", "10.1.2.3"] {
            assert!(rules.allows(open.parse().unwrap()), "{open}");
        }
        for closed in ["10.1.2.4", "128.0.0.0", "fc00::1", "::1"] {
            assert_eq!(rules.allows(closed.parse().unwrap()), closed == "128.0.0.0", "{closed}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.holds("9.9.9.9".parse().unwrap()) && !all.holds("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        for text in ["10.0.0.0/8", "fd00::/8", "::1/128", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn addresses_are_checked_as_clients_give_them() {
        let rules = AddressRules::default();
        let check = |subscriber: &str| rules.check_subscriber(subscriber);
        for good in [
            "http://receiver.example",
            "https://receiver.example:8443/a?b=c",
            "http://1.1.1.1/",
            "mailto:someone@example.org?subject=x",
            "trust+https://receiver.example/",
            "other:x",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for closed in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://017700000001/",
            "http://[::1]/",
            "https://[::ffff:10.0.0.1]:8080/",
            "trust+http://169.254.169.254/",
            "http://127.0.0.1.:80/",
        ] {
            assert_eq!(check(closed), Err(AddressError::Closed), "{closed}");
        }
        assert_eq!(check("http://user:pw@receiver.example/"), Err(AddressError::Credentials));
        assert_eq!(check("http://user@receiver.example/"), Err(AddressError::Credentials));
        for none in ["http://", "https:", "http:///"] {
            assert!(check(none).is_err(), "{none}");
        }
        assert_eq!(check("mailto:"), Err(AddressError::NotMail));
        assert_eq!(check("mailto:a@b.example\r\nBcc: c@d.example"), Err(AddressError::NotMail));
    }

    #[test]
    fn a_port_is_checked_when_something_is_sent() {
        let rules = AddressRules::default();
        let url = "http://receiver.example:8080/";
        assert_eq!(rules.target(url), Err(AddressError::Port(8080)));
        assert!(rules.target("https://receiver.example/").is_ok());
        let open = AddressRules { ports: Ports::Any, ..rules };
        assert!(open.target(url).is_ok());
    }
}
