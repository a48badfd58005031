//! A relay in front of the program that keeps the bytes of each connection, so that a test sees what a client really sent.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes in one direction of one connection.
type Bytes = Arc<Mutex<Vec<u8>>>;

/// A relay; it ends with the test's runtime.
pub(super) struct Wire {
    pub(super) origin: String,
    /// What was sent and what was answered, for each connection.
    connections: Arc<Mutex<Vec<(Bytes, Bytes)>>>,
}

impl Wire {
    /// Returns a relay in front of a server with this origin.
    pub(super) async fn before(server: &str) -> Self {
        let address = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (sent, answered) = (Bytes::default(), Bytes::default());
                let both = (Arc::clone(&sent), Arc::clone(&answered));
                kept.lock().unwrap().push(both);
                let server = TcpStream::connect(&address).await.unwrap();
                let (client_in, client_out) = client.into_split();
                let (server_in, server_out) = server.into_split();
                tokio::spawn(pass(client_in, server_out, sent));
                tokio::spawn(pass(server_in, client_out, answered));
            }
        });
        Self {
            origin,
            connections,
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Everything that clients sent, in lower case.
    pub(super) fn sent(&self) -> String {
        self.text(|(sent, _)| sent)
    }

    /// Everything that the server answered, in lower case.
    pub(super) fn answered(&self) -> String {
        self.text(|(_, answered)| answered)
    }

    fn text(&self, direction: impl Fn(&(Bytes, Bytes)) -> &Bytes) -> String {
        let connections = self.connections.lock().unwrap();
        let texts = connections.iter().map(|connection| {
            let bytes = direction(connection).lock().unwrap();
            String::from_utf8_lossy(&bytes).to_lowercase()
        });
        texts.collect()
    }
}

/// Passes bytes on until the stream ends, and keeps them.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    kept: Bytes,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        kept.lock().unwrap().extend_from_slice(&buffer[..read]);
        to.write_all(&buffer[..read]).await?;
    }
}
