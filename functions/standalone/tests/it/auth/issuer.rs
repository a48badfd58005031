//! An issuer of JWTs for tests: keys made for each run, their key set on loopback, and valid and invalid tokens.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use courier_testkit::receiver::{Answer, Receiver};
use courier_testkit::world::World;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::auth::signed::NOW;

pub(crate) const ISSUER: &str = "https://login.example/v2";
pub(crate) const AUDIENCE: &str = "api://courier";
/// Audience of the `robot` client.
pub(crate) const ROBOTS: &str = "api://robots";

/// Two RSA keys, made once for all tests because that takes a moment.
pub(crate) static RSA: LazyLock<[RsaKeyPair; 2]> =
    LazyLock::new(|| [(); 2].map(|()| RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
/// A key on the curve P-256, made once for all tests.
pub(crate) static CURVE: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

/// Algorithm and key with which a token is signed.
#[derive(Clone, Copy)]
pub(crate) enum Signer {
    Rs256(usize),
    Ps256(usize),
    Es256,
    /// HMAC whose secret is the modulus of the first RSA key, as in an algorithm confusion attack.
    Hs256,
    Unsigned,
}

impl Signer {
    fn sign(self, content: &[u8]) -> Vec<u8> {
        let rsa = |key: usize, encoding: &'static dyn RsaEncoding| {
            let key = &RSA[key];
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &SystemRandom::new(), content, &mut signature)
                .unwrap();
            signature
        };
        match self {
            Self::Rs256(key) => rsa(key, &RSA_PKCS1_SHA256),
            Self::Ps256(key) => rsa(key, &RSA_PSS_SHA256),
            Self::Es256 => {
                let signature = CURVE.sign(&SystemRandom::new(), content).unwrap();
                signature.as_ref().to_vec()
            }
            Self::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &modulus(0));
                hmac::sign(&key, content).as_ref().to_vec()
            }
            Self::Unsigned => Vec::new(),
        }
    }
}

/// Returns the modulus of an RSA key; in the DER (RFC 8017, section A.1.1) it precedes the exponent 65537.
pub(crate) fn modulus(key: usize) -> Vec<u8> {
    let der = RSA[key].public_key().as_ref();
    let (modulus, exponent) = der.split_at(der.len() - 5);
    assert_eq!(exponent, [2, 3, 1, 0, 1]);
    modulus[modulus.len() - 256..].to_vec()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn rsa_jwk(kid: &str, key: usize) -> Value {
    json!({ "kty": "RSA", "kid": kid, "n": encode(modulus(key)), "e": "AQAB" })
}

pub(crate) fn curve_jwk(kid: &str) -> Value {
    let point = CURVE.public_key().as_ref();
    json!({ "kty": "EC", "kid": kid, "crv": "P-256",
            "x": encode(&point[1..33]), "y": encode(&point[33..]) })
}

/// Returns a JSON object, such as a JWK, with one member added or replaced.
pub(crate) fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

/// Returns a token of exactly these texts.
pub(crate) fn raw(header: &str, claims: &str, signer: Signer) -> String {
    let content = format!("{}.{}", encode(header), encode(claims));
    let signature = encode(signer.sign(content.as_bytes()));
    format!("{content}.{signature}")
}

pub(crate) fn header(algorithm: &str, kid: &str) -> Value {
    json!({ "alg": algorithm, "kid": kid, "typ": "JWT" })
}

/// Returns claims that authenticate the `tokens` client.
pub(crate) fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 3600, "nbf": NOW - 10, "iat": NOW - 10,
            "sub": "somebody", "scp": "Files.Read Operations.Start" })
}

/// Returns a valid token signed with the first RSA key.
pub(crate) fn good(kid: &str) -> String {
    token(&header("RS256", kid), &claims(), Signer::Rs256(0))
}

pub(crate) fn token(header: &Value, claims: &Value, signer: Signer) -> String {
    raw(&header.to_string(), &claims.to_string(), signer)
}

/// Returns an HTTP answer with a key set.
pub(crate) fn set(keys: &[Value]) -> Answer {
    document(json!({ "keys": keys }).to_string())
}

pub(crate) fn document(text: String) -> Answer {
    Answer::Status {
        status: 200,
        headers: Vec::new(),
        body: text.into(),
    }
}

/// Starts an issuer whose key set endpoint answers with `answer`.
pub(crate) async fn issuer(answer: Answer) -> Receiver {
    let peer = Receiver::start(Arc::new(|| Timestamp::UNIX_EPOCH))
        .await
        .unwrap();
    peer.answer_otherwise(answer);
    peer
}

/// Returns a World with two clients of the issuer.
///
/// The client `tokens` requires a scope; `robot` requires a role and a subject, and accepts a single algorithm.
pub(crate) async fn world(peer: &Receiver) -> World {
    world_at(&peer.url("/keys")).await
}

pub(crate) async fn world_at(url: &str) -> World {
    let clients = format!(
        r#"
[clients.tokens]
tenant = "contoso"
operations = ["team.schedule"]
[clients.tokens.jwt]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks_url = "{url}"
required_scope = "Operations.Start"
[clients.robot]
tenant = "contoso"
operations = ["team.schedule"]
[clients.robot.jwt]
issuer = "{ISSUER}"
audience = "{ROBOTS}"
jwks_url = "{url}"
required_role = "Operations.Start"
subject = "robot"
algorithms = ["RS256"]
[seal]
"#
    );
    World::with(|setup| setup.config = setup.config.replace("[seal]\n", &clients)).await
}
