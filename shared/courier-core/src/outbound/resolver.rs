//! The DNS part of the outbound guard: a name may be called only if all its addresses may be called.
//!
//! The connection goes to the addresses that were checked, so a second DNS answer changes nothing. A literal address in
//! a URL is not resolved here (hyper connects to it at once): `target_url` checks those.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::outbound::address::Allowed;

/// The resolver of the HTTP client that calls hosts which a client may choose.
#[derive(Debug, Clone)]
pub struct GuardedResolver {
    pub allowed: Arc<Allowed>,
}

/// One of the name's addresses is private or special. The error does not name it, which would reveal a foreign network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host has an address that must not be called")]
pub struct ForbiddenAddress;

/// The name has no address, or it could not be found out.
#[derive(Debug, thiserror::Error)]
#[error("the host name cannot be resolved")]
pub struct Unresolved(#[source] io::Error);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.allowed);
        Box::pin(async move {
            let checked = check(look_up(&name).await?, &allowed)?;
            Ok(Box::new(checked.into_iter()) as Addrs)
        })
    }
}

/// The resolver of the HTTP clients that call configured hosts. Its error tells a name from a connection that fails.
#[derive(Debug, Clone)]
pub struct PlainResolver;

impl Resolve for PlainResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let answers = look_up(&name).await?;
            Ok(Box::new(answers.into_iter()) as Addrs)
        })
    }
}

async fn look_up(name: &Name) -> Result<Vec<SocketAddr>, Unresolved> {
    let found = tokio::net::lookup_host((name.as_str(), 0)).await;
    let answers: Vec<SocketAddr> = found.map_err(Unresolved)?.collect();
    if answers.is_empty() {
        return Err(Unresolved(io::ErrorKind::NotFound.into()));
    }
    Ok(answers)
}

/// Returns the addresses if all are permitted.
///
/// A name with one forbidden address is refused as an attack rather than called at its other addresses.
fn check(answers: Vec<SocketAddr>, allowed: &Allowed) -> Result<Vec<SocketAddr>, ForbiddenAddress> {
    if answers.iter().all(|answer| allowed.permits(answer.ip())) {
        Ok(answers)
    } else {
        Err(ForbiddenAddress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(texts: &[&str]) -> Vec<SocketAddr> {
        texts
            .iter()
            .map(|text| SocketAddr::new(text.parse().unwrap(), 0))
            .collect()
    }

    fn resolver(networks: &[&str]) -> GuardedResolver {
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        GuardedResolver {
            allowed: Arc::new(Allowed { networks }),
        }
    }

    #[test]
    fn public_addresses_are_returned_unchanged() {
        let public = answers(&["8.8.8.8", "2606:4700::1111"]);
        assert_eq!(check(public.clone(), &Allowed::default()), Ok(public));
    }

    #[test]
    fn one_private_address_refuses_the_name() {
        for addresses in [
            &["8.8.8.8", "10.0.0.1"][..],
            &["169.254.169.254", "8.8.8.8"],
            &["2606:4700::1111", "::1"],
            &["::ffff:127.0.0.1"],
        ] {
            assert_eq!(
                check(answers(addresses), &Allowed::default()),
                Err(ForbiddenAddress),
                "{addresses:?}"
            );
        }
    }

    #[tokio::test]
    async fn localhost_resolves_only_where_its_network_is_allowed() {
        let name = || "localhost".parse::<Name>().unwrap();
        let Err(error) = resolver(&[]).resolve(name()).await else {
            panic!("localhost must be refused");
        };
        assert_eq!(error.downcast_ref(), Some(&ForbiddenAddress));
        let networks = ["127.0.0.0/8", "::1/128"];
        let addresses: Vec<SocketAddr> =
            resolver(&networks).resolve(name()).await.unwrap().collect();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(!addresses.is_empty());
    }
}
