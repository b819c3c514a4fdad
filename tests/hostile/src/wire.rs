//! HTTP/2 by hand: a client that sends what no library would, and reads what it likes.

use anyhow::{Context as _, bail};
use prost::Message;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::AbortHandle;

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The kinds of frames that are sent here, as RFC 9113 numbers them.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// Flags.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame longer than this isn't sent by anybody whom its receiver hasn't allowed to.
const MAX_PAYLOAD: usize = 16_384;
/// How long a server may take that is flooded.
const PATIENCE: Duration = Duration::from_secs(30);

/// The writing side of a connection.
#[derive(Debug)]
pub struct Writer {
    half: Arc<Half>,
    next_stream: u32,
    authority: String,
    /// Bytes of data in all requests that were made: what the server's windows are about.
    pub data: usize,
}

/// The reading side of a connection.
#[derive(Debug)]
pub struct Reader {
    half: OwnedReadHalf,
    /// For answers to PING: without them a server closes the connection.
    answers: Arc<Half>,
}

/// Where both of them write.
type Half = tokio::sync::Mutex<OwnedWriteHalf>;

/// A frame that has come.
#[derive(Debug)]
pub struct Frame {
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Connects and says that the server may send so many bytes on each stream.
///
/// # Errors
///
/// When nobody listens.
pub async fn connect(server: SocketAddr, window: u32) -> anyhow::Result<(Writer, Reader)> {
    connect_from(IpAddr::V4(Ipv4Addr::UNSPECIFIED), server, window).await
}

/// As `connect`, from an address of one's own.
///
/// # Errors
///
/// As `connect`, and when the address isn't one's own.
pub async fn connect_from(own: IpAddr, server: SocketAddr, window: u32) -> anyhow::Result<(Writer, Reader)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((own, 0).into())?;
    let stream = tokio::time::timeout(PATIENCE, socket.connect(server)).await.context("nobody accepts")??;
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let write = Arc::new(Half::new(write));
    let mut writer = Writer { half: Arc::clone(&write), next_stream: 1, authority: server.to_string(), data: 0 };
    // SETTINGS_INITIAL_WINDOW_SIZE is number 4.
    let settings = [&4_u16.to_be_bytes()[..], &window.to_be_bytes()].concat();
    writer.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()).await?;
    Ok((writer, Reader { half: read, answers: write }))
}

/// The bytes of a frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that no table knows: longer than need be, and simple.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        // A length of 127 or more would need a second byte.
        assert!(text.len() < 127, "{text} is too long for this encoder");
        bytes.push(u8::try_from(text.len()).expect("below 127"));
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// A message as gRPC frames it.
#[must_use]
pub fn grpc(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).expect("messages are short").to_be_bytes();
    [&[0][..], &length, &bytes].concat()
}

impl Writer {
    /// Sends these bytes as they are.
    ///
    /// # Errors
    ///
    /// When the server has closed the connection, or takes nothing for 30 s.
    pub async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let sent = tokio::time::timeout(PATIENCE, async { self.half.lock().await.write_all(bytes).await }).await;
        Ok(sent.context("the server takes nothing")??)
    }

    /// The headers of a call, on the next stream.
    pub fn headers(&mut self, path: &str, content_type: &str, flags: u8) -> (u32, Vec<u8>) {
        let stream = self.next_stream;
        self.next_stream += 2;
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", &self.authority),
            ("content-type", content_type),
            ("te", "trailers"),
        ];
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
        (stream, frame(HEADERS, flags | END_HEADERS, stream, &block))
    }

    /// The frames of a whole call with one message.
    pub fn call(&mut self, path: &str, message: &impl Message) -> Vec<u8> {
        self.request(path, "application/grpc", &grpc(message))
    }

    /// The frames of a whole request with this body.
    pub fn request(&mut self, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
        let (stream, mut bytes) = self.headers(path, content_type, 0);
        self.data += body.len();
        let mut pieces = body.chunks(MAX_PAYLOAD).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { END_STREAM } else { 0 };
            bytes.extend(frame(DATA, flags, stream, piece));
        }
        bytes
    }

    /// Gives the server room for so many bytes more, on a stream or (0) on the connection.
    ///
    /// # Errors
    ///
    /// As `send`.
    pub async fn more(&mut self, stream: u32, bytes: u32) -> anyhow::Result<()> {
        self.send(&frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())).await
    }
}

impl Reader {
    /// The next frame; `None` when the server has closed the connection.
    ///
    /// # Errors
    ///
    /// When it was reset, or nothing comes for 30 s.
    pub async fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        let frame = tokio::time::timeout(PATIENCE, self.read()).await.context("nothing comes")?;
        match frame {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            frame => Ok(Some(frame?)),
        }
    }

    async fn read(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 9];
        self.half.read_exact(&mut head).await?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.half.read_exact(&mut payload).await?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Whether the server has closed the connection, or does within this time; what comes before is
    /// dropped.
    pub async fn is_closed_within(&mut self, time: Duration) -> bool {
        let closed = async { while let Ok(Some(_)) = self.next().await {} };
        tokio::time::timeout(time, closed).await.is_ok()
    }

    /// Waits for the server's first SETTINGS: then the connection is served.
    ///
    /// # Errors
    ///
    /// When something else comes first, or the connection is closed.
    pub async fn served(&mut self) -> anyhow::Result<()> {
        match self.next().await?.context("the server has closed the connection")? {
            Frame { kind: SETTINGS, .. } => Ok(()),
            other => bail!("SETTINGS are due, not {other:?}"),
        }
    }

    /// Reads all that comes, and counts it.
    #[must_use]
    pub fn listen(mut self) -> Listening {
        let heard = Arc::new(Heard::default());
        let counts = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut begun = BTreeSet::new();
            while let Ok(frame) = self.read().await {
                let ends = frame.flags & END_STREAM != 0;
                match frame.kind {
                    HEADERS if ends && !begun.remove(&frame.stream) => counts.refused.fetch_add(1, Relaxed),
                    HEADERS if ends => counts.answered.fetch_add(1, Relaxed),
                    HEADERS => {
                        begun.insert(frame.stream);
                        counts.begun.fetch_add(1, Relaxed)
                    }
                    RST_STREAM => counts.refused.fetch_add(1, Relaxed),
                    DATA => counts.bytes.fetch_add(frame.payload.len() as u64, Relaxed),
                    PING if frame.flags & ACK == 0 => {
                        let answer = super::wire::frame(PING, ACK, 0, &frame.payload);
                        // A connection that is closed is noticed above.
                        let _ = self.answers.lock().await.write_all(&answer).await;
                        0
                    }
                    WINDOW_UPDATE if frame.stream == 0 => {
                        let more = frame.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                        counts.granted.fetch_add(u64::from(more), Relaxed)
                    }
                    _ => 0,
                };
            }
            counts.closed.store(true, Relaxed);
        });
        Listening { heard, task: task.abort_handle() }
    }
}

/// Reads all that comes until it is dropped.
#[derive(Debug)]
pub struct Listening {
    heard: Arc<Heard>,
    task: AbortHandle,
}

impl Deref for Listening {
    type Target = Heard;

    fn deref(&self) -> &Heard {
        &self.heard
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What has come on a connection.
#[derive(Debug, Default)]
pub struct Heard {
    /// Calls whose answers, or streams, have begun.
    pub begun: AtomicU64,
    /// Calls that were answered with a message, or whose streams ended after one.
    pub answered: AtomicU64,
    /// Calls that were answered with a status only, or reset.
    pub refused: AtomicU64,
    /// Of data.
    pub bytes: AtomicU64,
    /// So many bytes may be sent on the connection, beyond the first 65,535.
    pub granted: AtomicU64,
    /// The server has closed the connection.
    pub closed: AtomicBool,
}

impl Heard {
    /// Calls that were refused, and the connection if it was closed.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed) + u64::from(self.closed.load(Relaxed))
    }

    /// Waits until so many calls have got an answer of whatever kind. `false`: not before that
    /// moment.
    pub async fn has_heard_of(&self, calls: u64, end: Instant) -> bool {
        while self.begun.load(Relaxed) + self.refused.load(Relaxed) < calls {
            if Instant::now() > end || self.closed.load(Relaxed) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        true
    }

    /// Waits until so many bytes of data in all may have been sent on the connection. `false`: not
    /// before that moment.
    pub async fn allows(&self, bytes: usize, end: Instant) -> bool {
        while (self.granted.load(Relaxed) + 65_535) < bytes as u64 {
            if Instant::now() > end || self.closed.load(Relaxed) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        true
    }

    /// Calls that were answered with a message.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }
}
