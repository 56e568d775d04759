//! A map that cannot outgrow its limit.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map of at most `entries_max` entries: one more, and the one inserted longest ago is evicted.
///
/// Inserting a key again makes it the newest; reading an entry or changing its value does not. Each
/// call takes constant time on average. Memory grows with the entries, not with the limit, to about
/// twice what a plain map of as many would take.
#[derive(Debug)]
pub struct BoundedMap<K, V> {
    entries_max: usize,
    entries: HashMap<K, Entry<V>>,
    /// Keys by age, oldest first. One whose number is not that of its entry is stale: removed or
    /// inserted again. The front is never stale.
    order: VecDeque<(u64, K)>,
    inserted_count: u64,
}

#[derive(Debug)]
struct Entry<V> {
    number: u64,
    value: V,
}

impl<K: Hash + Eq + Clone, V> BoundedMap<K, V> {
    /// A limit of 0 is taken as 1.
    pub fn new(entries_max: usize) -> Self {
        Self {
            entries_max: entries_max.max(1),
            entries: HashMap::new(),
            order: VecDeque::new(),
            inserted_count: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains_key(key)
    }

    /// Inserts an entry as the newest, in place of the one with this key if there is one. Returns
    /// the entry that was evicted because of the limit, never the one that was replaced.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let is_full = self.entries.len() >= self.entries_max && !self.entries.contains_key(&key);
        let evicted = if is_full { self.pop_oldest() } else { None };
        self.inserted_count += 1;
        self.entries.insert(
            key.clone(),
            Entry {
                number: self.inserted_count,
                value,
            },
        );
        self.order.push_back((self.inserted_count, key));
        self.drop_stale();
        evicted
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.remove(key)?;
        self.drop_stale();
        Some(entry.value)
    }

    /// The entry that was inserted longest ago.
    pub fn oldest(&self) -> Option<(&K, &V)> {
        let (_, key) = self.order.front()?;
        self.get(key).map(|value| (key, value))
    }

    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (_, key) = self.order.pop_front()?;
        let entry = self.entries.remove(&key)?;
        self.drop_stale();
        Some((key, entry.value))
    }

    /// Keeps the front of `order` fresh, and `order` at most twice as long as the map and a few
    /// keys.
    fn drop_stale(&mut self) {
        const STALE_MIN: usize = 16;
        if self.order.len() == self.entries.len() {
            return;
        }
        let is_stale = |(number, key): &(u64, K)| {
            self.entries
                .get(key)
                .is_none_or(|entry| entry.number != *number)
        };
        while self.order.front().is_some_and(is_stale) {
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.entries.len() + STALE_MIN {
            self.order.retain(|place| !is_stale(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map_of(entries_max: usize, keys: impl IntoIterator<Item = u32>) -> BoundedMap<u32, u32> {
        let mut map = BoundedMap::new(entries_max);
        for key in keys {
            map.insert(key, key * 10);
        }
        map
    }

    fn drain(mut map: BoundedMap<u32, u32>) -> Vec<u32> {
        std::iter::from_fn(|| map.pop_oldest())
            .map(|(key, _)| key)
            .collect()
    }

    #[test]
    fn one_more_than_the_limit_evicts_the_oldest() {
        let mut map = map_of(3, 1..=3);
        assert_eq!(map.insert(4, 40), Some((1, 10)));
        assert_eq!((map.len(), map.get(&1), map.get(&4)), (3, None, Some(&40)));
        assert_eq!(drain(map), [2, 3, 4]);
    }

    #[test]
    fn a_key_inserted_again_is_the_newest_and_evicts_nothing() {
        let mut map = map_of(3, 1..=3);
        assert_eq!(map.insert(1, 11), None);
        assert_eq!(
            (map.len(), map.oldest(), map.get(&1)),
            (3, Some((&2, &20)), Some(&11))
        );
        assert_eq!(map.insert(4, 40), Some((2, 20)));
        assert_eq!(drain(map), [3, 1, 4]);
    }

    #[test]
    fn reading_and_changing_an_entry_does_not_make_it_younger() {
        let mut map = map_of(2, 1..=2);
        *map.get_mut(&1).unwrap() += 1;
        assert!(map.contains_key(&1));
        assert_eq!(map.insert(3, 30), Some((1, 11)));
    }

    #[test]
    fn a_removed_key_leaves_its_place_to_another() {
        let mut map = map_of(3, 1..=3);
        assert_eq!([map.remove(&1), map.remove(&1)], [Some(10), None]);
        assert_eq!(map.oldest(), Some((&2, &20)));
        assert_eq!(map.insert(4, 40), None);
        // Inserted anew, it is as old as that, not as old as it once was.
        map.remove(&2);
        map.insert(2, 22);
        assert_eq!(drain(map), [3, 4, 2]);
    }

    #[test]
    fn the_order_stays_as_short_as_the_map_however_often_keys_come_and_go() {
        let mut map = map_of(100, [0]);
        for round in 0..100_000_u32 {
            map.insert(1 + round % 7, round);
            if round % 3 == 0 {
                map.remove(&(1 + round % 5));
            }
            assert!(
                map.order.len() <= 2 * map.len() + 16,
                "{} for {}",
                map.order.len(),
                map.len()
            );
        }
        assert_eq!(map.oldest(), Some((&0, &0)));
    }

    #[test]
    fn a_limit_of_zero_is_one() {
        assert_eq!(map_of(0, 1..=3).len(), 1);
    }
}
