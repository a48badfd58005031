//! The context attributes that mean something here; all others are ignored, as CloudEvents 1.0 permits.

use http::HeaderName;

/// An attribute of CloudEvents 1.0 (section 3) or of its documented extensions, or the event's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    SpecVersion,
    Id,
    Source,
    Type,
    DataContentType,
    Subject,
    /// Extension "correlation".
    CorrelationId,
    /// Extension "expiry time".
    ExpiryTime,
    /// Extension "distributed tracing", with the two headers of W3C Trace Context as attributes.
    TraceParent,
    TraceState,
    Data,
}

impl Name {
    /// Every attribute that is read, without the data.
    pub(super) const READ: [Self; 10] = [
        Self::SpecVersion,
        Self::Id,
        Self::Source,
        Self::Type,
        Self::DataContentType,
        Self::Subject,
        Self::CorrelationId,
        Self::ExpiryTime,
        Self::TraceParent,
        Self::TraceState,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SpecVersion => "specversion",
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::DataContentType => "datacontenttype",
            Self::Subject => "subject",
            Self::CorrelationId => "correlationid",
            Self::ExpiryTime => "expirytime",
            Self::TraceParent => "traceparent",
            Self::TraceState => "tracestate",
            Self::Data => "data",
        }
    }

    /// Returns the header of a plain request that has the attribute's own name.
    pub(super) fn header(self) -> HeaderName {
        HeaderName::from_static(self.as_str())
    }
}

/// The attributes of one event. None of them is empty.
#[derive(Default)]
pub(super) struct Attributes(Vec<(Name, String)>);

impl Attributes {
    pub(super) fn get(&self, name: Name) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Adds an attribute; an empty text is one that is left out.
    pub(super) fn add(&mut self, name: Name, value: String) {
        if !value.is_empty() {
            self.0.push((name, value));
        }
    }

    /// Returns the attribute that is the operation's `reference` unless the data has one.
    pub(super) fn reference(&self) -> Option<(Name, &str)> {
        let mut names = [Name::CorrelationId, Name::Subject].into_iter();
        names.find_map(|name| Some((name, self.get(name)?)))
    }
}
