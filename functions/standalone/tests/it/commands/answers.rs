//! Answers that a real server seldom gives: what the commands make of them, and what they ask.

use serde_json::{Value, json};

use crate::commands::stand_in::{Asked, StandIn, answer, id, json_answer, operation};
use crate::process::program::{Ended, run};

async fn ask(url: &str, arguments: &[&str]) -> Ended {
    run(
        arguments,
        &[("COURIER_URL", url), ("COURIER_API_KEY", "key-canary")],
    )
    .await
}

fn page(operations: &[Value], next: Option<&str>) -> Value {
    json!({ "operations": operations, "next": next })
}

#[tokio::test]
async fn text_of_others_reaches_no_terminal_raw_and_stays_the_same_for_programs() {
    let evil = "\u{1b}[2J\u{9b}31m\u{202e}<b>\r\nx";
    let mut shown = operation(&id(1), "failed", true);
    shown["reference"] = evil.into();
    shown["error"] = json!({ "code": evil, "message": evil });
    let server = {
        let shown = shown.clone();
        StandIn::start(move |asked, _| match asked.call.ends_with("history") {
            true => json_answer(
                200,
                &json!({ "history": [{ "at": evil, "event": evil, "detail": evil }] }),
            ),
            false if asked.call.contains("op_") => json_answer(200, &shown),
            false => json_answer(200, &page(std::slice::from_ref(&shown), None)),
        })
        .await
    };
    for arguments in [
        &["show", &id(1)][..],
        &["list"],
        &["history", &id(1)],
        &["watch", &id(1)],
        &["show", &id(1), "--json"],
    ] {
        let ended = ask(&server.url, arguments).await;
        let said = format!("{}{}", ended.stdout, ended.stderr).replace('\n', "");
        let raw = said
            .chars()
            .find(|letter| letter.is_control() || *letter == '\u{202e}');
        assert_eq!(raw, None, "{arguments:?} {ended:?}");
    }
    let json = ask(&server.url, &["show", &id(1), "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).unwrap(), shown);
}

#[tokio::test]
async fn the_exit_code_of_an_operation_says_how_it_stands() {
    for (status, ended, code) in [
        ("succeeded", true, 0),
        ("failed", true, 3),
        ("partiallySucceeded", true, 3),
        ("expired", true, 3),
        ("cancelled", true, 3),
        ("unknown", true, 4),
        ("running", false, 5),
    ] {
        let document = operation(&id(1), status, ended);
        let server = StandIn::start(move |_, _| json_answer(200, &document)).await;
        for arguments in [
            &["show", &id(1)][..],
            &["watch", &id(1), "--at-most", "100ms"],
        ] {
            let told = ask(&server.url, arguments).await;
            assert_eq!(told.code, Some(code), "{arguments:?} {told:?}");
        }
    }
    // Of several the open one counts, and the others are told apart.
    let server = StandIn::start(|asked, _| {
        let status = if asked.call.ends_with(&id(1)) {
            "unknown"
        } else {
            "failed"
        };
        json_answer(
            200,
            &operation(asked.call.rsplit('/').next().unwrap(), status, true),
        )
    })
    .await;
    let told = ask(&server.url, &["watch", &id(1), &id(2)]).await;
    assert_eq!(told.code, Some(4), "{told:?}");
    // Graph's refusal of the start is an operation that has failed.
    let server = StandIn::start(|_, _| {
        let body = json!({ "type": "urn:graph-courier:problem:start-rejected", "title": "Microsoft Graph refused to start it",
            "detail": "no such user", "operation": operation(&id(1), "failed", true) });
        answer(422, &[("content-type", "application/problem+json")], body)
    })
    .await;
    let told = ask(&server.url, &["submit", "team.schedule"]).await;
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(told.stderr.contains("no such user"), "{told:?}");
}

#[tokio::test]
async fn filters_pages_and_csv_are_asked_for_as_the_api_says() {
    let server = StandIn::start(|asked, _| {
        let is_second = asked.call.contains("cursor=c%261");
        if asked
            .headers
            .get("accept")
            .is_some_and(|accept| accept == "text/csv")
        {
            let link = "</v1/operations?limit=2&cursor=c%261>; rel=\"next\"";
            let row = if is_second { "op_2" } else { "op_1" };
            let mut headers = vec![("content-type", "text/csv; charset=utf-8")];
            headers.extend((!is_second).then_some(("link", link)));
            return answer(200, &headers, format!("id,status\n{row},running\n"));
        }
        let number = if is_second { 2 } else { 1 };
        let next = (!is_second).then_some("c&1");
        json_answer(
            200,
            &page(&[operation(&id(number), "running", false)], next),
        )
    })
    .await;
    let url = format!("{}/prod/", server.url);
    let arguments = [
        "list",
        "--status",
        "open",
        "--client",
        "a&b",
        "--person",
        "p",
        "--deadline-before",
        "2026-12-20",
        "--created-after",
        "2026-11-20T00:00:00+01:00",
        "--sort",
        "deadline",
        "--limit",
        "2",
        "--all",
        "--json",
    ];
    let listed = ask(&url, &arguments).await;
    assert_eq!(listed.stdout.lines().count(), 2, "{listed:?}");
    let call = "GET /prod/v1/operations?status=open&client=a%26b&person=p&createdAfter=2026-11-19T23%3A00%3A00.000Z&deadlineBefore=2026-12-20T00%3A00%3A00.000Z&sort=deadline&limit=2";
    assert_eq!(
        server.calls(),
        [call.to_owned(), format!("{call}&cursor=c%261")]
    );
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.headers["x-api-key"] == "key-canary")
    );

    let csv = ask(&server.url, &["list", "--csv", "--all"]).await;
    assert_eq!(
        csv.stdout, "id,status\nop_1,running\nop_2,running\n",
        "{csv:?}"
    );
    let first = ask(&server.url, &["list"]).await;
    assert!(first.stderr.contains("--cursor 'c&1'"), "{first:?}");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_politely_and_a_gateway_is_told_from_graph_courier() {
    let problem = [
        ("content-type", "application/problem+json"),
        ("retry-after", "1"),
    ];
    let limited =
        json!({ "type": "urn:graph-courier:problem:rate-limited", "title": "Too many requests" });
    let server = StandIn::start(move |_, before| match before {
        0 => answer(429, &problem, &limited),
        _ => json_answer(200, &page(&[], None)),
    })
    .await;
    let told = ask(&server.url, &["list"]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.stderr.contains("429 rate-limited") && told.stderr.contains("again in 1 s"),
        "{told:?}"
    );

    let elsewhere = StandIn::start(|_, _| json_answer(200, &page(&[], None))).await;
    let place = elsewhere.url.clone();
    for (status, headers, body, words) in [
        (
            429,
            vec![
                ("retry-after", "3600"),
                ("content-type", "application/problem+json"),
            ],
            json!({ "type": "x:rate-limited", "title": "Too many requests" }).to_string(),
            "try again in 1 h",
        ),
        (
            302,
            vec![("location", place.as_str())],
            String::new(),
            "redirects (302)",
        ),
        (
            404,
            vec![("content-type", "text/html")],
            "<html>".to_owned(),
            "does not answer like graph-courier",
        ),
        (
            200,
            vec![("content-type", "text/html")],
            "<html>".to_owned(),
            "without a document",
        ),
        (
            200,
            vec![("content-type", "application/json")],
            "{}".to_owned(),
            "is no list",
        ),
        (
            504,
            vec![("content-type", "text/html")],
            String::new(),
            "a gateway or a proxy",
        ),
    ] {
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let server = StandIn::start(move |_, _| {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            answer(status, &headers, &body)
        })
        .await;
        let told = ask(&server.url, &["list"]).await;
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.stderr.contains(words), "{words:?} not in {told:?}");
        assert_eq!(server.calls().len(), 1, "{status}");
    }
    assert!(elsewhere.calls().is_empty(), "the key was sent elsewhere");
}

#[tokio::test]
async fn many_completions_are_counted_before_they_are_delivered_again() {
    let answer_of = |asked: &Asked| {
        let next = (!asked.call.contains("cursor")).then_some("n");
        let dry = asked.call.contains("dryRun=true");
        json!({ "dryRun": dry, "filter": { "callback": "undeliverable", "operation": "team.schedule" }, "count": 2,
            "redelivered": [], "next": next })
    };
    let server = StandIn::start(move |asked, _| match asked.call.starts_with("POST") {
        true => json_answer(200, &answer_of(asked)),
        false => json_answer(200, &page(&[operation(&id(1), "failed", true)], None)),
    })
    .await;
    let path = "/v1/operations/callback/redeliver?";
    let dry = ask(
        &server.url,
        &["redeliver", "--operation", "team.schedule", "--dry-run"],
    )
    .await;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.stderr.contains("4 completion(s) would be"), "{dry:?}");
    assert!(dry.stdout.contains(&id(1)), "{dry:?}");
    let unasked = ask(&server.url, &["redeliver"]).await;
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    let posted = |calls: Vec<String>| {
        calls
            .into_iter()
            .filter(|call| call.starts_with("POST"))
            .collect::<Vec<_>>()
    };
    let calls = posted(server.calls());
    assert!(
        calls.iter().all(|call| call.contains("dryRun=true")),
        "{calls:?}"
    );
    let done = ask(
        &server.url,
        &["redeliver", "--since", "2026-11-20", "--yes"],
    )
    .await;
    assert_eq!(
        done.stdout, "4 completion(s) are delivered again\n",
        "{done:?}"
    );
    let calls = posted(server.calls());
    let last = format!("POST {path}since=2026-11-20T00%3A00%3A00.000Z&cursor=n");
    assert_eq!(calls.last(), Some(&last));
}

#[tokio::test]
async fn a_request_is_sent_as_the_api_says_and_names_its_client_key_and_note() {
    let server =
        StandIn::start(|_, _| json_answer(202, &operation(&id(1), "running", false))).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("parameters.json");
    std::fs::write(&file, r#"{ "teamId": "file", "actsAs": "file" }"#).unwrap();
    let arguments = [
        "submit",
        "team.schedule",
        "--parameters",
        file.to_str().unwrap(),
        "--param",
        "teamId=line",
        "--param",
        "n:=[1]",
        "--callback",
        "https://x.example/h",
        "--profile",
        "p",
        "--token",
        "t",
        "--deadline",
        "2026-12-20",
        "--for",
        "a",
        "--idempotency-key",
        "k 1",
    ];
    let told = ask(&server.url, &arguments).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    let told = ask(&server.url, &["submit", "x", "--reference", "R"]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    ask(&server.url, &["submit", "x"]).await;
    ask(&server.url, &["acknowledge", &id(1), "--note", "seen"]).await;
    let asked = server.asked();
    assert_eq!(asked[0].call, "POST /v1/operations?client=a");
    assert_eq!(
        asked[0].body,
        json!({ "operation": "team.schedule", "parameters": { "teamId": "line", "actsAs": "file", "n": [1] },
            "callback": { "url": "https://x.example/h", "profile": "p", "token": "t" }, "deadline": "2026-12-20T00:00:00.000Z" })
    );
    let key = |number: usize| asked[number].headers.get("idempotency-key");
    assert_eq!(key(0).unwrap(), "k 1");
    // A reference makes a repeat known; without one a key of its own does.
    assert_eq!(key(1), None);
    assert!(key(2).is_some());
    assert_eq!(
        asked[3].call,
        format!("POST /v1/operations/{}/acknowledge", id(1))
    );
    assert_eq!(asked[3].body, json!({ "note": "seen" }));
}

/// The server's clock may run ahead, as that of `courier dev --speed` does.
#[tokio::test]
async fn times_are_those_of_the_servers_clock() {
    let server = StandIn::start(|asked, _| {
        let ended = asked.call.contains(&id(2));
        let mut shown = operation(&asked.call[19..], "succeeded", ended);
        shown["deadline"] = "2099-11-21T20:12:30.000Z".into();
        let date = ("date", "Sat, 21 Nov 2099 20:00:00 GMT");
        let json = ("content-type", "application/json");
        answer(200, &[json, date], shown)
    })
    .await;
    let shown = ask(&server.url, &["show", &id(1)]).await;
    assert!(shown.stdout.contains("in 12 min"), "{shown:?}");
    let watched = ask(&server.url, &["watch", &id(2)]).await;
    assert!(
        watched.stdout.starts_with("2099-11-21T20:00:0"),
        "{watched:?}"
    );
}
