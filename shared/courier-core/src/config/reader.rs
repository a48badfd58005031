//! Reads a TOML table, names every mistake by its dotted key, and reports the keys that were never read as unknown.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use toml::{Table, Value};
use url::{Host, Url};

use crate::crypto::seal::Sealer;
use crate::crypto::secret::{Secret, SecretReference};
use crate::outbound::address::Allowed;
use crate::outbound::target_url;

/// Fetches a secret. The error says what is missing and never contains the secret.
pub type Resolve<'a> = &'a dyn Fn(&SecretReference) -> Result<Secret, String>;

pub(crate) struct Reader<'a> {
    path: String,
    table: &'a Table,
    resolve: Resolve<'a>,
    known_keys: BTreeSet<String>,
    errors: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: &str, table: &'a Table, resolve: Resolve<'a>) -> Self {
        Self {
            path: path.to_owned(),
            table,
            resolve,
            known_keys: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    /// Returns all mistakes: those found while reading, and one for each key that was never read.
    pub(crate) fn finish(mut self) -> Vec<String> {
        for key in self
            .table
            .keys()
            .filter(|key| !self.known_keys.contains(*key))
        {
            self.errors
                .push(format!("{}: is not a known key", self.name(key)));
        }
        self.errors
    }

    /// Reports whether the table has this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(crate) fn error(&mut self, key: &str, rule: &str) {
        let name = self.name(key);
        self.errors.push(format!("{name}: {rule}"));
    }

    pub(crate) fn table<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        if self.get(key).is_none() {
            self.error(key, "is missing");
            return None;
        }
        self.optional_table(key, read).flatten()
    }

    pub(crate) fn optional_table<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let Value::Table(table) = self.get(key)? else {
            self.error(key, "must be a table");
            return None;
        };
        let mut reader = Reader::new(&self.name(key), table, self.resolve);
        let value = read(&mut reader);
        self.errors.append(&mut reader.finish());
        Some(value)
    }

    /// Reads a table of tables and returns what `read` makes of each, by name.
    pub(crate) fn tables<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str, &mut Self) -> Option<T>,
    ) -> BTreeMap<String, T> {
        self.each(key, |reader, name| {
            reader.table(name, |table| read(name, table))
        })
    }

    /// Reads every entry of a table and returns what `read` makes of each, by name.
    fn each<T>(
        &mut self,
        key: &str,
        read: impl Fn(&mut Self, &str) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let mut found = BTreeMap::new();
        let names: Vec<String> = match self.get(key) {
            Some(Value::Table(table)) => table.keys().cloned().collect(),
            Some(_) => {
                self.error(key, "must be a table");
                return found;
            }
            None => return found,
        };
        self.optional_table(key, |reader| {
            for name in names {
                if let Some(value) = read(reader, &name) {
                    found.insert(name, value);
                }
            }
        });
        found
    }

    /// Reads one of a few names, parsed by `parse`; returns `default` if the key is missing or its value is wrong.
    pub(crate) fn word<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
        default: T,
    ) -> T {
        let Some(text) = self.optional_text(key) else {
            return default;
        };
        parse(&text).unwrap_or_else(|rule| {
            self.error(key, rule);
            default
        })
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        if self.get(key).is_none() {
            self.error(key, "is missing");
        }
        self.optional_text(key)
    }

    pub(crate) fn optional_text(&mut self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            Value::String(_) => {
                self.error(key, "must not be empty");
                None
            }
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => {
                self.error(key, "must be a text");
                None
            }
        }
    }

    pub(crate) fn number(&mut self, key: &str, least: u32, most: u32) -> Option<u32> {
        let number = self
            .get(key)?
            .as_integer()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.error(
                key,
                &format!("must be a whole number from {least} to {most}"),
            );
        }
        number
    }

    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        let flag = self.get(key)?.as_bool();
        if flag.is_none() {
            self.error(key, "must be true or false");
        }
        flag
    }

    /// Reads a table of strings.
    pub(crate) fn text_map(&mut self, key: &str) -> BTreeMap<String, String> {
        self.each(key, |reader, name| reader.optional_text(name))
    }

    /// Reads a list of HTTP statuses; a missing key gives an empty list.
    pub(crate) fn statuses(&mut self, key: &str) -> Vec<u16> {
        let items = self.get(key);
        let list = items.map(|items| items.as_array().map(Vec::as_slice));
        let numbers = list.flatten().unwrap_or_default().iter();
        let statuses: Option<Vec<u16>> = numbers
            .map(|item| u16::try_from(item.as_integer()?).ok())
            .collect();
        if list == Some(None) || statuses.is_none() {
            self.error(key, "must be a list of HTTP statuses");
        }
        statuses.unwrap_or_default()
    }

    /// Reads the URL of an endpoint that the outbound guard permits.
    pub(crate) fn endpoint(&mut self, key: &str, allowed: &Allowed) -> Option<Url> {
        let text = self.text(key)?;
        let endpoint = target_url::parse_endpoint(&text, allowed);
        endpoint.map_err(|rule| self.error(key, &rule)).ok()
    }

    /// Reads an https origin without path; http is permitted on a loopback address only.
    pub(crate) fn origin(&mut self, key: &str) -> Option<Url> {
        let text = self.optional_text(key)?;
        let checked = Url::parse(&text)
            .map_err(|_| "must be a URL")
            .and_then(|url| {
                let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
                let loopback = match url.host() {
                    Some(Host::Ipv4(address)) => address.is_loopback(),
                    Some(Host::Ipv6(address)) => address.is_loopback(),
                    Some(Host::Domain(name)) => name == "localhost",
                    None => false,
                };
                if !(url.scheme() == "https" || (url.scheme() == "http" && loopback)) {
                    Err("must be https (http only on a loopback address)")
                } else if !bare || !url.username().is_empty() || url.password().is_some() {
                    Err("must be an origin: scheme, host and port only")
                } else {
                    Ok(url)
                }
            });
        checked.map_err(|rule| self.error(key, rule)).ok()
    }

    pub(crate) fn secret(&mut self, key: &str) -> Option<Secret> {
        if self.get(key).is_none() {
            self.error(key, "is missing");
        }
        self.optional_secret(key)
    }

    pub(crate) fn optional_secret(&mut self, key: &str) -> Option<Secret> {
        let text = self.optional_text(key)?;
        self.resolved(&text)
            .map_err(|rule| self.error(key, &rule))
            .ok()
    }

    pub(crate) fn sealer(&mut self, key: &str) -> Option<Sealer> {
        let secret = self.secret(key)?;
        Sealer::new(&secret)
            .map_err(|error| self.error(key, &error.to_string()))
            .ok()
    }

    /// Reads a list of strings, each parsed by `parse`; a missing key gives an empty list.
    pub(crate) fn texts<T>(
        &mut self,
        key: &str,
        parse: impl Fn(String) -> Result<T, String>,
    ) -> Vec<T> {
        let items = match self.get(key) {
            Some(Value::Array(items)) => items.as_slice(),
            Some(_) => {
                self.error(key, "must be a list of texts");
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let text = item.as_str().ok_or_else(|| "must be a text".to_owned());
            match text.and_then(|text| parse(text.to_owned())) {
                Ok(value) => found.push(value),
                Err(rule) => self.error(&format!("{key}[{index}]"), &rule),
            }
        }
        found
    }

    /// Reads a list of secret references and parses each resolved secret by `parse`.
    pub(crate) fn secrets<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&Secret) -> Result<T, String>,
    ) -> Vec<T> {
        let resolve = self.resolve;
        self.texts(key, |text| {
            parse(&resolve(&SecretReference::parse(&text)?)?)
        })
    }

    pub(crate) fn networks(&mut self, key: &str) -> Vec<IpNet> {
        self.texts(key, |text| {
            text.parse()
                .map_err(|_| "must be a network such as 10.20.0.0/16".to_owned())
        })
    }

    fn resolved(&self, text: &str) -> Result<Secret, String> {
        (self.resolve)(&SecretReference::parse(text)?)
    }

    fn get(&mut self, key: &str) -> Option<&'a Value> {
        self.known_keys.insert(key.to_owned());
        self.table.get(key)
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}
