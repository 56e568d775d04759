//! The lists of terms that rooms check comments with, in memory: of the site, and of each streamer
//! whose rooms are open here.
//!
//! A list is read and compiled away from the threads of rooms, and put in the place of the one
//! before it whole: a room finds it at its next comment, and is never without one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use log::{error, info};
use tokio::task;

use crate::domain::UserId;
use crate::domain::word_filter::{
    CompiledTerms, ImportError, SITE_TERMS_MAX, STREAMER_TERMS_MAX, WordFilter, import,
};
use crate::storage::{Store, StoreError};

/// Lists of one query for versions.
const CHUNK: usize = 500;

/// A list as it is now. Cheap to read, from any thread.
struct CurrentTerms {
    streamer: Option<UserId>,
    list: RwLock<VersionedTerms>,
}

#[derive(Default, Clone)]
struct VersionedTerms {
    /// Of the stored list; 0: there was none.
    version: i64,
    /// `None`: a list without terms.
    terms: Option<Arc<CompiledTerms>>,
}

impl CurrentTerms {
    fn new(streamer: Option<UserId>) -> Arc<Self> {
        Arc::new(Self {
            streamer,
            list: RwLock::default(),
        })
    }

    fn get(&self) -> VersionedTerms {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.clone()
    }

    fn set(&self, list: VersionedTerms) {
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = list;
    }
}

/// The filter of the rooms of one streamer. As long as anybody holds it, it follows the changes of
/// both lists.
#[derive(Clone)]
pub struct RoomFilter {
    site: Arc<CurrentTerms>,
    streamer: Arc<CurrentTerms>,
}

impl RoomFilter {
    /// The terms as they are now, for one comment.
    pub fn current(&self) -> WordFilter {
        WordFilter::new(self.site.get().terms, self.streamer.get().terms)
    }
}

/// The filters of this node.
pub struct WordFilters {
    store: Arc<dyn Store>,
    site: Arc<CurrentTerms>,
    /// Those that rooms hold, and some that they held.
    streamers: Mutex<HashMap<UserId, Weak<CurrentTerms>>>,
    /// One reads at a time, so that no older list comes after a newer one.
    reading: tokio::sync::Mutex<()>,
}

impl WordFilters {
    /// Reads the list of the site.
    pub async fn load(store: Arc<dyn Store>) -> Result<Arc<Self>, StoreError> {
        let filters = Self {
            store,
            site: CurrentTerms::new(None),
            streamers: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        };
        filters.read(&filters.site).await?;
        Ok(Arc::new(filters))
    }

    /// The terms of the site alone, as they are now.
    pub fn of_site(&self) -> WordFilter {
        WordFilter::new(self.site.get().terms, None)
    }

    /// The list of this streamer, or else of the site, as it is now; `None` without a term.
    pub async fn terms(
        &self,
        streamer: Option<UserId>,
    ) -> Result<Option<Arc<CompiledTerms>>, StoreError> {
        Ok(match streamer {
            None => self.site.get().terms,
            Some(streamer) => self.of_streamer(streamer).await?.streamer.get().terms,
        })
    }

    /// The filter of the rooms of this streamer.
    pub async fn of_streamer(&self, streamer: UserId) -> Result<RoomFilter, StoreError> {
        let held = self.streamers().get(&streamer).and_then(Weak::upgrade);
        let terms = match held {
            Some(terms) => terms,
            None => {
                // Rooms do not wait for each other's lists. One that is replaced meanwhile is read
                // again by the next refresh, which knows this one then.
                let terms = CurrentTerms::new(Some(streamer));
                self.read(&terms).await?;
                let mut streamers = self.streamers();
                let other = streamers.get(&streamer).and_then(Weak::upgrade);
                other.unwrap_or_else(|| {
                    streamers.insert(streamer, Arc::downgrade(&terms));
                    terms
                })
            }
        };
        Ok(RoomFilter {
            site: self.site.clone(),
            streamer: terms,
        })
    }

    /// Reads all lists that are held here and have changed. One query by primary key for each 500
    /// streamers whose rooms are open.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _reading = self.reading.lock().await;
        for chunk in self.held().chunks(CHUNK) {
            let lists = chunk.iter().map(|terms| terms.streamer).collect();
            let versions = self.store.term_list_versions(lists).await?;
            let versions: HashMap<_, _> = versions.into_iter().collect();
            for terms in chunk {
                let version = versions.get(&terms.streamer).copied().unwrap_or_default();
                if version != terms.get().version {
                    self.read(terms).await?;
                }
            }
        }
        Ok(())
    }

    fn streamers(&self) -> MutexGuard<'_, HashMap<UserId, Weak<CurrentTerms>>> {
        self.streamers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Vec<Arc<CurrentTerms>> {
        let mut streamers = self.streamers();
        streamers.retain(|_, terms| terms.strong_count() > 0);
        let mut held = vec![self.site.clone()];
        held.extend(streamers.values().filter_map(Weak::upgrade));
        held
    }

    /// Reads one list, compiles it on a thread of its own and puts it in place.
    async fn read(&self, current: &CurrentTerms) -> Result<(), StoreError> {
        let streamer = current.streamer;
        let Some(row) = self.store.term_list(streamer).await? else {
            return Ok(());
        };
        let (before, version) = (current.get().terms, row.version);
        let compiled = task::spawn_blocking(move || {
            let list = import(row.lines.as_bytes(), terms_max(streamer))?;
            let terms = CompiledTerms::compile(list, before.as_deref());
            Ok::<_, ImportError>(Arc::new(terms))
        });
        let terms = match compiled.await {
            Ok(Ok(terms)) => terms,
            Ok(Err(faults)) => {
                // Read again when it has changed again.
                error!("terms not read, the ones before stay: streamer={streamer:?} {faults}");
                let terms = current.get().terms;
                current.set(VersionedTerms { version, terms });
                return Ok(());
            }
            Err(stopped) => {
                return Err(StoreError::Fault(format!("terms not compiled: {stopped}")));
            }
        };
        info!(
            "terms in use: streamer={streamer:?} version={version} terms={} bytes={}",
            terms.terms().len(),
            terms.bytes()
        );
        let terms = Some(terms).filter(|terms| !terms.terms().is_empty());
        current.set(VersionedTerms { version, terms });
        Ok(())
    }
}

/// Most terms of a list: a streamer's, or else the site's.
pub const fn terms_max(streamer: Option<UserId>) -> usize {
    match streamer {
        Some(_) => STREAMER_TERMS_MAX,
        None => SITE_TERMS_MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use crate::domain::word_filter::{FilterAction, TermAction, export};
    use crate::domain::{Action, Actor, Role, Scope, Timestamp};
    use crate::storage::{self, ActionRecord, Performed, StoreOptions};

    async fn store() -> (tempfile::TempDir, Arc<dyn Store>) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("liveroom.db").display());
        let store = storage::open(&url, StoreOptions::default()).await.unwrap();
        (folder, store)
    }

    /// As another process, of which nobody notifies this one.
    async fn set(store: &Arc<dyn Store>, scope: Scope, lines: &str) {
        let list = import(lines.as_bytes(), SITE_TERMS_MAX).unwrap();
        let (actor, role) = (Actor::CONFIG, Role::Operator);
        let action = Action::SetTerms(export(&list));
        let record = ActionRecord::new(actor, role, scope, action, Timestamp(1));
        let performed = store.perform(record).await.unwrap();
        assert!(matches!(performed, Performed::Done { .. }), "{performed:?}");
    }

    async fn user(store: &Arc<dyn Store>, name: &str) -> UserId {
        let (name, hash) = (name.to_owned(), "none".to_owned());
        let created = store.create_user(name, None, hash, Timestamp(1)).await;
        created.unwrap().unwrap().id
    }

    #[actix_rt::test]
    async fn rooms_that_are_open_have_a_new_list_after_a_refresh() {
        let (_folder, store) = store().await;
        let (alice, bobby) = (user(&store, "alice").await, user(&store, "bobby").await);
        set(&store, Scope::Site, "坏话\tblock").await;
        let filters = WordFilters::load(store.clone()).await.unwrap();
        let of_alice = filters.of_streamer(alice).await.unwrap();
        let of_bobby = filters.of_streamer(bobby).await.unwrap();
        let action = |filter: &RoomFilter, text: &str| filter.current().check(text).action();
        assert_eq!(action(&of_alice, "坏话"), Some(FilterAction::Block));

        set(&store, Scope::Site, "脏话\thold").await;
        set(&store, Scope::Streamer(alice), "剧透\tmask").await;
        assert_eq!(action(&of_alice, "剧透"), None);
        filters.refresh().await.unwrap();
        for (text, alices, bobbys) in [
            ("坏话", None, None),
            ("脏话", Some(FilterAction::Hold), Some(FilterAction::Hold)),
            ("剧透", Some(FilterAction::Mask), None),
        ] {
            assert_eq!(action(&of_alice, text), alices, "{text}");
            assert_eq!(action(&of_bobby, text), bobbys, "{text}");
        }
        set(&store, Scope::Streamer(alice), "").await;
        filters.refresh().await.unwrap();
        assert_eq!(action(&of_alice, "剧透"), None, "the list was emptied");
    }

    #[actix_rt::test]
    async fn a_comment_meets_one_list_whole_while_lists_are_replaced() {
        let (_folder, store) = store().await;
        let alice = user(&store, "alice").await;
        let lists = ["前面\tblock\n后面\thold", "前面\thold\n后面\tblock"];
        set(&store, Scope::Site, lists[0]).await;
        let filters = WordFilters::load(store.clone()).await.unwrap();
        let filter = filters.of_streamer(alice).await.unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let rooms: Vec<_> = (0..2)
            .map(|_| {
                let (filter, is_over) = (filter.clone(), is_over.clone());
                thread::spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let verdict = filter.current().check("前面后面");
                        let hits = verdict.hits().iter();
                        let actions: Vec<_> = hits.map(|hit| hit.term.term().action()).collect();
                        match actions[..] {
                            [TermAction::Act(first), TermAction::Act(second)] => {
                                assert_ne!(first, second, "of two lists");
                            }
                            _ => panic!("{actions:?}"),
                        }
                    }
                })
            })
            .collect();
        for round in 1..=20 {
            set(&store, Scope::Site, lists[round % 2]).await;
            filters.refresh().await.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        for room in rooms {
            room.join().unwrap();
        }
    }

    #[actix_rt::test]
    async fn a_streamer_without_open_rooms_costs_nothing() {
        let (_folder, store) = store().await;
        let alice = user(&store, "alice").await;
        let filters = WordFilters::load(store.clone()).await.unwrap();
        let one = filters.of_streamer(alice).await.unwrap();
        let other = filters.of_streamer(alice).await.unwrap();
        assert!(Arc::ptr_eq(&one.streamer, &other.streamer));
        assert_eq!(filters.held().len(), 2, "the site's and one of alice");
        drop((one, other));
        assert_eq!(filters.held().len(), 1);
        assert!(filters.streamers().is_empty());
        set(&store, Scope::Streamer(alice), "剧透\tmask").await;
        let again = filters.of_streamer(alice).await.unwrap();
        assert_eq!(
            again.current().check("剧透").action(),
            Some(FilterAction::Mask)
        );
    }
}
