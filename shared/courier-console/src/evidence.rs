//! The evidence of an operation as a file, byte for byte as the API signs it.

use http::Response;

use crate::answer::{self, Reply};
use crate::api::{Answer, Api, operation_path};

/// Reports whether this deployment signs evidence.
pub(crate) async fn is_signed(api: &Api<'_>) -> bool {
    let keys = api.get("/v1/evidence/keys").await;
    let keys = keys
        .as_ref()
        .ok()
        .and_then(|keys| keys.body["keys"].as_array());
    keys.is_some_and(|keys| !keys.is_empty())
}

pub(crate) async fn file(api: &Api<'_>, id: &str) -> Result<Reply, Answer> {
    let signed = api.get(&format!("{}/evidence", operation_path(id))).await?;
    let mut response = Response::new(signed.bytes.clone());
    for name in ["content-type", "content-disposition"] {
        if let Some(value) = signed.header(name) {
            answer::set(&mut response, name, value);
        }
    }
    Ok(Reply::File(response))
}
