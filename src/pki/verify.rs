//! Whom TLS believes: holders of certificates of the cluster's authority, in the role that the place asks for.
//! Names and addresses in certificates are not compared: the authority signs nodes of one cluster and nothing else,
//! and which node it is stands in the certificate, whatever address it was reached by.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError as TlsCertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, SignatureScheme,
};

use super::certified::authority_of;
use super::{Certified, NodeRole, PeerKind, sha256};

/// Why a certificate that is genuine is still refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RoleError {
    #[error("its certificate cannot be understood: {0}")]
    Unreadable(String),
    #[error("it belongs to another cluster")]
    ForeignCluster,
    #[error("it is {role}, and only {wanted} are let in here")]
    WrongRole { role: NodeRole, wanted: &'static str },
    #[error(
        "it does not show the authority with the fingerprint of the token or context: it is of another cluster"
    )]
    OtherAuthority,
}

impl From<RoleError> for Error {
    fn from(error: RoleError) -> Error {
        Error::InvalidCertificate(TlsCertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// The certificate of the authority that is believed, and its cluster.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub(super) cluster: [u8; 16],
    pub(super) roots: Arc<RootCertStore>,
}

impl Authority {
    /// None when the certificate is not an authority's.
    pub(super) fn new(der: &[u8]) -> Option<Authority> {
        let cluster = authority_of(der).ok()??;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(der.to_vec())).ok()?;
        Some(Authority { cluster, roots: Arc::new(roots) })
    }

    fn role(&self, end_entity: &[u8]) -> Result<NodeRole, RoleError> {
        let read = Certified::from_der(end_entity);
        let certified = read.map_err(|error| RoleError::Unreadable(error.to_string()))?;
        match certified.name.cluster == self.cluster {
            true => Ok(certified.name.role),
            false => Err(RoleError::ForeignCluster),
        }
    }
}

/// Which nodes a listener lets in.
#[derive(Debug)]
pub(super) struct Callers {
    authority: Authority,
    kind: PeerKind,
    chain: Arc<dyn ClientCertVerifier>,
}

impl Callers {
    pub(super) fn new(authority: Authority, kind: PeerKind, provider: Arc<CryptoProvider>) -> Callers {
        let chain = WebPkiClientVerifier::builder_with_provider(authority.roots.clone(), provider)
            .build()
            .expect("there is an authority, and no revocation list");
        Callers { authority, kind, chain }
    }
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let role = self.authority.role(end_entity)?;
        match (self.kind, &role) {
            (PeerKind::Masters, NodeRole::Master(_)) | (PeerKind::Workers, NodeRole::Worker(_)) => {
                Ok(verified)
            }
            (PeerKind::Masters, _) => Err(RoleError::WrongRole { role, wanted: "masters" }.into()),
            (PeerKind::Workers, _) => Err(RoleError::WrongRole { role, wanted: "workers" }.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// How the authority is known.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    Authority(Authority),
    /// SHA-256 of its certificate, which the server shows behind its own.
    Fingerprint([u8; 32]),
}

/// What is expected of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    /// Frames: a master.
    Nodes,
    /// HTTP: a master, or one who only serves the API.
    Api,
}

/// Which servers are believed.
#[derive(Debug)]
pub(super) struct Servers {
    trust: Trust,
    serves: Serves,
    provider: Arc<CryptoProvider>,
}

impl Servers {
    pub(super) fn new(trust: Trust, serves: Serves, provider: Arc<CryptoProvider>) -> Servers {
        Servers { trust, serves, provider }
    }

    fn authority(&self, intermediates: &[CertificateDer<'_>]) -> Result<Authority, RoleError> {
        match &self.trust {
            Trust::Authority(authority) => Ok(authority.clone()),
            Trust::Fingerprint(fingerprint) => intermediates
                .iter()
                .find(|der| sha256(der) == *fingerprint)
                .and_then(|der| Authority::new(der))
                .ok_or(RoleError::OtherAuthority),
        }
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = self.authority(intermediates)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &authority.roots, &[], now, algorithms)?;
        match (self.serves, authority.role(end_entity)?) {
            (_, NodeRole::Master(_)) | (Serves::Api, NodeRole::Api) => Ok(ServerCertVerified::assertion()),
            (_, role) => Err(RoleError::WrongRole { role, wanted: "masters" }.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
