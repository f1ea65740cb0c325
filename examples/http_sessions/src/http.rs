//! The routes. Each handler takes a request apart, and lets a thread for blocking work do the rest.

use std::convert::Infallible;
use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_core::Stream;
use mapleaf::TransactionId;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::store::{Entry, Page, Session, Store, now};

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;
/// With an id it is a key of the index; a key has at most half a page.
const MAX_USER_LEN: usize = 500;
const MAX_SECONDS: u64 = 366 * 24 * 3600;

/// What every handler can use.
#[derive(Clone)]
pub struct App {
    pub store: Store,
    /// The newest transaction; closed when the service ends.
    pub newest: watch::Receiver<TransactionId>,
    /// Where copies of the database are made.
    pub folder: PathBuf,
}

pub fn router(app: App) -> Router {
    Router::new()
        .route("/sessions", post(create))
        .route("/sessions/{id}", get(read).put(replace).delete(remove))
        .route("/users/{user}/sessions", get(list))
        .route("/changes", get(changes))
        .route("/backup", get(backup))
        .with_state(app)
}

/// An error that ends a request. What is wrong with the server is printed, and not sent to the client.
enum Failure {
    Client(StatusCode, &'static str),
    Server(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Server(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Failure::Client(status, text) => (status, text).into_response(),
            Failure::Server(error) => {
                eprintln!("http_sessions: {error:#}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

const NOT_FOUND: Failure = Failure::Client(StatusCode::NOT_FOUND, "there is no such session");

/// Runs what may block on a thread for that. If the client goes away meanwhile, it runs to its end all the same.
async fn blocking<T: Send + 'static>(
    app: App,
    work: impl FnOnce(&App) -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    Ok(spawn_blocking(move || work(&app)).await??)
}

#[derive(Deserialize)]
struct NewSession {
    user: String,
    seconds: u64,
    #[serde(default)]
    data: serde_json::Value,
}

fn end_after(seconds: u64) -> Result<u64, Failure> {
    match seconds {
        1..=MAX_SECONDS => Ok(now() + seconds),
        _ => Err(Failure::Client(StatusCode::UNPROCESSABLE_ENTITY, "`seconds` is from 1 to a year")),
    }
}

async fn create(State(app): State<App>, Json(new): Json<NewSession>) -> Result<impl IntoResponse, Failure> {
    if new.user.len() > MAX_USER_LEN {
        return Err(Failure::Client(StatusCode::UNPROCESSABLE_ENTITY, "`user` has more than 500 bytes"));
    }
    let session = Session { user: new.user, ends: end_after(new.seconds)?, data: new.data };
    let entry = blocking(app, |app| app.store.create(session)).await?;
    let location = format!("/sessions/{}", entry.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(entry)))
}

/// Reads one entry, here and now: a read waits for no lock, and a page that is in memory is there at once. If the
/// database did not fit in memory, this would go through `blocking` too.
async fn read(State(app): State<App>, Path(id): Path<Uuid>) -> Result<Json<Entry>, Failure> {
    let session = app.store.get(id, now())?.ok_or(NOT_FOUND)?;
    Ok(Json(Entry { id, session }))
}

#[derive(Deserialize)]
struct Renewal {
    seconds: u64,
    #[serde(default)]
    data: serde_json::Value,
}

async fn replace(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(renewal): Json<Renewal>,
) -> Result<Json<Entry>, Failure> {
    let ends = end_after(renewal.seconds)?;
    let entry = blocking(app, move |app| app.store.replace(id, renewal.data, ends, now())).await?;
    entry.map(Json).ok_or(NOT_FOUND)
}

async fn remove(State(app): State<App>, Path(id): Path<Uuid>) -> Result<StatusCode, Failure> {
    match blocking(app, move |app| app.store.remove(id)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(NOT_FOUND),
    }
}

#[derive(Deserialize)]
struct Part {
    after: Option<Uuid>,
    limit: Option<usize>,
}

async fn list(
    State(app): State<App>,
    Path(user): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<Page>, Failure> {
    let limit = part.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let page = blocking(app, move |app| app.store.of_user(&user, part.after, limit, now())).await?;
    Ok(Json(page))
}

/// The newest transaction, and each newer one, as server-sent events. All clients share one stream of the database.
async fn changes(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ids = WatchStream::new(app.newest).map(|id| Ok(Event::default().data(id.to_string())));
    Sse::new(ids).keep_alive(KeepAlive::default())
}

/// A copy of the database. It is made first and sent after that: so its length is known, a damaged page is an error
/// before anything is sent, and a slow client keeps a file and not a snapshot, whose pages could not be used again.
async fn backup(State(app): State<App>) -> Result<impl IntoResponse, Failure> {
    let file = blocking(app, |app| app.store.copy_in(&app.folder)).await?;
    let length = file.metadata()?.len();
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    let headers = [
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_TYPE, "application/octet-stream".into()),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"sessions.mapleaf\"".into()),
    ];
    Ok((headers, body))
}
