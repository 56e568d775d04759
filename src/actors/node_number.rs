//! The number of this node, by which the ids of its comments differ from those of other nodes.
//!
//! The store gives a node that starts the number that was unseen for the longest time, of 1,024,
//! and a node that runs says again and again that it has its own. So a number comes round only
//! after 1,023 starts within one [`KEEP_EVERY`], or to a node that stood still through as many;
//! that one notices when it goes on, and takes another. Redis has no part in it: what it forgets
//! gives no number twice.

use std::sync::Arc;
use std::time::Duration;

use log::{debug, warn};

use crate::comment_ids::CommentIds;
use crate::storage::{Store, StoreError};

/// Time between two signs that the number is in use: one update by key.
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// A number that this node holds.
pub struct NodeNumber {
    store: Arc<dyn Store>,
    /// The node's name, which no other has.
    holder: String,
    number: i64,
}

impl NodeNumber {
    /// `None`: the store serves one node.
    pub async fn take(store: Arc<dyn Store>, holder: String) -> Result<Option<Self>, StoreError> {
        let number = store.take_node_number(holder.clone()).await?;
        Ok(number.map(|number| Self {
            store,
            holder,
            number,
        }))
    }

    pub fn get(&self) -> u64 {
        self.number.unsigned_abs()
    }

    /// Begins to keep the number, on the calling thread and until its system ends.
    pub fn keep(mut self, comment_ids: Arc<CommentIds>) {
        actix_rt::spawn(async move {
            loop {
                tokio::time::sleep(KEEP_EVERY).await;
                if let Err(error) = self.keep_once(&comment_ids).await {
                    debug!("number of this node not kept: error={error}");
                }
            }
        });
    }

    async fn keep_once(&mut self, comment_ids: &CommentIds) -> Result<(), StoreError> {
        if self
            .store
            .keep_node_number(self.number, self.holder.clone())
            .await?
        {
            return Ok(());
        }
        if let Some(number) = self.store.take_node_number(self.holder.clone()).await? {
            warn!(
                "number of this node was given to another one: number={} next={number}",
                self.number
            );
            self.number = number;
            comment_ids.renumber(self.get());
        }
        Ok(())
    }
}
