//! No client observes another's operation (I10): random calls of the API as three clients, two of which share a tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use courier_testkit::tenants::sas;
use courier_testkit::world::{Answer, FABRIKAM_KEY, HR_KEY, TICKETS_KEY, World};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const CLIENTS: [Client; 3] = [
    Client {
        key: TICKETS_KEY,
        name: "tickets",
        tenant: 1,
    },
    Client {
        key: HR_KEY,
        name: "hr",
        tenant: 1,
    },
    Client {
        key: FABRIKAM_KEY,
        name: "fabrikam",
        tenant: 2,
    },
];
const OPERATIONS: [&str; 3] = [
    "user.exportPersonalData",
    "goals.exportJob",
    "team.schedule",
];

struct Client {
    key: &'static str,
    name: &'static str,
    tenant: u32,
}

/// One action of a client.
#[derive(Debug, Clone)]
enum Action {
    /// Requests an operation on a resource, with one of a few keys or references that all clients use.
    Start(usize, u32, Repeat),
    /// Makes one of four calls on the operation at this index among all clients' operations.
    Call(&'static str, &'static str, Index),
    /// Lists operations with this query.
    List(&'static str),
    /// Lists operations from a cursor of any client.
    NextPage(Index),
    /// Advances the clock by this many seconds.
    Wait(u64),
}

/// Number of the shared idempotency key or reference that a request uses.
#[derive(Debug, Clone)]
enum Repeat {
    Key(u32),
    Reference(u32),
}

fn actions() -> impl Strategy<Value = Vec<(usize, Action)>> {
    let repeat = prop_oneof![
        (0..4_u32).prop_map(Repeat::Key),
        (0..4_u32).prop_map(Repeat::Reference)
    ];
    let call = select(vec![
        ("GET", ""),
        ("GET", "/history"),
        ("POST", "/cancel"),
        ("POST", "/callback/redeliver"),
    ]);
    let filter = select(vec![
        "",
        "?status=running",
        "?status=succeeded",
        "?operation=goals.exportJob",
        "?reference=shared-1",
    ]);
    let action = prop_oneof![
        4 => (0..OPERATIONS.len(), 0..3_u32, repeat).prop_map(|(operation, resource, repeat)| Action::Start(operation, resource, repeat)),
        6 => (call, any::<Index>()).prop_map(|((method, part), at)| Action::Call(method, part, at)),
        2 => filter.prop_map(Action::List),
        2 => any::<Index>().prop_map(Action::NextPage),
        2 => select(vec![1, 60, 4_000]).prop_map(Action::Wait),
    ];
    prop::collection::vec((0..CLIENTS.len(), action), 120)
}

/// Runs a few long sequences rather than many short ones, because later calls meet the operations of earlier ones.
#[test]
fn no_client_reads_changes_or_receives_anothers_operation() {
    let config = Config {
        cases: 4,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Config::default()
    };
    let runtime = Runtime::new().unwrap();
    let result = TestRunner::new(config).run(&actions(), |actions| {
        runtime.block_on(walk(&actions));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

async fn walk(actions: &[(usize, Action)]) {
    let mut walk = Walk::new().await;
    for (client, action) in actions {
        walk.take(&CLIENTS[*client], action).await;
    }
    walk.end().await;
}

/// A World and what the clients have done in it so far.
struct Walk {
    world: World,
    /// Client that owns each operation, by the operation's id.
    owners: BTreeMap<String, &'static str>,
    /// Keys that each client has used, and references together with their operation.
    used: BTreeSet<(&'static str, String)>,
    cursors: Vec<String>,
}

impl Walk {
    async fn new() -> Self {
        let everything = format!(
            "operations = {OPERATIONS:?}\ncallback_origins = [\"{{receiver}}\"]\nsigning_secrets = [\"env:SIGNING_NEW\", \"env:SIGNING_OLD\"]"
        );
        let world = World::with(|setup| {
            setup.config = setup
                .config
                .replace(
                    "operations = [\"team.schedule\", \"goals.exportJob\"]",
                    &everything,
                )
                .replace("operations = [\"team.schedule\"]", &everything)
                .replace(
                    "tenant_id = \"fabrikam.example\"",
                    "tenant_id = \"fabrikam.example\"\nrefresh_token = \"env:REFRESH_TOKEN\"",
                );
        })
        .await;
        Self {
            world,
            owners: BTreeMap::new(),
            used: BTreeSet::new(),
            cursors: Vec::new(),
        }
    }

    async fn take(&mut self, client: &'static Client, action: &Action) {
        match action {
            Action::Start(operation, resource, repeat) => {
                self.start(client, OPERATIONS[*operation], *resource, repeat)
                    .await;
            }
            Action::Call(method, part, at) => self.call_any(client, method, part, at).await,
            Action::List(query) => self.list(client, query).await,
            Action::NextPage(at) if !self.cursors.is_empty() => {
                let cursor = at.get(&self.cursors).clone();
                self.list(client, &format!("?cursor={cursor}")).await;
            }
            Action::NextPage(_) => {}
            Action::Wait(seconds) => self.world.advance(Duration::from_secs(*seconds)).await,
        }
    }

    async fn start(
        &mut self,
        client: &'static Client,
        operation: &str,
        resource: u32,
        repeat: &Repeat,
    ) {
        let mut body = body(&self.world, client, operation, resource);
        let answer = match repeat {
            Repeat::Key(key) => {
                let key = format!("shared-{key}");
                let headers = [("x-api-key", client.key), ("idempotency-key", &key)];
                self.world.post_with(&headers, &body).await
            }
            Repeat::Reference(reference) => {
                body["reference"] = format!("shared-{reference}").into();
                self.world
                    .post_with(&[("x-api-key", client.key)], &body)
                    .await
            }
        };
        let used = match repeat {
            Repeat::Key(key) => format!("key {key}"),
            Repeat::Reference(reference) => format!("{operation} {reference}"),
        };
        let first = self.used.insert((client.name, used));
        let is_problem = answer.status == 422;
        if is_problem && answer.problem() == "idempotency-key-reused" {
            assert!(!first, "{answer:?}");
            return self.check_answer(client, &answer);
        }
        let id = answer.id();
        let owner = self.owners.get(&id).copied();
        let replayed = answer.header("idempotency-replayed").is_some();
        // A refused start frees its key: the operation that follows it belongs to the same client.
        let document = if is_problem {
            &answer.body["operation"]
        } else {
            &answer.body
        };
        let previous = document["previous"].as_str();
        if replayed {
            assert!(!first, "{answer:?}");
        } else {
            assert_eq!(first, previous.is_none(), "{answer:?}");
        }
        if let Some(previous) = previous {
            assert_eq!(self.owners.get(previous), Some(&client.name), "{answer:?}");
        }
        assert_eq!(
            owner,
            replayed.then_some(client.name),
            "{client}: {answer:?}",
            client = client.name
        );
        self.owners.insert(id, client.name);
        self.check_answer(client, &answer);
    }

    async fn call_any(&mut self, client: &'static Client, method: &str, part: &str, at: &Index) {
        let ids: Vec<&String> = self.owners.keys().collect();
        if ids.is_empty() {
            return;
        }
        let id = at.get(&ids).to_string();
        let answer = self.call(client, method, &id, part).await;
        if self.owners[&id] == client.name {
            assert_ne!(answer.status, 404, "{answer:?}");
            return self.check_answer(client, &answer);
        }
        let missing = self
            .call(client, method, "op_00000000000000000000000000000000", part)
            .await;
        assert_eq!(comparable(&answer), comparable(&missing));
        assert_eq!(answer.problem(), "not-found");
    }

    async fn call(&self, client: &Client, method: &str, id: &str, part: &str) -> Answer {
        let path = format!("/v1/operations/{id}{part}");
        self.world
            .call(method, &path, &[("x-api-key", client.key)], "")
            .await
    }

    async fn list(&mut self, client: &'static Client, query: &str) {
        let path = format!("/v1/operations{query}");
        let answer = self
            .world
            .call("GET", &path, &[("x-api-key", client.key)], "")
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if let Some(next) = answer.body["next"].as_str() {
            self.cursors.push(next.to_owned());
        }
        // A cursor is the creation time and the id of an operation; one is made for each operation of the page.
        for operation in answer.body["operations"].as_array().unwrap() {
            let created: jiff::Timestamp =
                operation["createdAt"].as_str().unwrap().parse().unwrap();
            let bare = operation["id"].as_str().unwrap().trim_start_matches("op_");
            self.cursors
                .push(format!("{:016x}{bare}", created.as_nanosecond()));
        }
        self.check_answer(client, &answer);
    }

    /// Checks that an answer contains only ids and names that belong to the client.
    fn check_answer(&self, client: &Client, answer: &Answer) {
        let text = comparable(answer);
        for id in ids(&text) {
            assert_eq!(
                self.owners.get(&id),
                Some(&client.name),
                "{} sees: {text}",
                client.name
            );
        }
        for other in CLIENTS.iter().filter(|other| other.name != client.name) {
            assert!(
                !text.contains(&format!("of-{}", other.name)),
                "{} sees: {text}",
                client.name
            );
        }
    }

    async fn end(mut self) {
        for _ in 0..500 {
            if !self.world.jump().await {
                break;
            }
        }
        for client in &CLIENTS {
            self.list(client, "").await;
        }
        for callback in self.world.receiver.journal() {
            let body = String::from_utf8_lossy(&callback.body);
            let owners: BTreeSet<_> = ids(&body).iter().map(|id| self.owners[id]).collect();
            let receiver = callback.path.trim_start_matches("/hooks/of-");
            assert_eq!(Vec::from_iter(owners), [receiver], "{body}");
        }
        self.check_tokens_of_tenants();
    }

    /// Checks that every call for a tenant's resources used a token of that tenant.
    fn check_tokens_of_tenants(&self) {
        let mut tenants = BTreeMap::new();
        let mut calls = 0;
        for call in self.world.simulator.journal() {
            if let Some(token) = call.issued {
                let tenant = if call.path.starts_with("/contoso") {
                    1
                } else {
                    2
                };
                tenants.insert(token, tenant);
            } else if let Some(tenant) =
                tenant_of(&format!("{}{:?}{:?}", call.path, call.body, call.job))
            {
                let token = call.authorization.unwrap();
                assert_eq!(tenants[&token], tenant, "{} with {token}", call.path);
                calls += 1;
            }
        }
        assert!(calls > 0);
    }
}

/// Returns a request for resources of the client's tenant; two clients of one tenant request the same ones.
fn body(world: &World, client: &Client, operation: &str, resource: u32) -> Value {
    let id = id(client.tenant, resource);
    let parameters = match operation {
        "user.exportPersonalData" => {
            // Each client has its own containers, because a used one is refused to every client.
            json!({ "userId": id, "storageLocation": sas(&format!("of-{}-{resource}", client.name)) })
        }
        "goals.exportJob" => json!({ "goalsOrganizationId": id, "explorerViewId": id }),
        _ => json!({ "teamId": id, "schedule": { "enabled": true, "timeZone": "Europe/Berlin" } }),
    };
    let url = world.receiver.url(&format!("/hooks/of-{}", client.name));
    json!({ "operation": operation, "parameters": parameters, "callback": { "url": url } })
}

fn id(tenant: u32, resource: u32) -> String {
    format!("7e9a97{tenant:02}-0000-4000-8000-{resource:012}")
}

fn tenant_of(call: &str) -> Option<u32> {
    let (_, rest) = call.split_once("7e9a97")?;
    rest.get(..2)?.parse().ok()
}

/// Returns status, headers and body of an answer as text, without its date and the id of its request.
fn comparable(answer: &Answer) -> String {
    let (mut headers, mut body) = (answer.headers.clone(), answer.body.clone());
    headers.remove("date");
    headers.remove("x-request-id");
    if let Some(fields) = body.as_object_mut() {
        fields.remove("requestId");
    }
    format!("{} {headers:?} {body}", answer.status)
}

fn ids(text: &str) -> BTreeSet<String> {
    let parts = ["op_", "msg_"]
        .iter()
        .flat_map(|prefix| text.split(prefix).skip(1));
    let bare = parts.filter_map(|rest| rest.get(..32));
    bare.map(|bare| format!("op_{bare}")).collect()
}
