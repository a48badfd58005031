//! The checks of `[result]`.

use super::super::ResultSpec;
use super::super::pointer::is_pointer;
use super::Check;

impl Check<'_> {
    pub(super) fn results(&mut self) {
        for (name, result) in &self.operation.result {
            let key = format!("result.{name}");
            let ResultSpec {
                at,
                item,
                items,
                url,
                parameter,
                start,
                fields,
                query: _,
                secret: _,
            } = result;
            let sources = [at, item, url, parameter, start];
            let given = sources.iter().filter(|source| source.is_some()).count()
                + usize::from(items.is_some());
            let has_substitute = given == 2 && at.is_some() && parameter.is_some();
            self.require(
                given == 1 || has_substitute,
                &key,
                "needs one of at, item, items, url, parameter and start; at may have a parameter beside it",
            );
            for pointer in [at, item, start].into_iter().flatten() {
                self.require(is_pointer(pointer), &key, "must be a JSON pointer");
            }
            if let Some(url) = url {
                self.path(&key, url, &["look"]);
            }
            if let Some(parameter) = parameter {
                let rule = "must be a parameter that is no secret";
                let is_container = self.operation.schema().is_container_sas(parameter);
                self.require(self.is_open(parameter) || is_container, &key, rule);
            }
            let for_chosen = item.is_none() && items.is_none();
            let chosen = self.operation.poll.items.is_some();
            self.require(for_chosen || chosen, &key, "needs poll.items");
            let rule = "fields belong to at";
            self.require(fields.is_empty() || at.is_some(), &key, rule);
            let is_sealed =
                fields.is_empty() && parameter.is_none() && (at.is_some() || start.is_some());
            let rule = "a secret must be one value of the job's document (at) or of the answer to the start (start)";
            self.require(!result.is_secret() || is_sealed, &key, rule);
            let rule = "start is for secrets: say secret = true";
            self.require(start.is_none() || result.is_secret(), &key, rule);
        }
    }
}
