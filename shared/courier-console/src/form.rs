//! The fields that a form has sent, and how a form is sent again with what was wrong at its fields.

use bytes::Bytes;
use http::Request;
use maud::{Markup, html};
use url::form_urlencoded;

use crate::text::Text;

/// The fields of a form, in their order.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads the body of a form, or a query.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes);
        // A browser ends lines with a carriage return too.
        let pairs = pairs.map(|(name, value)| (name.into_owned(), value.replace("\r\n", "\n")));
        Self(pairs.collect())
    }

    pub(crate) fn of(request: &Request<Bytes>) -> Self {
        Self::read(request.body())
    }

    /// Returns the value of a field without white space around it; nothing if it was not sent.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.trim())
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(field, _)| field != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Shows these fields, unseen, so that the next form sends them again.
    pub(crate) fn hidden(&self, names: &[&str]) -> Markup {
        html! {
            @for name in names {
                @if !self.get(name).is_empty() { input type="hidden" name=(name) value=(self.get(name)); }
            }
        }
    }
}

/// What a form is shown with: what was typed, and what was wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) fields: Fields,
    /// Pointer and rule.
    pub(crate) errors: Vec<(String, String)>,
}

/// A field of a form that is a JSON value of a request.
pub(crate) struct Field<'f> {
    /// Where the value is in the request; also the field's name.
    pub(crate) pointer: &'f str,
    pub(crate) label: &'f str,
    pub(crate) required: bool,
    pub(crate) hint: &'f str,
}

impl Draft {
    pub(crate) fn value(&self, pointer: &str) -> &str {
        self.fields.get(pointer)
    }

    /// Returns the rules that the value at the pointer breaks.
    pub(crate) fn rules(&self, pointer: &str) -> impl Iterator<Item = &str> {
        let errors = self.errors.iter();
        errors.filter_map(move |(place, rule)| (place == pointer).then_some(rule.as_str()))
    }

    /// Shows a field around its control, which `control` makes from the attributes: id, the ids that describe it, and
    /// whether it is wrong.
    pub(crate) fn field(
        &self,
        field: &Field<'_>,
        control: impl FnOnce(&str, Option<&str>, Option<&str>) -> Markup,
    ) -> Markup {
        let id = field.pointer.trim_start_matches('/').replace('/', "-");
        let rules: Vec<&str> = self.rules(field.pointer).collect();
        let (hint, wrong) = (format!("{id}-hint"), format!("{id}-wrong"));
        let mut describing = Vec::new();
        if !rules.is_empty() {
            describing.push(wrong.as_str());
        }
        if !field.hint.is_empty() {
            describing.push(hint.as_str());
        }
        let describing = describing.join(" ");
        let described = (!describing.is_empty()).then_some(describing.as_str());
        let is_wrong = (!rules.is_empty()).then_some("true");
        html! {
            div.field.wrong[!rules.is_empty()] {
                label for=(id) {
                    (field.label)
                    @if !field.required { " " span.quiet { "optional" } }
                }
                (control(&id, described, is_wrong))
                @if !rules.is_empty() {
                    p.rule id=(wrong) { @for rule in &rules { (Text(rule)) ". " } }
                }
                @if !field.hint.is_empty() { p.hint id=(hint) { (field.hint) } }
            }
        }
    }

    /// Shows a field for one line of text.
    pub(crate) fn line(&self, field: &Field<'_>, kind: &str, example: &str) -> Markup {
        // What is secret is never sent back.
        let value = if kind == "password" {
            ""
        } else {
            self.value(field.pointer)
        };
        self.field(field, |id, described, wrong| {
            html! {
                input id=(id) name=(field.pointer) type=(kind) value=(value) placeholder=(example)
                    required[field.required] autocomplete="off" spellcheck="false" autocapitalize="off"
                    aria-describedby=[described] aria-invalid=[wrong];
            }
        })
    }

    /// Shows a field for several lines of text.
    pub(crate) fn lines(&self, field: &Field<'_>, example: &str) -> Markup {
        self.field(field, |id, described, wrong| {
            html! {
                textarea id=(id) name=(field.pointer) rows="4" placeholder=(example) required[field.required]
                    spellcheck="false" autocapitalize="off" aria-describedby=[described] aria-invalid=[wrong] {
                    "\n" (self.value(field.pointer))
                }
            }
        })
    }

    /// Shows a choice; an optional one can be left open.
    pub(crate) fn choice(&self, field: &Field<'_>, choices: &[(String, String)]) -> Markup {
        let chosen = self.value(field.pointer);
        self.field(field, |id, described, wrong| {
            html! {
                select id=(id) name=(field.pointer) required[field.required]
                    aria-describedby=[described] aria-invalid=[wrong] {
                    option value="" { @if field.required { "choose" } @else { "not said" } }
                    @for (value, label) in choices {
                        option value=(value) selected[chosen == value] { (label) }
                    }
                }
            }
        })
    }
}
