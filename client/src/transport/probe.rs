//! Who answers at an address where no gRPC does: asked once more, in bytes, only to tell people.

use super::dial::TcpStream;
use super::endpoint::Target;
use super::grpc_only::not_leasehold;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long a stranger has to say something.
const PATIENCE: Duration = Duration::from_millis(500);
/// How HTTP/2 begins: a line that HTTP/1 servers answer, then an empty SETTINGS frame.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HTTP_1: &str = "it speaks HTTP/1";
const TLS: &str = "it speaks TLS";
/// What a server of HTTP/1 understands that hangs up at the greeting.
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
/// As much of the answer tells who it is: the head of a frame.
const HEAD: usize = 9;

/// What is wrong with whoever answers there, as far as the first bytes tell.
pub(super) async fn objection(target: &Target) -> Option<String> {
    let (address, url) = (&target.address, target.url());
    if target.tls.is_none() {
        return who_answers(address).await.map(|who| match who {
            TLS => format!("{address} speaks TLS, and was asked in plain text: give it as https://{address}"),
            who => not_leasehold(&url, who),
        });
    }
    // Of no use to who might read along: nothing is said but a greeting.
    match &ask(address, GREETING).await[..] {
        heard if is_http_2(heard) => Some(format!(
            "{address} speaks plain text, and was asked for TLS: let it have a certificate, or give it as http://{address}"
        )),
        heard => who(heard).filter(|who| *who != TLS).map(|who| not_leasehold(&url, &format!("{who}, without TLS"))),
    }
}

/// Who answers there, if somebody does who doesn't speak HTTP/2.
async fn who_answers(address: &str) -> Option<&'static str> {
    let heard = ask(address, GREETING).await;
    if !heard.is_empty() {
        return who(&heard);
    }
    // A server that speaks HTTP/2 as well has answered the greeting.
    who(&ask(address, REQUEST).await).filter(|who| *who == HTTP_1)
}

/// SETTINGS are the first frame of HTTP/2.
fn is_http_2(heard: &[u8]) -> bool {
    matches!(heard, [_, _, _, 4, ..])
}

/// What was heard until the stranger's time was over, or until it hung up.
async fn ask(address: &str, question: &[u8]) -> Vec<u8> {
    let mut heard = Vec::new();
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(question).await?;
        while heard.len() < HEAD && stream.read_buf(&mut heard).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(PATIENCE, asked).await;
    heard
}

/// Who it is that begins so.
fn who(heard: &[u8]) -> Option<&'static str> {
    match heard {
        [] => None,
        heard if is_http_2(heard) => None,
        [b'H', b'T', b'T', b'P', b'/', ..] => Some(HTTP_1),
        [0x15, 3, ..] => Some(TLS),
        _ => Some("it doesn't speak HTTP/2"),
    }
}

#[cfg(test)]
mod tests {
    use super::who;

    #[test]
    fn strangers_are_known_by_their_first_bytes() {
        assert_eq!(who(b"HTTP/1.1 400 Bad Request"), Some("it speaks HTTP/1"));
        assert_eq!(who(b"\x15\x03\x01\0\x02\x02\x46"), Some("it speaks TLS"));
        assert_eq!(who(b"SSH-2.0-x\r\n"), Some("it doesn't speak HTTP/2"));
        assert_eq!(who(b"\0\0\x12\x04\0\0\0\0\0"), None);
        assert_eq!(who(b""), None, "it said nothing");
    }
}
