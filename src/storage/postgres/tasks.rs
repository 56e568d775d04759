//! A runtime of the store's own.
//!
//! The pool's connections live on the runtime that opened them. Arbiters come and go, and a caller
//! that stops waiting must not leave a transaction half done, so everything runs here.

use std::future::Future;
use std::thread;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::storage::{StoreError, Stored};

type Task = BoxFuture<'static, ()>;

/// One thread that runs the store's tasks, many at once. When this is dropped, the thread finishes
/// those it has and ends.
pub(super) struct Tasks {
    queue: mpsc::Sender<Task>,
}

impl Tasks {
    /// At most `tasks_max` tasks run and as many wait; one more is refused.
    pub(super) fn start(tasks_max: usize) -> Result<Self, StoreError> {
        let no_runtime = |error| StoreError::Unavailable(format!("no runtime: {error}"));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_runtime)?;
        let tasks_max = tasks_max.max(1);
        let (queue, tasks) = mpsc::channel(tasks_max);
        thread::Builder::new()
            .name("store".into())
            .spawn(move || runtime.block_on(serve(tasks, tasks_max)))
            .map_err(no_runtime)?;
        Ok(Self { queue })
    }

    /// Queues a task at once; the future only waits for its result.
    pub(super) fn run<T, F>(&self, task: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (done_tx, done) = oneshot::channel();
        let task = async move {
            // Nobody waits any more: the work is done all the same.
            let _ = done_tx.send(task.await);
        };
        let queued = self
            .queue
            .try_send(task.boxed())
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    StoreError::Unavailable("the queue of the store is full".into())
                }
                mpsc::error::TrySendError::Closed(_) => {
                    StoreError::Unavailable("the thread of the store is gone".into())
                }
            });
        async move {
            queued?;
            done.await
                .map_err(|_| StoreError::Fault("a query panicked".into()))?
        }
        .boxed()
    }
}

async fn serve(mut tasks: mpsc::Receiver<Task>, tasks_max: usize) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            task = tasks.recv(), if running.len() < tasks_max => match task {
                Some(task) => { running.spawn(task); }
                None => break,
            },
            // A task that panicked has logged it, and its caller learns it from the closed channel.
            Some(_) = running.join_next() => {}
        }
    }
    while running.join_next().await.is_some() {}
}
