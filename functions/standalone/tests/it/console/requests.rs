//! New requests from a form, the list as a file, test callbacks, and what the API refuses.

use courier_testkit::world::World;

use super::{NIGHT, Visitor, followed, operators};

#[tokio::test]
async fn a_request_from_the_form_starts_an_operation_once() {
    let world = World::with(operators).await;
    let visitor = Visitor::with_key(&world, NIGHT).await;
    visitor
        .get("/console/new")
        .await
        .has(&["team.schedule", "user.exportPersonalData"]);
    let page = visitor.get("/console/new?operation=team.schedule").await;
    page.has(&[
        "name=\"/parameters/teamId\"",
        "<option value=\"tickets\">",
        "Schedule.ReadWrite.All",
    ]);
    let key = page.text.split("name=\"key\" value=\"").nth(1).unwrap();
    let key = key.split('"').next().unwrap();
    let mut fields = vec![
        ("operation", "team.schedule"),
        ("key", key),
        ("client", "tickets"),
        ("/parameters/teamId", "no guid"),
        ("/parameters/schedule/enabled", "true"),
        ("/parameters/schedule/timeZone", "Europe/Paris"),
        ("/parameters/schedule/", "{\"startDayOfWeek\": \"monday\"}"),
    ];
    let refused = visitor.post("/console/new", &fields).await;
    assert_eq!(refused.status, 400);
    refused.has(&[
        "must be a GUID",
        "aria-describedby=\"parameters-teamId-wrong",
        "no guid",
    ]);
    fields[3].1 = "871dbd5c-3a6a-4392-bfe1-042452793a50";
    let first = visitor.post("/console/new", &fields).await;
    let second = visitor.post("/console/new", &fields).await;
    let id = first
        .header("location")
        .split(['/', '?'])
        .nth(3)
        .unwrap()
        .to_owned();
    assert!(
        second
            .header("location")
            .ends_with(&format!("{id}?done=known")),
        "a second click"
    );
    followed(&visitor, first).await.has(&[
        "The request is accepted.",
        "by <bdi>operator night-shift</bdi>",
    ]);
    world.work().await;
    world.closed(&id).await;
    let calls = world.simulator.journal();
    let put = calls.iter().filter(|entry| entry.call == "schedule.start");
    assert_eq!(put.count(), 1);
}

#[tokio::test]
async fn the_list_is_a_file_of_all_pages_and_a_receiver_is_tested() {
    let world = World::with(operators).await;
    for number in 0..201 {
        let mut body = world.goals();
        body["callback"] = serde_json::Value::Null;
        body["parameters"]["explorerViewId"] =
            format!("e5e7a3c1-8cdf-409d-9ce9-{number:012}").into();
        world.post(&body).await;
    }
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let file = visitor.get("/console/operations.csv?status=open").await;
    assert_eq!(
        file.text.lines().count(),
        202,
        "a line for each, and one with the names"
    );
    assert!(
        file.header("content-disposition")
            .contains("operations.csv")
    );
    let page = visitor.get("/console?status=open").await;
    assert_eq!(
        page.text.matches("<tr role=\"row\" data-status").count(),
        50
    );
    page.has(&["Next page"]);

    let url = world.receiver.url("/test");
    let fields = [
        ("client", "tickets"),
        ("/url", url.as_str()),
        ("/outcome", "failed"),
    ];
    let tested = visitor.post("/console/test", &fields).await;
    tested.has(&["The receiver took it.", "204", "msg_"]);
    let fields = [("client", "tickets"), ("/url", "https://elsewhere.example")];
    let refused = visitor.post("/console/test", &fields).await;
    refused.has(&["aria-invalid=\"true\""]);
}

#[tokio::test]
async fn what_the_api_refuses_is_said_to_a_person() {
    let world = World::with(|setup| {
        operators(setup);
        setup.config = setup
            .config
            .replace("requests_per_minute = 1000000", "requests_per_minute = 9");
    })
    .await;
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let missing = "/console/operations/op_00000000000000000000000000000000";
    for path in [missing, "/console/operations/..", "/console/new/more"] {
        let shown = visitor.get(path).await;
        assert_eq!(shown.status, 404, "{path}");
        shown.has(&["There is nothing here"]);
    }
    let mut shown = visitor.get("/console").await;
    for _ in 0..9 {
        shown = visitor.get("/console").await;
    }
    assert_eq!(shown.status, 429);
    shown.has(&["Too many requests", "Try again in"]);
}
