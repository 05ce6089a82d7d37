//! TLS configurations made of a node's identity, and what a failed handshake means in words. TLS 1.3 and nothing older:
//! every client is ours or of this decade.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};

use hortator_core::time::Timestamp;
use hortator_proto::frame::NodeId;
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError as Rejected, ClientConfig, ServerConfig, SignatureScheme};

use super::certified::der;
use super::verify::{Authority, Callers, Servers, Serves, Trust};
use super::{CertificateError, Certified, Identity, IdentityError, NodeName, NodeRole, PeerKind};

/// What a node shows and whom it believes; its certificate can be replaced while it runs.
#[derive(Clone)]
pub struct TlsIdentity {
    name: NodeName,
    authority: Authority,
    current: Arc<Current>,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the authority's certificate is not one of a Hortator cluster")]
    Authority,
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    #[error("certificate and key cannot be used: {0}")]
    Key(String),
}

/// Why a genuine certificate is nobody's whom frames are exchanged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    #[error("its certificate names no node")]
    Nameless,
    #[error("its certificate has expired: it has to join again with a new join token")]
    Expired,
}

/// The certificate that new connections show.
struct Current {
    shown: RwLock<Shown>,
    authority: CertificateDer<'static>,
}

/// A certificate as TLS takes it, and as it was read.
#[derive(Clone)]
struct Shown {
    key: Arc<CertifiedKey>,
    certified: Arc<Certified>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({})", self.name)
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl TlsIdentity {
    pub fn new(identity: &Identity) -> Result<TlsIdentity, TlsError> {
        identity.check()?;
        let root = der(&identity.authority_pem)?;
        let authority = Authority::new(&root).ok_or(TlsError::Authority)?;
        let leaf = der(&identity.certificate_pem)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.der()));
        let failed = |error: rustls::Error| TlsError::Key(error.to_string());
        let key = provider().key_provider.load_private_key(key).map_err(failed)?;
        // The authority goes along for those who know nothing but its fingerprint.
        let certified = Arc::new(Certified::from_der(&leaf)?);
        let key = Arc::new(CertifiedKey::new(vec![leaf, root.clone()], key));
        let shown = RwLock::new(Shown { key, certified });
        let name = NodeName { cluster: identity.facts.cluster, role: identity.role.clone() };
        Ok(TlsIdentity { name, authority, current: Arc::new(Current { shown, authority: root }) })
    }

    pub fn cluster(&self) -> [u8; 16] {
        self.name.cluster
    }

    pub fn role(&self) -> &NodeRole {
        &self.name.role
    }

    /// The certificate shown now.
    pub fn certified(&self) -> Arc<Certified> {
        self.current.shown().certified
    }

    /// New connections show this certificate, which is over the same key; open ones stay.
    pub fn replace(&self, certificate_pem: &str) -> Result<(), TlsError> {
        let leaf = der(certificate_pem)?;
        let certified = Arc::new(Certified::from_der(&leaf)?);
        if certified.name != self.name {
            return Err(IdentityError::Renamed.into());
        }
        let key = self.current.shown().key.key.clone();
        let key = CertifiedKey::new(vec![leaf, self.current.authority.clone()], key);
        key.keys_match().map_err(|error| TlsError::Key(error.to_string()))?;
        *self.current.shown.write().expect("nothing panics while it holds the certificate") =
            Shown { key: Arc::new(key), certified };
        Ok(())
    }

    /// For a listener that lets in nodes of one kind, and nobody without a certificate.
    pub fn node_listener(&self, kind: PeerKind) -> Arc<ServerConfig> {
        let callers = Callers::new(self.authority.clone(), kind, provider());
        let config = server().with_client_cert_verifier(Arc::new(callers));
        let mut config = config.with_cert_resolver(self.current.clone());
        // A fleet that comes back brings tickets, which cost this node no memory and both sides no signatures. Keys of its
        // own: what was proved at one listener counts at no other.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().expect("the system gives random bytes");
        Arc::new(config)
    }

    /// For calls to masters.
    pub fn node_dialler(&self) -> Arc<ClientConfig> {
        let servers = Servers::new(Trust::Authority(self.authority.clone()), Serves::Nodes, provider());
        let mut config = client(servers).with_client_cert_resolver(self.current.clone());
        // The names given are no host's.
        config.enable_sni = false;
        Arc::new(config)
    }

    /// Under which sessions with a node at that address are kept, to be resumed: not those of another port, nor those
    /// that were begun with a certificate replaced since.
    pub fn session_name(&self, to: SocketAddr) -> ServerName<'static> {
        let ip = match to.ip() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let name = format!("a{ip:x}.p{}.c{:x}", to.port(), self.certified().valid_from.0);
        ServerName::try_from(name).expect("letters, digits and dots make a name")
    }

    /// For the API: people show tokens; a node may show its certificate, to renew it.
    pub fn api_listener(&self) -> ServerConfig {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.authority.roots.clone(), provider())
            .allow_unauthenticated()
            .build()
            .expect("there is an authority, and no revocation list");
        server().with_client_cert_verifier(verifier).with_cert_resolver(self.current.clone())
    }

    /// For calls to the API of a master, with this node's certificate as proof of who asks.
    pub fn api_dialler(&self) -> ClientConfig {
        let servers = Servers::new(Trust::Authority(self.authority.clone()), Serves::Api, provider());
        client(servers).with_client_cert_resolver(self.current.clone())
    }

    /// Who is at the other end, by the certificate that the handshake has checked, or an earlier one whose session was
    /// resumed: that says nothing of today.
    pub fn peer(certificates: Option<&[CertificateDer<'_>]>, now: Timestamp) -> Result<NodeId, PeerError> {
        let leaf = certificates.and_then(|chain| chain.first()).ok_or(PeerError::Nameless)?;
        let certified = Certified::from_der(leaf).map_err(|_| PeerError::Nameless)?;
        match certified.expired(now) {
            true => Err(PeerError::Expired),
            false => certified.name.role.node().ok_or(PeerError::Nameless),
        }
    }
}

/// For clients of the API that know the authority's certificate.
pub fn client_of_authority(authority_pem: &str) -> Result<ClientConfig, TlsError> {
    let authority = Authority::new(&der(authority_pem)?).ok_or(TlsError::Authority)?;
    let servers = Servers::new(Trust::Authority(authority), Serves::Api, provider());
    Ok(client(servers).with_no_client_auth())
}

/// For clients of the API that know the SHA-256 of the authority's certificate.
pub fn client_of_fingerprint(fingerprint: [u8; 32]) -> ClientConfig {
    let servers = Servers::new(Trust::Fingerprint(fingerprint), Serves::Api, provider());
    client(servers).with_no_client_auth()
}

/// What went wrong in a handshake, seen from here, in words.
pub fn explain(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(inner) = inner else {
        return match error.kind() {
            // rustls says it with a link to its manual.
            io::ErrorKind::UnexpectedEof if error.to_string().contains("close_notify") => "it hung up".into(),
            _ => error.to_string(),
        };
    };
    match inner {
        rustls::Error::InvalidCertificate(rejected) => explain_rejected(rejected),
        rustls::Error::NoCertificatesPresented => "it shows no certificate".into(),
        rustls::Error::InvalidMessage(_)
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. }
        | rustls::Error::PeerMisbehaved(_) => "it does not speak TLS as a node does".into(),
        rustls::Error::PeerIncompatible(why) => format!("it speaks TLS in another way: {why:?}"),
        rustls::Error::AlertReceived(alert) => explain_alert(*alert),
        other => other.to_string(),
    }
}

fn explain_rejected(rejected: &Rejected) -> String {
    match rejected {
        Rejected::UnknownIssuer | Rejected::BadSignature => {
            "its certificate is of another authority: it belongs to another cluster, perhaps to the one before a restore. \
             It joins this one with an empty directory and a join token of it: hortator cluster add"
                .into()
        }
        Rejected::Expired | Rejected::ExpiredContext { .. } => {
            "its certificate has expired: it has to join again with a new join token".into()
        }
        Rejected::NotValidYet | Rejected::NotValidYetContext { .. } => {
            "its certificate is not valid yet: compare the clocks of the two hosts".into()
        }
        Rejected::InvalidPurpose | Rejected::InvalidPurposeContext { .. } => {
            "its certificate is for another role".into()
        }
        Rejected::Other(error) => error.0.to_string(),
        other => format!("its certificate is refused: {other}"),
    }
}

fn explain_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it does not know this node's authority: it belongs to another cluster, perhaps to one restored from a \
             backup. This node joins it with an empty directory and a join token of it: hortator cluster add"
                .into()
        }
        AlertDescription::CertificateExpired => {
            "it finds this node's certificate expired, or not valid yet: compare the clocks, or join again"
                .into()
        }
        AlertDescription::CertificateUnknown | AlertDescription::UnsupportedCertificate => {
            "it lets no node of this role in there: masters and workers have ports of their own".into()
        }
        AlertDescription::CertificateRequired => "it wants a certificate, and none was shown".into(),
        other => format!("it refused: {other:?}"),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let builder = ServerConfig::builder_with_provider(provider());
    builder.with_protocol_versions(&[&TLS13]).expect("the provider has suites of TLS 1.3")
}

fn client(servers: Servers) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&TLS13]).expect("the provider has suites of TLS 1.3");
    builder.dangerous().with_custom_certificate_verifier(Arc::new(servers))
}

impl Current {
    fn shown(&self) -> Shown {
        self.shown.read().expect("nothing panics while it holds the certificate").clone()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().key)
    }
}

impl ResolvesClientCert for Current {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().key)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
