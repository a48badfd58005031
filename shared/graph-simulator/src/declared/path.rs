//! Paths of the catalogue as patterns: literal segments are compared without regard to case, placeholders take a key.

use serde::Deserialize;

use super::hole::Hole;
use crate::route::segments;

/// The pattern of a path below the API version.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern(Vec<Segment>);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        Self::parse(&path)
    }
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(String),
    Hole(Hole),
}

/// The keys that a path has where its pattern has placeholders.
pub(crate) type Captured<'p> = Vec<(&'p Hole, &'p str)>;

impl Pattern {
    /// Reads a path such as `/teams/{teamId}/operations('{job}')`, without the query it may have.
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        let path = path.split('?').next().unwrap_or_default();
        // A placeholder may hold a slash, which separates nothing.
        let mut hidden = String::new();
        let mut depth = 0;
        for letter in path.chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            hidden.push(if letter == '/' && depth > 0 {
                HIDDEN_SLASH
            } else {
                letter
            });
        }
        let read = |segment: String| match segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(hole) => {
                let hole = hole.replace(HIDDEN_SLASH, "/");
                // What the catalogue calls the id of the answer or of the item found is the job's.
                let hole = match hole.as_str() {
                    "answer/id" | "item/id" => "job",
                    hole => hole,
                };
                Hole::parse(hole).map(Segment::Hole)
            }
            None if segment.contains(['{', '}']) => Err(format!(
                "a placeholder must be a whole segment or key: {segment}"
            )),
            None => Ok(Segment::Literal(segment)),
        };
        let segments = segments(&hidden).into_iter().map(read);
        segments.collect::<Result<_, _>>().map(Self)
    }

    /// Matches the segments of a path, and returns what they have in place of the placeholders.
    pub(crate) fn captures<'p>(&'p self, segments: &'p [String]) -> Option<Captured<'p>> {
        if segments.len() != self.0.len() {
            return None;
        }
        let mut captured = Vec::new();
        for (expected, segment) in self.0.iter().zip(segments) {
            match expected {
                Segment::Literal(word) if word.eq_ignore_ascii_case(segment) => {}
                Segment::Literal(_) => return None,
                Segment::Hole(hole) => captured.push((hole, segment.as_str())),
            }
        }
        Some(captured)
    }

    /// Returns a path with these keys for its parameters.
    pub(crate) fn with<'k>(&self, key: impl Fn(&str) -> &'k str) -> String {
        let segment = |segment: &Segment| match segment {
            Segment::Literal(word) => format!("/{word}"),
            Segment::Hole(hole) => format!("/{}", hole.variable().map_or("", &key)),
        };
        self.0.iter().map(segment).collect()
    }

    /// Returns the names of the path's parameters.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.holes().filter_map(Hole::variable)
    }

    pub(crate) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Hole(hole) => Some(hole),
            Segment::Literal(_) => None,
        })
    }
}

const HIDDEN_SLASH: char = '\u{1}';

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pattern: &str, path: &str) -> Option<Vec<String>> {
        let pattern = Pattern::parse(pattern).unwrap();
        let segments = segments(path);
        let captured = pattern.captures(&segments)?;
        Some(captured.iter().map(|(_, key)| (*key).to_owned()).collect())
    }

    #[test]
    fn key_may_be_a_segment_or_stand_in_parentheses_with_or_without_quotes() {
        let pattern = "/teams/{guid/team}/operations('{job}')?$select=id";
        for path in [
            "/Teams('t')/operations('o')",
            "/teams(t)/OPERATIONS(o)",
            "/teams/t/operations/o",
        ] {
            assert_eq!(keys(pattern, path).unwrap(), ["t", "o"], "{path}");
        }
        assert_eq!(keys(pattern, "/teams/t/operations"), None);
        assert_eq!(keys(pattern, "/teams/t/channels/o"), None);
    }

    #[test]
    fn id_of_the_answer_and_of_the_item_are_the_jobs() {
        for path in [
            "/queries/{answer/id}",
            "/queries/{item/id}",
            "/queries/{job}",
        ] {
            let pattern = Pattern::parse(path).unwrap();
            assert_eq!(pattern.holes().collect::<Vec<_>>(), [&Hole::Job]);
        }
    }
}
