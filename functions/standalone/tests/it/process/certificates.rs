//! `SSL_CERT_FILE` and `SSL_CERT_DIR`: with a place that has no certificates nothing starts.

use crate::process::deployment::{QUICK, Site};
use crate::process::program::Courier;

/// Starts a server with one more variable in its environment.
fn start(site: &Site, variable: &str, path: &str) -> Courier {
    let owned = site.arguments("127.0.0.1:0");
    let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
    Courier::start(&arguments, &[(variable, path)])
}

#[tokio::test]
async fn place_without_certificates_is_named_and_nothing_starts() {
    let site = Site::new(QUICK).await;
    let empty = site.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let text = site.path("text.pem");
    std::fs::write(&text, "no certificate").unwrap();
    let broken = site.path("broken.pem");
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&broken, pem).unwrap();
    let blank = site.path("blank.pem");
    std::fs::write(&blank, "").unwrap();
    let nowhere = site.path("nowhere");
    let none = "no certificate in PEM format";
    for (variable, path, why) in [
        ("SSL_CERT_FILE", nowhere.to_str().unwrap(), "cannot be read"),
        ("SSL_CERT_FILE", empty.to_str().unwrap(), "cannot be read"),
        ("SSL_CERT_FILE", text.to_str().unwrap(), none),
        ("SSL_CERT_FILE", blank.to_str().unwrap(), none),
        ("SSL_CERT_FILE", broken.to_str().unwrap(), none),
        ("SSL_CERT_FILE", "", "is set, but empty"),
        ("SSL_CERT_DIR", nowhere.to_str().unwrap(), "cannot be read"),
        ("SSL_CERT_DIR", empty.to_str().unwrap(), none),
        ("SSL_CERT_DIR", " ", "is set, but empty"),
    ] {
        let ended = start(&site, variable, path).ended().await;
        assert_eq!(ended.code, Some(1), "{variable}={path}: {ended:?}");
        for told in [variable, path.trim(), why] {
            assert!(ended.stderr.contains(told), "{told}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn place_with_a_certificate_is_taken() {
    let site = Site::new(QUICK).await;
    let directory = site.path("certificates");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("ca.pem");
    std::fs::write(&file, include_str!("unused_ca.pem")).unwrap();
    std::fs::write(directory.join("README"), "no certificate").unwrap();
    for (variable, path) in [("SSL_CERT_FILE", &file), ("SSL_CERT_DIR", &directory)] {
        let server = start(&site, variable, path.to_str().unwrap());
        server.says(" serving").await;
        server.kill().await;
    }
}
