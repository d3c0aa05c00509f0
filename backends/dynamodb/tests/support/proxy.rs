//! A TCP proxy that cuts connections on request.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nowhere.
    Nowhere,
    /// After the proxy has received the request: the server never receives it.
    BeforeForwarding,
    /// After the server has responded: the request is applied, and the client receives nothing.
    AfterForwarding,
    /// Within the response: the client receives its head and half of its body.
    WithinResponse,
}

/// Forwards requests to a server and its responses back, until dropped.
pub(crate) struct Proxy {
    endpoint: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: String,
    cuts: Mutex<VecDeque<Cut>>,
    connections: Mutex<Vec<AbortHandle>>,
}

impl Proxy {
    /// Starts a proxy on a free port, before the server with this endpoint
    /// (`http://127.0.0.1:8000`).
    pub(crate) async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared { upstream, cuts: Mutex::default(), connections: Mutex::default() });
        let accepting = tokio::spawn(shared.clone().accept(listener));
        Self { endpoint, shared, accepting }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Cuts the connection of the next request. Several calls queue.
    pub(crate) fn push_cut(&self, cut: Cut) {
        self.shared.cuts.lock().unwrap().push_back(cut);
    }

    /// Closes all connections, as if they had died while their client was frozen.
    pub(crate) fn close_connections(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
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
            let shared = self.clone();
            // A connection that fails is closed on both sides, which needs no further handling.
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
            server.write_all(&request.head).await?;
            server.write_all(&request.body).await?;
            let Some(response) = message(&mut server).await? else { return Ok(()) };
            let body = match cut {
                Cut::AfterForwarding => return Ok(()),
                Cut::WithinResponse => &response.body[..response.body.len() / 2],
                Cut::Nowhere | Cut::BeforeForwarding => &response.body,
            };
            client.write_all(&response.head).await?;
            client.write_all(body).await?;
            client.flush().await?;
            if cut == Cut::WithinResponse {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// An HTTP/1.1 request or response, unchanged.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

/// Reads the next message; `None` if the other side has closed the connection. Every message of
/// DynamoDB's protocol has the length of its body.
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
