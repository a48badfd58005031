//! The program under attack by hostile clients.

use courier_testkit::tenants;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::process::deployment::{QUICK, Site, address};
use crate::process::program::{Courier, PATIENCE};

#[tokio::test]
async fn more_idle_connections_than_the_open_file_limit_block_no_request() {
    let site = Site::new(QUICK).await;
    let mut shell = Command::new("sh");
    let limited = r#"ulimit -Sn 40 && ulimit -Hn 128 && exec "$0" "$@""#;
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_courier")]);
    shell.args(site.arguments("127.0.0.1:0"));
    let server = Courier::spawn(&mut shell, &[]);
    server.says("connections=64").await;
    let api = address(&server).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(
            TcpStream::connect(api.trim_start_matches("http://"))
                .await
                .unwrap(),
        );
    }
    let (_, body) = tenants::request(&site.receiver, "schedule");
    let answer = timeout(PATIENCE, site.post(&api, "a", &body))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    site.closed(&api, &answer.id()).await;
    assert!(
        !server.said().contains("could not be accepted"),
        "{}",
        server.said()
    );
}
