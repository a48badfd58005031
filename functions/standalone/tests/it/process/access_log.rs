//! What the program writes into its log for each request, and how a caller's problem is found there.

use courier_testkit::tenants;
use courier_testkit::world::TICKETS_KEY;

use crate::process::deployment::{QUICK, Site};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

#[tokio::test]
async fn each_request_is_one_line_with_its_id_and_without_its_query() {
    let site = Site::new(QUICK).await;
    let (server, api) = site.serve(&[("COURIER_LOG", "info")]).await;
    let send = |method: &str, path: &str, key: &'static str, id: &'static str| {
        let request = site
            .http
            .request(method.parse().unwrap(), format!("{api}{path}"))
            .header("x-api-key", key)
            .header("x-request-id", id)
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .header("tracestate", "congo=kept-secret")
            .header("content-type", "application/json");
        let body = tenants::schedule(&site.receiver, TEAM).to_string();
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    };
    let key = TICKETS_KEY;
    assert_eq!(send("POST", "/v1/operations", key, "start-1").await, 202);
    assert!(server.logs("operation closed").await);
    let list = "/v1/operations?reference=canary.person";
    assert_eq!(send("GET", list, key, "list-1").await, 200);
    assert_eq!(send("GET", list, "wrong-key", "list-2").await, 401);
    assert_eq!(send("HEAD", "/healthz", key, "health-1").await, 200);
    let person = "/v1/people/canary.person@contoso.example";
    assert_eq!(send("GET", person, key, "lost-1").await, 404);
    server.signal("TERM").await;
    let said = server.ended().await.stderr;

    let lines = |text: &'static str| said.lines().filter(move |line| line.contains(text));
    for (id, parts) in [
        (
            "start-1",
            "method=\"POST\" path=\"/v1/operations\" status=202 client=\"tickets\"",
        ),
        (
            "list-1",
            "method=\"GET\" path=\"/v1/operations\" status=200 client=\"tickets\"",
        ),
        (
            "list-2",
            "method=\"GET\" path=\"/v1/operations\" status=401",
        ),
        ("health-1", "method=\"HEAD\" path=\"/healthz\" status=200"),
        ("lost-1", "method=\"GET\" path=\"/v1/people/ status=404"),
    ] {
        let line: Vec<&str> = lines(id)
            .filter(|line| line.contains(" access: "))
            .collect();
        let [line] = line.as_slice() else {
            panic!("{id}: {said}")
        };
        for part in parts.split(' ') {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(line.contains(" milliseconds="), "{line}");
        assert!(line.contains(&format!("trace.id=\"{TRACE}\"")), "{line}");
        let is_known = parts.contains("client");
        assert_eq!(line.contains("client="), is_known, "{line}");
    }
    assert_eq!(lines(" access: ").count(), 5, "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert!(!said.contains("kept-secret"), "{said}");
    // The other lines of a request have its id too.
    let accepted = lines("operation accepted").next().unwrap();
    assert!(accepted.contains("start-1"), "{accepted}");
    // The lines of its steps have the id of the trace.
    let mut steps = lines("operation changed").chain(lines("operation closed"));
    assert!(steps.all(|line| line.contains(TRACE)), "{said}");
}

#[tokio::test]
async fn the_lines_of_requests_can_be_left_out() {
    let site = Site::new(QUICK).await;
    let (server, api) = site.serve(&[("COURIER_LOG", "info,access=off")]).await;
    let health = site.http.get(format!("{api}/healthz"));
    assert_eq!(health.send().await.unwrap().status(), 200);
    server.signal("TERM").await;
    let said = server.ended().await.stderr;
    assert!(said.contains("serving"), "{said}");
    assert!(!said.contains("request answered"), "{said}");
}
