//! Tests `[clients.<id>.callback]` and `[clients.<id>.profiles.<name>]`: what is read, and the key of each mistake.

#![cfg(test)]

use courier_core::catalogue::Catalogue;
use courier_core::config::{Client, Config, ConfigErrors, Proof};
use courier_core::crypto::secret::{Secret, SecretReference};

fn parse(tables: &str) -> Result<Client, Vec<String>> {
    let text = format!(
        r#"
        [graph.tenants.contoso]
        tenant_id = "contoso.example"
        client_id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
        client_secret = "env:TEXT"
        [clients.tickets]
        tenant = "contoso"
        api_keys = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
        operations = ["team.schedule"]
        callback_origins = ["https://tickets.example"]
        signing_secrets = ["env:WHSEC"]
        [seal]
        key = "env:SEAL"
        {tables}"#
    );
    let resolve = |reference: &SecretReference| match reference {
        SecretReference::Env(name) if name == "SEAL" => {
            Ok(Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
        }
        SecretReference::Env(name) if name == "WHSEC" => {
            Ok(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        }
        SecretReference::Env(name) if name == "LINES" => Ok(Secret::new("canary\r\nx: y")),
        SecretReference::Env(_) => Ok(Secret::new("canary-text")),
        SecretReference::File(_) | SecretReference::AwsSecret { .. } => Err("no".to_owned()),
    };
    let parsed = Config::parse(&text, Catalogue::shipped(), &resolve);
    let mut config = parsed.map_err(ConfigErrors::texts)?;
    Ok(config.clients.remove("tickets").unwrap())
}

fn refused(tables: &str, expected: &[&str]) {
    let Err(errors) = parse(tables) else {
        panic!("accepted: {tables}");
    };
    assert_eq!(errors, expected, "{tables}");
    assert!(!errors.concat().contains("canary"), "{errors:?}");
}

#[test]
fn default_profile_is_standard_webhooks() {
    let client = parse("").unwrap();
    assert_eq!(client.profiles.default, "standard-webhooks");
    assert_eq!(client.profiles.all.len(), 1);
    let client = parse("[clients.tickets.callback]\nhandshake = false").unwrap();
    assert_eq!(client.profiles.default, "standard-webhooks");
}

#[test]
fn client_has_one_default_profile_and_may_have_others_by_name() {
    let client = parse(
        r#"
        [clients.tickets.callback]
        profile = "zendesk"
        username = "a@b.example/token"
        password = "env:TEXT"
        [clients.tickets.profiles.jira-automation]
        token = "env:TEXT"
        [clients.tickets.profiles.board]
        profile = "generic"
        method = "PATCH"
        content_type = "text/plain"
        success = [200, 409]
        "#,
    )
    .unwrap();
    assert_eq!(client.profiles.default, "zendesk");
    let names: Vec<&str> = client.profiles.all.keys().map(String::as_str).collect();
    assert_eq!(names, ["board", "jira-automation", "zendesk"]);
    assert!(
        matches!(&client.profiles.all["zendesk"].proof, Proof::Basic { username, .. } if username == "a@b.example/token")
    );
    let board = &client.profiles.all["board"].format;
    assert_eq!(
        (board.method.as_str(), board.content_type.as_str()),
        ("PATCH", "text/plain")
    );
    assert!(board.takes(409) && !board.takes(204));
}

#[test]
fn example_in_the_reference_is_accepted() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/callbacks.md"
    );
    let page = std::fs::read_to_string(path).unwrap();
    let mut blocks = page.split("```toml\n").skip(1);
    let block = blocks.find(|block| block.starts_with("[clients.servicenow.callback]"));
    let example = block.unwrap().split("```").next().unwrap();
    let client = parse(&example.replace("servicenow.", "tickets.")).unwrap();
    assert_eq!(client.profiles.default, "servicenow-scripted");
    assert!(client.profiles.all["board"].format.takes(409));
    assert!(matches!(
        client.profiles.all["servicenow-scripted"].proof,
        Proof::OAuth2(_)
    ));
}

const AZURE: &str = "must be left out for logic-apps: the receiver's URL carries its own signature, and Azure refuses a \
    request with an Authorization header beside it. For a URL without one take the profile generic";

#[test]
fn logic_apps_may_have_a_token_in_another_header_than_authorization() {
    let rows = "profile = \"logic-apps\"\ntoken_header = \"x-flow-token\"\ntoken = \"env:TEXT\"";
    let client = parse(&format!("[clients.tickets.callback]\n{rows}")).unwrap();
    assert!(matches!(
        client.profiles.all["logic-apps"].proof,
        Proof::Token(_)
    ));
}

#[test]
fn every_mistake_is_reported_by_its_key() {
    let callback = |rows: &str| format!("[clients.tickets.callback]\n{rows}");
    let own = "graph-courier sets itself";
    for (rows, mistake) in [
        ("profile = \"fax\"", "profile: must be one of standard-webhooks, servicenow-scripted, servicenow-hmac, servicenow-table, jira-automation, zendesk, okta-workflows, logic-apps, step-functions-task-token, step-functions, lambda-durable, eventbridge, sqs, sns, generic".to_owned()),
        ("profile = \"zendesk\"", "profile: zendesk needs username and password, or oauth2, or token".to_owned()),
        ("profile = \"jira-automation\"\nusername = \"u\"\npassword = \"env:TEXT\"", "profile: jira-automation needs token".to_owned()),
        ("profile = \"servicenow-hmac\"", "profile: servicenow-hmac needs secrets".to_owned()),
        ("secrets = [\"env:TEXT\"]", "secrets: are for a profile with hmac".to_owned()),
        ("hmac = { header = \"x-signature\" }", "secrets: hmac needs at least one secret".to_owned()),
        ("token = \"env:TEXT\"\nusername = \"u\"\npassword = \"env:TEXT\"", "token: either token, or username and password, or oauth2, or sigv4".to_owned()),
        ("username = \"u\"", "token: either token, or username and password, or oauth2, or sigv4".to_owned()),
        ("username = \"a:b\"\npassword = \"env:TEXT\"", "username: must hold no colon (RFC 7617 §2)".to_owned()),
        ("token = \"env:LINES\"", "token: must hold visible characters only".to_owned()),
        ("token = \"canary\"", "token: must be a reference: env:NAME, file:PATH or aws-secret:ARN[#key]".to_owned()),
        ("method = \"GET\"", "method: must be POST, PUT or PATCH".to_owned()),
        ("body = \"{\"", "body: must be JSON: line 1 column 1".to_owned()),
        ("body = '[\"{{data}}\"]'", "body: {{data}} must hold a JSON pointer such as /data/status".to_owned()),
        ("success = [\"200\"]", "success: must be a list of HTTP statuses".to_owned()),
        ("success = 200", "success: must be a list of HTTP statuses".to_owned()),
        ("success = [99]", "success: must be HTTP statuses from 200 to 599".to_owned()),
        ("headers = { host = \"evil.example\" }", format!("headers: must not be a header that {own}")),
        ("headers = { \"a b\" = \"c\" }", "headers: must be header names".to_owned()),
        ("headers = { x-a = 1 }", "headers.x-a: must be a text".to_owned()),
        ("token_header = \"webhook-id\"", format!("token_header: must not be a header that {own}")),
        ("token_scheme = \"My key\"", "token_scheme: must be one word (RFC 9110 §11.1), or empty".to_owned()),
        ("token_scheme = 1", "token_scheme: must be a text".to_owned()),
        ("json_only = \"yes\"", "json_only: must be true or false".to_owned()),
        ("profile = \"logic-apps\"\ntoken = \"env:TEXT\"", format!("token: {AZURE}")),
        ("profile = \"logic-apps\"\nusername = \"u\"\npassword = \"env:TEXT\"", format!("username: {AZURE}")),
        ("profile = \"logic-apps\"\noauth2 = { token_url = \"https://login.example/t\", client_id = \"c\", client_secret = \"env:TEXT\" }", format!("oauth2: {AZURE}")),
        ("profile = \"logic-apps\"\ntoken_header = \"Authorization\"\ntoken = \"env:TEXT\"", format!("token: {AZURE}")),
        ("handshake = 1", "handshake: must be true or false".to_owned()),
        ("colour = 1", "colour: is not a known key".to_owned()),
        ("[clients.tickets.callback.oauth2]\nclient_id = \"c\"\nclient_secret = \"env:TEXT\"", "oauth2.token_url: is missing".to_owned()),
    ] {
        refused(&callback(rows), &[&format!("clients.tickets.callback.{mistake}")]);
    }
    refused(
        "[clients.tickets.callback]\nhandshake = true",
        &["callbacks.origin: is needed for handshake = true"],
    );
    refused(
        "[clients.tickets.profiles.standard-webhooks]\n[clients.tickets.callback]",
        &["clients.tickets.profiles: standard-webhooks is the profile of callback already"],
    );
    refused(
        "[callbacks]\norigin = \"https://courier.example\"\nin_flight_per_host = 0",
        &[
            "callbacks.origin: must be a DNS name such as courier.example",
            "callbacks.in_flight_per_host: must be a whole number from 1 to 10000",
        ],
    );
}

const AWS: &str = "[aws]\naccess_key_id = \"env:ID\"\nsecret_access_key = \"env:TEXT\"\n";

#[test]
fn target_on_aws_is_signed_for_and_its_path_is_not_the_requests() {
    let client = parse(&format!(
        r#"{AWS}region = "eu-central-1"
        [clients.tickets.callback]
        profile = "sqs"
        target = "https://sqs.eu-central-1.amazonaws.com/1/q"
        sigv4 = {{}}
        [clients.tickets.profiles.board]
        profile = "generic"
        body = '{{ "ended": "{{{{/data/status}}}}" }}'
        error_at = ["x-error"]
        give_up_when = ["Gone"]
        sigv4 = {{ service = "execute-api", region = "us-east-1" }}"#
    ));
    let client = client.unwrap();
    let scope = |name: &str| {
        let Proof::Sigv4(sigv4) = &client.profiles.all[name].proof else {
            panic!("{name} is not signed");
        };
        (sigv4.scope.service.clone(), sigv4.scope.region.clone())
    };
    assert_eq!(scope("sqs"), ("sqs".to_owned(), "eu-central-1".to_owned()));
    assert_eq!(
        scope("board"),
        ("execute-api".to_owned(), "us-east-1".to_owned())
    );
    let board = &client.profiles.all["board"].format;
    assert_eq!(board.path(false, None).as_deref(), Some("/"));
    assert_eq!(
        client.profiles.all["sqs"].format.target.as_deref(),
        Some("https://sqs.eu-central-1.amazonaws.com/1/q")
    );
}

#[test]
fn token_stands_encoded_in_a_path_and_failure_has_another() {
    let rows = format!(
        "{AWS}[clients.tickets.callback]\nprofile = \"lambda-durable\"\nsigv4 = {{ region = \"us-east-1\" }}"
    );
    let client = parse(&rows).unwrap();
    let profile = &client.profiles.all["lambda-durable"].format;
    let path = |is_otherwise| profile.path(is_otherwise, Some("a+/b==")).unwrap();
    let start = "/2025-12-01/durable-execution-callbacks/a%2B%2Fb%3D%3D";
    assert_eq!(path(false), format!("{start}/succeed"));
    assert_eq!(path(true), format!("{start}/fail"));
}

#[test]
fn every_mistake_of_a_target_on_aws_is_reported_by_its_key() {
    let of = |profile: &str, rows: &str| format!("profile = \"{profile}\"\n{rows}");
    let region = "sigv4 = { region = \"us-east-1\" }";
    for (rows, mistake) in [
        (
            of("sns", region),
            "target: is missing: sns is sent to the queue, topic or bus that it names",
        ),
        (of("sns", "target = \"a\""), "profile: sns needs sigv4"),
        (
            of("sns", "target = \"a\"\nsigv4 = {}"),
            "sigv4.region: is missing, and so is aws.region",
        ),
        (
            of("sns", "target = \"a {{b\"\nsigv4 = { region = \"r\" }"),
            "target: must be a name, an ARN or a URL of visible characters, without {{",
        ),
        (
            of("step-functions", &format!("target = \"a\"\n{region}")),
            "target: has no place: no body has {{target}}",
        ),
        (
            of("step-functions", "sigv4 = { region = \"US\" }"),
            "sigv4.region: must be lower case letters, digits and hyphens",
        ),
        (
            of("generic", region),
            "sigv4.service: is missing: the name of the service in signatures, such as states",
        ),
        (
            of("generic", "sigv4 = { region = \"r\", service = \"s3\" }"),
            "sigv4.service: must not be s3, whose requests are signed in another way",
        ),
        (
            of(
                "generic",
                "token = \"env:TEXT\"\nsigv4 = { region = \"r\", service = \"s\" }",
            ),
            "token: either token, or username and password, or oauth2, or sigv4",
        ),
        (
            of("generic", "path = \"/a?b\""),
            "path: must be an absolute path without query, in which {{token}} may stand",
        ),
        (
            of("generic", "path = \"/a/../b\""),
            "path: must be an absolute path without query, in which {{token}} may stand",
        ),
        (
            of(
                "generic",
                "content_type = \"application/x-www-form-urlencoded\"\nbody = '[]'",
            ),
            "body: must be an object, whose fields are those of the form",
        ),
        (
            of("generic", "success_when = { at = \"count\", equals = 0 }"),
            "success_when: at must be a JSON pointer such as /FailedEntryCount",
        ),
        (
            of(
                "generic",
                "success_when = { at = \"/count\", equals = 0.5 }",
            ),
            "success_when.equals: must be a text, a whole number, or true or false",
        ),
        (
            of("generic", "success_when = { at = \"/count\" }"),
            "success_when.equals: is missing",
        ),
        (
            of("generic", "error_at = [\"a b\"]"),
            "error_at: must be JSON pointers such as /__type, or names of headers",
        ),
        (
            of("generic", "give_up_when = [\"Gone\"]"),
            "give_up_when: needs error_at, which says where an answer names its error",
        ),
        (
            of("generic", "error_at = [\"/e\"]\nbusy_when = [\"a b\"]"),
            "busy_when: must be names of errors: letters, digits, dots, hyphens and underscores",
        ),
        (
            of("generic", "unless_succeeded = { path = \"b\", body = '1' }"),
            "unless_succeeded: must be an absolute path without query, in which {{token}} may stand",
        ),
        (
            of(
                "generic",
                "unless_succeeded = { headers = { x-a = \"b\" } }",
            ),
            "unless_succeeded.body: is missing",
        ),
    ] {
        let mistake = format!("clients.tickets.callback.{mistake}");
        refused(
            &format!("{AWS}[clients.tickets.callback]\n{rows}"),
            &[&mistake],
        );
    }
    let rows = of("step-functions", region);
    let keys =
        "clients.tickets.callback.sigv4: needs keys: access_key_id and secret_access_key in [aws]";
    refused(&format!("[clients.tickets.callback]\n{rows}"), &[keys]);
    refused(
        "[aws]\naccess_key_id = \"env:ID\"",
        &["aws.secret_access_key: is missing"],
    );
    refused(
        "[aws]\naccess_key_id = \"env:LINES\"\nsecret_access_key = \"env:TEXT\"\nregion = \"Frankfurt\"",
        &[
            "aws.access_key_id: must be the id of an AWS access key, such as AKIA and 16 letters or digits",
            "aws.region: must be lower case letters, digits and hyphens",
        ],
    );
}
