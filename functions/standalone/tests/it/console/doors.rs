//! Who comes in, what each answer tells a browser to refuse, and that what others wrote is text.

use courier_testkit::world::{TICKETS_KEY, World};

use super::{AUDITOR, NIGHT, ORIGIN, Visitor, form, operators};

const PATHS: [&str; 9] = [
    "/console",
    "/console/",
    "/console?status=open",
    "/console/operations/op_00000000000000000000000000000000",
    "/console/operations.csv",
    "/console/new",
    "/console/redeliver?callback=undeliverable",
    "/console/test",
    "/console/nothing/here",
];

#[tokio::test]
async fn without_a_key_each_path_shows_the_login_and_nothing_else() {
    let world = World::with(operators).await;
    let visitor = Visitor::new(&world);
    for path in PATHS {
        let shown = visitor.get(path).await;
        assert!(shown.status == 200 && shown.is_login(), "{path}");
        let own = [("origin", ORIGIN), ("sec-fetch-site", "same-origin")];
        let shown = visitor.send("POST", path, &own, "").await;
        assert!(shown.is_login(), "POST {path}");
    }
    for damaged in [
        "__Host-courier=",
        "__Host-courier=bm9ib2R5",
        "courier-loopback=bm9ib2R5",
    ] {
        let shown = visitor
            .send("GET", "/console", &[("cookie", damaged)], "")
            .await;
        assert!(shown.is_login(), "{damaged}");
    }
    let home = visitor.get("/").await;
    assert_eq!((home.status, home.header("location")), (303, "/console"));
    // A strict cookie is not sent when a link in a ticket is followed, so the page asks for itself once more.
    let linked = visitor
        .send(
            "GET",
            "/console/new",
            &[("sec-fetch-site", "cross-site")],
            "",
        )
        .await;
    assert!(linked.is_login());
    assert_eq!(linked.header("refresh"), "0");
    assert_eq!(visitor.get("/console/new").await.header("refresh"), "");
}

#[tokio::test]
async fn a_key_that_nobody_has_opens_nothing_and_says_no_more() {
    let world = World::with(operators).await;
    let visitor = Visitor::new(&world);
    for key in [
        "",
        "unknown",
        "with space",
        "night-shift-key2",
        "ü",
        &"k".repeat(600),
    ] {
        let shown = visitor.post("/console/login", &[("key", key)]).await;
        assert_eq!(
            (shown.status, shown.header("set-cookie")),
            (403, ""),
            "{key}"
        );
        shown.has(&["This key opens nothing here."]);
    }
    let plain = [("origin", "http://courier.example")];
    let shown = visitor
        .send("POST", "/console/login", &plain, &form(&[("key", NIGHT)]))
        .await;
    assert_eq!((shown.status, shown.header("set-cookie")), (403, ""));
    shown.has(&["Open the console by https"]);
    for key in [NIGHT, AUDITOR, TICKETS_KEY] {
        let fields = [("key", key), ("next", "/console/test?url=a")];
        let shown = visitor.post("/console/login", &fields).await;
        assert_eq!(
            (shown.status, shown.header("location")),
            (303, "/console/test?url=a")
        );
        let cookie = shown.header("set-cookie");
        assert!(cookie.starts_with("__Host-courier="), "{cookie}");
        for part in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/;"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains(key), "{cookie}");
    }
    let visitor = Visitor::with_key(&world, NIGHT).await;
    assert!(!visitor.get("/console").await.is_login());
    let out = visitor.post("/console/logout", &[]).await;
    assert_eq!((out.status, out.header("location")), (303, "/console"));
    assert_eq!(out.head.get_all("set-cookie").iter().count(), 2);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn a_form_from_another_page_changes_nothing() {
    let world = World::with(operators).await;
    let id = world.post(&world.schedule()).await.id();
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let path = format!("/console/operations/{id}/cancel");
    for headers in [
        vec![],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("origin", ORIGIN), ("sec-fetch-site", "cross-site")],
        vec![("origin", ORIGIN), ("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "same-origin")],
    ] {
        for path in [
            path.as_str(),
            "/console/new",
            "/console/redeliver",
            "/console/logout",
        ] {
            let shown = visitor.send("POST", path, &headers, "").await;
            assert_eq!(
                (shown.status, shown.header("set-cookie")),
                (403, ""),
                "{headers:?}"
            );
        }
    }
    assert_eq!(
        visitor
            .send("DELETE", &path, &[("origin", ORIGIN)], "")
            .await
            .status,
        405
    );
    assert_eq!(world.operation(&id).await["status"], "running");
    world.closed(&id).await;
}

#[tokio::test]
async fn each_answer_tells_the_browser_what_to_refuse() {
    let world = World::with(operators).await;
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let list = visitor.get("/console").await;
    let asset = list
        .text
        .split("href=\"")
        .find(|link| link.contains(".css\""))
        .unwrap();
    let asset = asset.split('"').next().unwrap().to_owned();
    let mut paths: Vec<String> = PATHS.map(str::to_owned).to_vec();
    paths.extend([
        asset.clone(),
        "/console/assets/unknown.js".to_owned(),
        "/".to_owned(),
    ]);
    for path in paths {
        let shown = visitor.get(&path).await;
        let policy = shown.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; "),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(shown.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(shown.header("referrer-policy"), "same-origin", "{path}");
        let kept = if path == asset {
            "public, max-age=31536000, immutable"
        } else {
            "no-store"
        };
        assert_eq!(shown.header("cache-control"), kept, "{path}");
        for inline in ["<style", "style=\"", "onclick", "<script>", "javascript:"] {
            assert!(
                !shown.text.contains(inline) || path.ends_with(".css"),
                "{path}: {inline}"
            );
        }
    }
    let tag = list.header("etag").to_owned();
    let again = visitor
        .send("GET", "/console", &[("if-none-match", &tag)], "")
        .await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
}

#[tokio::test]
async fn what_others_wrote_is_text_wherever_it_is_shown() {
    let world = World::with(operators).await;
    let mut body = world.schedule();
    body["reference"] = "<script>alert(1)</script>\u{202e}\"'".into();
    let id = world.post(&body).await.id();
    let visitor = Visitor::with_key(&world, NIGHT).await;
    let page = format!("/console/operations/{id}");
    for path in ["/console", &page, &format!("{page}/cancel")] {
        let shown = visitor.get(path).await;
        shown.has(&["&lt;script&gt;alert(1)&lt;/script&gt;", "U+202E"]);
        assert!(
            !shown.text.contains("<script>") && !shown.text.contains("\u{202e}</bdi"),
            "{path}"
        );
    }
    let query = "/console?status=open&reference=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let shown = visitor.get(query).await;
    shown.has(&["&quot;&gt;&lt;script&gt;", "No operation matches"]);
    assert!(!shown.text.contains("<script>alert"));
    let shown = visitor.get("/console?status=%3Cb%3E").await;
    shown.has(&["status", "is not a status"]);
    world.closed(&id).await;
}
