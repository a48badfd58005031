//! Every operation that files declare, from its start through its phases to each of its ends.

use std::fs;
use std::path::PathBuf;

use graph_simulator::Declared;
use serde_json::Value as Json;
use toml::Value;

use crate::world::*;

/// An operation's two files as a reader of their text sees them.
pub(crate) struct Files {
    pub(crate) declared: Declared,
    catalogue: Value,
    simulation: Value,
}

/// Reads every simulation of the shipped catalogue whose operation is there.
fn shipped() -> Vec<Files> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../courier-core/catalogue");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            let file = entry.unwrap().file_name().into_string().unwrap();
            Some(file.strip_suffix(".sim.toml")?.to_owned())
        })
        .collect();
    names.sort();
    let read = |name: String| {
        let text = |suffix: &str| fs::read_to_string(folder.join(format!("{name}{suffix}")));
        let (catalogue, simulation) = (text(".toml").ok()?, text(".sim.toml").unwrap());
        Some(Files {
            declared: Declared::read(&catalogue, &simulation)
                .unwrap_or_else(|error| panic!("{name}: {error}")),
            catalogue: toml::from_str(&catalogue).unwrap(),
            simulation: toml::from_str(&simulation).unwrap(),
        })
    };
    names.into_iter().filter_map(read).collect()
}

#[test]
fn every_simulation_is_embedded_and_read() {
    let embedded = Declared::shipped();
    let embedded: Vec<&str> = embedded.iter().map(|declared| declared.name()).collect();
    let files = shipped();
    let names: Vec<&str> = files.iter().map(|files| files.declared.name()).collect();
    assert_eq!(embedded, names);
}

#[tokio::test]
async fn every_operation_goes_through_its_phases_to_each_of_its_ends() {
    for files in shipped() {
        run(&files, None).await;
        let ends: Vec<String> = files.declared.ends().map(str::to_owned).collect();
        for end in ends {
            run(&files, Some(&end)).await;
        }
    }
}

/// Returns the files of one operation.
pub(crate) fn operation(name: &str) -> Files {
    let mut files = shipped().into_iter();
    let found = files.find(|files| files.declared.name() == name);
    found.unwrap_or_else(|| panic!("{name}.toml is not in the catalogue"))
}

/// Follows one job to its end, along the monitor that the catalogue names.
async fn run(files: &Files, end: Option<&str>) {
    let name = files.declared.name();
    let world = World::new().await;
    let token = files.token(&world).await;
    if let Some(end) = end {
        world.simulator.set_variant(name, end).unwrap();
    }
    let started = files.start(&world, &token).await;
    let monitor = files.monitor(&world, &token, &started).await;
    let anonymous = monitor.contains(&world.simulator.anonymous_address().to_string());
    let token = if anonymous { "" } else { &token };
    let mut seconds = 0;
    for phase in files.phases(end) {
        let at = phase["seconds"].as_integer().unwrap();
        world.advance(at - seconds);
        seconds = at;
        let reply = world.look(&monitor, token).await;
        let status = phase
            .get("status")
            .map_or(200, |status| status.as_integer().unwrap());
        assert_eq!(
            i64::from(reply.status),
            status,
            "{name} {end:?} {at}: {reply:?}"
        );
        assert!(!reply.text.contains("{{"), "{name}: {}", reply.text);
        if let Some(document) = phase.get("document") {
            let shown: Json = serde_json::from_str(document.as_str().unwrap()).unwrap();
            same_shape(&shown, &reply.json(), name);
        }
    }
    let job = &world.simulator.jobs()[0];
    let outcome = files
        .phases(end)
        .into_iter()
        .find_map(|phase| phase.get("outcome").cloned());
    let outcome = outcome
        .unwrap()
        .as_str()
        .unwrap()
        .replace("partially_s", "partiallyS");
    assert_eq!(
        (job.operation.as_str(), job.status.as_str()),
        (name, outcome.as_str())
    );
    let polls = world.simulator.calls(&format!("{name}.poll"));
    assert!(polls.len() >= files.phases(end).len(), "{name}: {polls:?}");
    assert!(
        polls
            .iter()
            .all(|entry| entry.authorization.is_some() != anonymous)
    );
    files.then(&world, outcome == "succeeded").await;
}

/// Checks that the answer is the document of the file, with something in place of its placeholders.
fn same_shape(document: &Json, answer: &Json, name: &str) {
    match (document, answer) {
        (Json::Object(document), Json::Object(answer)) => {
            for (key, value) in answer {
                let expected = document.get(key);
                let expected = expected.unwrap_or_else(|| panic!("{name} shows {key}"));
                same_shape(expected, value, name);
            }
        }
        (Json::Array(document), Json::Array(answer)) => {
            let repeated = document
                .iter()
                .any(|element| element.to_string().starts_with("{\"{{for"));
            assert!(
                repeated || document.len() == answer.len(),
                "{name}: {answer:?}"
            );
        }
        (Json::String(text), answer) if text.contains("{{") => {
            // Nothing stands for what the request leaves out.
            let optional = text.starts_with("{{body/");
            assert!(optional || !answer.is_null(), "{name}: nothing for {text}");
        }
        (document, answer) => assert_eq!(document, answer, "{name}"),
    }
}

impl Files {
    pub(crate) async fn token(&self, world: &World) -> String {
        match self.simulation.get("token").and_then(Value::as_str) {
            Some("delegated") => world.delegated().await,
            _ => world.application().await,
        }
    }

    /// Sends the documented request.
    pub(crate) async fn start(&self, world: &World, token: &str) -> Reply {
        let (method, path, body) = self.declared.example();
        let start = &self.simulation["start"];
        let media_type = start
            .get("content_type")
            .map_or("application/json", |text| text.as_str().unwrap());
        let headers = [("content-type", media_type)];
        let sent = world.send_with(method, &path, token, body, &headers);
        let reply = sent.await.unwrap();
        let status = start["status"].as_integer().unwrap();
        assert_eq!(
            i64::from(reply.status),
            status,
            "{}: {reply:?}",
            self.declared.name()
        );
        reply
    }

    /// Returns the address of the monitor, from the first source in the catalogue that gives one.
    pub(crate) async fn monitor(&self, world: &World, token: &str, started: &Reply) -> String {
        for source in self.catalogue["start"]["monitor"].as_array().unwrap() {
            match source.as_str().unwrap() {
                "location" => match started.header("location") {
                    Some(url) if url.starts_with('/') => return format!("/v1.0{url}"),
                    Some(url) => return url.to_owned(),
                    None => {}
                },
                "find" => return self.found(world, token).await,
                path => {
                    let answer = serde_json::from_str(&started.text).unwrap_or(Json::Null);
                    return self.filled(path, &answer);
                }
            }
        }
        panic!("{} has no monitor", self.declared.name());
    }

    /// Looks for the job as the catalogue says, and returns the monitor of the element that is ours.
    async fn found(&self, world: &World, token: &str) -> String {
        let find = &self.catalogue["find"];
        let mut url = self.filled(find["path"].as_str().unwrap(), &Json::Null);
        let job = world.simulator.jobs()[0].id.clone();
        loop {
            let reply = world.look(&url, token).await;
            assert_eq!(reply.status, 200, "{url}: {reply:?}");
            let json = reply.json();
            let monitor = find["monitor"].as_str().unwrap();
            let Some(items) = find.get("items") else {
                return self.filled(monitor, &json);
            };
            let items = json.pointer(items["at"].as_str().unwrap()).unwrap();
            let item = items
                .as_array()
                .unwrap()
                .iter()
                .find(|item| item["id"] == job.as_str());
            match item {
                Some(item) => return self.filled(monitor, item),
                None => url = reply.string("/@odata.nextLink"),
            }
        }
    }

    /// Fills the placeholders of a path in the catalogue.
    fn filled(&self, path: &str, answer: &Json) -> String {
        let (_, start, _) = self.declared.example();
        let template = self.catalogue["start"]["path"].as_str().unwrap();
        let mut path = path.to_owned();
        for (name, key) in template
            .split('/')
            .zip(start.trim_start_matches("/v1.0").split('/'))
        {
            path = path.replace(name.trim_matches('\''), key);
        }
        for name in ["{answer/id}", "{item/id}"] {
            path = path.replace(name, answer["id"].as_str().unwrap_or(name));
        }
        let path = path
            .replace("{since}", "2025-12-31T23:58:00Z")
            .replace(' ', "%20");
        format!("/v1.0{path}")
    }

    /// Returns the phases of a job with this end.
    fn phases(&self, end: Option<&str>) -> Vec<Value> {
        let mut phases = self.simulation["phase"].as_array().unwrap().clone();
        if let Some(end) = end {
            let end = self.simulation["end"][end].as_array().unwrap();
            let from = end[0]["seconds"].as_integer().unwrap();
            phases.retain(|phase| {
                phase.get("outcome").is_none() && phase["seconds"].as_integer().unwrap() < from
            });
            phases.extend(end.iter().cloned());
        }
        phases
    }

    /// Checks that what a success has made is seen some time after it, and what failed never.
    async fn then(&self, world: &World, succeeded: bool) {
        let Some(stages) = self.simulation.get("then") else {
            return;
        };
        let token = self.token(world).await;
        for stage in stages.as_array().unwrap() {
            let job = world.simulator.jobs()[0].clone();
            let path = stage["path"].as_str().unwrap();
            let body = self.declared.example().2.unwrap_or_default();
            let group = body
                .rsplit("groups('")
                .next()
                .unwrap()
                .split('\'')
                .next()
                .unwrap();
            let team = world.simulator.calls(&format!("{}.poll", job.operation));
            let team = team[0]
                .path
                .split('/')
                .find(|part| part.starts_with("teams("))
                .map_or("", |part| {
                    part.trim_start_matches("teams('").trim_end_matches("')")
                });
            let path = path
                .replace("{key/group@odata.bind}", group)
                .replace("{guid/team}", team);
            let before = world.get(&format!("/v1.0{path}?$select=id"), &token).await;
            assert_eq!(before.status, 404, "{path}: {before:?}");
            world.advance(stage["seconds"].as_integer().unwrap());
            let after = world
                .get(&format!("/v1.0{path}?$select=id,webUrl"), &token)
                .await;
            assert_eq!(
                after.status,
                if succeeded { 200 } else { 404 },
                "{path}: {after:?}"
            );
        }
    }
}
