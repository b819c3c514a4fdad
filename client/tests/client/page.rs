//! A proxy that speaks HTTP/2 and has a page for the case that nobody is behind it. Bytes and
//! threads only: the command's tests use it as well.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How a client of HTTP/2 begins.
const PREFACE: usize = 24;
/// Kinds of frames, and their flags.
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 5;

pub(crate) struct Page {
    pub(crate) address: SocketAddr,
}

impl Page {
    /// A proxy that answers every request with a page of this status.
    pub(crate) fn start(status: u16) -> Self {
        Self::before(None, status)
    }

    /// A proxy that speaks gRPC, and refuses every call with this code.
    pub(crate) fn refusing(code: u8) -> Self {
        Self::saying(None, refusal_headers(code))
    }

    /// A proxy that passes connections on to this service while somebody takes them there. After a
    /// page it closes its own: the next one may be passed on.
    pub(crate) fn before(service: Option<SocketAddr>, status: u16) -> Self {
        Self::saying(service, page_headers(status))
    }

    fn saying(service: Option<SocketAddr>, headers: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                match service.and_then(|service| TcpStream::connect(service).ok()) {
                    Some(far) => pass_on(near, far),
                    None => {
                        let headers = headers.clone();
                        thread::spawn(move || answer(near, &headers, service.is_none()));
                    }
                }
            }
        });
        Self { address }
    }
}

fn pass_on(near: TcpStream, far: TcpStream) {
    let ways = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
    for (mut from, mut to) in ways {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

/// Answers requests until the connection ends, or one.
fn answer(mut stream: TcpStream, headers: &[u8], goes_on: bool) -> Option<()> {
    stream.read_exact(&mut [0; PREFACE]).ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut body = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut body).ok()?;
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let body = if kind == PING { body } else { Vec::new() };
                stream.write_all(&frame(kind, ACK, 0, &body)).ok()?;
            }
            HEADERS => {
                stream.write_all(&frame(HEADERS, END_STREAM_AND_HEADERS, u32::from_be_bytes(id), headers)).ok()?;
                if !goes_on {
                    // Closed at once, it might overtake the page.
                    thread::sleep(Duration::from_millis(100));
                    return None;
                }
            }
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], body].concat()
}

/// `:status` and `content-type: text/html`, neither compressed nor indexed: 8 and 31 are the
/// numbers of their names.
fn page_headers(status: u16) -> Vec<u8> {
    [&[0x08, 3], status.to_string().as_bytes(), &[0x0f, 31 - 15, 9], b"text/html"].concat()
}

/// A refusal of gRPC that nobody but its proxy has made: `content-type`, `grpc-status` and
/// `grpc-message`.
fn refusal_headers(code: u8) -> Vec<u8> {
    let (code, message) = (code.to_string(), "upstream connect error");
    let mut headers = [&[0x08, 3], &b"200"[..], &[0x0f, 31 - 15, 16], b"application/grpc"].concat();
    for (name, value) in [("grpc-status", code.as_str()), ("grpc-message", message)] {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        // 0: the name has no number.
        headers.extend([vec![0], text(name), text(value)].concat());
    }
    headers
}
