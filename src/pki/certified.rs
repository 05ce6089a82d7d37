//! What a node's certificate says: who, which addresses, until when. Reading only; whether to believe it is a matter
//! of its signature, which TLS has checked before anybody reads here.

use std::net::IpAddr;

use hortator_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::{NodeName, from_hex, sha256};

/// A certificate and the authority's have some 700 bytes each.
const PEM_BYTES_MAX: usize = 64 << 10;

/// A node's certificate, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    pub name: NodeName,
    /// IP addresses and DNS names, without ports.
    pub addresses: Vec<String>,
    /// SHA-256 of its public key.
    pub key: [u8; 32],
    pub valid_from: Timestamp,
    pub valid_until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("there is no certificate in it, or it is cut off")]
    NoPem,
    #[error("the certificate is damaged")]
    Damaged,
    #[error("the certificate names no node of a Hortator cluster")]
    Nameless,
}

impl Certified {
    pub fn from_der(der: &[u8]) -> Result<Certified, CertificateError> {
        let certificate = parse(der)?;
        let mut names = Vec::new();
        let mut addresses = Vec::new();
        for name in alternative_names(&certificate)? {
            match name {
                GeneralName::URI(uri) => names.extend(uri.parse::<NodeName>()),
                GeneralName::DNSName(name) => addresses.push(name.to_string()),
                GeneralName::IPAddress(bytes) => addresses.push(ip(bytes)?.to_string()),
                _ => {}
            }
        }
        let validity = certificate.validity();
        let time = |at: i64| Timestamp(at.saturating_mul(1_000_000));
        match <[NodeName; 1]>::try_from(names) {
            Ok([name]) => Ok(Certified {
                name,
                addresses,
                key: sha256(&certificate.public_key().subject_public_key.data),
                valid_from: time(validity.not_before.timestamp()),
                valid_until: time(validity.not_after.timestamp()),
            }),
            Err(_) => Err(CertificateError::Nameless),
        }
    }

    pub fn from_pem(pem: &str) -> Result<Certified, CertificateError> {
        Certified::from_der(&der(pem)?)
    }

    /// Less than a third of its time is left, or none.
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
        let whole = self.valid_until.since(self.valid_from).as_duration();
        self.valid_until.since(now).as_duration() < whole / 3
    }

    pub fn expired(&self, now: Timestamp) -> bool {
        now >= self.valid_until
    }
}

/// The addresses without ports, as a certificate names them, in their order and each once.
pub fn bare_hosts(addresses: &[String]) -> Vec<String> {
    let mut hosts = Vec::new();
    for host in addresses.iter().filter_map(|address| host_of(address)) {
        let host = host.parse::<IpAddr>().map_or_else(|_| host.to_ascii_lowercase(), |ip| ip.to_string());
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// `HOST` of `HOST`, `HOST:PORT`, `[IPV6]:PORT` or `IPV6`.
pub(super) fn host_of(address: &str) -> Option<&str> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(host);
    }
    match address.split_once(':') {
        None => Some(address),
        Some((_, rest)) if rest.contains(':') => Some(address),
        Some((host, port)) => is_port(port).then_some(host),
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// SHA-256 of the first certificate of the text.
pub fn fingerprint(pem: &str) -> Result<[u8; 32], CertificateError> {
    Ok(sha256(&der(pem)?))
}

/// The first certificate of the text.
pub(super) fn der(pem: &str) -> Result<CertificateDer<'static>, CertificateError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(CertificateError::NoPem);
    }
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertificateError::NoPem)
}

/// An authority's certificate: its cluster, when it is one.
pub(super) fn read_authority(pem: &str) -> Result<(Option<[u8; 16]>, Vec<u8>), CertificateError> {
    let der = der(pem)?.to_vec();
    Ok((authority_of(&der)?, der))
}

/// The cluster whose authority this is; none when it is no authority.
pub(super) fn authority_of(der: &[u8]) -> Result<Option<[u8; 16]>, CertificateError> {
    let certificate = parse(der)?;
    if !certificate.is_ca() {
        return Ok(None);
    }
    let cluster = alternative_names(&certificate)?.into_iter().find_map(|name| match name {
        GeneralName::URI(uri) => from_hex(uri.strip_prefix("hortator://")?.strip_suffix("/authority")?),
        _ => None,
    });
    Ok(cluster)
}

/// The bits of the key that the certificate is about.
pub(super) fn public_key(der: &[u8]) -> Result<Vec<u8>, CertificateError> {
    Ok(parse(der)?.public_key().subject_public_key.data.to_vec())
}

/// Whether the authority signed the certificate.
pub(super) fn signed_by(der: &[u8], authority_der: &[u8]) -> Result<bool, CertificateError> {
    let authority = parse(authority_der)?;
    Ok(parse(der)?.verify_signature(Some(authority.public_key())).is_ok())
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Damaged),
    }
}

fn alternative_names<'a>(
    certificate: &'a X509Certificate<'a>,
) -> Result<Vec<&'a GeneralName<'a>>, CertificateError> {
    let extension = certificate.subject_alternative_name().map_err(|_| CertificateError::Damaged)?;
    Ok(extension.map(|extension| extension.value.general_names.iter().collect()).unwrap_or_default())
}

fn ip(bytes: &[u8]) -> Result<IpAddr, CertificateError> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let sixteen = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    four.or(sixteen).map_err(|_| CertificateError::Damaged)
}
