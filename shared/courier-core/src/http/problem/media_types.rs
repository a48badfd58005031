//! The media types that a resource reads, as a refusal lists them.

use http::{HeaderName, HeaderValue};

/// The media types of a body that a resource reads, with the name of the header that lists them.
#[derive(Debug, Clone, Copy)]
pub struct MediaTypes {
    pub header: &'static str,
    pub names: &'static str,
}

impl MediaTypes {
    pub(super) fn header(self) -> (HeaderName, HeaderValue) {
        let name = HeaderName::from_static(self.header);
        (name, HeaderValue::from_static(self.names))
    }
}
