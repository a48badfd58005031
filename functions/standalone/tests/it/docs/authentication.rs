//! The examples of `docs/authentication.md` work: its configuration is valid and its requests are accepted.

use std::collections::BTreeSet;
use std::path::Path;

use courier_core::operation::OperationId;
use courier_testkit::world::World;

use crate::auth::credentials::hash;

/// API key of the requests on the pages.
const KEY: &str = "VTX7WlT4nOGvPhQ1xBRXSpZ3nWQ5dcNbYJ0mDkR2aEo";
/// Password of the requests on the pages.
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple-7391";

/// Returns the code blocks of the document in the given language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let parts = document.split(&fence).skip(1);
    parts
        .map(|part| part.split("\n```").next().unwrap())
        .collect()
}

/// Returns a configuration of the documentation with the hashes that it leaves out.
///
/// The documents omit them so that no one runs courier with the documented key and password.
pub(crate) fn filled(configuration: &str) -> String {
    let left_out = configuration.matches("sha256:").count();
    assert_eq!(configuration.matches("[\"sha256:…\"]").count(), left_out);
    [("api_keys", KEY), ("passwords", PASSWORD)].iter().fold(
        configuration.to_owned(),
        |text, (name, secret)| {
            let known = format!("{name} = [{}]", hash(secret));
            text.replace(&format!("{name} = [\"sha256:…\"]"), &known)
        },
    )
}

#[tokio::test]
async fn the_documented_requests_are_accepted_by_the_documented_configuration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authentication.md");
    let document = std::fs::read_to_string(path).unwrap();
    let [clients] = blocks(&document, "toml")[..] else {
        panic!("one configuration")
    };
    assert!(document.contains(KEY));
    let clients = filled(clients);
    let world = World::with(|setup| {
        let all = format!("{clients}\n[seal]\n");
        setup.config = setup.config.replace("[seal]\n", &all);
    })
    .await;
    let mut callers = BTreeSet::new();
    let requests = blocks(&document, "http");
    for request in &requests {
        let (head, body) = request.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("POST /v1/operations"));
        let mut headers: Vec<(&str, &str)> =
            lines.map(|line| line.split_once(": ").unwrap()).collect();
        headers.push(("x-api-key", ""));
        let answer = world
            .call("POST", "/v1/operations", &headers, body.to_owned())
            .await;
        assert_eq!(answer.status, 202, "{request}\n{answer:?}");
        let id = OperationId::parse(&answer.id()).unwrap();
        let record = world.app.store.load(&id).await.unwrap().unwrap();
        callers.insert(record.client);
    }
    let expected = [
        "github",
        "others",
        "scripts",
        "servicenow",
        "webhooks",
        "zendesk",
    ];
    assert_eq!(callers, BTreeSet::from(expected.map(str::to_owned)));
    assert_eq!(requests.len(), expected.len());
}
