//! The variants of declared operations: each once, and each way to choose one.

use graph_simulator::{Action, Fault, Options};
use reqwest::Method;

use crate::declared::{Files, operation};
use crate::world::*;

/// A world with one operation of the catalogue, and a token for it.
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) files: Files,
    pub(crate) token: String,
}

impl Case {
    pub(crate) async fn new(name: &str, variant: &str) -> Self {
        let world = World::new().await;
        world.simulator.set_variant(name, variant).unwrap();
        let files = operation(name);
        let token = files.token(&world).await;
        Self {
            world,
            files,
            token,
        }
    }

    /// Sends the documented request, whatever the answer.
    pub(crate) async fn request(&self) -> Reply {
        let (method, path, body) = self.files.declared.example();
        let sent = self.world.send(method, &path, &self.token, body);
        sent.await.unwrap()
    }

    /// Starts a job and returns the address of its monitor.
    pub(crate) async fn started(&self) -> String {
        let started = self.files.start(&self.world, &self.token).await;
        self.files.monitor(&self.world, &self.token, &started).await
    }

    pub(crate) async fn look(&self, url: &str) -> Reply {
        self.world.look(url, &self.token).await
    }
}

#[tokio::test]
async fn start_names_no_job_without_a_location() {
    let case = Case::new("team.create", "no-location").await;
    let started = case.request().await;
    assert_eq!((started.status, started.header("location")), (202, None));
    assert_eq!(case.world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn start_without_content_is_a_204() {
    let case = Case::new("ediscovery.estimate", "204").await;
    let started = case.request().await;
    assert_eq!((started.status, started.header("location")), (204, None));
    assert_eq!(started.text, "");
}

#[tokio::test]
async fn answer_can_be_terminal_at_once() {
    let case = Case::new("role.assign", "terminal-at-once").await;
    let started = case.request().await;
    assert_eq!(started.status, 201);
    assert_eq!(started.string("/status"), "Provisioned");
    assert_eq!(case.world.simulator.jobs()[0].status, "succeeded");
}

#[tokio::test]
async fn document_can_come_in_an_envelope_or_without_its_own() {
    for (name, variant, status) in [
        ("team.archive", "envelope", "/value/status"),
        ("device.exportReport", "envelope", "/value/status"),
        ("phone.assignNumber", "ordinary", "/value/status"),
        ("phone.assignNumber", "bare", "/status"),
    ] {
        let case = Case::new(name, variant).await;
        let monitor = case.started().await;
        assert_eq!(
            case.look(&monitor).await.string(status),
            "notStarted",
            "{name}"
        );
    }
}

#[tokio::test]
async fn success_can_be_a_redirect_or_a_400() {
    for (variant, expected) in [("on-graph+redirect", 303), ("on-graph+monitor-400", 400)] {
        let case = Case::new("drive.copyItem", variant).await;
        let monitor = case.started().await;
        assert_eq!(case.look(&monitor).await.status, 202);
        case.world.advance(20);
        let ended = case.look(&monitor).await;
        assert_eq!(ended.status, expected, "{ended:?}");
        if expected == 303 {
            assert!(ended.location().contains("/items/"), "{ended:?}");
            assert!(ended.location().contains("tempauth="), "{ended:?}");
        } else {
            assert_eq!(ended.string("/error/code"), "invalidRequest");
        }
    }
    let case = Case::new("team.archive", "monitor-400").await;
    let monitor = case.started().await;
    case.world.advance(20);
    assert_eq!(case.look(&monitor).await.status, 400);
}

#[tokio::test]
async fn monitor_lags_and_is_forgotten() {
    let case = Case::new("team.archive", "lag=7").await;
    let monitor = case.started().await;
    assert_eq!(case.look(&monitor).await.status, 404);
    case.world.advance(7);
    assert_eq!(case.look(&monitor).await.status, 200);
    for (variant, status) in [("gone", 410), ("forgotten", 404)] {
        let case = Case::new("team.archive", variant).await;
        let monitor = case.started().await;
        case.world.advance(79);
        assert_eq!(case.look(&monitor).await.status, 200);
        case.world.advance(1);
        assert_eq!(case.look(&monitor).await.status, status);
    }
    let case = Case::new("team.archive", "gone=3").await;
    let monitor = case.started().await;
    case.world.advance(3);
    assert_eq!(case.look(&monitor).await.status, 410);
}

#[tokio::test]
async fn job_that_lags_is_not_found_either() {
    let case = Case::new("tenant.snapshot", "lag=30").await;
    case.request().await;
    let list = "/v1.0/admin/configurationManagement/configurationSnapshotJobs";
    let elements = |reply: Reply| reply.json()["value"].as_array().unwrap().len();
    assert_eq!(elements(case.look(list).await), 2);
    case.world.advance(30);
    assert_eq!(elements(case.look(list).await), 3);
}

#[tokio::test]
async fn monitor_on_another_host_takes_no_token() {
    let case = Case::new("drive.copyItem", "ordinary").await;
    let monitor = case.started().await;
    let there = case.world.simulator.anonymous_address();
    assert!(
        monitor.starts_with(&format!("http://{there}/_api/v2.0/monitor/")),
        "{monitor}"
    );
    assert_eq!(case.look(&monitor).await.status, 401);
    assert_eq!(case.world.look(&monitor, "").await.status, 202);
    // It is there and nowhere else, and there is nothing else.
    let path = monitor.split_once(&there.to_string()).unwrap().1;
    for other in [format!("/v1.0{path}"), path.to_owned()] {
        assert!(
            [400, 404].contains(&case.look(&other).await.status),
            "{other}"
        );
    }
    let token = format!("http://{there}/contoso/oauth2/v2.0/token");
    assert_eq!(case.world.get(&token, "").await.status, 404);
    let polls = case.world.simulator.calls("drive.copyItem.poll");
    let polls: Vec<_> = polls.iter().filter(|poll| poll.path == path).collect();
    assert_eq!(polls.len(), 2, "{polls:?}");
    assert_eq!(polls[0].headers["host"], there.to_string());
    assert_eq!(
        polls[0]
            .authorization
            .as_deref()
            .map(|label| label.starts_with("app:")),
        Some(true)
    );
    assert_eq!(polls[1].authorization, None);
}

#[tokio::test]
async fn location_can_be_moved() {
    for (variant, begins) in [
        ("relative", "/teams("),
        ("absolute", "http://"),
        ("on-graph", "http://"),
        ("anonymous", "http://"),
    ] {
        let case = Case::new("team.create", variant).await;
        let location = case.request().await.location();
        assert!(location.starts_with(begins), "{variant}: {location}");
        let there = case.world.simulator.anonymous_address().to_string();
        let anonymous = location.contains(&there);
        assert_eq!(anonymous, variant == "anonymous", "{location}");
        if begins == "http://" {
            let token = if anonymous { "" } else { &case.token };
            assert_eq!(case.world.look(&location, token).await.status, 200);
        }
    }
}

#[tokio::test]
async fn lost_start_is_found_again() {
    let case = Case::new("audit.query", "ordinary").await;
    let fault = Fault::new("audit.query.start", Action::LostAfter);
    case.world.simulator.script(fault);
    let (method, path, body) = case.files.declared.example();
    let lost = case.world.send(method, &path, &case.token, body).await;
    assert!(lost.is_err());
    let job = &case.world.simulator.jobs()[0];
    let mut page = "/v1.0/security/auditLog/queries".to_owned();
    let mut pages = 0;
    loop {
        let reply = case.look(&page).await;
        pages += 1;
        let json = reply.json();
        let found = json["value"]
            .as_array()
            .unwrap()
            .iter()
            .any(|query| query["id"] == job.id.as_str());
        if found {
            assert!(json.get("@odata.nextLink").is_none());
            break;
        }
        page = reply.string("/@odata.nextLink");
    }
    assert_eq!(pages, 2);
    let starts = case.world.simulator.calls("audit.query.start");
    assert_eq!(starts[0].status, None);
    assert_eq!(starts[0].fault.as_deref(), Some("lost_after"));
    assert_eq!(case.world.simulator.calls("audit.query.find").len(), 2);
}

#[tokio::test]
async fn variant_is_chosen_by_the_script_by_http_and_in_the_request() {
    let script = "[variant]\n\"team.archive\" = \"failed\"\n[durations]\ncatalogue_factor = 0.1";
    let chosen = Options::from_toml(script, still()).unwrap();
    let world = World::with(|options| {
        options.variants = chosen.variants;
        options.durations = chosen.durations;
    })
    .await;
    let files = operation("team.archive");
    let token = files.token(&world).await;
    let archive = async |body: &str| {
        let (_, path, _) = files.declared.example();
        let started = world.post(&path, &token, body).await;
        world.advance(2);
        let ended = world
            .look(&format!("/v1.0{}", started.location()), &token)
            .await;
        ended.string("/status")
    };
    assert_eq!(archive("{}").await, "failed");
    assert_eq!(
        archive(r#"{"note":"Project X (simulate:ordinary)"}"#).await,
        "succeeded"
    );
    let choice = r#"{"operation":"team.archive","variant":"ordinary"}"#;
    assert_eq!(world.post("/__variant", "", choice).await.status, 204);
    assert_eq!(archive("{}").await, "succeeded");
    world
        .simulator
        .set_behaviour(|behaviour| behaviour.failing = vec!["c37c9b61".to_owned()]);
    assert_eq!(archive("{}").await, "failed");
    for wrong in [
        r#"{"operation":"team.archive","variant":"nearly"}"#,
        r#"{"operation":"team.achive","variant":"failed"}"#,
    ] {
        let refused = world.post("/__variant", "", wrong).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text.contains("has no variant"), "{refused:?}");
    }
}

#[tokio::test]
async fn job_can_be_ended_by_hand() {
    for (word, status) in [
        ("failed", "failed"),
        ("succeeded", "succeeded"),
        ("strange", "strange"),
    ] {
        let case = Case::new("team.create", "ordinary").await;
        let monitor = case.started().await;
        let job = case.world.simulator.jobs()[0].id.clone();
        assert!(case.world.simulator.finish(&job, word));
        assert_eq!(case.look(&monitor).await.string("/status"), status);
        assert_eq!(case.world.simulator.jobs()[0].status, word);
    }
}

#[tokio::test]
async fn word_is_put_where_the_status_is() {
    let case = Case::new("access.request", "ordinary").await;
    let monitor = case.started().await;
    let word = Action::Word {
        value: "unheardOf".to_owned(),
    };
    case.world
        .simulator
        .script(Fault::new("access.request.poll", word));
    assert_eq!(case.look(&monitor).await.string("/state"), "unheardOf");
    assert_eq!(case.look(&monitor).await.string("/state"), "submitted");
    let missing = case
        .world
        .send(Method::DELETE, &monitor, &case.token, None)
        .await
        .unwrap();
    assert_eq!(missing.status, 400);
}

#[tokio::test]
async fn job_can_go_on_for_ever() {
    let case = Case::new("access.request", "endless").await;
    let monitor = case.started().await;
    case.world.advance(365 * 86_400);
    // The first token has had its day.
    let token = case.world.application().await;
    let seen = case.world.look(&monitor, &token).await;
    assert_eq!(seen.string("/state"), "delivering");
    assert_eq!(case.world.simulator.jobs()[0].status, "running");
}
