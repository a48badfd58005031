//! What people do to operations by the console, and who may do it.

use courier_testkit::receiver;
use courier_testkit::world::{FABRIKAM_KEY, TICKETS_KEY, World};
use graph_simulator::{Action, Fault};

use super::{AUDITOR, NIGHT, Visitor, followed, operators};

#[tokio::test]
async fn an_operator_cancels_delivers_again_and_erases_after_a_page_that_says_what_will_happen() {
    let world = World::with(operators).await;
    let id = world.post(&world.schedule()).await.id();
    let visitor = Visitor::with_key(&world, NIGHT).await;
    visitor
        .get("/console")
        .await
        .has(&[id.as_str(), "tickets", "running"]);
    let page = format!("/console/operations/{id}");
    visitor
        .get(&page)
        .await
        .has(&["What happened", "Requested, and on disk", "/cancel\""]);
    let early = visitor.post(&format!("{page}/erase"), &[]).await;
    assert_eq!(early.status, 409);
    early.has(&["Not possible", "the operation is open"]);
    let cancel = format!("{page}/cancel");
    visitor
        .get(&cancel)
        .await
        .has(&["The job at Graph goes on", "method=\"post\""]);
    assert_eq!(
        world.operation(&id).await["status"],
        "running",
        "a page changes nothing"
    );
    let sent = visitor.post(&cancel, &[]).await;
    followed(&visitor, sent).await.has(&[
        "The operation is cancelled.",
        "by <bdi>operator night-shift</bdi>",
    ]);
    world.closed(&id).await;
    let sent = visitor.post(&format!("{page}/redeliver"), &[]).await;
    followed(&visitor, sent)
        .await
        .has(&["being delivered again"]);
    world.closed(&id).await;
    visitor.get(&page).await.has(&["Delivery attempts", "204"]);
    let sent = visitor.post(&format!("{page}/erase"), &[]).await;
    followed(&visitor, sent).await.has(&["is erased"]);
    assert!(world.operation(&id).await["erasedAt"].is_string());
}

#[tokio::test]
async fn the_receiver_is_changed_after_a_preview_and_errors_stand_at_their_fields() {
    let world = World::with(operators).await;
    world
        .simulator
        .set_durations(|durations| durations.schedule_seconds = 0.0);
    world.receiver.answer_next(receiver::Answer::status(410));
    let id = world.post(&world.schedule()).await.id();
    world.closed(&id).await;
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let path = format!("/console/operations/{id}/retarget");
    let url = world.receiver.url("/other");
    let empty = visitor.post(&path, &[("step", "preview")]).await;
    empty.has(&["must be filled in"]);
    let preview = visitor
        .post(&path, &[("step", "preview"), ("/url", &url)])
        .await;
    preview.has(&["sent there at once", &url, "stays"]);
    assert_eq!(
        world.receiver.journal().len(),
        1,
        "a preview changes nothing"
    );
    let refused = visitor
        .post(&path, &[("/url", "https://elsewhere.example/")])
        .await;
    assert_eq!(refused.status, 403);
    refused.has(&["aria-invalid=\"true\"", "https://elsewhere.example/"]);
    let sent = visitor.post(&path, &[("/url", &url)]).await;
    followed(&visitor, sent)
        .await
        .has(&["The receiver is changed."]);
    assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
}

#[tokio::test]
async fn many_completions_are_counted_and_listed_before_they_are_delivered_again() {
    let world = World::with(operators).await;
    world
        .simulator
        .set_durations(|durations| durations.schedule_seconds = 0.0);
    world.receiver.answer_next(receiver::Answer::status(410));
    let id = world.post(&world.schedule()).await.id();
    world.closed(&id).await;
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let fields = [("callback", "undeliverable"), ("client", "tickets")];
    let preview = visitor
        .get("/console/redeliver?callback=undeliverable&client=tickets")
        .await;
    preview.has(&["1 completion", &id, "Deliver it again"]);
    assert_eq!(
        world.operation(&id).await["callback"]["status"],
        "undeliverable"
    );
    let none = visitor
        .get("/console/redeliver?callback=undeliverable&client=hr")
        .await;
    none.has(&["Nothing is found"]);
    let wrong = visitor
        .get("/console/redeliver?callback=undeliverable&since=yesterday")
        .await;
    wrong.has(&["since", "must be an RFC 3339 time"]);
    let sent = visitor.post("/console/redeliver", &fields).await;
    sent.has(&["1 completion is being delivered again.", &id]);
    assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
}

#[tokio::test]
async fn an_unknown_outcome_is_acknowledged_with_a_note() {
    let world = World::with(operators).await;
    let elsewhere = Action::Location {
        value: Some("https://elsewhere.example/monitor".to_owned()),
        twice: false,
    };
    world
        .simulator
        .script(Fault::new("export.start", elsewhere));
    let id = world.post(&world.export("one")).await.id();
    assert_eq!(world.closed(&id).await["status"], "unknown");
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let path = format!("/console/operations/{id}/acknowledge");
    let empty = visitor.post(&path, &[]).await;
    assert_eq!(empty.status, 400);
    empty.has(&["aria-invalid=\"true\""]);
    let sent = visitor
        .post(&path, &[("/note", "The job <b>runs</b>.")])
        .await;
    let page = followed(&visitor, sent).await;
    page.has(&[
        "Your note is kept.",
        "The job &lt;b&gt;runs&lt;/b&gt;.",
        "operator night-shift",
    ]);
    assert!(!page.text.contains("/acknowledge\""), "it was acknowledged");
}

#[tokio::test]
async fn whoever_only_reads_sees_no_buttons_and_each_sees_its_own_operations() {
    let world = World::with(operators).await;
    let id = world.post(&world.schedule()).await.id();
    let page = format!("/console/operations/{id}");
    let auditor = Visitor::with_key(&world, AUDITOR).await;
    let shown = auditor.get(&page).await;
    shown.has(&["reads only", "What happened"]);
    for act in [
        "/cancel\"",
        "/retarget\"",
        "/console/new\"",
        "/console/redeliver\"",
    ] {
        assert!(!shown.text.contains(act), "{act}");
    }
    let refused = auditor.post(&format!("{page}/cancel"), &[]).await;
    assert_eq!(refused.status, 403);
    refused.has(&["This operator may only look"]);
    assert_eq!(world.operation(&id).await["status"], "running");
    let client = Visitor::with_key(&world, TICKETS_KEY).await;
    client.get(&page).await.has(&["/cancel\""]);
    let other = Visitor::with_key(&world, FABRIKAM_KEY).await;
    assert_eq!(other.get(&page).await.status, 404);
    assert!(!other.get("/console?status=").await.text.contains(&id));
    world.closed(&id).await;
}
