//! Properties of the filter `callback`, beside those of the other filters.

use std::sync::Arc;

use courier_core::operation::{OperationId, Outcome};
use courier_core::ports::{Filter, Store};

use crate::Verdict;
use crate::sample::{CLIENT, at, ended, sample_record, sample_target};

pub(super) async fn a_retrying_callback_is_found_as_pending_too(store: Arc<dyn Store>) -> Verdict {
    let mut found = Vec::new();
    for attempts in [0, 1] {
        let record = sample_record(&OperationId::random());
        store.insert(&record).await?;
        let mut record = ended(&record, Outcome::Succeeded, at(80));
        record.callback = Some(sample_target());
        record.delivery.scheduled_attempts = attempts;
        store.update(&record).await?;
        found.push(record.id);
    }
    for (word, expected) in [
        ("pending", &found[..]),
        ("retrying", &found[1..]),
        ("undeliverable", &[]),
    ] {
        let filter = Filter {
            callback: Some(word.to_owned()),
            limit: 10,
            ..Filter::default()
        };
        let page = store.list(CLIENT, &filter).await?;
        let mut ids: Vec<_> = page.records.into_iter().map(|record| record.id).collect();
        ids.sort_by_key(|id| found.iter().position(|known| known == id));
        assert_eq!(ids, expected, "{word}");
    }
    Ok(())
}
