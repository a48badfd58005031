//! Starts whose answer was lost or names no job: the job is looked for before anything is sent again.

use std::time::Duration;

use courier_testkit::tenants::config_with_all_operations;
use courier_testkit::world::World;
use graph_simulator::{Action, Fault};
use serde_json::Value;

use super::{request, world};

/// Starts an operation whose start meets `fault`, and returns it when it has ended.
async fn ended_after(world: &World, name: &str, fault: Option<Action>) -> Value {
    if let Some(action) = fault {
        let on = format!("{name}.start");
        world.simulator.script(Fault::new(&on, action));
    }
    let answer = world.post(&request(world, name)).await;
    assert!([200, 202].contains(&answer.status), "{name}: {answer:?}");
    world.closed(&answer.id()).await
}

fn starts(world: &World, name: &str) -> usize {
    world.simulator.calls(&format!("{name}.start")).len()
}

async fn history(world: &World, operation: &Value) -> Vec<String> {
    world.history(operation["id"].as_str().unwrap()).await
}

#[tokio::test]
async fn a_start_that_is_sent_once_is_found_after_its_answer_was_lost() {
    for name in ["lifecycle.runWorkflow", "device.wipe"] {
        let world = world().await;
        let ended = ended_after(&world, name, Some(Action::LostAfter)).await;
        assert_eq!(ended["status"], "succeeded", "{name}: {ended}");
        assert_eq!(
            (starts(&world, name), world.simulator.jobs().len()),
            (1, 1),
            "{name}"
        );
        let history = history(&world, &ended).await;
        let looked = ["startAnswerLost", "jobLookedFor", "jobFound", "started"];
        let found: Vec<&String> = history
            .iter()
            .filter(|line| looked.contains(&line.as_str()))
            .collect();
        assert_eq!(found, looked, "{name}: {history:?}");
    }
}

#[tokio::test]
async fn a_start_that_is_sent_once_ends_as_unknown_when_no_job_of_it_appears() {
    for name in ["lifecycle.runWorkflow", "device.wipe", "team.create"] {
        let world = world().await;
        let ended = ended_after(&world, name, Some(Action::LostBefore)).await;
        assert_eq!(ended["status"], "unknown", "{name}: {ended}");
        assert_eq!(ended["reason"], "start_outcome_unknown", "{name}");
        assert_eq!(
            (starts(&world, name), world.simulator.jobs().len()),
            (1, 0),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_start_that_may_be_repeated_is_looked_for_first() {
    let names = [
        "ediscovery.exportResult",
        "ediscovery.purge",
        "ediscovery.estimate",
        "access.request",
        "role.assign",
        "audit.query",
        "subjectRights.request",
        "backup.restore",
        "tenant.snapshot",
        "device.retire",
    ];
    for name in names {
        let (found, repeated) = (world().await, world().await);
        let ended = ended_after(&found, name, Some(Action::LostAfter)).await;
        assert_eq!(
            ended["status"],
            "succeeded",
            "{name}: {ended} {:?}",
            history(&found, &ended).await
        );
        assert_eq!(
            (starts(&found, name), found.simulator.jobs().len()),
            (1, 1),
            "{name}"
        );
        let ended = ended_after(&repeated, name, Some(Action::LostBefore)).await;
        assert_eq!(
            ended["status"],
            "succeeded",
            "{name}: {ended} {:?}",
            history(&repeated, &ended).await
        );
        assert_eq!(
            (starts(&repeated, name), repeated.simulator.jobs().len()),
            (2, 1),
            "{name}"
        );
        let line = "jobNotFound".to_owned();
        assert!(history(&repeated, &ended).await.contains(&line), "{name}");
    }
}

#[tokio::test]
async fn nothing_is_sent_again_while_nobody_can_look_for_the_job() {
    let world = world().await;
    let unavailable = Fault::new("audit.query.find", Action::status_only(503)).times(5);
    world.simulator.script(unavailable);
    let ended = ended_after(&world, "audit.query", Some(Action::LostAfter)).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(
        (starts(&world, "audit.query"), world.simulator.jobs().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn an_accepted_start_that_names_no_job_is_looked_for_until_it_appears() {
    for (name, variant) in [
        ("ediscovery.estimate", "204+lag=60"),
        ("ediscovery.exportResult", "no-location+lag=60"),
        ("lifecycle.runWorkflow", "lag=90"),
    ] {
        let world = world().await;
        world.simulator.set_variant(name, variant).unwrap();
        let answer = world.post(&request(&world, name)).await;
        assert_eq!(answer.body["status"], "starting", "{name}: {answer:?}");
        let ended = world.closed(&answer.id()).await;
        assert_eq!(ended["status"], "succeeded", "{name}: {ended}");
        assert_eq!(
            (starts(&world, name), world.simulator.jobs().len()),
            (1, 1),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_accepted_start_whose_job_never_appears_ends_as_unknown_at_the_deadline() {
    let world = world().await;
    world
        .simulator
        .set_variant("lifecycle.runWorkflow", "lag=9000000")
        .unwrap();
    let answer = world.post(&request(&world, "lifecycle.runWorkflow")).await;
    world.advance(Duration::from_secs(3600)).await;
    let waiting = world.operation(&answer.id()).await;
    assert_eq!(
        (&waiting["status"], &waiting["reason"]),
        (&"starting".into(), &"start_untrackable".into())
    );
    let ended = world.closed(&answer.id()).await;
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&"unknown".into(), &"start_untrackable".into())
    );
    assert_eq!(starts(&world, "lifecycle.runWorkflow"), 1);
}

#[tokio::test]
async fn a_team_that_is_there_already_is_the_success_of_a_repeated_start() {
    let world = world().await;
    let ended = ended_after(&world, "team.fromGroup", Some(Action::LostAfter)).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["adopted"], true);
    assert!(ended["result"]["webUrl"].is_string(), "{ended}");
    assert_eq!(world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn a_group_that_is_too_young_is_asked_for_again_until_it_can_become_a_team() {
    for variant in ["early", "early-processed"] {
        let world = world().await;
        world
            .simulator
            .set_variant("team.fromGroup", variant)
            .unwrap();
        let ended = ended_after(&world, "team.fromGroup", None).await;
        assert_eq!(ended["status"], "succeeded", "{variant}: {ended}");
        assert!(starts(&world, "team.fromGroup") > 1, "{variant}");
        assert!(
            history(&world, &ended)
                .await
                .contains(&"startTooEarly".to_owned())
        );
    }
}

#[tokio::test]
async fn a_list_whose_second_page_does_not_come_proves_no_absence() {
    let world = World::with(|setup| {
        setup.config = config_with_all_operations();
        setup.timeouts.graph = Duration::from_millis(500);
    })
    .await;
    let hang = Action::Hang { processed: false };
    let pages = Fault::new("audit.query.find", hang).path_contains("skip");
    world.simulator.script(pages.times(0));
    let lost = Fault::new("audit.query.start", Action::LostBefore);
    world.simulator.script(lost);
    let answer = world.post(&request(&world, "audit.query")).await;
    // The job would have appeared within five minutes.
    for _ in 0..3 {
        world.advance(Duration::from_secs(600)).await;
    }
    let waiting = world.operation(&answer.id()).await;
    assert_eq!(waiting["status"], "starting", "{waiting}");
    assert_eq!(waiting["reason"], "no_usable_answer");
    assert_eq!(starts(&world, "audit.query"), 1);
}

#[tokio::test]
async fn a_look_that_the_token_does_not_permit_says_which_permission_is_missing() {
    let world = world().await;
    let denied = Fault::new("audit.query.find", Action::status_only(403));
    world.simulator.script(denied.times(0));
    let lost = Fault::new("audit.query.start", Action::LostAfter);
    world.simulator.script(lost);
    let answer = world.post(&request(&world, "audit.query")).await;
    world.advance(Duration::from_secs(60)).await;
    let waiting = world.operation(&answer.id()).await;
    assert_eq!(waiting["reason"], "authorization_lost", "{waiting}");
    let path = format!("/v1/operations/{}/history", answer.id());
    let history = world.get(&path).await.body.to_string();
    assert!(history.contains("AuditLogsQuery.Read.All"), "{history}");
}
