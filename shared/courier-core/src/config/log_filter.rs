//! The rule for the log filter of the environment.

use tracing::level_filters::LevelFilter;

/// Returns the rule that a log filter breaks, if it breaks one.
///
/// A filter is a level, or several `target=level` with commas between them, one of which may be a level alone. The
/// subscriber itself would take any word for the name of a target, and then log nothing but that target.
pub fn log_filter_mistake(filter: &str) -> Option<String> {
    filter.split(',').find_map(|part| {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (Some(target.trim()), level.trim()),
            None => (None, part.trim()),
        };
        let is_level = !level.is_empty() && level.parse::<LevelFilter>().is_ok();
        (!is_level || target == Some("")).then(|| {
            format!(
                "\"{}\" is not a level (off, error, warn, info, debug or trace) and not target=level",
                part.trim().escape_default()
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_made_of_levels() {
        for good in [
            "info",
            "WARN",
            "off",
            "info,courier_core=debug",
            "courier_local=trace, warn",
        ] {
            assert_eq!(log_filter_mistake(good), None, "{good}");
        }
        for bad in [
            "inof",
            "courier_core",
            "info,courier_core=",
            "=info",
            "info,",
            "courier_core=loud",
        ] {
            assert!(log_filter_mistake(bad).is_some(), "{bad}");
        }
    }
}
