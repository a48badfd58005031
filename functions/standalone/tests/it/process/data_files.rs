//! The files of the real program: only the user that runs it may read them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::process::deployment::{QUICK, Site};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

#[tokio::test]
async fn new_data_belongs_to_its_owner_alone() {
    let site = Site::new(QUICK).await;
    let (server, api) = site.serve(&[]).await;
    assert_eq!(site.get(&api, "/healthz").await.unwrap().status, 200);
    let data = site.path("data");
    assert_eq!(mode(&data), 0o700);
    for name in ["courier.db", "courier.db-wal", "courier.db-shm"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    assert!(!server.said().contains("chmod"), "{}", server.said());
    server.kill().await;
}

#[tokio::test]
async fn existing_data_that_others_can_reach_is_warned_of_and_left_as_it_is() {
    let site = Site::new(QUICK).await;
    let data = site.path("data");
    let (server, _) = site.serve(&[]).await;
    server.kill().await;
    let file = data.join("courier.db");
    for (path, mode) in [(&data, 0o755), (&file, 0o644)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let (server, _) = site.serve(&[]).await;
    for path in [&data, &file] {
        let told = server.said();
        let line = told.lines().find(|line| {
            let path = path.to_str().unwrap();
            line.contains("WARN") && line.contains(&format!("path={path} "))
        });
        assert!(line.is_some(), "{} in {told}", path.display());
    }
    assert_eq!((mode(&data), mode(&file)), (0o755, 0o644));
    server.kill().await;
}
