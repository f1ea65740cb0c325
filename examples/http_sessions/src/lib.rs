//! A session service over HTTP: mapleaf in an asynchronous program. docs/GUIDE.md, *Asynchronous programs*, explains it.
//!
//! ```text
//! cargo run --release -- --database sessions.mapleaf --listen 127.0.0.1:8080
//!
//! curl -X POST localhost:8080/sessions -H 'content-type: application/json' \
//!     -d '{"user": "ada", "seconds": 3600, "data": {"cart": [3, 5]}}'
//! curl localhost:8080/sessions/ID
//! curl 'localhost:8080/users/ada/sessions?limit=20'
//! curl -N localhost:8080/changes
//! curl -o backup.mapleaf localhost:8080/backup
//! ```
//!
//! [`store`] has all that concerns the database, in functions that may block. [`http`] calls them on threads where
//! that is allowed. [`server`] is the life of the service, from the first request to the last commit.

pub mod http;
pub mod server;
pub mod store;
