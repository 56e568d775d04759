//! TLS to PostgreSQL and Redis: the certificate authorities that are trusted. Nothing here runs
//! unless an address asks for TLS.

use std::fs;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Certificate authorities that servers may be certified by.
#[derive(Clone, Default)]
pub struct Authorities {
    /// Certificates of an operator's file; `None`: the public authorities that Mozilla trusts.
    pem: Option<Arc<[u8]>>,
}

impl Authorities {
    /// Reads a file of certificates in PEM; the public authorities if `path` is empty. `Err` says
    /// why there are none.
    pub fn read(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Ok(Self::default());
        }
        let pem = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let authorities = Self {
            pem: Some(pem.into()),
        };
        authorities
            .roots()
            .map_err(|error| format!("{path}: {error}"))?;
        Ok(authorities)
    }

    /// The operator's certificates, PEM.
    pub fn pem(&self) -> Option<&[u8]> {
        self.pem.as_deref()
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(pem) = &self.pem else {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            return Ok(roots);
        };
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            Err("no certificate in it".to_owned())
        } else {
            Ok(roots)
        }
    }

    /// Settings of a client that verifies the server's certificate and the host name in it. `Err`:
    /// no authorities.
    pub fn client_config(&self) -> Result<ClientConfig, String> {
        use_ring();
        Ok(ClientConfig::builder()
            .with_root_certificates(self.roots()?)
            .with_no_client_auth())
    }
}

/// Chooses the library that encrypts, for the whole process. Call it before a connection with TLS.
pub fn use_ring() {
    // `Err`: chosen before.
    let _ = ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_with_its_name() {
        for (name, text) in [
            ("empty", ""),
            (
                "key",
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            ),
        ] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            fs::write(file.path(), text).expect("the file can be written");
            let path = file.path().display().to_string();
            let error = Authorities::read(&path)
                .err()
                .unwrap_or_else(|| panic!("{name}"));
            assert_eq!(error, format!("{path}: no certificate in it"), "{name}");
        }
        assert!(
            Authorities::read("/nonexistent/ca.pem")
                .is_err_and(|error| error.starts_with("/nonexistent/ca.pem: "))
        );
        assert!(Authorities::read("").is_ok_and(|public| public.client_config().is_ok()));
    }
}
