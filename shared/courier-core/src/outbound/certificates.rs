//! The certificates to trust instead of the usual ones, as `SSL_CERT_FILE` and `SSL_CERT_DIR` name them.
//!
//! A variable that names nothing usable is an error at the start. Otherwise no call would ever reach its host, and each
//! would seem to be the host's fault.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// A file of certificates in PEM format. The name is OpenSSL's.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Directories of such files, with colons between them. The name is OpenSSL's.
pub const SSL_CERT_DIR: &str = "SSL_CERT_DIR";

/// A variable that names no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    #[error("{0} is set, but empty: name a place with certificates, or unset it")]
    Nothing(&'static str),
    #[error("{variable} names {}, which cannot be read", path.display())]
    Unreadable {
        variable: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{variable} names {}, which has no certificate in PEM format", path.display())]
    NoCertificate {
        variable: &'static str,
        path: PathBuf,
    },
}

/// Reads the certificates that the environment names; `None` if it names none.
pub fn named(
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<RootCertStore>, CertificatesError> {
    let (file, directories) = (variable(SSL_CERT_FILE), variable(SSL_CERT_DIR));
    if file.is_none() && directories.is_none() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        let path = place(SSL_CERT_FILE, &file)?;
        let found = certificates(SSL_CERT_FILE, path)?;
        add(&mut roots, SSL_CERT_FILE, path, found)?;
    }
    if let Some(directories) = directories {
        place(SSL_CERT_DIR, &directories)?;
        let directories = std::env::split_paths(&directories);
        for directory in directories.filter(|path| !path.as_os_str().is_empty()) {
            let found = in_directory(&directory)?;
            add(&mut roots, SSL_CERT_DIR, &directory, found)?;
        }
    }
    Ok(Some(roots))
}

/// Returns a TLS configuration that trusts these certificates only.
pub fn trusting(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn place<'a>(variable: &'static str, text: &'a str) -> Result<&'a Path, CertificatesError> {
    match text.trim() {
        "" => Err(CertificatesError::Nothing(variable)),
        _ => Ok(Path::new(text)),
    }
}

fn add(
    roots: &mut RootCertStore,
    variable: &'static str,
    path: &Path,
    found: Vec<CertificateDer<'static>>,
) -> Result<(), CertificatesError> {
    let (usable, _) = roots.add_parsable_certificates(found);
    if usable > 0 {
        return Ok(());
    }
    Err(CertificatesError::NoCertificate {
        variable,
        path: path.to_owned(),
    })
}

/// Returns the certificates of a file. What is not PEM, and what is no certificate, is skipped.
fn certificates(
    variable: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let unreadable = |source| CertificatesError::Unreadable {
        variable,
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let found = CertificateDer::pem_slice_iter(&bytes);
    Ok(found.filter_map(Result::<_, pem::Error>::ok).collect())
}

fn in_directory(directory: &Path) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let unreadable = |source| CertificatesError::Unreadable {
        variable: SSL_CERT_DIR,
        path: directory.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            found.extend(certificates(SSL_CERT_DIR, &path)?);
        }
    }
    Ok(found)
}
