//! A GET over HTTP/1.1, enough for the server's own port.

use anyhow::{Context as _, ensure};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a whole request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// The status, e.g. 200.
    pub status: u16,
    /// The status line and headers as they came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl HttpResponse {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Gets `url`, e.g. `http://127.0.0.1:7401/healthz`.
///
/// # Errors
///
/// When nobody answers within 10 s, or the answer isn't HTTP.
pub async fn http_get(url: &str) -> anyhow::Result<HttpResponse> {
    let rest = url.strip_prefix("http://").context("only http:// is spoken here")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    tokio::time::timeout(TIMEOUT, get(authority, path)).await.with_context(|| format!("{url} is silent"))?
}

async fn get(authority: &str, path: &str) -> anyhow::Result<HttpResponse> {
    let mut stream = TcpStream::connect(authority).await.with_context(|| format!("{authority} refuses"))?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8(bytes).context("the answer isn't UTF-8")?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has no end of headers")?;
    ensure!(!head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "a chunked answer isn't read here");
    let status = head.split(' ').nth(1).context("the answer has no status")?.parse()?;
    Ok(HttpResponse { status, head: head.to_owned(), body: body.to_owned() })
}
