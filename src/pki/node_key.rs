//! A node's key pair, which never leaves its host, and the request for a certificate over it.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};

/// A request with a key of 256 bits has some 400 bytes; one of RSA with 4,096 bits some 2,000.
pub const CSR_BYTES_MAX: usize = 8 << 10;

pub struct NodeKey(KeyPair);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot be read: {0}")]
pub struct KeyError(String);

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey")
    }
}

impl NodeKey {
    pub fn create() -> NodeKey {
        NodeKey(KeyPair::generate().expect("the system gives random numbers"))
    }

    pub fn from_pem(pem: &str) -> Result<NodeKey, KeyError> {
        KeyPair::from_pem(pem).map(NodeKey).map_err(|error| KeyError(error.to_string()))
    }

    /// A secret.
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// The request, as PEM. It says nothing but the key: who the node is, the token says, and the cluster decides.
    pub fn csr(&self) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).expect("the parameters are ours");
        request.pem().expect("a request can be written as text")
    }

    pub(super) fn der(&self) -> Vec<u8> {
        self.0.serialize_der()
    }

    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key_raw()
    }
}
