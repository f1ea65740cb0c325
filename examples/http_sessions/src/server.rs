//! The life of the service: it serves until it is asked to end, then finishes what it has begun, and closes the
//! database.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use mapleaf::{TransactionId, WatchStream};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::http::{App, router};
use crate::store::{Store, now};

/// Serves the database at `path` until `end` is ready. Returns when every request has been answered and every commit
/// is durable.
pub async fn serve(
    path: &Path,
    listener: TcpListener,
    between_expiries: Duration,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let owned = path.to_owned();
    let store = spawn_blocking(move || Store::open(&owned)).await??;
    let commits = store.db().watch().into_stream();
    let stopper = commits.stopper();
    let (sender, newest) = watch::channel(store.db().stats()?.visible);
    let watching = tokio::spawn(publish(commits, sender));
    let expiring = tokio::spawn(expire(store.clone(), between_expiries, newest.clone()));

    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let app = App { store: store.clone(), newest, folder: folder.to_owned() };
    axum::serve(listener, router(app))
        .with_graceful_shutdown(async move {
            end.await;
            // Without this the requests for `/changes` would never end, and the server would wait for them.
            stopper.stop();
        })
        .await?;
    watching.await??;
    expiring.await??;
    spawn_blocking(move || store.db().clone().close()).await?.context("cannot make the last commits durable")
}

/// Passes each commit, of this process or another, to all that wait for one. Ends when the stream has been stopped:
/// then the sender is dropped, and the streams of all receivers end.
async fn publish(mut commits: WatchStream, newest: watch::Sender<TransactionId>) -> Result<()> {
    while let Some(id) = commits.next().await {
        newest.send_replace(id?);
    }
    Ok(())
}

/// Removes expired sessions now and then, until the service ends.
async fn expire(store: Store, between: Duration, mut newest: watch::Receiver<TransactionId>) -> Result<()> {
    let end = async move { while newest.changed().await.is_ok() {} };
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            () = tokio::time::sleep(between) => {}
        }
        // One transaction after the other, so that requests have their turns between them.
        let mut may_be_more = true;
        while may_be_more {
            let store = store.clone();
            may_be_more = spawn_blocking(move || store.remove_expired(now())).await??;
        }
    }
}
