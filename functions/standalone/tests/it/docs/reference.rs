//! README and `docs/reference` tell the truth: their tables are those of the program, and their links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use courier_core::catalogue::schema::Violation;
use courier_core::catalogue::{Catalogue, Restart};
use courier_core::config::Config;
use courier_core::crypto::secret::{Secret, SecretReference};
use courier_core::http::openapi;
use courier_core::http::problem::{KINDS, Kind, MediaTypes, Problem};
use courier_core::http::routes::CALLS;
use courier_core::operation::{Outcome, Reason};
use courier_core::strict_json::JsonError;
use serde_json::{Value, json};

use super::authentication::filled;
use crate::rules::{read, root};

/// Pages whose links and paths are checked; those of `docs/callers` have a test of their own.
const PAGES: [&str; 50] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "RELEASING.md",
    "SECURITY.md",
    "docs/GLOSSARY.md",
    "docs/adr/README.md",
    "docs/app-registration.md",
    "docs/authentication.md",
    "docs/backup.md",
    "docs/event-senders.md",
    "docs/events.md",
    "docs/evidence.md",
    "docs/graph-behaviour.md",
    "docs/legal-clock.md",
    "docs/metrics.md",
    "docs/mutants.md",
    "docs/performance.md",
    "docs/pipelines/README.md",
    "docs/pipelines/fides.md",
    "docs/pipelines/lambda-durable.md",
    "docs/pipelines/priva.md",
    "docs/pipelines/s3-find-and-forget.md",
    "docs/pipelines/step-functions.md",
    "docs/pipelines/transcend.md",
    "docs/reference/api.md",
    "docs/reference/callbacks.md",
    "docs/reference/command-line.md",
    "docs/reference/configuration.md",
    "docs/reference/events-in.md",
    "docs/reference/problems.md",
    "docs/reference/simulator.md",
    "docs/reliability.md",
    "docs/running.md",
    "docs/security.md",
    "events/README.md",
    "examples/README.md",
    "examples/client-python/README.md",
    "examples/client-typescript/README.md",
    "examples/jira/README.md",
    "examples/local/README.md",
    "examples/pipelines/README.md",
    "examples/power-automate/README.md",
    "examples/servicenow/README.md",
    "examples/step-functions/README.md",
    "examples/storage/README.md",
    "examples/zendesk/README.md",
    "infra/README.md",
    "infra/examples/README.md",
];

#[test]
fn the_table_of_operations_has_a_row_and_a_section_for_each_one_of_the_catalogue() {
    let table = read("docs/operations/README.md");
    let rows = table.lines().filter(|line| line.starts_with("| [`"));
    assert_eq!(rows.count(), Catalogue::shipped().iter().count());
    for operation in Catalogue::shipped().iter() {
        let name = &operation.name;
        let row = table
            .lines()
            .find(|line| line.contains(&format!("[`{name}`]")));
        let row = row.unwrap_or_else(|| panic!("the table lacks {name}"));
        let restart = match operation.restart {
            Restart::Never => "never",
            Restart::Adopt => "adopt",
            Restart::Idempotent => "idempotent",
        };
        let kinds: Vec<&str> = operation.token.iter().map(|kind| kind.as_str()).collect();
        let end = format!("| {restart} | {} |", kinds.join(", "));
        assert!(row.ends_with(&end), "{row}\n{end}");
        assert!(
            row.contains(&operation.summary),
            "{row}\n{}",
            operation.summary
        );
        let page = row.split_once("](").unwrap().1.split('#').next().unwrap();
        let page = read(&format!("docs/operations/{page}"));
        assert!(
            page.lines().any(|line| line == format!("## {name}")),
            "{name}"
        );
        for permission in operation.permissions.values().flatten() {
            assert!(page.contains(permission.as_str()), "{name}: {permission}");
        }
    }
}

#[test]
fn the_reference_lists_every_environment_variable() {
    let machine = read("functions/standalone/src/settings.rs");
    let cloud = read("shared/courier-aws/src/settings.rs");
    let declared: BTreeSet<&str> = machine
        .lines()
        .chain(cloud.lines())
        .filter_map(|line| line.split_once("const COURIER_"))
        .map(|(_, rest)| rest)
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let page = read("docs/reference/configuration.md");
    let listed: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `COURIER_")?.split('`').next())
        .collect();
    assert_eq!(declared, listed);
    assert!(!declared.is_empty());
}

#[test]
fn the_reference_explains_every_outcome_and_reason() {
    let page = read("docs/reference/api.md");
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    for word in reasons.chain(Outcome::ALL.iter().map(|outcome| outcome.as_str())) {
        assert!(
            page.contains(&format!("`{word}`")),
            "the page does not explain {word}"
        );
    }
}

#[test]
fn the_references_configuration_holds() {
    let page = read("docs/reference/configuration.md");
    let text = page
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let resolve = |reference: &SecretReference| {
        Ok(Secret::new(match reference {
            SecretReference::Env(name) if name.starts_with("WHSEC") => {
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            }
            SecretReference::Env(name) if name == "COURIER_SEAL_KEY" => {
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
            }
            SecretReference::Env(_)
            | SecretReference::File(_)
            | SecretReference::AwsSecret { .. } => "secret",
        }))
    };
    let text = filled(text);
    if let Err(errors) = Config::parse(&text, Catalogue::shipped(), &resolve) {
        panic!("{errors}");
    }
}

#[test]
fn the_reference_lists_every_call_of_the_route_table() {
    let page = read("docs/reference/api.md");
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|call| call.contains(" /"))
        .collect();
    let calls = CALLS
        .iter()
        .map(|call| format!("{} {}", call.method, call.path));
    assert_eq!(rows, calls.collect::<Vec<_>>());
    for call in &CALLS {
        let row = format!("| `{} {}` | {}", call.method, call.path, call.summary);
        let start = row.trim_end_matches('.').split(';').next().unwrap();
        assert!(page.contains(start), "{row}");
        for name in call.query {
            assert!(
                page.contains(&format!("`{name}")),
                "{name} is not explained"
            );
        }
    }
}

/// The document is committed, so that a change of the interface shows in a review.
#[test]
fn the_committed_openapi_document_is_the_one_that_is_served() {
    let served = openapi::document(Catalogue::shipped());
    let text = serde_json::to_string_pretty(&served).unwrap() + "\n";
    let file = "docs/reference/openapi.json";
    let has_same = read(file) == text;
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
    std::fs::write(&new, &text).unwrap();
    assert!(has_same, "{file} is old: copy {} over it", new.display());
}

/// One of each kind.
fn problems() -> Vec<Problem> {
    let (pointer, rule) = (String::new(), String::new());
    let types = MediaTypes {
        header: "accept-post",
        names: "",
    };
    vec![
        Problem::BadJson(JsonError {
            pointer: pointer.clone(),
            rule: rule.clone(),
        }),
        Problem::InvalidRequest(vec![Violation::new("", "")]),
        Problem::InvalidHeader { name: "", rule: "" },
        Problem::InvalidEvent(Vec::new()),
        Problem::SourceForbidden,
        Problem::InvalidQuery {
            parameter: String::new(),
            rule: "",
        },
        Problem::Unauthenticated,
        Problem::CredentialRefused { rule: "" },
        Problem::InsufficientScope { rule: "" },
        Problem::OperationForbidden,
        Problem::ReadOnly,
        Problem::CallbackForbidden { pointer, rule },
        Problem::NotFound,
        Problem::MethodNotAllowed {
            allow: "GET".to_owned(),
        },
        Problem::PayloadTooLarge,
        Problem::SlowBody,
        Problem::BrokenBody,
        Problem::BrokenHeader,
        Problem::UnsupportedMediaType {
            types,
            is_batch: true,
        },
        Problem::UnsupportedContentEncoding { types },
        Problem::KeyReused,
        Problem::RateLimited {
            retry_after: Duration::from_secs(1),
        },
        Problem::TooManyOpenOperations { limit: 1 },
        Problem::Conflict { rule: "" },
        Problem::StartRejected {
            operation: json!({ "error": {} }),
        },
        Problem::NoEvidenceKey,
        Problem::HistoryAltered,
        Problem::Unavailable,
        Problem::UnreadableRecord,
        Problem::Internal,
    ]
}

#[test]
fn the_reference_lists_every_problem_as_the_program_answers_it() {
    let mut answered = BTreeMap::new();
    for problem in problems() {
        let response = problem.into_response();
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        let kind = body["type"].as_str().unwrap().to_owned();
        let errors = if body["errors"].is_array() {
            "yes"
        } else {
            "no"
        };
        let row = format!("| `{kind}` | {} | {errors} | ", response.status().as_u16());
        answered.insert(kind, row);
    }
    let page = read("docs/reference/problems.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `urn:"))
        .collect();
    for row in answered.values() {
        assert!(
            rows.iter().any(|line| line.starts_with(row.as_str())),
            "the page lacks\n{row}"
        );
    }
    assert_eq!(rows.len(), answered.len());
    let known: BTreeSet<String> = KINDS.iter().map(Kind::uri).collect();
    assert_eq!(known, answered.into_keys().collect::<BTreeSet<_>>());
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// Where the links of a page lead.
fn links(page: &str) -> Vec<String> {
    let text = prose(page);
    let targets = text.split("](").skip(1);
    targets
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .collect()
}

/// The anchors that a page's headings have on a repository host.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept =
                |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
            text.chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    for page in PAGES {
        let text = read(page);
        let folder = root().join(page).parent().unwrap().to_owned();
        let targets = links(&text);
        for link in targets.iter().filter(|link| !link.starts_with("https://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let file = if path.is_empty() {
                root().join(page)
            } else {
                folder.join(path)
            };
            assert!(file.exists(), "{page}: {link}");
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(file).unwrap();
                assert!(anchors(&target).contains(anchor), "{page}: {link}");
            }
        }
    }
}

#[test]
fn every_path_that_the_pages_name_is_there() {
    let folders = [
        ".ci/",
        "docs/",
        "events/",
        "examples/",
        "functions/",
        "fuzz/",
        "infra/",
        "packaging/",
        "shared/",
    ];
    let mut found = 0;
    for page in PAGES {
        let text = prose(&read(page));
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = folders.iter().any(|folder| name.starts_with(folder));
            if is_path && !name.contains(['{', '*', ' ', '…']) {
                assert!(root().join(name).exists(), "{page}: {name}");
                found += 1;
            }
        }
    }
    assert!(found > 10, "{found}");
}
