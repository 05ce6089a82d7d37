//! The cluster's certificate authority: made by the first master, kept in the membership group, used by any master.
//! Must not know who asked for a signature, and whether he may.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hortator_core::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
    date_time_ymd,
};

use super::node_key::CSR_BYTES_MAX;
use super::token::random_bytes;
use super::{Certified, NodeName, NodeRole, hex, sha256};

/// The authority outlives any cluster of its time: replacing it means joining every node anew.
pub const CA_DAYS: u64 = 30 * 365;
/// A node renews when a third is left: a year in which some master answers it.
pub const NODE_DAYS: u64 = 3 * 365;
/// Clocks of nodes differ, and one that was just set up may be a time zone off.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);
/// Addresses of one node: a few interfaces and names.
const ADDRESSES_MAX: usize = 32;
/// Of a DNS name.
const NAME_BYTES_MAX: usize = 253;

/// Certificate and key of the authority.
pub struct Ca {
    cluster: [u8; 16],
    certificate_pem: String,
    certificate_der: Vec<u8>,
    key: KeyPair,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    #[error("the authority's certificate cannot be read: {0}")]
    Certificate(String),
    #[error("the authority's key cannot be read: {0}")]
    Key(String),
    #[error("the authority's key does not belong to its certificate")]
    Unrelated,
    #[error("the certificate is a node's, not an authority's")]
    NotAnAuthority,
}

/// Why a request is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the certificate request is {bytes} bytes long, at most {CSR_BYTES_MAX} are taken")]
    TooLong { bytes: usize },
    #[error("the certificate request cannot be read, or is not signed by its own key: {0}")]
    Request(String),
    #[error("{0:?} is neither an IP address nor a DNS name, with or without a port")]
    Address(String),
    #[error("{count} addresses are given, at most {ADDRESSES_MAX} are taken")]
    TooManyAddresses { count: usize },
    #[error("the request is about another key than the certificate that is to be renewed")]
    OtherKey,
    #[error("the certificate cannot be made: {0}")]
    Make(String),
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ca({})", self.fingerprint())
    }
}

impl Ca {
    /// A new authority for a new cluster.
    pub fn create(cluster: [u8; 16], now: Timestamp) -> Ca {
        let key = KeyPair::generate().expect("the system gives random numbers");
        let mut params = params(now, CA_DAYS);
        params.distinguished_name = named(&format!("Hortator authority of {}", hex(&cluster)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let uri = format!("hortator://{}/authority", hex(&cluster));
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("it is plain ASCII"))];
        let certificate = params.self_signed(&key).expect("the parameters are ours");
        Ca { cluster, certificate_pem: certificate.pem(), certificate_der: certificate.der().to_vec(), key }
    }

    /// As `certificate_pem` and `key_pem` gave it.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Ca, CaError> {
        let (cluster, certificate_der) = super::certified::read_authority(certificate_pem)
            .map_err(|error| CaError::Certificate(error.to_string()))?;
        let key = KeyPair::from_pem(key_pem).map_err(|error| CaError::Key(error.to_string()))?;
        let public = super::certified::public_key(&certificate_der)
            .map_err(|error| CaError::Certificate(error.to_string()))?;
        if public != key.public_key_raw() {
            return Err(CaError::Unrelated);
        }
        let cluster = cluster.ok_or(CaError::NotAnAuthority)?;
        Ok(Ca { cluster, certificate_pem: certificate_pem.to_owned(), certificate_der, key })
    }

    pub fn cluster(&self) -> [u8; 16] {
        self.cluster
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A secret: whoever has it can make nodes of the cluster.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        hex(&self.fingerprint_bytes())
    }

    pub fn fingerprint_bytes(&self) -> [u8; 32] {
        sha256(&self.certificate_der)
    }

    /// Signs a node's request. Of the request only the key counts; the role and the addresses (`HOST` or `HOST:PORT`)
    /// are the caller's, who has checked them.
    pub fn sign(
        &self,
        csr_pem: &str,
        role: &NodeRole,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<String, SignError> {
        let request = read_request(csr_pem)?;
        let make = |error: rcgen::Error| SignError::Make(error.to_string());
        let mut params = params(now, NODE_DAYS);
        params.distinguished_name = named(&role.to_string());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages(role);
        let name = NodeName { cluster: self.cluster, role: role.clone() };
        params.subject_alt_names = vec![SanType::URI(name.to_string().try_into().map_err(make)?)];
        params.subject_alt_names.extend(alternative_names(addresses)?);
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, &self.key).map_err(make)?;
        Ok(params.signed_by(&request.public_key, &issuer).map_err(make)?.pem())
    }

    /// A new certificate for the holder of one that is still valid: same role, same key.
    pub fn renew(
        &self,
        old: &Certified,
        csr_pem: &str,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<String, SignError> {
        match request_key(csr_pem)? == old.key {
            true => self.sign(csr_pem, &old.name.role, addresses, now),
            false => Err(SignError::OtherKey),
        }
    }
}

/// SHA-256 of the public key that a request is about.
pub fn request_key(csr_pem: &str) -> Result<[u8; 32], SignError> {
    Ok(sha256(read_request(csr_pem)?.public_key.der_bytes()))
}

/// Whether `sign` takes these addresses.
pub fn check_addresses(addresses: &[String]) -> Result<(), SignError> {
    alternative_names(addresses).map(|_| ())
}

fn read_request(csr_pem: &str) -> Result<CertificateSigningRequestParams, SignError> {
    if csr_pem.len() > CSR_BYTES_MAX {
        return Err(SignError::TooLong { bytes: csr_pem.len() });
    }
    CertificateSigningRequestParams::from_pem(csr_pem).map_err(|error| SignError::Request(error.to_string()))
}

/// A worker serves nobody, so its key is of no use to one who wants to pass for a master or the API.
fn usages(role: &NodeRole) -> Vec<ExtendedKeyUsagePurpose> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    match role {
        NodeRole::Master(_) => vec![ServerAuth, ClientAuth],
        NodeRole::Worker(_) => vec![ClientAuth],
        NodeRole::Api => vec![ServerAuth],
    }
}

fn params(now: Timestamp, days: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let at = date_time_ymd(1970, 1, 1) + Duration::from_millis(now.millis());
    params.not_before = at - BACKDATED;
    params.not_after = at + Duration::from_secs(days * 24 * 60 * 60);
    let mut serial = random_bytes::<16>();
    // A positive number, whose encoding has no surprises.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn named(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn alternative_names(addresses: &[String]) -> Result<Vec<SanType>, SignError> {
    if addresses.len() > ADDRESSES_MAX {
        return Err(SignError::TooManyAddresses { count: addresses.len() });
    }
    let mut names = Vec::new();
    for address in addresses {
        let name = alternative_name(address).ok_or_else(|| SignError::Address(address.clone()))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn alternative_name(address: &str) -> Option<SanType> {
    let host = super::certified::host_of(address)?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(SanType::IpAddress(ip));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = host.to_ascii_lowercase();
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(label) {
        return None;
    }
    name.try_into().ok().map(SanType::DnsName)
}
