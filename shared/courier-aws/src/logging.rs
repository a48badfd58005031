//! Structured logging for CloudWatch Logs: one JSON object per line, with the request ids of the invocation and of its
//! HTTP request.

use courier_core::config::log_filter_mistake;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{COURIER_LOG, Variable};

/// The error of a `COURIER_LOG` that is not a valid filter, with the rule that it breaks.
#[derive(Debug, thiserror::Error)]
#[error("COURIER_LOG: {0}")]
pub struct BadFilter(String);

/// Starts logging to standard output.
///
/// Below `info` only our own crates log, whatever the filter allows: `lambda_runtime` logs whole events at TRACE, and
/// the AWS SDK whole responses.
pub fn start(variable: Variable<'_>) -> Result<(), BadFilter> {
    let text = variable(COURIER_LOG).filter(|text| !text.trim().is_empty());
    let text = text.as_deref().unwrap_or("info");
    if let Some(rule) = log_filter_mistake(text) {
        return Err(BadFilter(rule));
    }
    let parsed = text.parse::<Targets>();
    let targets = parsed.map_err(|error| BadFilter(error.to_string()))?;
    let guarded = filter_fn(|metadata| {
        *metadata.level() <= Level::INFO || metadata.target().starts_with("courier_")
    });
    let guarded = guarded.with_max_level_hint(LevelFilter::TRACE);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_filter(targets.and(guarded));
    tracing_subscriber::registry().with(lines).init();
    Ok(())
}
