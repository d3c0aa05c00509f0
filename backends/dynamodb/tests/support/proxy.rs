//! A TCP proxy that cuts connections where it is told to.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Not at all.
    Nowhere,
    /// Once the request is there: the server never sees it.
    BeforeForwarding,
    /// Once the server has answered: it has applied the request, and the client learns nothing.
    AfterForwarding,
    /// Amid the answer: its head and half of its body come through.
    AmidAnswer,
}

/// Passes requests on to a server, and its answers back, until dropped.
pub(crate) struct Proxy {
    endpoint: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: String,
    cuts: Mutex<VecDeque<Cut>>,
    connections: Mutex<Vec<AbortHandle>>,
    connected: AtomicUsize,
    forwarded: AtomicUsize,
}

impl Proxy {
    /// A proxy before a server with such an endpoint (`http://127.0.0.1:8000`), on a free port.
    pub(crate) async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared {
            upstream,
            cuts: Mutex::default(),
            connections: Mutex::default(),
            connected: AtomicUsize::new(0),
            forwarded: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(shared.clone().accept(listener));
        Self { endpoint, shared, accepting }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Cuts the connection of the next request; called again, of the one after it.
    pub(crate) fn push_cut(&self, cut: Cut) {
        self.shared.cuts.lock().unwrap().push_back(cut);
    }

    /// Closes the connections that there are, as if they had died while their client was frozen.
    pub(crate) fn close_connections(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// How many requests the server got.
    pub(crate) fn forwarded(&self) -> usize {
        self.shared.forwarded.load(Ordering::Relaxed)
    }

    /// How many connections clients have made.
    pub(crate) fn connected(&self) -> usize {
        self.shared.connected.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.close_connections();
    }
}

impl Shared {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            self.connected.fetch_add(1, Ordering::Relaxed);
            let shared = self.clone();
            // A connection that fails is closed, on both sides: that is all there is to do.
            let connection = tokio::spawn(async move { drop(shared.forward(client).await) });
            self.connections.lock().unwrap().push(connection.abort_handle());
        }
    }

    async fn forward(&self, client: TcpStream) -> io::Result<()> {
        let mut server = BufReader::new(TcpStream::connect(&self.upstream).await?);
        let mut client = BufReader::new(client);
        while let Some(request) = message(&mut client).await? {
            let cut = self.cuts.lock().unwrap().pop_front().unwrap_or(Cut::Nowhere);
            if cut == Cut::BeforeForwarding {
                return Ok(());
            }
            self.forwarded.fetch_add(1, Ordering::Relaxed);
            server.write_all(&request.head).await?;
            server.write_all(&request.body).await?;
            let Some(answer) = message(&mut server).await? else { return Ok(()) };
            let body = match cut {
                Cut::AfterForwarding => return Ok(()),
                Cut::AmidAnswer => &answer.body[..answer.body.len() / 2],
                Cut::Nowhere | Cut::BeforeForwarding => &answer.body,
            };
            client.write_all(&answer.head).await?;
            client.write_all(body).await?;
            client.flush().await?;
            if cut == Cut::AmidAnswer {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// An HTTP/1.1 request or answer, as it came.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

/// The next message, or `None` where the other side has closed the connection. Both sides of DynamoDB's protocol give
/// the length of every body.
async fn message(from: &mut BufReader<TcpStream>) -> io::Result<Option<Message>> {
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let start = head.len();
        if from.read_until(b'\n', &mut head).await? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&head[start..]);
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(Some(Message { head, body }))
}
