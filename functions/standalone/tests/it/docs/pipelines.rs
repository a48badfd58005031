//! The pages of `docs/pipelines`: their configurations hold, and the bridges of `examples/pipelines` carry a request from a
//! privacy platform to the running program, and its end back.

use courier_core::catalogue::Catalogue;
use courier_core::config::Config;
use courier_testkit::tenants::resolve;

use super::authentication::filled;
use super::caller_pages::blocks;
use crate::rules::read;

/// What stands around the client of a page.
const REST: &str = r#"
[graph.tenants.contoso]
tenant_id = "00000000-0000-0000-0000-000000000000"
client_id = "00000000-0000-0000-0000-000000000000"
client_secret = "env:GRAPH_SECRET"
[seal]
key = "env:SEAL_KEY"
[aws]
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
"#;

#[test]
fn every_configuration_of_the_pages_holds() {
    let mut clients = Vec::new();
    for page in [
        "docs/pipelines/fides.md",
        "docs/pipelines/lambda-durable.md",
        "docs/pipelines/step-functions.md",
        "docs/pipelines/transcend.md",
        "infra/examples/README.md",
    ] {
        for block in blocks(&read(page), "toml") {
            let text = format!("{REST}{}", filled(&block));
            let parsed = Config::parse(&text, Catalogue::shipped(), &resolve);
            let config = parsed.unwrap_or_else(|errors| panic!("{page}: {errors}"));
            clients.extend(config.clients.into_keys());
        }
    }
    let all = [
        "fides",
        "durable",
        "state-machines",
        "transcend",
        "dsar-bus",
    ];
    assert_eq!(clients, all);
}

#[cfg(feature = "second-tier")]
mod second_tier {
    use std::fs;
    use std::net::TcpListener;

    use cloud_testkit::python;
    use courier_testkit::tenants::{SIGNING_SECRETS, TICKETS_KEY};
    use courier_testkit::world::sas;
    use tokio::process::Command;
    use tokio::time::timeout;

    use crate::libraries;
    use crate::process::deployment::{QUICK, Site};
    use crate::process::program::PATIENCE;
    use crate::rules::root;

    /// Each script plays its platform, fails if anything is not as the page says, and stops its bridge.
    #[tokio::test]
    async fn the_bridges_ask_are_told_and_tell_their_platforms() {
        let site = Site::new(QUICK).await;
        // Free a moment ago: the configuration must name the ports before the bridges can listen.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = free.map(|listener| listener.local_addr().unwrap().port().to_string());
        let file = site.path("courier.toml");
        let config = fs::read_to_string(&file).unwrap();
        let [fides, transcend] = ports
            .each_ref()
            .map(|port| format!("\"http://127.0.0.1:{port}\""));
        let origins = format!("callback_origins = [{fides}, {transcend}, ");
        fs::write(&file, config.replace("callback_origins = [", &origins)).unwrap();
        let (_server, api) = site.serve(&[]).await;
        let node = tokio::task::spawn_blocking(|| python::node(&libraries::python()));
        let node = node.await.unwrap();
        let scripts = [
            ("python3".into(), "fides/try.py", &ports[0]),
            (node, "transcend/try.mjs", &ports[1]),
        ];
        let runs = scripts.map(|(program, script, port)| {
            let name = script.split('/').next().unwrap();
            let mut command = Command::new(program);
            command
                .arg(root().join("examples/pipelines").join(script))
                .args([&api, TICKETS_KEY, SIGNING_SECRETS[0], port])
                .arg(format!("--parameter=storageLocation={}", sas(name)))
                .arg("--regulation=")
                .envs([("NO_PROXY", "*"), ("PYTHONDONTWRITEBYTECODE", "1")])
                .kill_on_drop(true);
            timeout(PATIENCE, async move { (script, command.output().await) })
        });
        let [first, second] = runs;
        let (first, second) = tokio::join!(first, second);
        for run in [first, second] {
            let (script, output) = run.unwrap();
            let output = output.unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{script}: {errors}");
        }
    }
}
