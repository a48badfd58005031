//! Fuzzes the `Location` of Graph's answers: a trusted one is on the configured origin, and still trusted when polled.

#![no_main]

use std::sync::LazyLock;

use courier_core::graph::monitor::{from_target, trusted};
use libfuzzer_sys::fuzz_target;
use url::Url;

static GRAPH_ORIGINS: LazyLock<[(Url, &str); 3]> = LazyLock::new(|| {
    let graph = |origin: &str| Url::parse(origin).unwrap();
    [
        (graph("https://graph.microsoft.com"), "v1.0"),
        (graph("http://127.0.0.1:8080"), "beta"),
        (graph("http://[::1]:8080"), "v1.0"),
    ]
});

fuzz_target!(|data: &[u8]| {
    // The core reads the header in the same way.
    let location = String::from_utf8_lossy(data);
    for (graph, version) in &*GRAPH_ORIGINS {
        if let Ok(url) = trusted(&location, graph, version) {
            check(&url, graph, version);
        }
        if let Some(url) = from_target(&location, "/goals/exportJobs", graph, version) {
            check(&url, graph, version);
            assert!(url.ends_with(&*location));
        }
    }
});

fn check(url: &str, graph: &Url, version: &str) {
    assert_eq!(trusted(url, graph, version).as_deref(), Ok(url));
    assert!(url.starts_with(&format!("{}/", graph.origin().ascii_serialization())));
    let parsed = Url::parse(url).unwrap();
    assert_eq!(parsed.origin(), graph.origin());
    assert!(parsed.username().is_empty() && parsed.password().is_none());
    assert_eq!(parsed.fragment(), None);
    let path = url.split('?').next().unwrap();
    let written = path.strip_prefix(&graph.origin().ascii_serialization());
    let slashes = |text: &str| text.matches('/').count();
    assert_eq!(
        slashes(parsed.path()),
        slashes(written.unwrap()),
        "no segment is a dot, which would be resolved away"
    );
    assert!(
        parsed
            .path_segments()
            .unwrap()
            .any(|segment| !segment.is_empty())
    );
}
