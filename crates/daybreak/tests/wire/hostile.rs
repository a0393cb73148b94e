//! What no real server says: a peer that sends what it likes.

use daybreak::{
    error::{Error, Kind},
    mysql::{ReaderSession, Secret, ServerUrl, Session, Side},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A greeting of MySQL 9's that asks for a plugin.
fn greeting(plugin: &str) -> Vec<u8> {
    // All that a server may be capable of, but for TLS and compression.
    let capabilities: u32 = 0x019F_F7DF & !0x0000_0020;
    let mut greeting = b"\x0A9.7.0\0\x07\x00\x00\x00abcdefgh\0".to_vec();
    greeting.extend_from_slice(&capabilities.to_le_bytes()[..2]);
    greeting.extend_from_slice(&[45, 2, 0]);
    greeting.extend_from_slice(&capabilities.to_le_bytes()[2..]);
    greeting.push(21);
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(b"ijklmnopqrst\0");
    greeting.extend_from_slice(plugin.as_bytes());
    greeting.push(0);
    greeting
}

const FINE: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

async fn send(stream: &mut TcpStream, sequence: u8, payload: &[u8]) {
    let mut packet = (payload.len() as u32).to_le_bytes();
    packet[3] = sequence;
    let whole = [&packet[..], payload].concat();
    // The other side may have gone, as it should.
    drop(stream.write_all(&whole).await);
}

/// What the client sent; none at its end.
async fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.ok()?;
    let mut payload = vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(payload)
}

/// Connects to a peer that says so many things, one after each packet of ours; the packets of ours come back.
async fn met(says: Vec<Vec<u8>>) -> (Result<ReaderSession, Error>, Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url =
        format!("mysql://u:geheim@127.0.0.1:{}/?tls=off", listener.local_addr().unwrap().port());
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut heard, mut sequence) = (Vec::new(), 0);
        for payload in says {
            send(&mut stream, sequence, &payload).await;
            let Some(packet) = receive(&mut stream).await else { break };
            sequence = if packet.first() == Some(&3) { 1 } else { sequence + 2 };
            heard.push(packet);
        }
        heard
    });
    let url = ServerUrl::parse(&url).unwrap();
    assert_eq!(url.password, Some(Secret::new("geheim")));
    let opened = Session::open_reader(&url, Side::Source).await;
    if let Err(error) = &opened {
        assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
    }
    (opened, peer.await.unwrap())
}

#[tokio::test]
async fn no_file_is_sent() {
    // To the first query it answers with the wish for a file.
    let says = vec![greeting("caching_sha2_password"), FINE.to_vec(), b"\xFB/etc/passwd".to_vec()];
    let (opened, heard) = met(says).await;
    let error = opened.unwrap_err();
    assert_ne!(error.kind(), Kind::ConnectionLost, "{error}");
    // The login and the query, and nothing else.
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(heard[1][0], 3);
    // CLIENT_LOCAL_FILES
    assert_eq!(heard[0][0] & 0x80, 0);
}

#[tokio::test]
async fn no_password_is_given_away() {
    let switch = |plugin: &str| [b"\xFE", plugin.as_bytes(), b"\0abcdefghijklmnopqrst\0"].concat();
    for plugin in
        ["mysql_clear_password", "mysql_old_password", "dialog", "sha256_password", "parsec"]
    {
        let says = vec![greeting("mysql_native_password"), switch(plugin), FINE.to_vec()];
        let (opened, heard) = met(says).await;
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), Kind::Sql, "{plugin}: {error}");
        assert_eq!(heard.len(), 1, "{plugin}: {heard:?}");
        assert!(!heard[0].windows(6).any(|part| part == b"geheim"), "{plugin}: {heard:?}");
    }
    // Asked for twice, another plugin isn't taken.
    let native = switch("mysql_native_password");
    let says = vec![greeting("mysql_native_password"), native.clone(), native, FINE.to_vec()];
    let (opened, heard) = met(says).await;
    assert!(opened.is_err());
    assert_eq!(heard.len(), 2);
    // Under a key that is none.
    for key in ["\x01", "\x01-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", "\x00"]
    {
        let says = vec![
            greeting("caching_sha2_password"),
            b"\x01\x04".to_vec(),
            key.as_bytes().to_vec(),
            FINE.to_vec(),
        ];
        let (opened, heard) = met(says).await;
        assert!(opened.is_err());
        assert_eq!(heard.len(), 2, "{key}: {heard:?}");
        assert_eq!(heard[1], b"\x02");
    }
}

#[tokio::test]
async fn ed25519_is_proven() {
    let says = vec![
        greeting("mysql_native_password"),
        [b"\xFEclient_ed25519\0", &[7; 32][..]].concat(),
        b"\xFF\x15\x04#28000Access denied".to_vec(),
    ];
    let (opened, heard) = met(says).await;
    assert_eq!(opened.unwrap_err().kind(), Kind::Login);
    // As the other client signs it.
    let plugin = mysql_common::packets::AuthPlugin::Ed25519;
    let signed = plugin.gen_data(Some("geheim"), &[7; 32]).unwrap();
    assert_eq!(heard[1], signed[..]);
}

#[tokio::test]
async fn nonsense_is_an_error() {
    let column = b"\x03def\0\0\0\x01a\x01a\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0".to_vec();
    for after in [
        vec![vec![]],
        vec![vec![0]],
        vec![vec![0xFF]],
        vec![vec![0xFE]],
        vec![vec![0xFC, 0, 0]],
        vec![vec![0xFD, 0xFF, 0xFF, 0xFF]],
        vec![vec![0xFE, 1, 1, 1, 1, 1, 1, 1, 1]],
        vec![b"\x05hello".to_vec()],
        vec![[&[1][..], &column].concat()],
    ] {
        let mut says = vec![greeting("caching_sha2_password"), FINE.to_vec()];
        says.extend(after.clone());
        let (opened, _) = met(says).await;
        assert!(opened.is_err(), "{after:?}");
    }
    for first in [&b""[..], b"\x0A", b"\xFF", b"HTTP/1.1 400 Bad Request\r\n", &[0xFF; 300]] {
        let (opened, _) = met(vec![first.to_vec()]).await;
        assert!(opened.is_err(), "{first:?}");
    }
}
