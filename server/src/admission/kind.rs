//! Kinds of work that wait for a turn, and their clients.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// The kind of a piece of work, which determines what its turn depends on. Work of one kind waits only for work of the
/// same kind, see [`Turns`](super::Turns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Evaluates or reads an expression.
    Query,
    /// Lists series, labels, values, events, metadata, exemplars, databases or cardinality.
    List,
    /// Reads samples for another Prometheus.
    RemoteRead,
    /// Reads the newest samples for a scraper.
    Federate,
    /// Streams samples as long as its client keeps reading.
    Export,
    /// Changes or copies the whole database: delete, clean, flush, snapshot.
    Admin,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 6] =
        [Kind::Query, Kind::List, Kind::RemoteRead, Kind::Federate, Kind::Export, Kind::Admin];

    /// The name in `/metrics` and in the list of active queries.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Query => "query",
            Kind::List => "list",
            Kind::RemoteRead => "remote_read",
            Kind::Federate => "federate",
            Kind::Export => "export",
            Kind::Admin => "admin",
        }
    }

    /// The plural, for messages.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Query => "queries",
            Kind::List => "requests for series, labels, events or metadata",
            Kind::RemoteRead => "remote reads",
            Kind::Federate => "federations",
            Kind::Export => "exports",
            Kind::Admin => "admin calls",
        }
    }

    /// How many may run at once if `concurrency` queries may. Kinds that run for as long as their client reads, or that
    /// read a lot, get half.
    pub fn running_max(self, concurrency: usize) -> usize {
        match self {
            Kind::Query | Kind::List | Kind::Admin => concurrency,
            Kind::RemoteRead | Kind::Federate | Kind::Export => concurrency.div_ceil(2),
        }
    }
}

/// A client for the purpose of turns: the owner of a token, or an address without a token; with its tenant, or 0 if it
/// has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Client {
    tenant: u64,
    number: u64,
}

impl Client {
    /// The client that presented `token`, the value of its header.
    pub fn with_token(token: &[u8]) -> Self {
        Self::of(&(0u8, token))
    }

    /// The client at `address`. A /64 network of IPv6 is one client.
    pub fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of(&(1u8, address.octets())),
            IpAddr::V6(address) => Self::of(&(2u8, &address.octets()[..8])),
        }
    }

    /// The same client as a client of a tenant.
    #[must_use]
    pub fn of_tenant(self, tenant: &str) -> Self {
        Client { tenant: hash(&tenant).max(1), ..self }
    }

    /// The number of the tenant, which takes turns with other tenants; 0 if there is none.
    pub fn tenant(self) -> u64 {
        self.tenant
    }

    fn of(key: &impl Hash) -> Self {
        Client { tenant: 0, number: hash(key) }
    }
}

fn hash(key: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_at_the_place_of_its_number() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            assert!(kind.running_max(1) == 1);
        }
    }

    #[test]
    fn clients_are_tokens_or_addresses() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("10.0.0.1"), at("::ffff:10.0.0.1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_ne!(Client::with_token(b"a"), Client::with_token(b"b"));
    }
}
