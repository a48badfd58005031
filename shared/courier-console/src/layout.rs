//! What every page has around its content.

use http::StatusCode;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use crate::HOME;
use crate::api::Caller;
use crate::assets::{ICON, SCRIPT, STYLE};
use crate::text::Text;

/// Where the console is, and when it is looked at.
pub(crate) struct Site<'s> {
    /// What a gateway has removed in front of the path.
    pub(crate) prefix: &'s str,
    pub(crate) now: Timestamp,
}

/// A page's content.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    /// Seconds after which it may go better, as the API has said.
    pub(crate) retry_after: Option<String>,
    pub(crate) title: String,
    /// The navigation's entry of this page.
    pub(crate) place: Place,
    pub(crate) caller: Option<(String, bool, bool)>,
    pub(crate) content: Markup,
}

/// The entries of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Operations,
    New,
    Redeliver,
    Test,
    Elsewhere,
}

impl Site<'_> {
    /// Returns the path of the console's first page, in front of which nothing is missing.
    pub(crate) fn home(&self) -> String {
        format!("{}{HOME}", self.prefix)
    }

    /// Returns the link to a path below the console.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{HOME}{path}", self.prefix)
    }

    fn asset(&self, name: &str) -> String {
        self.link(&format!("/assets/{name}"))
    }
}

impl Page {
    pub(crate) fn new(caller: &Caller, place: Place, title: &str, content: Markup) -> Self {
        Self {
            status: StatusCode::OK,
            retry_after: None,
            title: title.to_owned(),
            place,
            caller: Some((caller.name.clone(), caller.is_operator, caller.read_only)),
            content,
        }
    }
}

/// Returns a whole document.
pub(crate) fn whole(site: &Site<'_>, page: &Page) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · graph-courier" }
                link rel="icon" type="image/svg+xml" href=(site.asset(&ICON.name));
                link rel="stylesheet" href=(site.asset(&STYLE.name));
                @if page.caller.is_some() {
                    script src=(site.asset(&SCRIPT.name)) defer {}
                }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    a.brand href=(site.home()) {
                        img src=(site.asset(&ICON.name)) alt="" width="24" height="24";
                        span { "graph-courier" }
                    }
                    @if let Some((name, is_operator, read_only)) = &page.caller {
                        (navigation(site, page.place, *read_only))
                        (account(site, name, *is_operator, *read_only))
                    }
                }
                main #content tabindex="-1" { (page.content) }
            }
        }
    }
}

fn navigation(site: &Site<'_>, place: Place, read_only: bool) -> Markup {
    let entries = [
        (Place::Operations, "", "Operations", true),
        (Place::New, "/new", "New request", !read_only),
        (Place::Redeliver, "/redeliver", "Deliver again", !read_only),
        (Place::Test, "/test", "Test a receiver", !read_only),
    ];
    html! {
        nav aria-label="Console" {
            ul {
                @for (entry, path, label, shown) in entries {
                    @if shown {
                        li {
                            a href=(site.link(path)) aria-current=[(entry == place).then_some("page")] { (label) }
                        }
                    }
                }
            }
        }
    }
}

fn account(site: &Site<'_>, name: &str, is_operator: bool, read_only: bool) -> Markup {
    let kind = match (is_operator, read_only) {
        (true, true) => "operator, reads only",
        (true, false) => "operator",
        (false, _) => "client",
    };
    html! {
        form.account method="post" action=(site.link("/logout")) {
            @if !name.is_empty() {
                span.who { strong { (Text(name)) } " " span.quiet { (kind) } }
            }
            button.plain { "Log out" }
        }
    }
}

/// A message at the top of a page: what was done, or what went wrong.
pub(crate) fn notice(kind: &str, content: &Markup) -> Markup {
    // A notice of something that went wrong is read out at once, any other when the reader pauses.
    let role = if kind == "bad" { "alert" } else { "status" };
    html! { div class=(format!("notice {kind}")) role=(role) { (content) } }
}
