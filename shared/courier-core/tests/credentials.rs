//! Tests how a configuration describes credentials: every mistake is reported, and no two callers share one.

#![cfg(test)]

use courier_core::catalogue::Catalogue;
use courier_core::config::credentials::{Dialect, Encoding, HmacAlgorithm, JwtAlgorithm, Right};
use courier_core::config::{Config, ConfigErrors};
use courier_core::crypto::secret::{Secret, SecretReference};

const ONE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "sha256:22222222222222222222222222222222222222222222222222222222222222AB";

const BASIC: &str = "basic = { username = \"u\", passwords = [\"ONE\"] }";
const SIGNED: &str = "signed = { dialect = \"standard-webhooks\", secrets = [\"env:WHSEC\"] }";
const PLAIN: &str = "signed = { dialect = \"body-hmac\", header = \"X-Sig\", encoding = \"hex\", algorithm = \"sha512\", secrets = [\"env:TEXT\"] }";
const JWT: &str = "jwt = { issuer = \"i\", audience = \"a\", jwks_url = \"https://login.example/keys\", required_scope = \"s\" }";

fn resolve(reference: &SecretReference) -> Result<Secret, String> {
    let SecretReference::Env(name) = reference else {
        return Err("no".to_owned());
    };
    Ok(Secret::new(match name.as_str() {
        "SEAL" => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "WHSEC" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "SHORT" => "canary-of-15-by",
        _ => "canary-of-16-byt",
    }))
}

/// Parses a configuration with these two clients.
fn parse(clients: [&str; 2]) -> Result<Config, Vec<String>> {
    let mut text = r#"
        [graph]
        base_url = "https://graph.example"
        login_url = "https://login.example"
        [graph.tenants.contoso]
        tenant_id = "t"
        client_id = "c"
        client_secret = "env:GRAPH"
        [seal]
        key = "env:SEAL"
    "#
    .to_owned();
    for (name, proof) in ["one", "two"].iter().zip(clients) {
        let client = format!(
            "[clients.{name}]\ntenant = \"contoso\"\noperations = [\"team.schedule\"]\n{proof}\n"
        );
        text.push_str(&client.replace("ONE", ONE).replace("TWO", TWO));
    }
    Config::parse(&text, Catalogue::shipped(), &resolve).map_err(ConfigErrors::texts)
}

const KEY: &str = "api_keys = [\"TWO\"]";

/// Returns the mistakes in a configuration whose first client has these credentials.
fn mistakes(proof: &str) -> Vec<String> {
    parse([proof, KEY]).err().unwrap_or_default()
}

fn mistaken(proof: &str, expected: &[&str]) {
    let found = mistakes(proof);
    let expected: Vec<String> = expected
        .iter()
        .map(|one| format!("clients.one.{one}"))
        .collect();
    assert_eq!(found, expected, "{proof}");
}

#[test]
fn client_needs_one_kind_of_credential_and_may_have_all() {
    for proof in [BASIC, SIGNED, PLAIN, JWT] {
        mistaken(proof, &[]);
    }
    mistaken(
        &[BASIC, SIGNED, JWT, "api_keys = [\"ONE\"]"].join("\n"),
        &[],
    );
    let none = "api_keys: at least one key is needed (or basic, signed, jwt or source instead), or nobody can call as this client";
    mistaken("", &[none]);
    mistaken("api_keys = []", &[none]);
    mistaken(&format!("{BASIC}\napi_keys = []"), &[none]);
}

#[test]
fn credentials_are_read_as_configured() {
    let all = [BASIC, PLAIN, JWT].join("\n");
    let config = parse([&all, "requests_per_minute = 7\napi_keys = [\"TWO\"]"]).unwrap();
    assert_eq!(config.clients["one"].requests_per_minute, 600);
    assert_eq!(config.clients["two"].requests_per_minute, 7);
    let one = &config.clients["one"].credentials;
    let two = &config.clients["two"].credentials;
    assert_eq!(two.api_keys[0][30..], [0x22, 0xab]);
    assert_eq!(one.basic.as_ref().unwrap().passwords, [[0x11; 32]]);
    let signed = one.signed.as_ref().unwrap();
    let expected = Dialect::BodyHmac {
        header: "x-sig".parse().unwrap(),
        encoding: Encoding::Hex,
        algorithm: HmacAlgorithm::Sha512,
        prefix: String::new(),
    };
    assert_eq!(signed.dialect, expected);
    assert_eq!(signed.secrets, [b"canary-of-16-byt"]);
    let jwt = one.jwt.as_ref().unwrap();
    assert_eq!(jwt.algorithms, JwtAlgorithm::ALL);
    assert_eq!(
        (&jwt.right, &jwt.subject),
        (&Right::Scope("s".to_owned()), &None)
    );
    let other = parse([SIGNED, KEY]).unwrap();
    let standard = other.clients["one"].credentials.signed.as_ref().unwrap();
    assert_eq!(
        standard.secrets[0].len(),
        24,
        "the secret is stored as its decoded bytes"
    );
}

#[test]
fn every_mistake_in_a_password_is_reported() {
    let rule = "must be sha256: and the 64 hexadecimal digits of its SHA-256";
    mistaken(
        "basic = {}",
        &[
            "basic.username: is missing",
            "basic.passwords: at least one password is needed",
        ],
    );
    for bad in [
        "canary",
        "sha256:",
        "sha256:12",
        "SHA256:ONE",
        "sha256:+1",
        "sha256:é1",
    ] {
        let passwords = format!("basic = {{ username = \"u\", passwords = [\"ONE\", \"{bad}\"] }}");
        mistaken(&passwords, &[&format!("basic.passwords[1]: {rule}")]);
        mistaken(
            &format!("api_keys = [\"ONE\", \"{bad}\"]"),
            &[&format!("api_keys[1]: {rule}")],
        );
    }
    for bad in ["a:b", "a\\n"] {
        let name = BASIC.replace("\"u\"", &format!("\"{bad}\""));
        mistaken(
            &name,
            &["basic.username: must hold no colon and no control character"],
        );
    }
    mistaken(
        &BASIC.replace("username", "user"),
        &["basic.user: is not a known key; did you mean username?"],
    );
    mistaken("basic = 1", &["basic: must be a table"]);
}

#[test]
fn every_mistake_in_a_signature_is_reported() {
    mistaken(
        "signed = {}",
        &[
            "signed.dialect: is missing",
            "signed.secrets: at least one secret is needed",
        ],
    );
    mistaken(
        &SIGNED.replace("standard-webhooks", "svix"),
        &["signed.dialect: must be standard-webhooks, zendesk, github or body-hmac"],
    );
    mistaken(
        &SIGNED.replace("WHSEC", "TEXT"),
        &["signed.secrets[0]: must begin with whsec_"],
    );
    let short = "signed.secrets[0]: must have at least 16 bytes, or it could be guessed";
    for proof in [
        PLAIN.to_owned(),
        SIGNED.replace("standard-webhooks", "github"),
    ] {
        let proof = proof.replace("TEXT", "SHORT").replace("WHSEC", "SHORT");
        mistaken(&proof, &[short]);
        assert!(!mistakes(&proof).join("").contains("canary"));
    }
    mistaken(
        &SIGNED.replace(" }", ", header = \"X-Sig\" }"),
        &["signed.header: is not a known key"],
    );
    for header in [
        "Authorization",
        "x-api-key",
        "Idempotency-Key",
        "content-type",
        "webhook-signature",
        "svix-signature",
        "a b",
        "ü",
    ] {
        mistaken(
            &PLAIN.replace("X-Sig", header),
            &["signed.header: must be the name of a header with no other use"],
        );
    }
    mistaken(
        &PLAIN.replace("hex", "hexadecimal"),
        &["signed.encoding: must be hex or base64"],
    );
    mistaken(
        &PLAIN.replace("sha512", "sha1"),
        &["signed.algorithm: must be sha256, sha384 or sha512"],
    );
    let missing = PLAIN.replace(
        "header = \"X-Sig\", encoding = \"hex\", algorithm = \"sha512\", ",
        "",
    );
    mistaken(
        &missing,
        &[
            "signed.header: is missing",
            "signed.encoding: is missing",
            "signed.algorithm: is missing",
        ],
    );
}

#[test]
fn every_mistake_in_a_token_is_reported() {
    let neither = "jwt.required_scope: a scope (or required_role instead) is needed, or every token of the issuer would do";
    mistaken(
        "jwt = {}",
        &[
            "jwt.issuer: is missing",
            "jwt.audience: is missing",
            "jwt.jwks_url: is missing",
            neither,
        ],
    );
    mistaken(
        &JWT.replace(" }", ", required_role = \"r\" }"),
        &["jwt.required_role: either required_scope or required_role"],
    );
    mistaken(
        &JWT.replace(" }", ", algorithms = [] }"),
        &["jwt.algorithms: at least one algorithm is needed"],
    );
    for bad in ["none", "HS256", "rs256", "RS512", ""] {
        let listed = JWT.replace(" }", &format!(", algorithms = [\"ES256\", \"{bad}\"] }}"));
        mistaken(
            &listed,
            &["jwt.algorithms[1]: must be RS256, PS256 or ES256"],
        );
    }
    mistaken(
        &JWT.replace(" }", ", secret = \"env:TEXT\" }"),
        &["jwt.secret: is not a known key"],
    );
    for (url, rule) in [
        (
            "http://login.example/keys",
            "must be https unless allow_networks is set",
        ),
        (
            "https://10.0.0.1/keys",
            "must not point to a private or local address",
        ),
        (
            "https://169.254.169.254/keys",
            "must not point to a private or local address",
        ),
        (
            "https://localhost/keys",
            "must not point to a private or local address",
        ),
        (
            "https://u:p@login.example/",
            "must not carry user information",
        ),
        ("https://login.example/#x", "must not have a fragment"),
        ("file:///etc/passwd", "must be https"),
        ("login.example", "must be an absolute URL"),
    ] {
        mistaken(
            &JWT.replace("https://login.example/keys", url),
            &[&format!("jwt.jwks_url: {rule}")],
        );
    }
}

#[test]
fn requests_per_minute_is_a_whole_number() {
    for bad in ["0", "-1", "1.5", "1000001", "\"6\""] {
        let proof = format!("{BASIC}\nrequests_per_minute = {bad}");
        mistaken(
            &proof,
            &["requests_per_minute: must be a whole number from 1 to 1000000"],
        );
    }
}

#[test]
fn credential_of_two_clients_is_refused() {
    let unclear = "who calls would be unclear";
    for (one, two, place) in [
        (
            "api_keys = [\"TWO\", \"ONE\"]",
            "api_keys = [\"ONE\"]",
            "api_keys[1] api_keys[0]",
        ),
        (BASIC, BASIC, "basic.passwords[0] basic.passwords[0]"),
        (SIGNED, SIGNED, "signed.secrets[0] signed.secrets[0]"),
        (
            PLAIN,
            &PLAIN.replace("sha512", "sha256"),
            "signed.secrets[0] signed.secrets[0]",
        ),
        (
            &PLAIN.replace("X-Sig", "X-Hub-Signature-256"),
            "signed = { dialect = \"github\", secrets = [\"env:OTHER\"] }",
            "signed.secrets[0] signed.secrets[0]",
        ),
        (JWT, &JWT.replace("/keys", "/other"), "jwt jwt"),
    ] {
        let (first, second) = place.split_once(' ').unwrap();
        let found = parse([one, two]).err().unwrap();
        let expected = format!("clients.two.{second}: is also clients.one.{first}: {unclear}");
        assert_eq!(found, [expected], "{two}");
    }
    for (one, two) in [
        (BASIC, BASIC.replace("\"u\"", "\"v\"")),
        (BASIC, BASIC.replace("ONE", "TWO")),
        (BASIC, "api_keys = [\"ONE\"]".to_owned()),
        (PLAIN, PLAIN.replace("X-Sig", "X-Other")),
        (
            PLAIN,
            "signed = { dialect = \"github\", secrets = [\"env:OTHER\"] }".to_owned(),
        ),
        (JWT, JWT.replace("\"i\"", "\"j\"")),
        (JWT, JWT.replace("\"a\"", "\"b\"")),
        (JWT, JWT.replace("\"s\"", "\"t\"")),
        (JWT, JWT.replace("required_scope", "required_role")),
        (JWT, JWT.replace(" }", ", subject = \"x\" }")),
        ("api_keys = [\"ONE\", \"ONE\"]", KEY.to_owned()),
    ] {
        assert!(parse([one, &two]).is_ok(), "{one} {two}");
    }
}

#[test]
fn operators_are_read_and_share_no_credential_with_a_client() {
    let with = |operator: &str| {
        let second = format!("{KEY}\n[operators.night]\n{operator}");
        parse(["api_keys = [\"ONE\"]", &second])
    };
    let three = ONE.replace('1', "3");
    let good = with(&format!(
        "api_keys = [\"{three}\"]\nclients = [\"one\"]\nread_only = true"
    ));
    let good = good.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let night = &good.operators["night"];
    assert!(night.read_only && night.sees("one") && !night.sees("two"));
    for (operator, mistake) in [
        (
            "api_keys = [\"ONE\"]".to_owned(),
            "operators.night.api_keys[0]: is also clients.one.api_keys[0]: who calls would be unclear",
        ),
        (
            "clients = []".to_owned(),
            "operators.night.api_keys: at least one key is needed (or basic or jwt instead), or nobody can call as this operator",
        ),
        (
            format!("api_keys = [\"{three}\"]\nclients = [\"won\"]"),
            "operators.night.clients[0]: there is no clients.won",
        ),
        (
            format!("api_keys = [\"{three}\"]\n{SIGNED}"),
            "operators.night.signed: is not a known key",
        ),
    ] {
        let found = with(&operator).err().unwrap_or_default();
        assert!(found.contains(&mistake.to_owned()), "{mistake}: {found:?}");
    }
}
