//! JWTs that break one rule of RFC 8725 at a time, for every rule that applies here.

use courier_core::operation::OperationId;
use courier_testkit::receiver::Answer as Reply;
use courier_testkit::world::{Answer, World};
use serde_json::{Value, json};

use crate::auth::issuer::{
    AUDIENCE, ISSUER, ROBOTS, Signer, claims, curve_jwk, encode, good, header, issuer, modulus,
    raw, rsa_jwk, set, token, with, world,
};
use crate::auth::signed::NOW;
use crate::auth::signed::Verdict::{self, Accepted, Refused, RefusedBecause};
use crate::auth::signed_corpus::body;

const EXPIRED: Verdict = RefusedBecause("the token has no `exp` to come");
const NOT_YET_VALID: Verdict = RefusedBecause("the token's `nbf` is still to come");
const OTHER_AUDIENCE: Verdict = RefusedBecause("the token is for another audience");
const OTHER_SUBJECT: Verdict = RefusedBecause("the token is of another subject");
const NO_ACCESS_TOKEN: Verdict = RefusedBecause("the token's `typ` is not that of an access token");
const ID_TOKEN: Verdict = RefusedBecause("the token is an ID token; send an access token");
/// 403, because the caller has proved who it is.
const MISSING_RIGHT: Verdict = RefusedBecause("the token lacks the required scope or role");

async fn post_with_token(world: &World, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    world.call("POST", "/v1/operations", &headers, body()).await
}

async fn assert_verdict(world: &World, what: &str, token: &str, verdict: Verdict) {
    let answer = post_with_token(world, token).await;
    let found = match answer.status {
        202 => {
            let id = OperationId::parse(&answer.id()).unwrap();
            let record = world.app.store.load(&id).await.unwrap().unwrap();
            format!("accepted as {}", record.client)
        }
        403 => {
            assert_eq!(answer.problem(), "insufficient-scope");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Bearer error=\"insufficient_scope\""));
            format!("not granted: {:?}", answer.body["detail"].as_str())
        }
        401 => format!("refused: {:?}", answer.body["detail"].as_str()),
        _ => format!("{answer:?}"),
    };
    let expected = match verdict {
        Accepted(client) => format!("accepted as {client}"),
        MISSING_RIGHT => {
            "not granted: Some(\"the token lacks the required scope or role\")".to_owned()
        }
        RefusedBecause(rule) => format!("refused: {:?}", Some(rule)),
        Refused => format!("refused: {:?}", None::<&str>),
    };
    assert_eq!(found, expected, "{what}: {token}");
}

fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[tokio::test]
async fn a_token_with_a_missing_or_wrong_claim_is_refused() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = world(&peer).await;
    let accepted = Accepted("tokens");
    for (name, value, verdict) in [
        ("jti", json!("x"), accepted),
        ("exp", Value::Null, EXPIRED),
        ("exp", json!(NOW + 1), accepted),
        ("exp", json!(NOW - 59), accepted),
        ("exp", json!(NOW - 60), EXPIRED),
        ("exp", json!(0), EXPIRED),
        ("exp", json!(NOW as f64 + 0.5), accepted),
        ("exp", json!((NOW + 3600).to_string()), EXPIRED),
        ("exp", json!([NOW + 3600]), EXPIRED),
        ("nbf", Value::Null, accepted),
        ("nbf", json!(NOW + 60), accepted),
        ("nbf", json!(NOW + 61), NOT_YET_VALID),
        ("nbf", json!("soon"), NOT_YET_VALID),
        ("aud", Value::Null, OTHER_AUDIENCE),
        ("aud", json!([AUDIENCE]), accepted),
        ("aud", json!(["other", AUDIENCE]), accepted),
        ("aud", json!(["other"]), OTHER_AUDIENCE),
        ("aud", json!([[AUDIENCE]]), OTHER_AUDIENCE),
        ("aud", json!("other"), OTHER_AUDIENCE),
        ("aud", json!("api://courier/"), OTHER_AUDIENCE),
        ("aud", json!("API://courier"), OTHER_AUDIENCE),
        ("aud", json!({ "x": AUDIENCE }), OTHER_AUDIENCE),
        ("iss", Value::Null, Refused),
        ("iss", json!("https://login.example/v2/"), Refused),
        ("iss", json!("https://evil.example/v2"), Refused),
        ("iss", json!([ISSUER]), Refused),
        ("sub", Value::Null, accepted),
        ("scp", Value::Null, MISSING_RIGHT),
        ("scp", json!("operations.start"), MISSING_RIGHT),
        (
            "scp",
            json!("Operations.StartAll Operations"),
            MISSING_RIGHT,
        ),
        ("scp", json!(["Files.Read", "Operations.Start"]), accepted),
        ("scp", json!({ "Operations.Start": true }), MISSING_RIGHT),
        ("scp", json!(true), MISSING_RIGHT),
    ] {
        let what = format!("{name} {value}");
        let token = token(
            &header("RS256", "k"),
            &claims_with(name, value),
            Signer::Rs256(0),
        );
        assert_verdict(&world, &what, &token, verdict).await;
    }
    let mut by_scope = claims_with("scp", Value::Null);
    by_scope["scope"] = "Operations.Start".into();
    let granted = token(&header("RS256", "k"), &by_scope, Signer::Rs256(0));
    assert_verdict(&world, "scope", &granted, accepted).await;
    assert_eq!(peer.journal().len(), 1, "the set is fetched once");
}

#[tokio::test]
async fn only_an_access_token_is_accepted() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = world(&peer).await;
    let accepted = Accepted("tokens");
    let plain = json!({ "alg": "RS256", "kid": "k" });
    for (kind, claim, verdict) in [
        (Value::Null, "jti", accepted),
        (json!("JWT"), "jti", accepted),
        (json!("jwt"), "jti", accepted),
        (json!("at+jwt"), "jti", accepted),
        (json!("AT+JWT"), "jti", accepted),
        (json!("application/at+jwt"), "jti", accepted),
        (json!("Application/AT+JWT"), "jti", accepted),
        (json!("at+jwt "), "jti", NO_ACCESS_TOKEN),
        (json!("id+jwt"), "jti", NO_ACCESS_TOKEN),
        (json!("dpop+jwt"), "jti", NO_ACCESS_TOKEN),
        (json!("logout+jwt"), "jti", NO_ACCESS_TOKEN),
        (json!("client-authentication+jwt"), "jti", NO_ACCESS_TOKEN),
        (json!(""), "jti", NO_ACCESS_TOKEN),
        (json!(1), "jti", NO_ACCESS_TOKEN),
        (json!(["JWT"]), "jti", NO_ACCESS_TOKEN),
        (Value::Null, "nonce", ID_TOKEN),
        (json!("JWT"), "nonce", ID_TOKEN),
        (json!("JWT"), "at_hash", ID_TOKEN),
        (json!("JWT"), "c_hash", ID_TOKEN),
        (json!("at+jwt"), "nonce", accepted),
    ] {
        let mut header = plain.clone();
        if !kind.is_null() {
            header["typ"] = kind.clone();
        }
        let claims = claims_with(claim, json!("x"));
        let token = token(&header, &claims, Signer::Rs256(0));
        assert_verdict(&world, &format!("{kind} {claim}"), &token, verdict).await;
    }
    let forged = token(
        &with(plain, "typ", json!("id+jwt")),
        &claims(),
        Signer::Rs256(1),
    );
    assert_verdict(&world, "forged", &forged, Refused).await;
}

#[tokio::test]
async fn a_token_needs_role_and_subject_and_must_match_exactly_one_client() {
    let peer = issuer(set(&[rsa_jwk("k", 0), curve_jwk("e")])).await;
    let world = world(&peer).await;
    let roles = |subject: &str, roles: Value, audiences: Value| {
        let mut claims = claims_with("sub", subject.into());
        claims["roles"] = roles;
        claims["aud"] = audiences;
        claims
    };
    let start = "Operations.Start";
    let (own, both) = (json!(ROBOTS), json!([AUDIENCE, ROBOTS]));
    for (what, claims, verdict) in [
        (
            "role",
            roles("robot", json!([start]), own.clone()),
            Accepted("robot"),
        ),
        (
            "roles",
            roles("robot", json!(["x", start]), own.clone()),
            Accepted("robot"),
        ),
        (
            "other role",
            roles("robot", json!(["x"]), own.clone()),
            MISSING_RIGHT,
        ),
        (
            "roles in one",
            roles("robot", json!(format!("x {start}")), own.clone()),
            MISSING_RIGHT,
        ),
        (
            "other subject",
            roles("human", json!([start]), own.clone()),
            OTHER_SUBJECT,
        ),
        (
            "no subject",
            roles("", json!([start]), own.clone()),
            OTHER_SUBJECT,
        ),
        (
            "both audiences, one role",
            roles("human", json!([start]), both.clone()),
            Accepted("tokens"),
        ),
        (
            "of two clients",
            roles("robot", json!([start]), both),
            RefusedBecause("the token fits several clients"),
        ),
    ] {
        let token = token(&header("RS256", "k"), &claims, Signer::Rs256(0));
        assert_verdict(&world, what, &token, verdict).await;
    }
    // The client `robot` accepts RS256 only.
    let claims = roles("robot", json!([start]), own);
    let elliptic = token(&header("ES256", "e"), &claims, Signer::Es256);
    assert_verdict(&world, "another algorithm", &elliptic, OTHER_AUDIENCE).await;
}

#[tokio::test]
async fn a_token_cannot_choose_its_algorithm_or_key() {
    let elsewhere = issuer(set(&[rsa_jwk("k", 1), rsa_jwk("evil", 1)])).await;
    let modulus = encode(modulus(0));
    let point = curve_jwk("p384");
    let peer = issuer(set(&[
        rsa_jwk("k", 0),
        curve_jwk("e"),
        with(rsa_jwk("pss", 0), "alg", "PS256".into()),
        with(rsa_jwk("oaep", 0), "alg", "RSA-OAEP".into()),
        with(rsa_jwk("enc", 0), "use", "enc".into()),
        with(rsa_jwk("sig", 0), "use", "sig".into()),
        with(rsa_jwk("ops", 0), "key_ops", json!(["encrypt"])),
        with(rsa_jwk("verify", 0), "key_ops", json!(["verify"])),
        with(point, "crv", "P-384".into()),
        json!({ "kty": "oct", "kid": "oct", "k": modulus }),
        json!({ "kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB" }),
        json!({ "kty": "RSA", "kid": "small", "n": encode([255; 64]), "e": "AQAB" }),
        with(rsa_jwk("x", 0), "kid", Value::Null),
        json!("no key"),
    ]))
    .await;
    let world = world(&peer).await;
    let accepted = Accepted("tokens");
    let (rs, ps, es) = (Signer::Rs256(0), Signer::Ps256(0), Signer::Es256);
    for (algorithm, kid, signer, verdict) in [
        ("RS256", "k", rs, accepted),
        ("PS256", "k", ps, accepted),
        ("ES256", "e", es, accepted),
        ("PS256", "pss", ps, accepted),
        ("RS256", "sig", rs, accepted),
        ("RS256", "verify", rs, accepted),
        ("RS256", "pss", rs, Refused),
        ("RS256", "k", ps, Refused),
        ("PS256", "k", rs, Refused),
        ("RS256", "k", Signer::Rs256(1), Refused),
        ("RS256", "e", rs, Refused),
        ("ES256", "k", es, Refused),
        ("ES256", "p384", es, Refused),
        ("RS256", "enc", rs, Refused),
        ("RS256", "ops", rs, Refused),
        ("RS256", "oaep", rs, Refused),
        ("RS256", "broken", rs, Refused),
        ("RS256", "small", rs, Refused),
        ("RS256", "unknown", rs, Refused),
        ("RS256", "", rs, Refused),
        ("RS512", "k", rs, Refused),
        ("rs256", "k", rs, Refused),
        ("HS256", "k", Signer::Hs256, Refused),
        ("HS256", "oct", Signer::Hs256, Refused),
        ("RS256", "oct", Signer::Hs256, Refused),
        ("none", "k", Signer::Unsigned, Refused),
        ("None", "k", Signer::Unsigned, Refused),
        ("", "k", Signer::Unsigned, Refused),
        ("RS256", "k", Signer::Unsigned, Refused),
    ] {
        let token = token(&header(algorithm, kid), &claims(), signer);
        assert_verdict(&world, &format!("{algorithm} {kid}"), &token, verdict).await;
    }
    let url: Value = elsewhere.url("/keys").into();
    for (name, value) in [
        ("jku", url.clone()),
        ("x5u", url),
        ("jwk", rsa_jwk("k", 1)),
        ("x5c", json!([modulus])),
    ] {
        let header = with(header("RS256", "evil"), name, value);
        let theirs = token(&header, &claims(), Signer::Rs256(1));
        assert_verdict(&world, name, &theirs, Refused).await;
        let ours = with(header, "kid", "k".into());
        let theirs = token(&ours, &claims(), Signer::Rs256(1));
        assert_verdict(&world, name, &theirs, Refused).await;
    }
    assert!(elsewhere.journal().is_empty(), "a token's URL was called");
}

#[tokio::test]
async fn a_malformed_token_is_refused() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = world(&peer).await;
    let good = good("k");
    assert_verdict(&world, "good", &good, Accepted("tokens")).await;
    let parts: Vec<&str> = good.split('.').collect();
    let [head, payload, signature] = parts.as_slice() else {
        panic!("{good}")
    };
    let plain = header("RS256", "k").to_string();
    let claims = claims().to_string();
    let by = |header: &str, claims: &str| raw(header, claims, Signer::Rs256(0));
    let other = encode(claims.replace("somebody", "somebodz"));
    let other_first = if signature.starts_with('A') { 'B' } else { 'A' };
    for token in [
        format!("{head}.{payload}"),
        format!("{head}.{payload}."),
        format!("{good}.{signature}"),
        format!(".{good}"),
        format!("{head}..{signature}"),
        format!("{head}.{other}.{signature}"),
        format!("{head}.{payload}.{signature}="),
        format!("{head}=.{payload}.{signature}"),
        format!("{head}.{payload}.{}", &signature[..340]),
        format!("{head}.{payload}.{other_first}{}", &signature[1..]),
        "..".to_owned(),
        "a.b.c".to_owned(),
        by("{}", &claims),
        by("[]", &claims),
        by("RS256", &claims),
        by(&plain, "[]"),
        by(&plain, "null"),
        by(r#"{"alg":"RS256"}"#, &claims),
        by(r#"{"alg":"RS256","kid":1}"#, &claims),
        by(r#"{"alg":["RS256"],"kid":"k"}"#, &claims),
        by(r#"{"alg":"none","alg":"RS256","kid":"k"}"#, &claims),
        by(r#"{"alg":"RS256","kid":"k","kid":"k"}"#, &claims),
        by(r#"{"alg":"RS256","kid":"k","crit":["exp"]}"#, &claims),
        by(
            r#"{"alg":"RS256","kid":"k","crit":[],"b64":false}"#,
            &claims,
        ),
        by(&plain, &claims.replacen('{', r#"{"exp":1,"#, 1)),
        by(&plain, &format!("{claims} x")),
    ] {
        assert_verdict(&world, "malformed", &token, Refused).await;
    }
    // A token is not accepted as an API key, nor beside a second credential.
    let plain = [("x-api-key", good.as_str())];
    let answer = world.call("GET", "/v1/operations", &plain, "").await;
    assert_eq!(answer.status, 401);
    let bearer = format!("Bearer {good}");
    let both = [
        ("authorization", bearer.as_str()),
        ("x-api-key", "tickets-key"),
    ];
    assert_eq!(
        world.call("GET", "/v1/operations", &both, "").await.status,
        401
    );
    // A token permits every call that an API key permits.
    let one = [("authorization", bearer.as_str())];
    assert_eq!(
        world.call("GET", "/v1/operations", &one, "").await.status,
        200
    );
    assert_eq!(peer.journal().len(), 1);
}

#[tokio::test]
async fn token_of_an_unknown_issuer_triggers_no_jwks_fetch() {
    let peer = issuer(Reply::status(500)).await;
    let world = world(&peer).await;
    let strange = token(
        &header("RS256", "k"),
        &claims_with("iss", "x".into()),
        Signer::Rs256(0),
    );
    for text in [strange.as_str(), "wrong", "a.b.c", "tickets-key"] {
        post_with_token(&world, text).await;
    }
    assert!(peer.journal().is_empty());
}
