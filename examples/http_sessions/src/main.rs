//! The program: arguments, and the signals that end it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use http_sessions::server::serve;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A session service over HTTP.
#[derive(Parser)]
struct Arguments {
    /// The database; it is created if there is none.
    #[arg(long, value_name = "FILE", default_value = "sessions.mapleaf")]
    database: PathBuf,
    /// Where to listen; port 0 is any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Seconds between two searches for expired sessions.
    #[arg(long, default_value_t = 10)]
    expire_every: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(arguments.listen).await.context(arguments.listen)?;
    println!("listening on {}", listener.local_addr()?);
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let end = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    serve(&arguments.database, listener, Duration::from_secs(arguments.expire_every), end).await
}
