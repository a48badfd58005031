//! The files of the console: style, script and icon. Their names hold their content's hash, so they are kept for long.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::answer::set;

/// A file, with its name below `/console/assets/`.
pub(crate) struct Asset {
    pub(crate) name: String,
    media_type: &'static str,
    content: &'static str,
}

pub(crate) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("css", "text/css", include_str!("assets/console.css")));
pub(crate) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript", include_str!("assets/console.js")));
pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_str!("assets/icon.svg")));

impl Asset {
    fn new(ending: &str, media_type: &'static str, content: &'static str) -> Self {
        let digest = Sha256::digest(content.as_bytes());
        let digest = URL_SAFE_NO_PAD.encode(&digest[..6]);
        Self {
            name: format!("{digest}.{ending}"),
            media_type,
            content,
        }
    }
}

/// Answers a request for a file; anybody may have them.
pub(crate) fn serve(request: &Request<Bytes>, name: &str) -> Response<Bytes> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let all = [&*STYLE, &*SCRIPT, &*ICON];
    let Some(asset) = all.into_iter().find(|asset| reads && asset.name == name) else {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Bytes::from_static(asset.content.as_bytes()));
    let media_type = format!("{}; charset=utf-8", asset.media_type);
    set(&mut response, "content-type", &media_type);
    let kept = "public, max-age=31536000, immutable";
    set(&mut response, "cache-control", kept);
    response
}
