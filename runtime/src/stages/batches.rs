//! Divides what a stage must run into batches.
//!
//! A provider that compiles a graph for every shape, or records its launches, must see few shapes. So a batch has one of a few
//! sizes: the largest that is allowed, or a smaller power of two. Thirteen prompts, at most eight at a time, are 8, 4 and 1.
//!
//! Prompts with different numbers of tokens are never in one batch. A token for padding would change the masks: the decoder has
//! no mask for its tokens, so every token attends to all others.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;

/// The items in batches of at most `limit`, in their order.
pub(super) fn batches<T>(mut items: &[T], limit: usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let (batch, rest) = items.split_at(size(items.len(), limit)?);
        items = rest;
        Some(batch)
    })
}

/// The size of the next batch; `None` if nothing is left.
fn size(left: usize, limit: usize) -> Option<usize> {
    let power_of_two = 1 << left.checked_ilog2()?;
    Some(if left < limit { power_of_two } else { limit.max(1) })
}

/// Runs the items in batches of at most `limit`, and returns the results in their order.
///
/// A device may have memory for one item, but not for several. So if ONNX Runtime fails with several, they are run one by one,
/// and so are all that follow: `limit` becomes 1.
///
/// # Errors
///
/// The first of `run`, but [`Error::Stage`] only for an item by itself.
pub(super) fn run_batches<T, R>(
    items: &[T],
    limit: &AtomicUsize,
    mut run: impl FnMut(&[T]) -> Result<Vec<R>, Error>,
) -> Result<Vec<R>, Error> {
    let mut results = Vec::with_capacity(items.len());
    while results.len() < items.len() {
        let left = &items[results.len()..];
        let Some(batch) = batches(left, limit.load(Ordering::Relaxed)).next() else { break };
        match run(batch) {
            Err(Error::Stage { stage, reason }) if batch.len() > 1 => {
                tracing::info!(%stage, batch = batch.len(), reason, "a batch failed; running one at a time from now on");
                limit.store(1, Ordering::Relaxed);
            }
            found => results.extend(found?),
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use segvol_onnx::Stage;

    use super::*;

    fn sizes(count: usize, limit: usize) -> Vec<usize> {
        batches(&vec![(); count], limit).map(<[()]>::len).collect()
    }

    #[test]
    fn batches_have_a_few_sizes() {
        assert_eq!(sizes(0, 8), [] as [usize; 0]);
        assert_eq!(sizes(13, 8), [8, 4, 1]);
        assert_eq!(sizes(7, 2), [2, 2, 2, 1]);
        assert_eq!(sizes(30, 12), [12, 12, 4, 2], "a limit that is no power of two is used too");
        assert_eq!(sizes(3, 0), [1, 1, 1]);
        for limit in 1..20_usize {
            let allowed: Vec<usize> = (1..=limit).filter(|n| n.is_power_of_two() || *n == limit).collect();
            for count in 0..50 {
                let sizes = sizes(count, limit);
                assert_eq!(sizes.iter().sum::<usize>(), count);
                assert!(sizes.iter().all(|size| allowed.contains(size)), "{count}, {limit}: {sizes:?}");
            }
        }
        assert_eq!(batches(&[1, 2, 3], 2).collect::<Vec<_>>(), [&[1, 2][..], &[3]]);
    }

    #[test]
    fn a_batch_that_fails_is_run_one_by_one() {
        let failed = |reason: &str| Error::Stage { stage: Stage::ImageEncoder, reason: reason.to_owned() };
        let items: Vec<usize> = (0..7).collect();
        let run = |limit: &AtomicUsize, room: usize| {
            let mut sizes = Vec::new();
            let found = run_batches(&items, limit, |batch| {
                sizes.push(batch.len());
                if batch.len() > room { Err(failed("no memory")) } else { Ok(batch.to_vec()) }
            });
            (found, sizes)
        };
        let limit = AtomicUsize::new(4);
        let (found, sizes) = run(&limit, 4);
        assert_eq!((found.expect("room"), sizes), (items.clone(), vec![4, 2, 1]));
        let (found, sizes) = run(&limit, 3);
        assert_eq!((found.expect("room for one"), sizes), (items.clone(), vec![4, 1, 1, 1, 1, 1, 1, 1]));
        let (found, sizes) = run(&limit, 3);
        assert_eq!((found.expect("still"), sizes), (items.clone(), vec![1; 7]), "it is not tried again");
        let (found, sizes) = run(&limit, 0);
        assert!(found.expect_err("no room").to_string().contains("no memory"));
        assert_eq!(sizes, [1]);

        let limit = AtomicUsize::new(4);
        let stopped = run_batches(&items, &limit, |_| Err::<Vec<usize>, _>(Error::Cancelled));
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(limit.into_inner(), 4, "a stop is no failure");
    }
}
