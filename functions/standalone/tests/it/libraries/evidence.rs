//! `securesystemslib` and `in-toto-attestation` verify our evidence, and ours verifies what they sign.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use courier_core::crypto::evidence_keys::PublicKey;
use courier_core::evidence::verdict::{Against, verify};
use serde_json::{Value, json};

use crate::api::evidence::signing;
use crate::libraries::{judge, python};
use crate::rules::read;

/// Verifies the first signature of an envelope and its statement, computes the chain with nothing of ours, and signs the
/// same payload with the seed.
const JUDGE: &str = r#"
import base64, hashlib, json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import Parse
from in_toto_attestation.v1.statement import Statement
import in_toto_attestation.v1.statement_pb2 as statement_pb2
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

def accepts(document, pem):
    envelope = Envelope.from_dict(json.loads(json.dumps(document)))
    keyid = document["signatures"][0]["keyid"]
    key = SSlibKey.from_crypto(load_pem_public_key(pem.encode()), keyid)
    try:
        return list(envelope.verify([key], 1)) == [keyid]
    except VerificationError:
        return False

def chain(statement):
    previous = None
    for entry in statement["predicate"]["history"]:
        text = json.dumps(entry["hashed"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        found = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        if found != entry["hash"] or entry["hashed"].get("previous") != previous:
            return False
        previous = found
    return previous == "sha256:" + statement["subject"][0]["digest"]["sha256"]

def read(case):
    payload = base64.b64decode(case["envelope"]["payload"])
    statement = json.loads(payload)
    Statement.copy_from_pb(Parse(payload, statement_pb2.Statement())).validate()
    forged = json.loads(json.dumps(case["envelope"]))
    forged["payload"] = base64.b64encode(payload.replace(b"succeeded", b"cancelled")).decode()
    signer = CryptoSigner(Ed25519PrivateKey.from_private_bytes(base64.b64decode(case["seed"])))
    theirs = Envelope(payload, case["envelope"]["payloadType"], {})
    theirs.sign(signer)
    return {"accepts": accepts(case["envelope"], case["pem"]), "forged": accepts(forged, case["pem"]),
        "chain": chain(statement), "signed": theirs.to_dict()}
json.dump([read(case) for case in json.load(sys.stdin)], sys.stdout)
"#;

#[tokio::test]
async fn other_peoples_libraries_verify_our_evidence_and_ours_verifies_theirs() {
    let world = signing().await;
    let id = world.post(&world.schedule()).await.id();
    world.closed(&id).await;
    let envelope = world
        .get(&format!("/v1/operations/{id}/evidence"))
        .await
        .body;
    let keys = world.get("/v1/evidence/keys").await.body;
    let seed = STANDARD.encode([7; 32]);
    let case = json!({ "envelope": envelope, "pem": keys["keys"][0]["pem"], "seed": seed });
    let judged = judge(JUDGE, &json!([case])).remove(0);
    let verdict = ["accepts", "forged", "chain"].map(|name| judged[name].as_bool());
    assert_eq!(verdict, [Some(true), Some(false), Some(true)], "{judged}");

    let payload = STANDARD
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("statement.json");
    let page = read("docs/evidence.md");
    let script = page.split("statement.json <<'END'\n").nth(1).unwrap();
    let script = script.split("\nEND\n").next().unwrap();
    for (text, holds) in [
        (String::from_utf8(payload.clone()).unwrap(), true),
        (
            String::from_utf8(payload)
                .unwrap()
                .replace("\"running\"", "\"failed\""),
            false,
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(python().join("python3"));
        let ended = command.args(["-c", script]).arg(&file).output().unwrap();
        assert_eq!(ended.status.success(), holds, "{ended:?}");
    }

    let key = courier_core::crypto::evidence_keys::SigningKey::from_seed(&[7; 32]).unwrap();
    let ours: Vec<PublicKey> = vec![key.public().clone()];
    let theirs: &Value = &judged["signed"];
    let against = Against {
        keys: &ours,
        ..Against::default()
    };
    let verdict = verify(theirs.to_string().as_bytes(), &against);
    assert!(verdict.holds(), "{verdict:?}");
}
