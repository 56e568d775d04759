//! Threads that own a connection each and take calls from one bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use diesel_async::{AsyncConnection, TransactionManager};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use log::error;
use tokio::sync::oneshot;

use super::{Access, Conn, perform};
use crate::storage::{StoreError, Stored};

/// Told why, if there is no connection now.
type Job = Box<dyn FnOnce(Result<&mut Conn, StoreError>) + Send>;
type Connect = dyn Fn() -> Result<Conn, StoreError> + Send + Sync;

/// Dropped, it finishes the calls it has taken and closes its connections.
pub(super) struct Worker {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(
        name: &str,
        threads_count: u32,
        queue_max: usize,
        connect: impl Fn() -> Result<Conn, StoreError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(queue_max);
        let queue = Arc::new(Mutex::new(queue));
        let connect: Arc<Connect> = Arc::new(connect);
        // Kept from the start: if a thread cannot be made, dropping it stops those before.
        let mut worker = Self { jobs: Some(jobs), threads: Vec::new() };
        for _ in 0..threads_count {
            let conn = connect()?;
            let (queue, connect) = (queue.clone(), connect.clone());
            let thread = thread::Builder::new()
                .name(name.into())
                .spawn(move || serve(&queue, conn, &*connect))
                .map_err(|error| StoreError::Unavailable(format!("no thread: {error}")))?;
            worker.threads.push(thread);
        }
        Ok(worker)
    }

    /// Queues a query at once; the future only waits for its result.
    pub(super) fn run<T, F>(&self, access: Access, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (done_tx, done) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            // SQLite runs in place, so the query is done when it is first looked at.
            let result = conn.and_then(|conn| {
                let waits = || Err(StoreError::Fault("a query waited for something else than SQLite".into()));
                perform(conn, access, query).now_or_never().unwrap_or_else(waits)
            });
            // Nobody waits any more: the work is done all the same.
            let _ = done_tx.send(result);
        });
        let queued = match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(StoreError::Unavailable("the queue of the store is full".into())),
            Some(Err(TrySendError::Disconnected(_))) | None => {
                Err(StoreError::Unavailable("the threads of the store are gone".into()))
            }
        };
        async move {
            queued?;
            done.await.map_err(|_| StoreError::Fault("a query panicked".into()))?
        }
        .boxed()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn serve(queue: &Mutex<Receiver<Job>>, conn: Conn, connect: &Connect) {
    let mut conn = Some(conn);
    loop {
        // The lock is held while waiting: one thread waits for a call, the others for the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let mut open = match conn.take().map_or_else(connect, Ok) {
            Ok(open) => open,
            Err(error) => {
                job(Err(error));
                continue;
            }
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| job(Ok(&mut open)))).is_err();
        if panicked {
            error!("query panicked, its connection is replaced");
        }
        // Closing rolls back. The books are whole either way; only this connection is in doubt.
        if !panicked && !is_broken(&mut open) {
            conn = Some(open);
        }
    }
}

fn is_broken(conn: &mut Conn) -> bool {
    <Conn as AsyncConnection>::TransactionManager::is_broken_transaction_manager(conn)
}
