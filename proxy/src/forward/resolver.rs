use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names like the system. After a failure it begins with another address of the same name: the client itself
/// goes on to the next address only if a connection is refused, and not after a failed TLS handshake.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolver {
    skip: Arc<AtomicUsize>,
}

impl Resolver {
    /// The next connection begins with another address.
    pub(super) fn rotate(&self) {
        self.skip.fetch_add(1, Ordering::Relaxed);
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let skip = self.skip.load(Ordering::Relaxed);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(rotated(addresses, skip).into_iter()) as Addrs)
        })
    }
}

fn rotated(mut addresses: Vec<SocketAddr>, skip: usize) -> Vec<SocketAddr> {
    let places = skip.checked_rem(addresses.len()).unwrap_or(0);
    addresses.rotate_left(places);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_begins_with_the_next_address() {
        let addresses =
            || -> Vec<SocketAddr> { (1..=3).map(|last| SocketAddr::from(([10, 0, 0, last], 0))).collect() };
        let first = |skip| rotated(addresses(), skip)[0].ip().to_string();

        assert_eq!([0, 1, 2, 3].map(first), ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"]);
        assert!(rotated(Vec::new(), 7).is_empty());
    }
}
