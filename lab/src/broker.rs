//! An honest MQTT broker that takes everything and passes nothing on (OASIS MQTT 3.1.1 and 5.0, chapter 3).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Whether a client's first bytes begin a CONNECT.
pub fn begins(bytes: &[u8]) -> bool {
    matches!(bytes, [0x10, ..]) && bytes.windows(4).take(12).any(|name| name == b"MQTT" || name == b"MQIs")
}

/// Serves one client to its end.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) -> io::Result<()> {
    let mut five = false;
    loop {
        let kind = io.read_u8().await?;
        let length = length(&mut io).await?;
        let mut body = vec![0; length];
        io.read_exact(&mut body).await?;
        if kind >> 4 == 1 {
            five = level(&body) >= 5;
        }
        let Some(reply) = answer(kind, &body, five) else { return Ok(()) };
        io.write_all(&reply).await?;
        io.flush().await?;
    }
}

/// The variable length of a packet (3.1.1 §2.2.3): at most four bytes, at most [`LARGEST`].
async fn length<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<usize> {
    let mut length = 0;
    for place in 0..4 {
        let byte = io.read_u8().await?;
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 && length <= LARGEST {
            return Ok(length);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The protocol's level, behind its name.
fn level(body: &[u8]) -> u8 {
    let name = body.first_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    body.get(2 + name).copied().unwrap_or(0)
}

/// What a broker says to a packet; `None` ends the connection.
fn answer(kind: u8, body: &[u8], five: bool) -> Option<Vec<u8>> {
    let id = |from: usize| body.get(from..from + 2).map(<[u8]>::to_vec);
    // Version 5 has properties where the older ones have nothing: none, here.
    let none: &[u8] = if five { &[0] } else { &[] };
    match (kind >> 4, kind >> 1 & 3) {
        (1, _) => Some([&[0x20, 2 + none.len() as u8, 0, 0], none].concat()),
        // PUBLISH: its identifier stands behind the topic.
        (3, quality @ (1 | 2)) => {
            let topic = usize::from(u16::from_be_bytes(*body.first_chunk()?));
            Some([&[if quality == 1 { 0x40 } else { 0x50 }, 2][..], &id(2 + topic)?].concat())
        }
        (3 | 4 | 5 | 7, _) => Some(Vec::new()),
        (6, _) => Some([&[0x70, 2][..], &id(0)?].concat()),
        (8, _) => acknowledged(0x90, &[&id(0)?, none, &vec![0; filters(body, five, 1)?]]),
        // The older versions do not answer filters that go one by one.
        (10, _) if !five => acknowledged(0xb0, &[&id(0)?]),
        (10, _) => acknowledged(0xb0, &[&id(0)?, none, &vec![0; filters(body, five, 0)?]]),
        (12, _) => Some(vec![0xd0, 0]),
        _ => None,
    }
}

fn acknowledged(kind: u8, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let rest = parts.concat();
    let length = u8::try_from(rest.len()).ok().filter(|length| *length < 0x80)?;
    Some([&[kind, length][..], &rest].concat())
}

/// How many filters a SUBSCRIBE or UNSUBSCRIBE names: each is a text and so many bytes of options. Before them stand an identifier and, in
/// version 5, properties; longer ones than a byte tells no client of a lab sends.
fn filters(body: &[u8], five: bool, options: usize) -> Option<usize> {
    let properties = if five { 1 + usize::from(*body.get(2).filter(|length| **length < 0x80)?) } else { 0 };
    let mut rest = body.get(2 + properties..)?;
    let mut n = 0;
    while !rest.is_empty() {
        let text = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        rest = rest.get(2 + text + options..)?;
        n += 1;
    }
    Some(n)
}

/// Of a packet: more than a device says at once.
const LARGEST: usize = 1 << 20;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn packets_and_their_answers() {
        let connect = b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04dev1";
        assert!(begins(connect) && begins(b"\x10\x12\0\x06MQIsdp\x03\x02") && !begins(b"GET / MQTT") && !begins(b"\x10\x03\0\x01x"));
        assert_eq!((level(&connect[2..]), level(b"\0\x04MQTT\x05"), level(b"")), (4, 5, 0));
        for (kind, body, five, expect) in [
            (0x10, &connect[2..], false, Some(&[0x20, 2, 0, 0][..])),
            (0x10, &connect[2..], true, Some(&[0x20, 3, 0, 0, 0])),
            (0x30, b"\0\x01tx", false, Some(&[])),
            (0x32, b"\0\x01t\0\x07x", false, Some(&[0x40, 2, 0, 7])),
            (0x34, b"\0\x01t\0\x07x", false, Some(&[0x50, 2, 0, 7])),
            (0x32, b"\0\x09t", false, None),
            (0x62, b"\0\x07", false, Some(&[0x70, 2, 0, 7])),
            (0x82, b"\0\x01\0\x01a\0\0\x02bc\x01", false, Some(&[0x90, 4, 0, 1, 0, 0])),
            (0x82, b"\0\x01\0\0\x01a\0", true, Some(&[0x90, 4, 0, 1, 0, 0])),
            (0x82, b"\0\x01\0\x05a", false, None),
            (0xa2, b"\0\x01\0\x01a", false, Some(&[0xb0, 2, 0, 1])),
            (0xa2, b"\0\x01\0\0\x01a", true, Some(&[0xb0, 4, 0, 1, 0, 0])),
            (0xc0, b"", false, Some(&[0xd0, 0])),
            (0xe0, b"", false, None),
        ] {
            assert_eq!(answer(kind, body, five).as_deref(), expect, "{kind:02x} {body:?}");
        }
    }

    #[tokio::test]
    async fn a_client_is_served_and_a_liar_is_not() {
        let (mut client, broker) = tokio::io::duplex(256);
        let serving = tokio::spawn(serve(broker));
        client.write_all(b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04dev1\xc0\0\xe0\0").await.unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [0x20, 2, 0, 0, 0xd0, 0]);
        assert!(serving.await.unwrap().is_ok());
        let (mut client, broker) = tokio::io::duplex(256);
        let serving = tokio::spawn(serve(broker));
        client.write_all(b"\x30\xff\xff\xff\x7f").await.unwrap();
        assert!(serving.await.unwrap().is_err());
    }
}
