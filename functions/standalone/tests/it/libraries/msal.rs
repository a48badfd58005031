//! MSAL, Microsoft's own client library, gets its tokens from the simulator, so what `courier` is tested with is no token
//! endpoint of our own invention.

use courier_testkit::world::{GRAPH_SECRET, World};
use graph_simulator::{Action, Fault, StatusAction};
use serde_json::{Value, json};

use crate::libraries::judge;

/// Asks for application tokens as MSAL does, and writes what MSAL answers.
///
/// MSAL insists on https. The transport stands for a proxy that ends TLS in front of the simulator.
const ASK: &str = r#"
import json, sys
import msal, requests
class Proxy(requests.adapters.HTTPAdapter):
    def send(self, request, **options):
        request.url = request.url.replace("https://", "http://", 1)
        request.headers["X-Forwarded-Proto"] = "https"
        return super().send(request, **options)
def ask(case):
    session = requests.Session()
    session.mount("https://", Proxy())
    try:
        app = msal.ConfidentialClientApplication("3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            authority=case["authority"], client_credential=case["secret"], instance_discovery=False, http_client=session)
    except ValueError as error:
        return {"refused": str(error)}
    scopes = ["https://graph.microsoft.com/.default"]
    first = app.acquire_token_for_client(scopes)
    second = app.acquire_token_for_client(scopes)
    return {"first": first, "second": second}
json.dump([ask(case) for case in json.load(sys.stdin)], sys.stdout)
"#;

/// Asks while this runtime's threads answer.
async fn ask(cases: Value) -> Vec<Value> {
    tokio::task::spawn_blocking(move || judge(ASK, &cases))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn msal_discovers_the_token_endpoint_and_caches_the_token_it_gets() {
    let known = vec!["contoso.example".to_owned()];
    let world = World::with(|setup| setup.simulator.tenants = known).await;
    let origin = world.simulator.base_url().replace("http://", "https://");
    let case = |tenant: &str, secret: &str| json!({ "authority": format!("{origin}/{tenant}"), "secret": secret });
    let answers = ask(json!([
        case("contoso.example", GRAPH_SECRET),
        case("contoso.example", "wrong"),
        case("nobody.example", GRAPH_SECRET),
    ]))
    .await;
    let [good, wrong, unknown] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    let token = good["first"]["access_token"].as_str().unwrap();
    assert_eq!(good["first"]["token_type"], "Bearer");
    assert_eq!(good["second"]["access_token"], token, "from MSAL's cache");
    assert_eq!(wrong["first"]["error"], "invalid_client");
    assert_eq!(wrong["first"]["error_codes"], json!([7_000_215]));
    let refused = unknown["refused"].as_str().unwrap();
    assert!(refused.contains("tenant name or GUID"), "{refused}");
}

/// Entra's older endpoints write this number as text, so a library takes both; so do we (`graph/token_endpoint.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn msal_takes_a_lifetime_that_is_text() {
    let world = World::new().await;
    let origin = world.simulator.base_url().replace("http://", "https://");
    let body =
        json!({ "token_type": "Bearer", "expires_in": "3599", "access_token": "from-the-script" });
    let answer = StatusAction {
        status: 200,
        body: Some(body.to_string()),
        ..StatusAction::default()
    };
    world
        .simulator
        .script(Fault::new("token", Action::Status(Box::new(answer))));
    let case = json!({ "authority": format!("{origin}/contoso.example"), "secret": GRAPH_SECRET });
    let answers = ask(json!([case])).await;
    assert_eq!(
        answers[0]["first"]["access_token"], "from-the-script",
        "{answers:?}"
    );
    assert_eq!(answers[0]["second"]["access_token"], "from-the-script");
}
