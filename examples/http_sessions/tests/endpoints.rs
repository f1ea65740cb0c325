//! Each endpoint of a server on a free port; how the service ends, as a whole and as a process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_sessions::server::serve;
use http_sessions::store::{Entry, Page, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use ureq::http::Response;
use ureq::{Agent, Body};
use uuid::Uuid;

struct Server {
    address: SocketAddr,
    agent: Agent,
    end: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
    folder: TempDir,
}

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).build().into()
}

fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("sessions.mapleaf")
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let path = database(&folder);
        let (end, ended) = oneshot::channel();
        let (started, address) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                let end = async { ended.await.unwrap_or(()) };
                serve(&path, listener, Duration::from_millis(10), end).await
            })
        });
        Server { address: address.recv().unwrap(), agent: agent(), end, thread, folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn get(&self, path: &str) -> Response<Body> {
        self.agent.get(self.url(path)).call().unwrap()
    }

    fn create(&self, user: &str, seconds: u64, data: Value) -> Entry {
        let session = json!({ "user": user, "seconds": seconds, "data": data });
        let mut response = self.agent.post(self.url("/sessions")).send_json(session).unwrap();
        assert_eq!(response.status(), 201);
        let entry: Entry = response.body_mut().read_json().unwrap();
        assert_eq!(response.headers()["location"], format!("/sessions/{}", entry.id));
        entry
    }

    fn page(&self, query: &str) -> Page {
        self.get(query).body_mut().read_json().unwrap()
    }

    /// Ends the service, and returns the folder, in which no process has the database open.
    fn end(self) -> TempDir {
        self.end.send(()).unwrap();
        self.thread.join().unwrap().unwrap();
        self.folder
    }
}

#[test]
fn a_session_is_created_read_renewed_and_removed() {
    let server = Server::start();
    let entry = server.create("ada", 60, json!({ "cart": [3, 5] }));
    let path = format!("/sessions/{}", entry.id);
    assert_eq!(server.get(&path).body_mut().read_json::<Entry>().unwrap(), entry);

    let renewal = json!({ "seconds": 3600, "data": "new" });
    let mut response = server.agent.put(server.url(&path)).send_json(&renewal).unwrap();
    let renewed: Entry = response.body_mut().read_json().unwrap();
    assert_eq!((renewed.session.user.as_str(), &renewed.session.data), ("ada", &json!("new")));
    assert!(renewed.session.ends >= entry.session.ends + 3000);
    assert_eq!(server.get(&path).body_mut().read_json::<Entry>().unwrap(), renewed);

    assert_eq!(server.agent.delete(server.url(&path)).call().unwrap().status(), 204);
    assert_eq!(server.agent.delete(server.url(&path)).call().unwrap().status(), 404);
    assert_eq!(server.agent.put(server.url(&path)).send_json(&renewal).unwrap().status(), 404);
    assert_eq!(server.get(&path).status(), 404);
    assert!(server.page("/users/ada/sessions").sessions.is_empty(), "the index knows that it is gone");
    server.end();
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let server = Server::start();
    assert_eq!(server.get("/sessions/no-uuid").status(), 400);
    assert_eq!(server.get(&format!("/sessions/{}", Uuid::nil())).status(), 404);
    for session in [
        json!({ "user": "ada" }),
        json!({ "user": "ada", "seconds": 0 }),
        json!({ "user": "ada", "seconds": u64::MAX }),
        json!({ "user": "a".repeat(501), "seconds": 60 }),
    ] {
        let response = server.agent.post(server.url("/sessions")).send_json(session).unwrap();
        assert_eq!(response.status(), 422);
    }
    server.create(&"\0".repeat(500), 60, Value::Null); // the longest key
    server.end();
}

#[test]
fn a_user_s_sessions_are_listed_page_by_page() {
    let server = Server::start();
    let mut expected: Vec<Uuid> = (0..25).map(|_| server.create("ada", 60, Value::Null).id).collect();
    expected.sort();
    server.create("ad", 60, Value::Null);
    server.create("adam", 60, Value::Null);
    let mut found = Vec::new();
    let mut query = "/users/ada/sessions?limit=10".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = server.page(&query);
        sizes.push(page.sessions.len());
        found.extend(page.sessions.iter().map(|entry| entry.id));
        assert!(page.sessions.iter().all(|entry| entry.session.user == "ada"));
        let Some(next) = page.next else { break };
        query = format!("/users/ada/sessions?limit=10&after={next}");
    }
    assert_eq!(found, expected);
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(server.page("/users/ada/sessions?limit=25").next, None, "there is no empty last page");
    server.end();
}

#[test]
fn what_has_expired_is_not_seen_and_then_removed() {
    let server = Server::start();
    let stays = server.create("ada", 3600, Value::Null);
    let ends = server.create("ada", 1, Value::Null);
    let path = format!("/sessions/{}", ends.id);
    while server.get(&path).status() == 200 {
        thread::sleep(Duration::from_millis(20));
    }
    let page = server.page("/users/ada/sessions");
    assert_eq!(page.sessions, [stays]);
    // It is removed from all three tables by itself.
    let reader = mapleaf::Db::options().read_only(true).open(database(&server.folder)).unwrap();
    let counts =
        || reader.read().unwrap().tables().unwrap().iter().map(|table| table.entries).collect::<Vec<_>>();
    while counts() != [1, 1, 1] {
        thread::sleep(Duration::from_millis(20));
    }
    drop(reader);
    server.end();
}

#[test]
fn a_backup_has_a_known_length_and_opens() {
    let server = Server::start();
    let entry = server.create("ada", 3600, json!("x".repeat(100_000)));
    let mut response = server.get("/backup");
    assert_eq!(response.status(), 200);
    let length: u64 = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let bytes = response.body_mut().read_to_vec().unwrap();
    assert_eq!(bytes.len() as u64, length);
    let folder = server.end();
    let names = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names().all(|name| name.to_str().unwrap().starts_with("sessions.mapleaf")), "nothing is left");
    let path = folder.path().join("backup.mapleaf");
    std::fs::write(&path, bytes).unwrap();
    let backup = Store::open(&path).unwrap();
    assert_eq!(backup.get(entry.id, 0).unwrap(), Some(entry.session));
    assert!(backup.db().check().unwrap().is_clean());
}

/// The data of the next server-sent event; `None` at the end.
fn next_event(lines: &mut impl BufRead) -> Option<u64> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(data) = line.strip_prefix("data:") {
            return Some(data.trim().parse().unwrap());
        }
    }
}

#[test]
fn changes_of_any_process_are_sent_until_the_service_ends() {
    let server = Server::start();
    let mut clients: Vec<_> =
        (0..3).map(|_| BufReader::new(server.get("/changes").into_body().into_reader())).collect();
    let mut seen: Vec<u64> = clients.iter_mut().map(|client| next_event(client).unwrap()).collect();
    server.create("ada", 60, Value::Null);
    let other = mapleaf::Db::open(database(&server.folder)).unwrap();
    let last =
        other.update(|tx| tx.table(&mapleaf::Table::<u64, u64>::new("n"))?.insert(1, 1).map(|_| tx.id()));
    let last = last.unwrap().get();
    drop(other);
    for (client, seen) in clients.iter_mut().zip(&mut seen) {
        while *seen < last {
            let next = next_event(client).unwrap();
            assert!(next > *seen);
            *seen = next;
        }
    }
    // The clients are still connected.
    server.end();
    clients.iter_mut().for_each(|client| assert_eq!(next_event(client), None));
}

fn start_process(path: &Path) -> (std::process::Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_http_sessions"))
        .args(["--listen", "127.0.0.1:0", "--database"])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, format!("http://{}", line.trim().strip_prefix("listening on ").unwrap()))
}

#[test]
fn a_process_that_is_terminated_finishes_its_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    let (mut child, url) = start_process(&path);
    let agent = agent();
    let session = json!({ "user": "ada", "seconds": 60 });
    let mut response = agent.post(format!("{url}/sessions")).send_json(session).unwrap();
    let entry: Entry = response.body_mut().read_json().unwrap();
    let mut changes = agent.get(format!("{url}/changes")).call().unwrap().into_body().into_reader();
    let terminated = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(terminated.success());
    assert!(child.wait().unwrap().success());
    changes.read_to_end(&mut Vec::new()).unwrap(); // the response is whole
    let (mut child, url) = start_process(&path);
    let read =
        agent.get(format!("{url}/sessions/{}", entry.id)).call().unwrap().body_mut().read_json::<Entry>();
    assert_eq!(read.unwrap(), entry);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The blocks of docs/GUIDE.md that are not run there are from this program.
#[test]
fn the_guide_quotes_this_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let source = ["src/http.rs", "src/server.rs", "src/store.rs"].map(read).concat();
    let guide = read("../../docs/GUIDE.md");
    let blocks: Vec<&str> =
        guide.split("```rust,ignore\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        assert!(source.contains(block), "{block}");
    }
    assert!(guide.contains(read("clippy.toml").lines().last().unwrap()));
}
