//! The ways in which Graph departs from the ordinary case, chosen by name for an operation or in a single request.

use super::file::Declared;

/// The text that chooses a variant in a request: `simulate:failed` in a name, for example.
const MARK: &str = "simulate:";

/// A choice of departures; the default is the ordinary case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Variant {
    pub(crate) no_location: bool,
    pub(crate) no_content: bool,
    pub(crate) terminal_at_once: bool,
    pub(crate) endless: bool,
    pub(crate) shape: Option<Shape>,
    pub(crate) at_end: Option<AtEnd>,
    /// Seconds for which the monitor answers 404, and for which a search does not find the job.
    pub(crate) lag: f64,
    pub(crate) gone: Option<Gone>,
    pub(crate) location: Option<Form>,
    pub(crate) end: Option<String>,
    pub(crate) refusal: Option<String>,
}

/// The shape of the monitor's document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Envelope,
    Bare,
}

/// What the monitor answers in place of the document of a job that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEnd {
    Redirect,
    BadRequest,
}

/// The status of a monitor that is forgotten, and the seconds since the start after which it is; without them a minute
/// after the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gone {
    pub(crate) status: u16,
    pub(crate) seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Absolute,
    Relative,
    Anonymous,
    OnGraph,
}

impl Variant {
    /// Reads names joined by `+`, some with a number of seconds behind `=`; `None` if the operation lacks one of them.
    pub(crate) fn parse(text: &str, declared: &Declared) -> Option<Self> {
        let mut variant = Self::default();
        for word in text.split('+') {
            let (name, seconds) = match word.split_once('=') {
                Some((name, seconds)) => (name, Some(seconds.parse::<f64>().ok()?)),
                None => (word, None),
            };
            match name {
                "ordinary" => {}
                "no-location" => variant.no_location = true,
                "204" => variant.no_content = true,
                "terminal-at-once" => variant.terminal_at_once = true,
                "endless" => variant.endless = true,
                "envelope" => variant.shape = Some(Shape::Envelope),
                "bare" => variant.shape = Some(Shape::Bare),
                "redirect" => variant.at_end = Some(AtEnd::Redirect),
                "lag" => variant.lag = seconds.unwrap_or(20.0),
                "gone" => {
                    variant.gone = Some(Gone {
                        status: 410,
                        seconds,
                    })
                }
                "forgotten" => {
                    variant.gone = Some(Gone {
                        status: 404,
                        seconds,
                    })
                }
                "absolute" => variant.location = Some(Form::Absolute),
                "relative" => variant.location = Some(Form::Relative),
                "anonymous" => variant.location = Some(Form::Anonymous),
                "on-graph" => variant.location = Some(Form::OnGraph),
                end if declared.simulation.end.contains_key(end) => {
                    variant.end = Some(end.to_owned());
                }
                "monitor-400" => variant.at_end = Some(AtEnd::BadRequest),
                refusal if declared.simulation.refuse.contains_key(refusal) => {
                    variant.refusal = Some(refusal.to_owned());
                }
                _ => return None,
            }
        }
        Some(variant)
    }

    /// Finds the variant that a request names in its own text, if it names one that there is.
    pub(crate) fn named_in(text: &str, declared: &Declared) -> Option<Self> {
        let (_, rest) = text.split_once(MARK)?;
        let end =
            rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-+=".contains(letter));
        Self::parse(&rest[..end.unwrap_or(rest.len())], declared)
    }
}
