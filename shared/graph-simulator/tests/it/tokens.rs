//! The token endpoint: what it gives, takes back and refuses.

use crate::world::*;

const REFRESH: &str = "grant_type=refresh_token&client_id=c&client_secret=s&refresh_token=";
const CREDENTIALS: &str = "grant_type=client_credentials&client_id=c&client_secret=s&scope=";

#[tokio::test]
async fn token_is_good_for_its_life_and_not_longer() {
    let world = World::new().await;
    let token = world.application().await;
    let path = "/v1.0/dataPolicyOperations";
    world.advance(3598);
    assert_eq!(world.get(path, &token).await.status, 200);
    world.advance(1);
    let expired = world.get(path, &token).await;
    assert_eq!(expired.status, 401);
    assert_eq!(expired.string("/error/code"), "InvalidAuthenticationToken");
    assert!(
        expired
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer ")
    );
    assert_eq!(
        world.get(path, &world.application().await).await.status,
        200
    );
}

#[tokio::test]
async fn each_use_replaces_the_refresh_token_and_the_old_one_stays_valid() {
    let world = World::with(|options| options.refresh_token = Some("first".to_owned())).await;
    let answer = world.grant(&format!("{REFRESH}first")).await;
    let second = answer.string("/refresh_token");
    assert_ne!(second, "first");
    assert_eq!(answer.json()["expires_in"], 3599);
    assert_eq!(world.grant(&format!("{REFRESH}{second}")).await.status, 200);
    assert_eq!(world.grant(&format!("{REFRESH}first")).await.status, 200);
    refused(
        &world.grant(&format!("{REFRESH}other")).await,
        400,
        "invalid_grant",
        70008,
    );
}

#[tokio::test]
async fn old_refresh_token_can_be_revoked_by_its_use() {
    for initial in [None, Some("first".to_owned())] {
        let world = World::with(|options| {
            options.refresh_token = initial;
            options.behaviour.revoke_old_refresh = true;
        })
        .await;
        let second = world
            .grant(&format!("{REFRESH}first"))
            .await
            .string("/refresh_token");
        refused(
            &world.grant(&format!("{REFRESH}first")).await,
            400,
            "invalid_grant",
            70008,
        );
        assert_eq!(world.grant(&format!("{REFRESH}{second}")).await.status, 200);
    }
}

#[tokio::test]
async fn refresh_token_dies_after_ninety_idle_days() {
    let world = World::new().await;
    let second = world
        .grant(&format!("{REFRESH}first"))
        .await
        .string("/refresh_token");
    world.advance(90 * 86_400 - 1);
    let third = world
        .grant(&format!("{REFRESH}{second}"))
        .await
        .string("/refresh_token");
    world.advance(1);
    refused(
        &world.grant(&format!("{REFRESH}{second}")).await,
        400,
        "invalid_grant",
        700_082,
    );
    assert_eq!(world.grant(&format!("{REFRESH}{third}")).await.status, 200);
}

#[tokio::test]
async fn administrator_revokes_and_the_user_signs_in_again() {
    let world = World::new().await;
    let token = world.delegated().await;
    world.simulator.revoke_access_tokens();
    assert_eq!(world.get(GOALS, &token).await.status, 401);
    world.simulator.revoke_refresh_tokens();
    refused(
        &world.grant(&format!("{REFRESH}first")).await,
        400,
        "invalid_grant",
        70008,
    );
    let fresh = world.simulator.issue_refresh_token();
    assert_eq!(world.grant(&format!("{REFRESH}{fresh}")).await.status, 200);
}

#[tokio::test]
async fn bad_requests_are_refused_in_entras_words() {
    let world = World::with(|options| {
        options.client_secret = Some("s".to_owned());
        options.tenants = vec!["contoso".to_owned()];
    })
    .await;
    let good = format!("{CREDENTIALS}https%3A%2F%2Fgraph.microsoft.com%2F.default");
    let wrong = good.replace("client_secret=s", "client_secret=t");
    let bare = good.replace("&client_secret=s", "");
    for (form, status, error, number) in [
        (wrong.as_str(), 401, "invalid_client", 7_000_215),
        (bare.as_str(), 401, "invalid_client", 7_000_218),
        (
            "grant_type=password&client_id=c",
            400,
            "unsupported_grant_type",
            70003,
        ),
        ("client_id=c", 400, "invalid_request", 900_144),
        (
            &format!("{CREDENTIALS}User.Read"),
            400,
            "invalid_scope",
            70011,
        ),
        (
            &format!("{REFRESH}first&scope=everything"),
            400,
            "invalid_scope",
            70011,
        ),
    ] {
        refused(&world.grant(form).await, status, error, number);
    }
    assert_eq!(world.grant(&good).await.status, 200);
    let foreign = world.send(
        reqwest::Method::POST,
        "/fabrikam/oauth2/v2.0/token",
        "",
        Some(&good),
    );
    refused(&foreign.await.unwrap(), 400, "invalid_request", 90002);
    world.simulator.set_client_secret(Some("rotated"));
    refused(&world.grant(&good).await, 401, "invalid_client", 7_000_215);
}

#[tokio::test]
async fn assertion_stands_for_a_secret() {
    let world = World::with(|options| options.client_secret = Some("s".to_owned())).await;
    let form = "grant_type=client_credentials&client_id=c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=ey&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default";
    assert_eq!(world.grant(form).await.status, 200);
}

#[track_caller]
fn refused(reply: &Reply, status: u16, error: &str, number: u32) {
    assert_eq!(reply.status, status, "{}", reply.text);
    let body = reply.json();
    assert_eq!(body["error"], error);
    assert_eq!(body["error_codes"], serde_json::json!([number]));
    let description = reply.string("/error_description");
    assert!(
        description.starts_with(&format!("AADSTS{number}: ")),
        "{description}"
    );
    let timestamp = reply.string("/timestamp");
    assert!(timestamp.contains(' ') && timestamp.ends_with('Z') && !timestamp.contains('T'));
    assert!(description.ends_with(&format!("\r\nTimestamp: {timestamp}")));
    assert!(body["trace_id"].is_string() && body["correlation_id"].is_string());
}

#[tokio::test]
async fn a_client_library_finds_the_token_endpoint_of_a_known_tenant() {
    let world = World::with(|options| options.tenants = vec!["contoso.example".to_owned()]).await;
    let path = |tenant: &str| format!("/{tenant}/v2.0/.well-known/openid-configuration");
    let found = world.get(&path("contoso.example"), "").await;
    assert_eq!(found.status, 200);
    let base = world.simulator.base_url();
    let endpoint = format!("{base}/contoso.example/oauth2/v2.0/token");
    assert_eq!(found.string("/token_endpoint"), endpoint);
    assert_eq!(
        found.string("/issuer"),
        format!("{base}/contoso.example/v2.0")
    );
    refused(
        &world.get(&path("nobody.example"), "").await,
        400,
        "invalid_tenant",
        90002,
    );
}
