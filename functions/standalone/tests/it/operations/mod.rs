//! The operations of the catalogue on the simulated Graph, with the requests that their pages show.

mod documented;
mod elsewhere;
mod endings;
mod losses;
mod own;
mod secrets;

use std::fs;
use std::path::Path;

use courier_testkit::tenants::config_with_all_operations;
use courier_testkit::world::World;
use serde_json::Value;

/// A World whose client may ask for every operation.
async fn world() -> World {
    World::with(|setup| setup.config = config_with_all_operations()).await
}

/// Returns the requests of the pages in `docs/operations`, by the name of the operation.
fn documented_requests() -> Vec<(String, Value)> {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations");
    let mut requests = Vec::new();
    for page in fs::read_dir(pages).unwrap() {
        let text = fs::read_to_string(page.unwrap().path()).unwrap();
        for section in text.split("\n## ").skip(1) {
            let name = section.lines().next().unwrap().to_owned();
            let Some((_, example)) = section.split_once("```json\n{ \"operation\"") else {
                continue;
            };
            let example = format!("{{ \"operation\"{}", example.split("```").next().unwrap());
            let request: Value = serde_json::from_str(&example)
                .unwrap_or_else(|error| panic!("{name}: {error}: {example}"));
            assert_eq!(request["operation"], name.as_str());
            requests.push((name, request));
        }
    }
    requests.sort_by(|a, b| a.0.cmp(&b.0));
    requests
}

/// Returns the documented request of an operation, with the receiver of this World.
fn request(world: &World, name: &str) -> Value {
    let requests = documented_requests();
    let found = requests.into_iter().find(|(found, _)| found == name);
    let (_, mut request) = found.unwrap_or_else(|| panic!("no page has a request for {name}"));
    request["callback"] = world.callback();
    request
}
