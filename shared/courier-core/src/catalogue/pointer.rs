//! JSON pointers into documents of Graph (RFC 6901), with one addition: `*` stands for every element of an array.

use serde_json::Value;

/// Returns every value that `pointer` finds, in the order of the document.
pub(crate) fn all<'v>(document: &'v Value, pointer: &str) -> Vec<&'v Value> {
    let mut found = vec![document];
    for part in pointer.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        found = found
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(elements) if name == "*" => elements.iter().collect(),
                Value::Array(elements) => {
                    let index = name.parse::<usize>().ok();
                    index
                        .and_then(|index| elements.get(index))
                        .into_iter()
                        .collect()
                }
                Value::Object(fields) => fields.get(&name).into_iter().collect::<Vec<_>>(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
            })
            .collect();
    }
    found
}

/// Returns the first value that `pointer` finds.
pub(crate) fn first<'v>(document: &'v Value, pointer: &str) -> Option<&'v Value> {
    all(document, pointer).into_iter().next()
}

/// Reports whether a text is a pointer to something inside a document.
pub(crate) fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.len() > 1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_stands_for_every_element_and_nothing_is_found_where_there_is_nothing() {
        let document = json!({"a/b": [{"c": 1}, {"c": 2}, {"d": 3}], "e": {"*": 4}});
        for (pointer, found) in [
            ("/a~1b/*/c", json!([1, 2])),
            ("/a~1b/1/c", json!([2])),
            ("/a~1b/7/c", json!([])),
            ("/a~1b/x", json!([])),
            ("/e/*", json!([4])),
            ("/e/*/f", json!([])),
            ("/nothing", json!([])),
            ("", json!([document])),
        ] {
            assert_eq!(json!(all(&document, pointer)), found, "{pointer}");
        }
    }
}
