//! Properties of documents beside the records: only a writer that saw the newest revision may write.

use std::sync::Arc;

use courier_core::ports::{Store, StoreError};

use crate::Verdict;

pub(super) const RACERS: usize = 64;
pub(super) const ROUNDS: usize = 5;

pub async fn documents_change_by_compare_and_swap(store: Arc<dyn Store>) -> Verdict {
    assert_eq!(store.load_document("team/1").await?, None);
    assert!(!store.swap_document("team/1", 1, "early").await?);
    assert!(store.swap_document("team/1", 0, "first").await?);
    assert!(!store.swap_document("team/1", 0, "again").await?);
    let first = store.load_document("team/1").await?;
    let first = first.ok_or("the document was written")?;
    assert_eq!(first.body, "first");
    assert!(
        !store
            .swap_document("team/1", first.revision + 1, "ahead")
            .await?
    );
    assert!(
        store
            .swap_document("team/1", first.revision, "second")
            .await?
    );
    assert!(
        !store
            .swap_document("team/1", first.revision, "late")
            .await?
    );
    let second = store.load_document("team/1").await?;
    let second = second.ok_or("the document was written")?;
    assert_eq!(second.body, "second");
    assert!(second.revision > first.revision);
    assert_eq!(store.load_document("team/2").await?, None);
    Ok(())
}

pub async fn racing_swaps_have_one_winner(store: Arc<dyn Store>) -> Verdict {
    let mut revision = 0;
    for _ in 0..ROUNDS {
        let swaps = (0..RACERS).map(|racer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let body = racer.to_string();
                let won = store.swap_document("line", revision, &body).await?;
                Ok::<_, StoreError>(won.then_some(body))
            })
        });
        let mut winners = Vec::new();
        for swap in swaps.collect::<Vec<_>>() {
            winners.extend(swap.await??);
        }
        let document = store.load_document("line").await?;
        let document = document.ok_or("the document was written")?;
        assert_eq!(winners, [document.body]);
        revision = document.revision;
    }
    Ok(())
}
