//! Threads that own a connection each and take calls from one bounded queue, in which commits of
//! rooms go first.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use diesel_async::{AsyncConnection, TransactionManager};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use log::error;
use tokio::sync::oneshot;

use super::{Access, Conn, perform};
use crate::storage::{StoreError, Stored};

/// A call. It gets the error if there is no connection now.
type Job = Box<dyn FnOnce(Result<&mut Conn, StoreError>) + Send>;
type Connect = dyn Fn() -> Result<Conn, StoreError> + Send + Sync;

/// The order in which calls are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobPriority {
    /// Before all others: a commit that rooms wait for must not queue behind requests over HTTP,
    /// nor be refused because of them.
    First,
    InOrder,
}

#[derive(Default)]
struct WaitingJobs {
    first: VecDeque<Job>,
    in_order: VecDeque<Job>,
    closed: bool,
}

struct JobQueue {
    waiting: Mutex<WaitingJobs>,
    changed: Condvar,
    /// Calls of each priority that may wait.
    jobs_max: usize,
}

impl JobQueue {
    fn lock(&self) -> MutexGuard<'_, WaitingJobs> {
        // Every change under the lock is one operation of a list, so a poisoned lock guards whole
        // state.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, priority: JobPriority, job: Job) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        let jobs = match priority {
            JobPriority::First => &mut waiting.first,
            JobPriority::InOrder => &mut waiting.in_order,
        };
        if jobs.len() >= self.jobs_max {
            return Err(StoreError::Unavailable(
                "the queue of the store is full".into(),
            ));
        }
        jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next call; `None` when the worker is dropped and all calls are done.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.first.pop_front() {
                return Some(job);
            }
            if let Some(job) = waiting.in_order.pop_front() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// Dropped, it finishes the calls it has taken and closes its connections.
pub(super) struct Worker {
    queue: Arc<JobQueue>,
    threads: Vec<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(
        name: &str,
        threads_count: u32,
        queue_max: usize,
        connect: impl Fn() -> Result<Conn, StoreError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let queue = Arc::new(JobQueue {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            jobs_max: queue_max,
        });
        let connect: Arc<Connect> = Arc::new(connect);
        // Kept from the start: if a thread cannot be made, dropping it stops those before.
        let mut worker = Self {
            queue: queue.clone(),
            threads: Vec::new(),
        };
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
    pub(super) fn run<T, F>(
        &self,
        priority: JobPriority,
        access: Access,
        query: F,
    ) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (done_tx, done) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            // SQLite runs in place, so the query is done when it is first looked at.
            let result = conn.and_then(|conn| {
                let waits = || {
                    Err(StoreError::Fault(
                        "a query waited for something else than SQLite".into(),
                    ))
                };
                perform(conn, access, query)
                    .now_or_never()
                    .unwrap_or_else(waits)
            });
            // Nobody waits any more: the work is done all the same.
            let _ = done_tx.send(result);
        });
        let queued = self.queue.push(priority, job);
        async move {
            queued?;
            done.await
                .map_err(|_| StoreError::Fault("a query panicked".into()))?
        }
        .boxed()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn serve(queue: &JobQueue, conn: Conn, connect: &Connect) {
    let mut conn = Some(conn);
    while let Some(job) = queue.next() {
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
