//! The real program behind a real proxy, and the variables and the health check of an image.

use std::sync::{Arc, Mutex};

use courier_testkit::tenants::{self, RECEIVER_PASSWORD};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::process::deployment::{QUICK, Site, file};
use crate::process::program::run;

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";
const PASSWORD: (&str, &str) = ("PROXY_PASSWORD", RECEIVER_PASSWORD);
/// `courier` with that password.
const BASIC: &str = "proxy-authorization: Basic Y291cmllcjpjYW5hcnktcmVjZWl2ZXItcGFzc3dvcmQ=";

/// A proxy that carries requests to loopback, refuses tunnels, and keeps the head of each request.
struct Proxy {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&seen)));
            }
        });
        Self {
            address,
            heads,
            task: task.abort_handle(),
        }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes one connection on to the host that its first request names.
async fn carry(mut client: TcpStream, seen: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head).unwrap();
    seen.lock().unwrap().push(text.clone());
    let mut words = text.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if method == "CONNECT" {
        let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
        return client.write_all(refusal).await.ok();
    }
    let (origin, path) = target.strip_prefix("http://")?.split_once('/')?;
    let mut server = TcpStream::connect(origin).await.ok()?;
    let direct = text.replacen(target, &format!("/{path}"), 1);
    server.write_all(direct.as_bytes()).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}

fn behind(proxy: &Proxy, text: &str, further: &str) -> String {
    let address = &proxy.address;
    format!(
        "{text}[outbound]\nproxy = \"http://{address}\"\nusername = \"courier\"\npassword = \"env:PROXY_PASSWORD\"\n{further}\n"
    )
}

#[tokio::test]
async fn every_outgoing_call_goes_by_the_proxy_except_to_the_hosts_that_are_named() {
    let site = Site::new(QUICK).await;
    let proxy = Proxy::start().await;
    let path = site.path("courier.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, behind(&proxy, &text, "")).unwrap();
    let (server, api) = site.serve(&[PASSWORD]).await;
    let body = tenants::schedule(&site.receiver, TEAM);
    let id = site.post(&api, "carried", &body).await.unwrap().id();
    assert_eq!(site.closed(&api, &id).await["status"], "succeeded");
    server.kill().await;
    let heads = proxy.heads();
    let (graph, receiver) = (&site.graph_url, site.receiver.origin());
    for begin in [
        format!("POST {graph}/contoso.example/oauth2/"),
        format!("PUT {graph}/v1.0/teams/"),
        format!("POST {receiver}/hooks/"),
    ] {
        let found = heads.iter().find(|head| head.starts_with(&begin));
        let found = found.unwrap_or_else(|| panic!("{begin} in {heads:#?}"));
        assert!(found.contains(BASIC), "{found}");
    }

    std::fs::write(&path, behind(&proxy, &text, "no_proxy = [\"127.0.0.0/8\"]")).unwrap();
    let (server, api) = site.serve(&[PASSWORD]).await;
    let body = tenants::schedule(&site.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a51");
    let id = site.post(&api, "straight", &body).await.unwrap().id();
    assert_eq!(site.closed(&api, &id).await["status"], "succeeded");
    server.kill().await;
    assert_eq!(proxy.heads().len(), heads.len());
}

#[tokio::test]
async fn doctor_asks_through_the_proxy_and_says_so_and_names_it_when_it_opens_no_tunnel() {
    let site = Site::new(QUICK).await;
    let proxy = Proxy::start().await;
    let path = site.path("courier.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let ping = format!("--ping={}/hooks/graph", site.receiver.origin());
    let arguments = ["doctor", "--config", path.to_str().unwrap(), &ping];
    std::fs::write(&path, behind(&proxy, &text, "")).unwrap();
    let ended = run(&arguments, &[PASSWORD]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains(RECEIVER_PASSWORD), "{ended:?}");
    let told = |words: &str| ended.stdout.lines().any(|line| line.contains(words));
    let (graph, receiver) = (&site.graph_url, site.receiver.origin());
    for words in [
        &format!("ok       Microsoft Graph: {graph} answers (401) in "),
        &format!("ok       receiver {receiver} of tickets: reached through the proxy in "),
        "the example of tickets was taken",
    ] {
        assert!(told(words), "{words:?} in {ended:?}");
    }
    let carried = ended.stdout.matches(" ms through the proxy").count();
    assert_eq!(carried, 2, "Graph and its token endpoint: {ended:?}");
    let heads = proxy.heads();
    for begin in [
        format!("GET {graph}/v1.0/organization "),
        format!("GET {graph}/common/v2.0/"),
        format!("POST {graph}/contoso.example/oauth2/"),
        format!("HEAD {receiver}/ "),
        format!("POST {receiver}/hooks/graph "),
    ] {
        let found = heads.iter().find(|head| head.starts_with(&begin));
        let found = found.unwrap_or_else(|| panic!("{begin} in {heads:#?}"));
        assert!(found.contains(BASIC), "{found}");
    }

    // Hosts that are named go without it, and the advice is another one.
    std::fs::write(&path, behind(&proxy, &text, "no_proxy = [\"127.0.0.0/8\"]")).unwrap();
    let ended = run(&arguments, &[PASSWORD]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("the proxy"), "{ended:?}");
    assert_eq!(proxy.heads().len(), heads.len());

    let https = text
        .replace(graph.as_str(), "https://graph.nowhere.example")
        .replace(&receiver, "https://tickets.nowhere.example");
    std::fs::write(&path, behind(&proxy, &https, "")).unwrap();
    let ended = run(&arguments[..3], &[PASSWORD]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let advice = "look at the proxy of [outbound]: its address and password";
    assert!(ended.stdout.matches(advice).count() >= 4, "{ended:?}");
    assert!(!ended.stdout.contains("look at DNS"), "{ended:?}");
    for host in ["graph", "tickets"] {
        let begin = format!("CONNECT {host}.nowhere.example:443 HTTP/1.1");
        assert!(proxy.heads().iter().any(|head| head.starts_with(&begin)));
    }
}

/// The names are the proxy's to resolve; literal private addresses of a receiver are refused all the same.
#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_named_as_the_reason_and_no_name_is_resolved_here() {
    let site = Site::new(QUICK).await;
    let proxy = Proxy::start().await;
    let path = site.path("courier.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace(
            &format!("base_url = \"{}\"", site.graph_url),
            "base_url = \"https://graph.nowhere.example\"",
        )
        .replace(
            &format!("login_url = \"{}\"", site.graph_url),
            "login_url = \"https://login.nowhere.example\"",
        )
        .replace("\"127.0.0.0/8\"", "")
        .replace(&site.receiver.origin(), "https://tickets.example");
    let private = text.replace("https://tickets.example", "https://10.1.2.3");
    std::fs::write(&path, behind(&proxy, &private, "")).unwrap();
    let refused = run(&["check", "--config", path.to_str().unwrap()], &[PASSWORD]).await;
    let rule = "callback_origins[0]: must not point to a private or local address";
    assert!(refused.stderr.contains(rule), "{refused:?}");
    std::fs::write(&path, behind(&proxy, &text, "")).unwrap();
    let (server, api) = site
        .serve(&[PASSWORD, ("COURIER_LISTEN", "256.0.0.1:1")])
        .await;
    let mut body = tenants::schedule(&site.receiver, TEAM);
    body["callback"]["url"] = "https://tickets.example/hooks".into();
    let waits = site.post(&api, "tunnel", &body).await.unwrap();
    assert_eq!(
        (waits.status, &waits.body["status"]),
        (202, &"accepted".into())
    );
    assert_eq!(waits.body["reason"], "no_usable_answer");
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with("CONNECT login.nowhere.example:443 HTTP/1.1"),
        "{heads:#?}"
    );
    assert!(
        heads[0].to_lowercase().contains(&BASIC.to_lowercase()),
        "{heads:#?}"
    );
    let history = format!("/v1/operations/{}/history", waits.id());
    let history = site.get(&api, &history).await.unwrap().body.to_string();
    assert!(history.contains("the proxy of [outbound]"), "{history}");

    let listen = api.trim_start_matches("http://");
    let well = run(&["healthcheck"], &[("COURIER_LISTEN", listen)]).await;
    assert_eq!(well.code, Some(0), "{well:?}");
    server.kill().await;
    let ended = run(&["healthcheck", "--ready"], &[("COURIER_LISTEN", listen)]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(&format!("no answer from {listen}")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn data_and_address_come_from_the_environment_unless_the_command_line_names_them() {
    let site = Site::new(QUICK).await;
    let data = site.path("elsewhere");
    let config = format!("--config={}", site.path("courier.toml").display());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let variables = [
        ("COURIER_DATA", data.to_str().unwrap()),
        ("COURIER_LISTEN", &taken),
    ];
    let ended = run(&["serve", &config], &variables).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(&format!("cannot listen at {taken}")),
        "{ended:?}"
    );
    assert!(data.join("courier.db").exists());
    for (name, value) in [("COURIER_DATA", ""), ("COURIER_LISTEN", "8080")] {
        let ended = run(&["serve", &config], &[(name, value)]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(name), "{ended:?}");
    }
    let config = file(
        site.directory.path(),
        "wrong.toml",
        "[outbound]\nproxy = \"http://a:b@c:1\"\n",
    );
    let ended = run(&["check", "--config", &config], &[]).await;
    let rule = "wrong.toml:2:9: outbound.proxy: must have no user information";
    assert!(ended.stderr.contains(rule), "{ended:?}");
}
