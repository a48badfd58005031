//! Reads a TOML table, names every mistake by its dotted key and place, and reports the keys that were never read as
//! unknown.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Found, nearest};
use crate::crypto::secret::{Secret, SecretReference};

/// Fetches a secret. The error says what is missing and never contains the secret.
pub type Resolve<'a> = &'a dyn Fn(&SecretReference) -> Result<Secret, String>;

pub(crate) struct Reader<'a> {
    path: String,
    /// Where the table's name stands, in bytes from the start of the document.
    offset: usize,
    table: &'a DeTable<'a>,
    pub(super) resolve: Resolve<'a>,
    known_keys: BTreeSet<String>,
    missing: Vec<Missing>,
    mistakes: Vec<Found>,
    warnings: Vec<Found>,
}

/// A key that must be there and is not, or other keys instead of it.
struct Missing {
    key: &'static str,
    instead: &'static [&'static str],
    rule: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        path: &str,
        offset: usize,
        table: &'a DeTable<'a>,
        resolve: Resolve<'a>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            offset,
            table,
            resolve,
            known_keys: BTreeSet::new(),
            missing: Vec::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns all mistakes, and all warnings.
    ///
    /// The mistakes are those found while reading, one for each key that was never read, and one for each key that is
    /// missing, unless it stands there misspelt.
    pub(crate) fn finish(mut self) -> (Vec<Found>, Vec<Found>) {
        #[cfg(test)]
        super::known_keys::note(&self.path, &self.known_keys);
        let mut meant = BTreeSet::new();
        for key in self.table.keys() {
            if self.known_keys.contains(&**key.get_ref()) {
                continue;
            }
            let mut rule = "is not a known key".to_owned();
            if let Some(known) = self.meant_by(key.get_ref()) {
                rule.push_str(&format!("; did you mean {known}?"));
                meant.insert(known);
            }
            let found = Found::new(key.span().start, &self.name(key.get_ref()), &rule);
            self.mistakes.push(found);
        }
        for missing in &self.missing {
            let mut names = missing.instead.iter().chain([&missing.key]);
            if !names.any(|name| meant.contains(*name)) {
                let name = self.name(missing.key);
                let found = Found::new(self.offset, &name, &missing.rule);
                self.mistakes.push(found);
            }
        }
        (self.mistakes, self.warnings)
    }

    /// Reports whether this key is a table without entries.
    pub(crate) fn has_empty_table(&self, key: &str) -> bool {
        let value = self.table.get(key).map(Spanned::get_ref);
        value
            .and_then(DeValue::as_table)
            .is_some_and(|table| table.is_empty())
    }

    /// Returns the known key that was probably meant by `key`.
    ///
    /// It is one that the table lacks, except that a misspelt table may belong to one that is there.
    fn meant_by(&self, key: &str) -> Option<String> {
        let is_table = self
            .table
            .get(key)
            .is_some_and(|value| value.get_ref().is_table());
        let known = self.known_keys.iter();
        let candidates = known.filter(|known| is_table || !self.has(known));
        nearest(key, candidates.map(String::as_str)).map(str::to_owned)
    }

    /// Reports whether the table has this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports whether the table has this key, perhaps misspelt. To be asked when all keys have been read.
    pub(crate) fn has_or_means(&self, key: &str) -> bool {
        let names = self.table.keys().map(|name| &**name.get_ref());
        let mut unknown = names.filter(|name| !self.known_keys.contains(*name));
        self.has(key) || unknown.any(|name| self.meant_by(name).as_deref() == Some(key))
    }

    /// Counts these keys as known although nothing reads them, because another mistake decides whether they are.
    pub(crate) fn excuse(&mut self, keys: &[&str]) {
        self.known_keys
            .extend(keys.iter().map(|key| (*key).to_owned()));
    }

    pub(crate) fn error(&mut self, key: &str, rule: &str) {
        let found = Found::new(self.offset_of(key), &self.name(key), rule);
        self.mistakes.push(found);
    }

    /// Reports a mistake of the table itself, by its name.
    pub(crate) fn own_error(&mut self, rule: &str) {
        self.mistakes
            .push(Found::new(self.offset, &self.path, rule));
    }

    /// Reports a mistake that stands elsewhere in the document; `name` is its full dotted name.
    pub(crate) fn error_at(&mut self, offset: usize, name: &str, rule: &str) {
        self.mistakes.push(Found::new(offset, name, rule));
    }

    /// Reports something that is permitted but surely unwanted.
    pub(crate) fn warn(&mut self, key: &str, text: &str) {
        let found = Found::new(self.offset_of(key), &self.name(key), text);
        self.warnings.push(found);
    }

    /// Reports as [`Reader::warn`] does what stands elsewhere in the document.
    pub(crate) fn warn_at(&mut self, offset: usize, name: &str, text: &str) {
        self.warnings.push(Found::new(offset, name, text));
    }

    /// Reports that `key`, or one of the others `instead` of it, is missing.
    pub(crate) fn missing(
        &mut self,
        key: &'static str,
        instead: &'static [&'static str],
        rule: &str,
    ) {
        let rule = rule.to_owned();
        self.missing.push(Missing { key, instead, rule });
    }

    /// Reports that a list is missing or empty.
    pub(crate) fn require_items(&mut self, key: &'static str, rule: &str) {
        match self.get(key).map(Spanned::get_ref) {
            None => self.missing(key, &[], rule),
            Some(DeValue::Array(items)) if items.is_empty() => self.error(key, rule),
            Some(_) => {}
        }
    }

    /// Returns the number of items that this key holds, be they right or wrong.
    pub(crate) fn count_items(&self, key: &str) -> usize {
        let value = self.table.get(key).map(Spanned::get_ref);
        value
            .and_then(DeValue::as_array)
            .map_or(0, |items| items.len())
    }

    /// Reports whether this key holds at least one item, be they right or wrong.
    pub(crate) fn has_items(&self, key: &str) -> bool {
        let value = self.table.get(key).map(Spanned::get_ref);
        value.is_some_and(|value| value.as_array().is_none_or(|items| !items.is_empty()))
    }

    /// Returns where a key below the table stands: `tables` lead to it, and `key` may hold dots and one index.
    pub(crate) fn offset_within(&self, tables: &[&str], key: &str) -> usize {
        let (mut table, mut offset) = (self.table, self.offset);
        for name in tables.iter().copied().chain(key.split('.')) {
            let (name, index) = match name.split_once('[') {
                Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
                None => (name, None),
            };
            let Some(value) = table.get(name) else { break };
            let item = value.get_ref().as_array().zip(index);
            let item = item.and_then(|(items, index)| items.get(index));
            offset = item.unwrap_or(value).span().start;
            match value.get_ref().as_table() {
                Some(inner) => table = inner,
                None => break,
            }
        }
        offset
    }

    /// Returns where the value of `key` stands, or the table's own name if there is none.
    pub(crate) fn offset_of(&self, key: &str) -> usize {
        match self.table.get_key_value(key) {
            Some((name, value)) if value.get_ref().is_table() => name.span().start,
            Some((_, value)) => value.span().start,
            None => self.offset,
        }
    }

    pub(crate) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        if self.get(key).is_none() {
            self.missing(key, &[], "is missing");
            return None;
        }
        self.optional_table(key, read).flatten()
    }

    pub(crate) fn optional_table<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let DeValue::Table(table) = self.get(key)?.get_ref() else {
            self.error(key, "must be a table");
            return None;
        };
        let mut reader = Reader::new(&self.name(key), self.offset_of(key), table, self.resolve);
        let value = read(&mut reader);
        let (mut mistakes, mut warnings) = reader.finish();
        self.mistakes.append(&mut mistakes);
        self.warnings.append(&mut warnings);
        Some(value)
    }

    /// Reads a table of tables and returns what `read` makes of each, by name.
    pub(crate) fn tables<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str, &mut Self) -> Option<T>,
    ) -> BTreeMap<String, T> {
        self.each(key, |reader, name| {
            reader
                .optional_table(name, |table| read(name, table))
                .flatten()
        })
    }

    /// Reads every entry of a table and returns what `read` makes of each, by name.
    pub(super) fn each<T>(
        &mut self,
        key: &str,
        read: impl Fn(&mut Self, &str) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let mut found = BTreeMap::new();
        let names: Vec<String> = match self.get(key).map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => {
                let names = table.keys().map(|name| name.get_ref().to_string());
                names.collect()
            }
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

    pub(super) fn get(&mut self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known_keys.insert(key.to_owned());
        self.table.get(key)
    }

    pub(super) fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}
