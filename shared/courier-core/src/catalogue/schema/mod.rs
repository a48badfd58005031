//! Validates values by a part of JSON Schema (2020-12), the keywords of catalogue files. An unknown keyword is refused,
//! not ignored.

mod alternatives;
mod canonical;
mod check;
mod formats;
mod read;
mod values;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Serialize;
use serde_json::{Number, Value};

pub(crate) use self::formats::is_guid;

/// The rules that a value must meet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    types: Vec<Kind>,
    properties: BTreeMap<String, Self>,
    required: Vec<String>,
    /// Properties of which exactly one must be given (`oneOf`); empty if there is no such choice.
    one_of: Vec<String>,
    closed: bool,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    items: Option<Box<Self>>,
    choices: Option<Vec<Value>>,
    constant: Option<Value>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique_items: bool,
    minimum: Option<Number>,
    exclusive_minimum: Option<Number>,
    maximum: Option<Number>,
    exclusive_maximum: Option<Number>,
    multiple_of: Option<NonZeroU32>,
    format: Option<Format>,
}

/// One broken rule. It never contains the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// JSON pointer to the value (RFC 6901).
    pub pointer: String,
    /// The rule, as the continuation of "the value …".
    pub rule: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    String,
    Number,
    Integer,
    Boolean,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Uuid,
    /// A time of RFC 3339, section 5.6.
    DateTime,
    /// A text that is sealed until the start is sent, and of which nothing is stored or shown.
    Secret,
    /// A shared access signature for a container. It is a secret; `sas` checks it in detail.
    ContainerSas,
    /// The name of a storage of the tenant, in which graph-courier makes a container for the operation.
    Storage,
}

impl Violation {
    pub fn new(pointer: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            rule: rule.into(),
        }
    }
}

impl Schema {
    /// Parses a schema. The error names the place in the schema.
    pub fn parse(schema: &Value) -> Result<Self, String> {
        read::schema("", schema)
    }

    /// Returns the names of the properties that hold secrets.
    pub fn secrets(&self) -> Vec<String> {
        let is_secret = |format| matches!(format, Format::Secret | Format::ContainerSas);
        let properties = self.properties.iter();
        properties
            .filter(|(_, property)| property.format.is_some_and(is_secret))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Reports whether this property holds a shared access signature, of which the container's URL is no secret.
    pub(crate) fn is_container_sas(&self, property: &str) -> bool {
        let property = self.properties.get(property);
        property.is_some_and(|property| property.format == Some(Format::ContainerSas))
    }

    /// Returns the property that names a storage, and the one in whose place it is given: a shared access signature.
    ///
    /// There is such a pair if there is one of each format, and exactly one of the two must be given.
    pub fn storage(&self) -> Option<(&str, &str)> {
        let (storage, sas) = (
            self.only(Format::Storage)?,
            self.only(Format::ContainerSas)?,
        );
        let is_choice = self.one_of.len() == 2
            && [storage, sas]
                .iter()
                .all(|name| self.one_of.iter().any(|one| one == name));
        is_choice.then_some((storage, sas))
    }

    /// Returns the properties of which exactly one must be given; empty if there is no such choice.
    pub(crate) fn alternatives(&self) -> &[String] {
        &self.one_of
    }

    /// Reports whether a property names a storage.
    pub(crate) fn has_storage(&self) -> bool {
        self.properties
            .values()
            .any(|property| property.format == Some(Format::Storage))
    }

    fn only(&self, format: Format) -> Option<&str> {
        let properties = self.properties.iter();
        let mut found = properties.filter(|(_, property)| property.format == Some(format));
        let (name, _) = found.next()?;
        found.next().is_none().then_some(name)
    }
}
