//! `GET /metrics` of the real program: what it shows, in both forms, to whom, and what it costs others.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;

use courier_local::metrics::families::FAMILIES;
use courier_testkit::tenants;
use reqwest::header::{ACCEPT, CONTENT_TYPE};

use crate::process::deployment::{QUICK, Site, address};
use crate::process::program::Courier;

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

/// Returns the content type and the text of a scrape with this `Accept`.
async fn scrape(site: &Site, metrics: &str, accept: &str) -> (String, String) {
    let request = site.http.get(format!("{metrics}/metrics"));
    let answer = request.header(ACCEPT, accept).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let content_type = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    (content_type, answer.text().await.unwrap())
}

/// Lines of a scrape after one schedule has come to its end, while one export runs.
const LINES: [&str; 11] = [
    r#"courier_operations_open{operation="team.schedule",status="running"} 0"#,
    r#"courier_operations_open{operation="user.exportPersonalData",status="running"} 1"#,
    r#"courier_operations_near_deadline{days="7"} 0"#,
    r#"courier_operations_authorization_lost{tenant="contoso"} 0"#,
    r#"courier_started_total{operation="team.schedule"} 1"#,
    r#"courier_ended_total{operation="team.schedule",outcome="succeeded"} 1"#,
    r#"courier_graph_requests_total{call="start",result="2xx"} 2"#,
    r#"courier_callbacks_total{result="delivered"} 1"#,
    r#"courier_http_requests_total{route="/v1/operations",code="2xx"} 2"#,
    "courier_completion_lag_seconds_count 1",
    "courier_completions_undeliverable 0",
];
/// Samples of which only the least value is known.
const AT_LEAST: [(&str, f64); 8] = [
    ("courier_database_size_bytes", 1024.0),
    ("courier_database_wal_size_bytes", 1.0),
    ("courier_data_free_bytes", 1.0),
    (
        r#"courier_deadline_margin_seconds{operation="user.exportPersonalData"}"#,
        30.0 * 86_400.0,
    ),
    ("courier_last_sweep_timestamp_seconds", 1.7e9),
    ("process_start_time_seconds", 1.7e9),
    // A look after the reload asks for a token again.
    (
        r#"courier_token_requests_total{tenant="contoso",result="granted"}"#,
        1.0,
    ),
    ("process_resident_memory_bytes", 1e6),
];

fn check(text: &str) {
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let shown: Vec<&str> = types.map(|line| line.split(' ').next().unwrap()).collect();
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(shown, names);
    let lines: BTreeSet<&str> = text.lines().collect();
    for line in LINES {
        assert!(lines.contains(line), "{line}: {text}");
    }
    for (sample, least) in AT_LEAST {
        let mut lines = lines.iter();
        let shown = lines.find_map(|line| line.strip_prefix(&format!("{sample} ")));
        let shown: f64 = shown.unwrap().parse().unwrap();
        assert!(shown >= least, "{sample} {shown}");
    }
    for word in ["0047110", "op_", "msg_", TEAM] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn a_scrape_shows_every_metric_and_names_nobody() {
    let endless = QUICK.replace("export_seconds = 2.0", "export_seconds = 1e6");
    let site = Site::new(&endless).await;
    let mut owned = site.arguments("127.0.0.1:0");
    owned.push("--metrics-listen=127.0.0.1:0".to_owned());
    let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
    let server = Courier::start(&arguments, &[("COURIER_LOG", "info")]);
    let api = address(&server).await;
    let line = server.says("serving metrics").await;
    let metrics = format!("http://{}", line.split("address=").nth(1).unwrap());

    let mut schedule = tenants::schedule(&site.receiver, TEAM);
    schedule["reference"] = "RITM0047110".into();
    let schedule = site.post(&api, "key-0047110", &schedule).await.unwrap();
    let export = tenants::export(&site.receiver, TEAM, "dsar-1");
    let export = site.post(&api, "another-key", &export).await.unwrap();
    assert_eq!(export.body["status"], "running", "{export:?}");
    site.closed(&api, &schedule.id()).await;
    // Counters go on when the configuration is read again.
    server.signal("HUP").await;
    server.says("the configuration was read again").await;

    // Scrapers that hang harm neither others nor the API.
    let mut hanging = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(metrics.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost").unwrap();
        hanging.push(stream);
    }
    let (content_type, text) = scrape(&site, &metrics, "application/openmetrics-text").await;
    assert_eq!(
        content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    check(&text);
    let (content_type, plain) = scrape(&site, &metrics, "text/plain;version=0.0.4").await;
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    let counter = "\n# TYPE courier_polls_total counter\n";
    assert!(
        plain.contains(counter) && !plain.contains("# EOF"),
        "{plain}"
    );
    #[cfg(feature = "second-tier")]
    judge::parse(&text, &plain);

    // Each listener serves only its own, and a scrape leaves no line in the log.
    let status = async |method: &str, url: String| {
        let request = site.http.request(method.parse().unwrap(), url);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("GET", format!("{metrics}/v1/operations")).await, 404);
    assert_eq!(status("POST", format!("{metrics}/metrics")).await, 405);
    assert_eq!(status("GET", format!("{api}/metrics")).await, 404);
    server.signal("TERM").await;
    let said = server.ended().await.stderr;
    let logged = |line: &&str| line.contains(" access: ") && line.contains("path=\"/metrics\"");
    assert_eq!(said.lines().filter(logged).count(), 2, "{said}");
    drop(hanging);
}

#[cfg(feature = "second-tier")]
mod judge {
    use std::process::Command;

    use cloud_testkit::python::environment;
    use courier_local::metrics::families::FAMILIES;
    use courier_local::metrics::text::Kind;
    use serde_json::{Value, json};

    use crate::libraries;
    use crate::rules::root;

    const PROGRAM: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
forms = json.load(sys.stdin)
found = [openmetrics(forms["openmetrics"]), plain(forms["plain"])]
print(json.dumps([[[one.name, one.type, one.unit, one.documentation] for one in each] for each in found]))
"#;

    /// Lets Prometheus' client library read both forms. Its parser of OpenMetrics is strict.
    pub(super) fn parse(open: &str, plain: &str) {
        let requirements = root().join("infra/requirements/prometheus-client.txt");
        let python = environment("prometheus-client", &requirements).join("python3");
        let input = json!({ "openmetrics": open, "plain": plain }).to_string();
        let written = libraries::output(Command::new(python).args(["-B", "-c", PROGRAM]), &input);
        let [open, plain]: [Vec<Value>; 2] = serde_json::from_str(&written).unwrap();
        let expected: Vec<Value> = FAMILIES
            .iter()
            .map(|family| {
                let kind = match family.kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram => "histogram",
                    Kind::Info => "info",
                };
                json!([family.name, kind, family.unit, family.help])
            })
            .collect();
        assert_eq!(open, expected);
        assert_eq!(plain.len(), expected.len());
    }
}
