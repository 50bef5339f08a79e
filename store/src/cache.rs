//! Values by key in memory, up to a limit.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Values by key. If they exceed the limit, the least recently used are dropped first.
///
/// A value that was dropped is computed again when it is needed, so results never depend on the limit.
#[derive(Debug)]
pub struct Cache<K, V> {
    limit_bytes: usize,
    bytes: usize,
    clock: u64,
    entries: BTreeMap<K, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    bytes: usize,
    used: u64,
}

impl<K: Ord + Clone, V> Cache<K, V> {
    /// An empty cache for values of at most `limit_bytes` together.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, bytes: 0, clock: 0, entries: BTreeMap::new() }
    }

    /// The value of a key, which is now the one that was used last.
    pub fn get(&mut self, key: &K) -> Option<Arc<V>> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(Arc::clone(&entry.value))
    }

    /// Whether there is a value.
    #[must_use]
    pub fn has(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Drops every value.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Adds a value of `bytes` bytes, and drops others if they exceed the limit together. A value that exceeds the limit by itself
    /// is not added.
    pub fn put(&mut self, key: K, value: Arc<V>, bytes: usize) {
        if bytes > self.limit_bytes {
            return;
        }
        self.clock += 1;
        self.bytes += bytes;
        let used = self.clock;
        if let Some(old) = self.entries.insert(key, Entry { value, bytes, used }) {
            self.bytes -= old.bytes;
        }
        while self.bytes > self.limit_bytes {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(entry) = oldest.and_then(|key| self.entries.remove(&key)) else { break };
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_kept_and_the_least_recently_used_go_first() {
        let mut cache = Cache::new(10);
        cache.put("a", Arc::new(1), 4);
        cache.put("b", Arc::new(2), 4);
        assert_eq!(cache.get(&"a"), Some(Arc::new(1)));
        cache.put("c", Arc::new(3), 5);
        assert_eq!([cache.has(&"a"), cache.has(&"b"), cache.has(&"c")], [true, false, true]);
        cache.put("a", Arc::new(4), 5);
        assert_eq!((cache.get(&"a"), cache.bytes), (Some(Arc::new(4)), 10));
        cache.put("d", Arc::new(5), 11);
        assert!(!cache.has(&"d") && cache.has(&"c"), "too large by itself");
        cache.clear();
        assert_eq!((cache.get(&"c"), cache.bytes), (None, 0));
    }
}
