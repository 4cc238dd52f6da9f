//! A Redis server that is measured or measured with, that keeps nothing on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

use super::part::{Part, unused_port};
use crate::cli::failure::{Exit, Failure};

/// What such a server is called.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
/// How long it may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(10);
/// Wait between two tries to reach it.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// Where the server's executable is, if there is one on the path.
pub(in crate::cli) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    PROGRAMS.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// Starts a server and waits until it answers; gives its address.
pub(in crate::cli) async fn start(folder: &Path) -> anyhow::Result<(Part, String)> {
    let program = find().ok_or_else(|| Failure::new(Exit::Usage, "there is no redis-server on the path"))?;
    let port = unused_port()?;
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    let mut part = Part::spawn("redis", command, folder)?;
    let until = Instant::now() + START_WITHIN;
    while !answers(port).await {
        if let Some(status) = part.ended() {
            return Err(Failure::new(Exit::Platform, format!("the Redis server ended by itself: {status}")).into());
        }
        if Instant::now() >= until {
            return Err(Failure::new(Exit::Platform, "the Redis server does not answer").into());
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    Ok((part, format!("redis://127.0.0.1:{port}")))
}

async fn answers(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG\r\n")
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}
