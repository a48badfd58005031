//! No secret is in what the program writes, even when it logs everything.

use courier_testkit::receiver::Answer as Reply;
use courier_testkit::tenants;
use courier_testkit::world::{
    CALLBACK_TOKEN, GRAPH_SECRET, REFRESH_TOKEN, SAS_SIGNATURE, SIGNING_SECRETS, TICKETS_KEY,
};

use crate::process::deployment::{QUICK, Site};
use crate::process::program::SEAL_KEY;

const USER: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";
const ORGANIZATION: &str = "94a356ab-53d5-40e7-8a85-053d6d3b9eb3";
const VIEW: &str = "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e";
const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

#[tokio::test]
async fn no_secret_is_in_the_log_at_the_level_trace() {
    let faults = r#"
[[faults]]
on = "export.start"
action = { status = { status = 429, retry_after = 1 } }
[[faults]]
on = "schedule.poll"
action = "reset_after"
[[faults]]
on = "token"
action = "reset_before"
[[faults]]
on = "goals.start"
action = { location = { value = "https://elsewhere.example/x?sig=canarySasSignature0123456789abcdefABCDEFGHI%3D" } }
"#;
    let site = Site::new(&format!("{QUICK}{faults}")).await;
    let (server, api) = site.serve(&[("COURIER_LOG", "trace")]).await;
    // The first callback of the goals export, and the first of the schedule.
    site.receiver.answer_next(Reply::status(500));
    site.receiver.answer_next(Reply::status(204));
    site.receiver.answer_next(Reply::Close);
    let bodies = [
        (
            "goals",
            tenants::goals(&site.receiver, ORGANIZATION, VIEW),
            "unknown",
        ),
        (
            "schedule",
            tenants::schedule(&site.receiver, TEAM),
            "succeeded",
        ),
        (
            "export",
            tenants::export(&site.receiver, USER, "dsar"),
            "succeeded",
        ),
        (
            "refused",
            tenants::export(&site.receiver, USER, "dsar"),
            "failed",
        ),
    ];
    for (key, body, status) in bodies {
        let answer = site.post(&api, key, &body).await.unwrap();
        assert_eq!(site.closed(&api, &answer.id()).await["status"], status);
    }
    let key = site
        .http
        .get(format!("{api}/v1/operations"))
        .header("x-api-key", "canary-key");
    assert_eq!(key.send().await.unwrap().status(), 401);
    server.signal("TERM").await;
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0));
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("TRACE") || said.contains("DEBUG"), "{said}");
    let token = |secret: &'static str| secret.trim_start_matches("whsec_");
    for secret in [
        GRAPH_SECRET,
        REFRESH_TOKEN,
        SAS_SIGNATURE,
        CALLBACK_TOKEN,
        TICKETS_KEY,
        "canary-key",
        token(SIGNING_SECRETS[0]),
        token(SIGNING_SECRETS[1]),
        SEAL_KEY,
        // How the simulator's access and refresh tokens begin.
        "simulated-access",
        "simulated-refresh",
        "tok_",
        USER,
    ] {
        if let Some(line) = said.lines().find(|line| line.contains(secret)) {
            panic!("{secret} is in: {line}");
        }
    }
}
