//! The gift catalogue, kept in memory: every gift sent asks for its price.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use log::warn;

use crate::domain::{Gift, GiftId, Timestamp};
use crate::storage::{GiftRow, Store, StoreError};

/// All gifts, withdrawn ones too. Gifts are added and changed, and never removed; an old copy is
/// harmless, because the books decide about the price. [`GiftCatalogue::refresh`] finds what another
/// process added or changed.
pub struct GiftCatalogue {
    store: Arc<dyn Store>,
    entries: RwLock<BTreeMap<GiftId, Entry>>,
}

struct Entry {
    gift: Arc<Gift>,
    on_sale: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl GiftCatalogue {
    /// Gifts held at most. The list goes to every client whole, so this is already far too many to
    /// be useful; gifts beyond it are not on offer.
    pub const GIFTS_MAX: usize = 10_000;

    /// Reads the whole catalogue.
    pub async fn load(store: Arc<dyn Store>) -> Result<Arc<Self>, StoreError> {
        let catalogue = Self {
            store,
            entries: RwLock::default(),
        };
        catalogue.refresh().await?;
        Ok(Arc::new(catalogue))
    }

    /// Reads it again. What was inserted meanwhile stays.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let rows = self.store.gifts().await?;
        if rows.len() > Self::GIFTS_MAX {
            warn!(
                "catalogue too large: gifts={} offered={}",
                rows.len(),
                Self::GIFTS_MAX
            );
        }
        for row in rows {
            self.insert(row);
        }
        Ok(())
    }

    /// Adds a gift, or renews what is known of it. A new one is not added once the catalogue is
    /// full; ask [`GiftCatalogue::is_full`] before creating one.
    pub fn insert(&self, row: GiftRow) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= Self::GIFTS_MAX && !entries.contains_key(&row.gift.id) {
            return;
        }
        // A row that was read before the gift was changed may come after the change.
        let known = entries.get(&row.gift.id);
        if known.is_some_and(|known| known.updated_at > row.updated_at) {
            return;
        }
        let entry = Entry {
            gift: Arc::new(row.gift),
            on_sale: row.on_sale,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        entries.insert(entry.gift.id, entry);
    }

    pub fn is_full(&self) -> bool {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
            >= Self::GIFTS_MAX
    }

    /// A gift, on sale or not.
    pub fn get(&self, id: GiftId) -> Option<Arc<Gift>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&id).map(|entry| entry.gift.clone())
    }

    /// All gifts in id order, withdrawn ones too.
    pub fn rows(&self) -> Vec<GiftRow> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let row = |entry: &Entry| GiftRow {
            gift: Gift::clone(&entry.gift),
            on_sale: entry.on_sale,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
        };
        entries.values().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Coins;
    use crate::storage::{self, ActAuthor, StoreOptions};

    async fn store() -> (tempfile::TempDir, Arc<dyn Store>) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("liveroom.db").display());
        let store = storage::open(&url, StoreOptions::default()).await.unwrap();
        (folder, store)
    }

    fn row(id: i64, price: i64) -> GiftRow {
        let id = GiftId::new(id).unwrap();
        let gift = Gift {
            id,
            name: "rose".into(),
            image: "/rose.png".into(),
            price: Coins::new(price),
        };
        GiftRow {
            gift,
            on_sale: true,
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
        }
    }

    #[actix_rt::test]
    async fn gifts_of_another_process_are_found_by_a_refresh() {
        let (_folder, store) = store().await;
        let catalogue = GiftCatalogue::load(store.clone()).await.unwrap();
        let created = store
            .create_gift(
                "rose".into(),
                "/rose.png".into(),
                Coins::new(7),
                Timestamp(1),
                ActAuthor::default(),
            )
            .await
            .unwrap();
        assert_eq!(catalogue.get(created.gift.id), None);
        catalogue.refresh().await.unwrap();
        assert_eq!(
            catalogue.get(created.gift.id).as_deref(),
            Some(&created.gift)
        );
        assert_eq!(catalogue.rows(), [created]);
    }

    #[actix_rt::test]
    async fn full_catalogue_takes_no_new_gift_but_renews_old_ones() {
        let (_folder, store) = store().await;
        let catalogue = GiftCatalogue::load(store).await.unwrap();
        for id in 1..=10_001 {
            catalogue.insert(row(id, 7));
        }
        assert!(catalogue.is_full());
        assert_eq!(catalogue.rows().len(), GiftCatalogue::GIFTS_MAX);
        assert_eq!(catalogue.get(GiftId::new(10_001).unwrap()), None);
        catalogue.insert(row(1, 8));
        assert_eq!(
            catalogue
                .get(GiftId::new(1).unwrap())
                .map(|gift| gift.price),
            Some(Coins::new(8))
        );
    }
}
