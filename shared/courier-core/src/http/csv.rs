//! A page of a list as CSV (RFC 4180), for a spreadsheet.

use serde_json::Value;

/// The columns, and where each stands in an operation's document.
const COLUMNS: [(&str, &str); 21] = [
    ("id", "/id"),
    ("client", "/client"),
    ("operation", "/operation"),
    ("status", "/status"),
    ("reason", "/reason"),
    ("reference", "/reference"),
    ("createdAt", "/createdAt"),
    ("startedAt", "/startedAt"),
    ("endedAt", "/endedAt"),
    ("deadline", "/deadline"),
    ("graphStatus", "/graph/status"),
    ("progress", "/graph/progress"),
    ("polls", "/graph/polls"),
    ("nextPollAt", "/graph/nextPollAt"),
    ("callbackStatus", "/callback/status"),
    ("callbackAttempts", "/callback/attempts"),
    ("callbackLastStatus", "/callback/lastStatus"),
    ("acknowledgedBy", "/acknowledged/by"),
    ("regulation", "/legal/regulation"),
    ("legalDueOn", "/legal/dueOn"),
    ("legalDaysLeft", "/legal/daysLeft"),
];

/// Returns a header line and a line for each operation; `has_client` adds the column `client`.
pub(super) fn table(operations: &[Value], has_client: bool) -> String {
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|(name, _)| has_client || *name != "client")
        .collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut lines = vec![names.join(",")];
    for operation in operations {
        let cells = columns
            .iter()
            .map(|(_, pointer)| match operation.pointer(pointer) {
                Some(Value::String(text)) => cell(text),
                None | Some(Value::Null) => String::new(),
                Some(other) => other.to_string(),
            });
        lines.push(cells.collect::<Vec<_>>().join(","));
    }
    lines.push(String::new());
    lines.join("\r\n")
}

/// Quotes a text. One that a spreadsheet would take for a formula gets an apostrophe in front.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_texts() {
        let operation = json!({
            "id": "op_1", "client": "tickets", "operation": "team.create", "status": "running",
            "reason": null, "reference": "=cmd|' /C calc'!A0, \"x\"\nand more", "graph": { "progress": 0.5 },
        });
        let table = table(&[operation], false);
        let expected = "id,operation,status,reason,reference,createdAt,startedAt,endedAt,deadline,graphStatus,progress,polls,\
            nextPollAt,callbackStatus,callbackAttempts,callbackLastStatus,acknowledgedBy,regulation,legalDueOn,legalDaysLeft\r\n\
            op_1,team.create,running,,\"'=cmd|' /C calc'!A0, \"\"x\"\"\nand more\",,,,,,0.5,,,,,,,,,\r\n";
        assert_eq!(table, expected);
    }
}
