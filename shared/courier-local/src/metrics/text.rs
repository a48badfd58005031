//! The two text forms of metrics: OpenMetrics 1.0, and the older one of Prometheus.

use std::fmt::{Display, Write as _};

use courier_core::engine::histogram::Histogram;
use http::HeaderMap;
use http::header::ACCEPT;

/// A metric: its name without the suffix that its kind adds, and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// The unit, with which the name then ends.
    pub unit: &'static str,
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows only, from 0 at the start of the process. Its samples end with `_total`.
    Counter,
    Gauge,
    Histogram,
    /// A constant with labels. Its sample ends with `_info`.
    Info,
}

impl Family {
    /// Returns the name of its sample: by it rules and dashboards name the metric. A histogram has several.
    pub fn sample(&self) -> String {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
            Kind::Info => "_info",
        };
        format!("{}{suffix}", self.name)
    }
}

/// The form in which metrics are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// Returns the form that an `Accept` header prefers. OpenMetrics is the answer to one that names neither.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let (mut open, mut plain) = (None, None);
        let values = headers.get_all(ACCEPT).iter();
        for range in values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight: f32 = weight.map_or(1.0, |text| text.parse().unwrap_or(0.0));
            let best = |known: Option<f32>| Some(known.map_or(weight, |known| known.max(weight)));
            if name.eq_ignore_ascii_case("application/openmetrics-text") {
                open = best(open);
            } else if name.eq_ignore_ascii_case("text/plain") {
                plain = best(plain);
            }
        }
        match (open, plain) {
            (Some(open), Some(plain)) if plain > open => Self::Prometheus,
            (None, Some(plain)) if plain > 0.0 => Self::Prometheus,
            _ => Self::OpenMetrics,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Metrics that are being written.
pub(crate) struct Text {
    format: Format,
    text: String,
}

impl Text {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            text: String::with_capacity(16 * 1024),
        }
    }

    /// Begins a family, whose samples follow.
    pub(crate) fn family(&mut self, family: &Family) -> Samples<'_> {
        let sample = family.sample();
        let kind = match (family.kind, self.format) {
            (Kind::Counter, _) => "counter",
            (Kind::Info, Format::OpenMetrics) => "info",
            (Kind::Gauge, _) | (Kind::Info, Format::Prometheus) => "gauge",
            (Kind::Histogram, _) => "histogram",
        };
        let name = match self.format {
            Format::OpenMetrics => family.name,
            Format::Prometheus => sample.as_str(),
        };
        self.line(format_args!("# TYPE {name} {kind}"));
        if self.format == Format::OpenMetrics && !family.unit.is_empty() {
            self.line(format_args!("# UNIT {name} {}", family.unit));
        }
        self.line(format_args!("# HELP {name} {}", family.help));
        Samples { text: self, sample }
    }

    /// Returns the whole text.
    pub(crate) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.line("# EOF");
        }
        self.text
    }

    fn line(&mut self, line: impl Display) {
        // A String takes everything.
        let _ = writeln!(self.text, "{line}");
    }
}

/// The samples of one family.
pub(crate) struct Samples<'a> {
    text: &'a mut Text,
    sample: String,
}

impl Samples<'_> {
    /// Writes the only sample of a family without labels.
    pub(crate) fn value(&mut self, value: impl Display) {
        self.labelled(&[], value);
    }

    pub(crate) fn labelled(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let (sample, labels) = (&self.sample, in_braces(labels));
        self.text.line(format_args!("{sample}{labels} {value}"));
    }

    pub(crate) fn histogram(&mut self, histogram: &Histogram) {
        let (name, count) = (&self.sample, histogram.count());
        for (bound, up_to) in histogram.buckets() {
            let labels = in_braces(&[("le", &format!("{bound:?}"))]);
            self.text
                .line(format_args!("{name}_bucket{labels} {up_to}"));
        }
        let sum = histogram.sum().as_secs_f64();
        self.text
            .line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        self.text.line(format_args!("{name}_count {count}"));
        self.text.line(format_args!("{name}_sum {sum}"));
    }
}

fn in_braces(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = labels.iter().map(|(name, value)| {
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    });
    format!("{{{}}}", escaped.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_is_the_one_that_accept_weighs_most() {
        for (accept, expected) in [
            ("", Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            ("text/plain", Format::Prometheus),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            (
                "text/plain;version=0.0.4;q=0.9, Application/OpenMetrics-Text; q=0.2",
                Format::Prometheus,
            ),
            ("text/plain;q=0", Format::OpenMetrics),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Format::accepted(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let labels = in_braces(&[("tenant", "a\"b\\c\nd"), ("status", "running")]);
        assert_eq!(labels, r#"{tenant="a\"b\\c\nd",status="running"}"#);
    }
}
