//! Reads the values of a table, each of one type.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;
use url::Url;

use super::reader::Reader;
use super::storage::is_loopback;
use crate::crypto::secret::{Secret, SecretReference};
use crate::outbound::address::Allowed;
use crate::outbound::target_url;

impl Reader<'_> {
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

    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        if self.get(key).is_none() {
            self.missing(key, &[], "is missing");
        }
        self.optional_text(key)
    }

    pub(crate) fn optional_text(&mut self, key: &str) -> Option<String> {
        let text = self.text_or_nothing(key)?;
        if text.trim().is_empty() {
            self.error(key, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// Reads a text that may be empty.
    pub(crate) fn text_or_nothing(&mut self, key: &str) -> Option<String> {
        let text = self.get(key)?.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.error(key, "must be a text");
        }
        text
    }

    pub(crate) fn number(&mut self, key: &str, least: u32, most: u32) -> Option<u32> {
        let number =
            whole_number(self.get(key)?.get_ref()).filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.error(
                key,
                &format!("must be a whole number from {least} to {most}"),
            );
        }
        number
    }

    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        let flag = self.get(key)?.get_ref().as_bool();
        if flag.is_none() {
            self.error(key, "must be true or false");
        }
        flag
    }

    /// Reads a text, a whole number, or `true` or `false`.
    pub(crate) fn scalar(&mut self, key: &'static str) -> Option<Value> {
        let Some(value) = self.get(key).map(Spanned::get_ref) else {
            self.missing(key, &[], "is missing");
            return None;
        };
        let number = || whole_number(value).map(Value::from);
        let flag = || value.as_bool().map(Value::from);
        let scalar = value
            .as_str()
            .map(Value::from)
            .or_else(number)
            .or_else(flag);
        if scalar.is_none() {
            self.error(key, "must be a text, a whole number, or true or false");
        }
        scalar
    }

    /// Reads a table of strings.
    pub(crate) fn text_map(&mut self, key: &str) -> BTreeMap<String, String> {
        self.each(key, |reader, name| reader.optional_text(name))
    }

    /// Reads a list of HTTP statuses; a missing key gives an empty list.
    pub(crate) fn statuses(&mut self, key: &str) -> Vec<u16> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let status = |item: &Spanned<DeValue<'_>>| {
            let number = whole_number(item.get_ref())?;
            u16::try_from(number).ok()
        };
        let items = value.get_ref().as_array();
        let statuses: Option<Vec<u16>> = items.and_then(|items| items.iter().map(status).collect());
        if statuses.is_none() {
            self.error(key, "must be a list of HTTP statuses");
        }
        statuses.unwrap_or_default()
    }

    /// Reads the URL of an endpoint that the outbound guard permits.
    pub(crate) fn endpoint(&mut self, key: &'static str, allowed: &Allowed) -> Option<Url> {
        let text = self.text(key)?;
        let endpoint = target_url::parse_endpoint(&text, allowed);
        endpoint.map_err(|rule| self.error(key, &rule)).ok()
    }

    /// Reads an https origin without path; http is permitted on a loopback address only.
    pub(crate) fn origin(&mut self, key: &str) -> Option<Url> {
        self.https_url(key, |_, url| {
            let is_origin = url.path() == "/" && is_bare(url);
            let rule = "must be an origin: scheme, host and port only";
            is_origin.then_some(()).ok_or(rule)
        })
    }

    /// Reads the root of a blob service: on Azure an origin, on an emulator with the account as its path.
    pub(super) fn blob_endpoint(&mut self, key: &str) -> Option<Url> {
        self.https_url(key, |_, url| {
            let path = url.path().trim_matches('/');
            let is_root = is_bare(url) && !path.contains(['/', '%']);
            let rule = "must be the root of a blob service, such as https://contosodsar.blob.core.windows.net";
            is_root.then_some(()).ok_or(rule)
        })
    }

    /// Reads the URL under which callers reach us, and returns it without a slash at its end.
    pub(crate) fn public_url(&mut self, key: &str) -> Option<String> {
        let url = self.https_url(key, |text, url| {
            let written = text.strip_suffix('/').unwrap_or(text);
            if !is_bare(url) {
                Err("must have no user information, query or fragment")
            } else if without_slash(url) != written || written.ends_with('/') {
                Err("must be in its plain form: in lower case, without the default port, and with nothing to resolve or encode in its path")
            } else if written.ends_with("/v1/operations") {
                Err("must end before /v1/operations")
            } else {
                Ok(())
            }
        })?;
        Some(without_slash(&url).to_owned())
    }

    /// Reads a URL that must be https, or http on a loopback address, and holds by `check`, which gets its text too.
    fn https_url(
        &mut self,
        key: &str,
        check: impl Fn(&str, &Url) -> Result<(), &'static str>,
    ) -> Option<Url> {
        let text = self.optional_text(key)?;
        let checked = Url::parse(&text)
            .map_err(|_| "must be a URL")
            .and_then(|url| {
                let is_local = url.scheme() == "http" && is_loopback(&url);
                if url.scheme() != "https" && !is_local {
                    return Err("must be https (http only on a loopback address)");
                }
                check(&text, &url).map(|()| url)
            });
        checked.map_err(|rule| self.error(key, rule)).ok()
    }

    pub(crate) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        if self.get(key).is_none() {
            self.missing(key, &[], "is missing");
        }
        self.optional_secret(key)
    }

    pub(crate) fn optional_secret(&mut self, key: &str) -> Option<Secret> {
        let text = self.optional_text(key)?;
        self.resolved(&text)
            .map_err(|rule| self.error(key, &rule))
            .ok()
    }

    /// Reads a list of strings, each parsed by `parse`; a missing key gives an empty list.
    pub(crate) fn texts<T>(
        &mut self,
        key: &str,
        parse: impl Fn(String) -> Result<T, String>,
    ) -> Vec<T> {
        let items = match self.get(key).map(Spanned::get_ref) {
            Some(DeValue::Array(items)) => items,
            Some(_) => {
                self.error(key, "must be a list of texts");
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let text = item.get_ref().as_str();
            let text = text.ok_or_else(|| "must be a text".to_owned());
            match text.and_then(|text| parse(text.to_owned())) {
                Ok(value) => found.push(value),
                Err(rule) => {
                    let name = self.name(&format!("{key}[{index}]"));
                    self.error_at(item.span().start, &name, &rule);
                }
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
}

/// Reports whether a URL has nothing besides scheme, host, port and path.
fn is_bare(url: &Url) -> bool {
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    is_anonymous && url.query().is_none() && url.fragment().is_none()
}

fn without_slash(url: &Url) -> &str {
    url.as_str().strip_suffix('/').unwrap_or(url.as_str())
}

fn whole_number(value: &DeValue<'_>) -> Option<u32> {
    let digits = value.as_integer()?;
    u32::from_str_radix(digits.as_str(), digits.radix()).ok()
}
