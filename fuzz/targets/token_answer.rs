//! Fuzzes answers of a token endpoint: the first byte selects the HTTP status and a content coding, the rest is the body.

#![no_main]

use courier_core::outbound::token_answer::{Grant, Refusal};
use courier_core::outbound::Answered;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use libfuzzer_sys::fuzz_target;

const STATUSES: [u16; 4] = [200, 400, 401, 503];

fuzz_target!(|data: &[u8]| {
    let [choice, body @ ..] = data else { return };
    let status = StatusCode::from_u16(STATUSES[usize::from(*choice % 4)]).unwrap();
    let is_compressed = choice & 4 != 0;
    let mut headers = HeaderMap::new();
    if is_compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let answered = Answered {
        status,
        headers,
        body: Ok(body.to_vec()),
    };
    if let Ok(grant) = Grant::read(&answered) {
        assert!(!is_compressed);
        assert!(HeaderValue::from_str(grant.access_token.expose()).is_ok());
    }
    let refusal = Refusal::parse(body);
    let text = refusal.describe(status, None);
    assert!(text.len() < 400 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert!(refusal.is_temporary(StatusCode::SERVICE_UNAVAILABLE));
});
