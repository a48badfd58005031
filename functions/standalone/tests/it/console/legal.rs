//! The legal due date, as a privacy officer sees it: in the list, in its filter and on the page of an operation.

use courier_testkit::world::World;
use serde_json::json;

use super::{NIGHT, Visitor, operators};

/// Asks for an export that answers a person's request of this day, and returns its id.
async fn export(world: &World, reference: &str, received_on: &str) -> String {
    let mut body = world.export(&reference.to_lowercase());
    body["reference"] = reference.into();
    body["legal"] = json!({
        "regulation": "gdpr", "receivedAt": format!("{received_on}T12:00:00Z"),
        "timeZone": "Europe/Berlin", "holidays": "de",
    });
    let answer = world.post(&body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.id()
}

/// Returns the names of the rows in the order of the page, each with the class that marks it.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let rows = page.split("<tr role=\"row\" data-status").skip(1);
    rows.map(|row| {
        let (head, rest) = row.split_once('>').unwrap();
        let class = head.split("class=\"").nth(1).unwrap_or_default();
        let name = rest.split("<bdi>").nth(1).unwrap();
        (name.split('<').next().unwrap(), class.trim_end_matches('"'))
    })
    .collect()
}

#[tokio::test]
async fn a_list_says_in_words_what_is_at_risk_or_overdue_by_law_and_finds_it() {
    // It is 2026-11-21, a Saturday.
    let world = World::with(operators).await;
    world
        .simulator
        .set_durations(|durations| durations.export_seconds = 1e6);
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let mut plain = world.export("plain");
    plain["reference"] = "PLAIN".into();
    world.post(&plain).await;
    let page = visitor.get("/console").await;
    assert!(!page.text.contains("columnheader\">Due by law"));

    export(&world, "CALM", "2026-11-13").await;
    let risky = export(&world, "RISKY", "2026-10-23").await;
    let late = export(&world, "LATE", "2026-10-09").await;
    let page = visitor.get("/console?status=open&sort=due").await;
    assert_eq!(
        rows(&page.text),
        [("LATE", "overdue"), ("RISKY", "risk"), ("CALM", "")]
    );
    page.has(&[
        "columnheader\">Due by law",
        "<time datetime=\"2026-11-09\"><bdi>2026-11-09</bdi></time> \
         <span class=\"badge overdue\">overdue by 12 days</span>",
        "<time datetime=\"2026-11-23\"><bdi>2026-11-23</bdi></time> \
         <span class=\"badge risk\">at risk: 2 days left</span>",
        "<span class=\"quiet\">23 days left</span>",
    ]);
    // The default view is in the order of another deadline, and marks the rows nevertheless.
    let page = visitor.get("/console").await;
    let mut marked = rows(&page.text);
    marked.sort_unstable();
    assert_eq!(
        marked,
        [
            ("CALM", ""),
            ("LATE", "overdue"),
            ("PLAIN", ""),
            ("RISKY", "risk")
        ]
    );
    for (due, expected) in [
        ("past", ["LATE"].as_slice()),
        ("7d", &["LATE", "RISKY"]),
        ("30d", &["LATE", "RISKY", "CALM"]),
    ] {
        let path = format!("/console?status=open&sort=due&due={due}");
        let page = visitor.get(&path).await;
        let names = rows(&page.text).into_iter().map(|(name, _)| name);
        assert_eq!(names.collect::<Vec<_>>(), expected, "{due}");
    }

    for (id, said) in [
        (&late, "overdue by 12 days"),
        (&risky, "at risk: 2 days left"),
    ] {
        let page = visitor.get(&format!("/console/operations/{id}")).await;
        let (head, _) = page.text.split_once("class=\"acts\"").unwrap();
        assert!(head.contains("Due by law") && head.contains(said), "{head}");
    }
    // Nobody is warned of a clock that stands still.
    let path = format!("/console/operations/{risky}/legal-pause");
    let stopped = visitor.post(&path, &[("/reason", "who is it?")]).await;
    assert_eq!(stopped.status, 303, "{}", stopped.text);
    let page = visitor.get("/console?status=open&sort=due").await;
    assert_eq!(rows(&page.text)[1], ("RISKY", ""));
    page.has(&["<span class=\"badge waits\">stopped</span>"]);
}
