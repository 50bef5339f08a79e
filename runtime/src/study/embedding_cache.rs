//! Image embeddings that a study keeps, so that no window is encoded twice as long as the cache is large enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::stages::ImageEmbedding;
use segvol_windows::Frame;

/// The window that an embedding belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WindowKey {
    /// The whole crop, resized to one window.
    ZoomOut,
    /// A window at full resolution.
    ZoomIn(Frame),
}

/// Embeddings by window. If they exceed `limit_bytes`, the least recently used are dropped first.
///
/// An embedding that was dropped is computed again when it is needed, so results never depend on the limit.
#[derive(Debug)]
pub(crate) struct EmbeddingCache {
    limit_bytes: usize,
    bytes: usize,
    clock: u64,
    entries: BTreeMap<WindowKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    embedding: Arc<ImageEmbedding>,
    used: u64,
}

impl EmbeddingCache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, bytes: 0, clock: 0, entries: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, key: &WindowKey) -> Option<Arc<ImageEmbedding>> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(Arc::clone(&entry.embedding))
    }

    pub(crate) fn has(&self, key: &WindowKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Drops every embedding.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Adds an embedding, and drops others if they exceed the limit together. An embedding that exceeds the limit by itself is
    /// not added.
    pub(crate) fn put(&mut self, key: WindowKey, embedding: Arc<ImageEmbedding>) {
        let bytes = embedding.bytes();
        if bytes > self.limit_bytes {
            return;
        }
        self.clock += 1;
        self.bytes += bytes;
        let used = self.clock;
        if let Some(old) = self.entries.insert(key, Entry { embedding, used }) {
            self.bytes -= old.embedding.bytes();
        }
        while self.bytes > self.limit_bytes {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(entry) = oldest.and_then(|key| self.entries.remove(&key)) else { break };
            self.bytes -= entry.embedding.bytes();
        }
    }
}
