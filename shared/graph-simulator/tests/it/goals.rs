//! The course of a goals export over time.

use graph_simulator::Timestamps;

use crate::world::*;

#[tokio::test]
async fn location_is_quoted_lower_case_and_not_made_of_the_body_id() {
    let world = World::new().await;
    let token = world.delegated().await;
    let started = world.start_goals(&token).await;
    let location = started.header("location").unwrap();
    let start = format!(
        "\"{}/beta/employeeexperience/goals/exportJobs/j!",
        world.simulator.base_url()
    );
    assert!(
        location.starts_with(&start) && location.ends_with('"'),
        "{location}"
    );
    let id = started.string("/id");
    assert!(!location.contains(&id));
    let by_id = world.get(&format!("{GOALS}/{id}"), &token).await;
    assert_eq!(
        (by_id.status, by_id.string("/error/message").as_str()),
        (400, "Invalid JobKey specified")
    );
    assert_eq!(by_id.string("/error/innerError/code"), "unknown");
}

#[tokio::test]
async fn job_runs_succeeds_and_hands_out_its_content() {
    let world = World::new().await;
    let token = world.delegated().await;
    let monitor = world.start_goals(&token).await.location();
    let running = world.get(&monitor, &token).await;
    assert_eq!(running.string("/value/status"), "running");
    assert_eq!(running.header("retry-after"), Some("60"));
    assert!(running.json()["value"].get("resourceLocation").is_none());
    assert_eq!(
        world
            .get(&format!("{monitor}/content"), &token)
            .await
            .status,
        404
    );
    world.advance(120);
    let done = world.get(&monitor, &token).await;
    assert_eq!(done.string("/value/status"), "succeeded");
    assert_eq!(done.header("retry-after"), None);
    assert_eq!(
        done.string("/value/createdDateTime"),
        "2026-01-01T00-00-00.0000Z"
    );
    assert_eq!(
        done.string("/value/expirationDateTime"),
        "2026-02-10T00-00-00.0000Z"
    );
    let content = world
        .get(&done.string("/value/resourceLocation"), &token)
        .await;
    assert_eq!(content.header("content-type"), Some("text/csv"));
    assert!(content.text.starts_with("Title,"));
}

#[tokio::test]
async fn pending_job_is_named_by_the_conflict_until_it_ends() {
    let world = World::new().await;
    let token = world.delegated().await;
    let first = world.start_goals(&token).await;
    let second = world.start_goals(&token).await;
    assert_eq!(second.status, 409);
    assert_eq!(second.header("location"), first.header("location"));
    let key = second.string("/error/target");
    assert!(first.location().ends_with(&key));
    assert_eq!(
        second.string("/error/innererror/code"),
        "exportJobAlreadyExists"
    );
    assert_eq!(
        world.simulator.calls("goals.start")[1].job.as_ref(),
        Some(&key)
    );
    world.advance(120);
    assert_eq!(world.start_goals(&token).await.status, 201);
    assert_eq!(world.simulator.jobs().len(), 2);
}

#[tokio::test]
async fn another_view_of_the_same_organization_is_another_job() {
    let world = World::new().await;
    let token = world.delegated().await;
    assert_eq!(world.start_goals(&token).await.status, 201);
    let other = goals_body().replace(VIEW, USER);
    assert_eq!(world.post(GOALS, &token, &other).await.status, 201);
}

#[tokio::test]
async fn application_token_is_forbidden() {
    let world = World::new().await;
    let token = world.application().await;
    assert_eq!(world.start_goals(&token).await.status, 403);
    assert!(world.simulator.jobs().is_empty());
}

#[tokio::test]
async fn job_is_gone_after_its_expiration() {
    let world = World::with(|options| options.durations.access_token_seconds = u32::MAX).await;
    let token = world.delegated().await;
    let monitor = world.start_goals(&token).await.location();
    world.advance(40 * 86_400 - 1);
    assert_eq!(world.get(&monitor, &token).await.status, 200);
    world.advance(1);
    let gone = world.get(&monitor, &token).await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.string("/error/innerError/code"), "exportJobNotFound");
}

#[tokio::test]
async fn list_can_be_filtered_by_organization() {
    let world = World::new().await;
    let token = world.delegated().await;
    world.start_goals(&token).await;
    for (organization, count) in [(ORGANIZATION, 1), (USER, 0)] {
        let path = format!("{GOALS}?$filter=goalsOrganizationId%20eq%20'{organization}'");
        let list = world.get(&path, &token).await;
        assert_eq!(list.json()["value"].as_array().unwrap().len(), count);
    }
}

#[tokio::test]
async fn bare_entity_bare_location_and_iso_timestamps_can_be_had() {
    let world = World::with(|options| {
        let goals = &mut options.behaviour.goals;
        goals.envelope = false;
        goals.location_quoted = false;
        goals.timestamps = Timestamps::Iso;
        goals.retry_after_poll = Some("2.5".to_owned());
    })
    .await;
    let token = world.delegated().await;
    let started = world.start_goals(&token).await;
    let reply = world.get(started.header("location").unwrap(), &token).await;
    assert_eq!(reply.string("/status"), "running");
    assert_eq!(reply.string("/createdDateTime"), "2026-01-01T00:00:00Z");
    assert_eq!(reply.header("retry-after"), Some("2.5"));
}

#[tokio::test]
async fn version_one_has_no_goals() {
    let world = World::new().await;
    let token = world.delegated().await;
    let reply = world.get(&GOALS.replace("beta", "v1.0"), &token).await;
    assert_eq!(reply.status, 400);
}
