//! What a list is to show: the fields of its form, and the parameters of the API that they become.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use url::form_urlencoded;

use crate::api::{Caller, word};
use crate::layout::Site;
use crate::text::words;

/// The statuses, as the API names them.
pub(crate) const STATUSES: [&str; 9] = [
    "accepted",
    "starting",
    "running",
    "succeeded",
    "partiallySucceeded",
    "failed",
    "expired",
    "unknown",
    "cancelled",
];
/// The states of a callback.
const CALLBACKS: [&str; 5] = ["pending", "retrying", "delivered", "undeliverable", "none"];
/// How soon a deadline or a due date may be: value, label, hours.
const WITHIN: [(&str, &str, i64); 6] = [
    ("past", "already passed", 0),
    ("1h", "within an hour", 1),
    ("1d", "within a day", 24),
    ("3d", "within 3 days", 72),
    ("7d", "within 7 days", 168),
    ("30d", "within 30 days", 720),
];
/// The parameters that the API and the console name alike.
const SHARED: [&str; 8] = [
    "status",
    "callback",
    "operation",
    "client",
    "reference",
    "person",
    "createdAfter",
    "createdBefore",
];

/// Lists that are looked at often: label, and the filter as a query.
const VIEWS: [(&str, &str); 6] = [
    ("Open", "?status=open&sort=deadline"),
    ("At risk", "?status=open&sort=deadline&within=3d"),
    ("Due by law", "?status=open&sort=due&due=7d"),
    ("Unknown", "?status=unknown"),
    ("Undeliverable", "?callback=undeliverable"),
    ("All", "?status="),
];

/// A filter, as its form or a link has sent it.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    fields: Vec<(String, String)>,
}

impl Filter {
    /// Reads a query. Without one, what is open is shown, the nearest deadline first.
    pub(crate) fn read(query: &str) -> Self {
        let query = if query.is_empty() {
            &VIEWS[0].1[1..]
        } else {
            query
        };
        let pairs = form_urlencoded::parse(query.as_bytes());
        let pairs = pairs.map(|(name, value)| (name.into_owned(), value.trim().to_owned()));
        Self {
            fields: pairs.filter(|(_, value)| !value.is_empty()).collect(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value)
    }

    /// Returns the query for `GET /v1/operations`: without the cursor, and with `more` parameters where they have a value.
    pub(crate) fn parameters(&self, now: Timestamp, more: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for name in SHARED {
            let value = self.get(name);
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        // Only what is open has a deadline or a due date ahead of it.
        let sort = self.get("sort");
        if ["deadline", "due"].contains(&sort) && self.is_open() {
            query.append_pair("sort", sort);
        }
        for (field, parameter) in [("within", "deadlineBefore"), ("due", "dueBefore")] {
            let hours = WITHIN.iter().find(|(value, ..)| *value == self.get(field));
            if let Some((.., hours)) = hours {
                let until = now.saturating_add(SignedDuration::from_hours(*hours));
                let until = until.unwrap_or(Timestamp::MAX);
                query.append_pair(parameter, &until.to_string());
            }
        }
        let more = more.iter().filter(|(_, value)| !value.is_empty());
        query.extend_pairs(more);
        query.finish()
    }

    /// Returns a query of those fields of the form that have these names, with `more`.
    pub(crate) fn only(&self, names: &[&str], more: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let own = names.iter().map(|name| (*name, self.get(name)));
        let all = own.chain(more.iter().copied());
        query.extend_pairs(all.filter(|(_, value)| !value.is_empty()));
        query.finish()
    }

    /// Returns the query of the same list, with this cursor.
    pub(crate) fn query(&self, cursor: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.fields {
            if name != "cursor" {
                query.append_pair(name, value);
            }
        }
        if let Some(cursor) = cursor {
            query.append_pair("cursor", cursor);
        }
        let query = query.finish();
        // An empty query would be the first view.
        let all = if query.is_empty() { "status=" } else { "" };
        format!("?{query}{all}")
    }

    fn is_open(&self) -> bool {
        ["", "open", "accepted", "starting", "running"].contains(&self.get("status"))
    }

    fn is_view(&self, query: &str) -> bool {
        let view = Self::read(&query[1..]);
        let without_cursor = |filter: &Self| -> Vec<(String, String)> {
            let fields = filter.fields.iter().filter(|(name, _)| name != "cursor");
            let mut fields: Vec<_> = fields.cloned().collect();
            fields.sort();
            fields
        };
        without_cursor(&view) == without_cursor(self)
    }

    /// Shows the links to the saved views.
    pub(crate) fn views(&self, site: &Site<'_>) -> Markup {
        html! {
            nav.views aria-label="Views" {
                ul {
                    @for (label, query) in VIEWS {
                        li {
                            a href=(site.link(query)) aria-current=[self.is_view(query).then_some("true")] { (label) }
                        }
                    }
                }
            }
        }
    }

    /// Shows the form.
    pub(crate) fn form(&self, site: &Site<'_>, caller: &Caller) -> Markup {
        let is_view = VIEWS.iter().any(|(_, query)| self.is_view(query));
        html! {
            details.filter open[!is_view] {
                summary { "Filter" }
                form method="get" action=(site.home()) {
                    (self.select("status", "Status", &[("open", "open")], &STATUSES))
                    (self.select("callback", "Callback", &[], &CALLBACKS))
                    (self.operations(caller))
                    @if caller.is_operator { (self.clients(caller)) }
                    (self.text("reference", "Reference", "exactly"))
                    (self.text("person", "Person", "id or name in a request"))
                    (self.text("createdAfter", "Created after", "2026-12-01T00:00:00Z"))
                    (self.text("createdBefore", "Created before", "2026-12-31T00:00:00Z"))
                    (self.within("within", "Deadline"))
                    (self.within("due", "Due by law"))
                    div.field {
                        label for="sort" { "Order" }
                        select #sort name="sort" {
                            option value="created" { "newest first" }
                            option value="deadline" selected[self.get("sort") == "deadline"] { "nearest deadline first" }
                            option value="due" selected[self.get("sort") == "due"] { "legal due date first" }
                        }
                    }
                    div.buttons { button.primary { "Show" } }
                }
            }
        }
    }

    /// Shows the choice of how soon a time may be.
    fn within(&self, name: &str, label: &str) -> Markup {
        html! {
            div.field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    option value="" { "any" }
                    @for (value, label, _) in WITHIN {
                        option value=(value) selected[self.get(name) == value] { (label) }
                    }
                }
            }
        }
    }

    /// Shows a choice among names of the API; `first` stands before them.
    pub(crate) fn select(
        &self,
        name: &str,
        label: &str,
        first: &[(&str, &str)],
        names: &[&str],
    ) -> Markup {
        let chosen = self.get(name);
        html! {
            div.field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    option value="" { "any" }
                    @for (value, label) in first {
                        option value=(value) selected[chosen == *value] { (label) }
                    }
                    @for value in names {
                        option value=(value) selected[chosen == *value] { (words(value)) }
                    }
                }
            }
        }
    }

    pub(crate) fn operations(&self, caller: &Caller) -> Markup {
        let names = caller.catalogue.iter();
        let names = names.map(|operation| word(&operation["name"]));
        self.names("operation", "Operation", &names.collect::<Vec<_>>())
    }

    /// Shows the choice of a client, or a field if their names are not known.
    pub(crate) fn clients(&self, caller: &Caller) -> Markup {
        let clients: Vec<&str> = caller.clients.iter().map(String::as_str).collect();
        self.names("client", "Client", &clients)
    }

    fn names(&self, name: &str, label: &str, names: &[&str]) -> Markup {
        if names.is_empty() {
            return self.text(name, label, "");
        }
        let chosen = self.get(name);
        html! {
            div.field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    option value="" { "any" }
                    @for value in names {
                        option value=(value) selected[chosen == *value] { (value) }
                    }
                }
            }
        }
    }

    pub(crate) fn text(&self, name: &str, label: &str, example: &str) -> Markup {
        html! {
            div.field {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(self.get(name)) placeholder=(example) autocomplete="off"
                    spellcheck="false" maxlength="256";
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> String {
        let now = Timestamp::from_second(0).unwrap();
        Filter::read(query).parameters(now, &[])
    }

    #[test]
    fn fields_of_the_form_become_parameters_of_the_api() {
        for (query, expected) in [
            ("", "status=open&sort=deadline"),
            ("status=", ""),
            ("status=unknown&sort=deadline", "status=unknown"),
            ("reference=+a%26b+&callback=&foreign=1", "reference=a%26b"),
            (
                "status=open&within=1h",
                "status=open&deadlineBefore=1970-01-01T01%3A00%3A00Z",
            ),
            ("within=9h", ""),
            (
                "status=open&sort=due&due=1h",
                "status=open&sort=due&dueBefore=1970-01-01T01%3A00%3A00Z",
            ),
            (
                "status=open&due=past",
                "status=open&dueBefore=1970-01-01T00%3A00%3A00Z",
            ),
        ] {
            assert_eq!(parameters(query), expected, "{query}");
        }
    }

    #[test]
    fn a_view_is_known_again_in_any_order_and_on_any_page() {
        let filter = Filter::read("sort=deadline&status=open&cursor=abc&callback=");
        assert!(filter.is_view(VIEWS[0].1));
        assert!(!filter.is_view(VIEWS[1].1));
        assert!(Filter::read("status=").is_view(VIEWS[5].1));
        assert_eq!(
            filter.query(Some("d&e")),
            "?sort=deadline&status=open&cursor=d%26e"
        );
    }
}
