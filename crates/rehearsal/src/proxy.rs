//! A bad link on loopback: a TCP proxy before a server that passes, cuts, refuses, delays, throttles,
//! is far away or falls silent, as a test tells it while connections are open.
//!
//! A rule holds for the connections that are open and for those to come, until another one is told.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How much is taken from a connection at once.
const PIECE: usize = 16 * 1024;
/// How many pieces may be on their way; more than that and the sender feels the link's slowness.
const PIECES_ON_THE_WAY: usize = 64;
/// How many steps a second a throttled link moves in when there is much to move.
const STEPS: u64 = 50;

/// How far a line may catch up on what it didn't carry while those who wait for it woke up.
const SLACK: Duration = Duration::from_millis(10);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What the link does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Pass,
    /// Nobody listens; what was open is cut.
    Refuse,
    /// Every byte arrives that much later.
    Delay(Duration),
    /// So many bytes a second in each direction of each connection.
    Throttle(u64),
    /// So many bytes a second in each direction of all connections together, each that much later.
    Far(u64, Duration),
    /// Connections are taken and nothing ever comes of them.
    Blackhole,
}

/// What both the handle and the connections see.
struct Link {
    server: SocketAddr,
    /// The rule, and the number of the latest cut: what was open before it ends.
    now: watch::Sender<(Rule, u64)>,
    /// Cuts the connection that carries the byte after so many more in a direction.
    armed: Mutex<Option<(Direction, u64)>>,
    open: AtomicUsize,
    cut: AtomicUsize,
    carried: [AtomicU64; 2],
    /// When a link that is far is done with what it was given, each way.
    free: Mutex<[Instant; 2]>,
}

/// A proxy on 127.0.0.1, until it is dropped.
pub struct Proxy {
    port: u16,
    link: Arc<Link>,
    listening: watch::Receiver<bool>,
    listener: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Stands before the server that listens on a port of 127.0.0.1, and passes everything.
    pub async fn before(port: u16) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port_here = listener.local_addr()?.port();
        let link = Arc::new(Link {
            server: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            now: watch::Sender::new((Rule::Pass, 0)),
            armed: Mutex::new(None),
            open: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
            carried: [AtomicU64::new(0), AtomicU64::new(0)],
            free: Mutex::new([Instant::now(); 2]),
        });
        let (is_listening, listening) = watch::channel(true);
        let task = tokio::spawn(listen(listener, port_here, link.clone(), is_listening));
        Ok(Proxy { port: port_here, link, listening, listener: task })
    }

    /// Returns the port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes everything, at once; ends every other rule.
    pub async fn pass(&self) {
        self.disarm();
        self.rule(Rule::Pass);
        self.wait_until_listening(true).await;
    }

    /// Cuts every connection now; new ones are treated as before.
    pub fn cut(&self) {
        self.link.now.send_modify(|(_, cuts)| *cuts += 1);
    }

    /// Cuts the one connection that is to carry the byte after the next `bytes` bytes in a direction,
    /// counted over all connections; once.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        *lock(&self.link.armed) = Some((direction, bytes));
    }

    /// Cuts every connection and listens no more: a client is refused.
    pub async fn refuse(&self) {
        self.rule(Rule::Refuse);
        self.cut();
        self.wait_until_listening(false).await;
    }

    /// Lets every byte arrive later.
    pub fn delay(&self, by: Duration) {
        self.rule(Rule::Delay(by));
    }

    /// Lets so many bytes a second through, in each direction of each connection.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.rule(Rule::Throttle(bytes_per_second.max(STEPS)));
    }

    /// Lets so many bytes a second through in each direction, those of all connections together, and each
    /// that much later: the line between two sites.
    pub fn far(&self, bytes_per_second: u64, by: Duration) {
        self.rule(Rule::Far(bytes_per_second.max(1), by));
    }

    /// Takes connections and answers nothing; those that are open fall silent.
    pub fn blackhole(&self) {
        self.rule(Rule::Blackhole);
    }

    /// Returns how many connections are open.
    pub fn connections(&self) -> usize {
        self.link.open.load(Ordering::SeqCst)
    }

    /// Returns how many connections were cut by [`Proxy::cut_after`].
    pub fn cuts(&self) -> usize {
        self.link.cut.load(Ordering::SeqCst)
    }

    /// Returns how many bytes were handed over in a direction since the beginning.
    pub fn carried(&self, direction: Direction) -> u64 {
        self.link.carried[direction as usize].load(Ordering::SeqCst)
    }

    fn rule(&self, rule: Rule) {
        self.link.now.send_modify(|(now, _)| *now = rule);
    }

    fn disarm(&self) {
        *lock(&self.link.armed) = None;
    }

    async fn wait_until_listening(&self, wanted: bool) {
        // The task that listens ends with this handle only.
        _ = self.listening.clone().wait_for(|listening| *listening == wanted).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("port", &self.port)
            .field("server", &self.link.server)
            .finish()
    }
}

/// Takes connections, and lets go of the port while clients are to be refused.
async fn listen(
    listener: TcpListener,
    port: u16,
    link: Arc<Link>,
    is_listening: watch::Sender<bool>,
) {
    let mut listener = Some(listener);
    let mut now = link.now.subscribe();
    loop {
        let refuse = now.borrow_and_update().0 == Rule::Refuse;
        if refuse {
            listener = None;
        } else if listener.is_none() {
            match bind_again(port) {
                Ok(bound) => listener = Some(bound),
                // Taken by somebody for the moment: asked for again.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            }
        }
        is_listening.send_replace(listener.is_some());
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(connection(client, link.clone()));
                }
            }
            changed = now.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

fn bind_again(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections of before may still be dying on this port.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(1024)
}

/// Counts a connection for as long as it lives.
struct Open<'a>(&'a Link);

impl<'a> Open<'a> {
    fn count(link: &'a Link) -> Self {
        link.open.fetch_add(1, Ordering::SeqCst);
        Open(link)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One connection to its end, by whichever side or by a cut.
async fn connection(client: TcpStream, link: Arc<Link>) {
    let _open = Open::count(&link);
    let mut now = link.now.subscribe();
    let cuts = now.borrow_and_update().1;
    let carry = async {
        link.let_through().await;
        let server = TcpStream::connect(link.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // One direction may end before the other; a failure or a cut ends both.
        tokio::try_join!(
            pump(&link, Direction::Up, from_client, to_server),
            pump(&link, Direction::Down, from_server, to_client)
        )?;
        io::Result::Ok(())
    };
    tokio::select! {
        // Whatever ended it, both ends see their connection close.
        _ = carry => {}
        _ = now.wait_for(|(_, latest)| *latest != cuts) => {}
    }
}

/// Carries bytes one way, each piece not before its time.
async fn pump(
    link: &Link,
    direction: Direction,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    let (sender, mut on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_ON_THE_WAY);
    let take = async {
        loop {
            let mut piece = vec![0; PIECE];
            let length = from.read(&mut piece).await?;
            piece.truncate(length);
            if length == 0 || sender.send((Instant::now(), piece)).await.is_err() {
                break;
            }
        }
        drop(sender);
        io::Result::Ok(())
    };
    let hand_over = async {
        // When the link is done with what it was given, where it is narrow.
        let mut free = Instant::now();
        while let Some((taken, piece)) = on_the_way.recv().await {
            let mut rest = piece.as_slice();
            while !rest.is_empty() {
                link.let_through().await;
                let length = match link.rule() {
                    Rule::Delay(by) => {
                        tokio::time::sleep_until(taken + by).await;
                        rest.len()
                    }
                    Rule::Throttle(rate) => {
                        tokio::time::sleep_until(free).await;
                        let step = usize::try_from(rate / STEPS).unwrap_or(PIECE).max(1);
                        let length = rest.len().min(step);
                        let needs = Duration::from_secs_f64(length as f64 / rate as f64);
                        free = Instant::now() + needs;
                        length
                    }
                    Rule::Far(rate, by) => {
                        let turn = link.turn(direction, rest.len(), rate);
                        tokio::time::sleep_until(turn.max(taken + by)).await;
                        rest.len()
                    }
                    _ => rest.len(),
                };
                // A rule may have come while this waited.
                link.let_through().await;
                let (now, later) = rest.split_at(length);
                let (allowed, cut) = link.spend(direction, now.len());
                to.write_all(&now[..allowed]).await?;
                link.carried[direction as usize].fetch_add(allowed as u64, Ordering::SeqCst);
                if cut {
                    return Err(io::Error::other("cut, as armed"));
                }
                rest = later;
            }
        }
        to.shutdown().await
    };
    tokio::try_join!(take, hand_over).map(|_| ())
}

impl Link {
    fn rule(&self) -> Rule {
        self.now.borrow().0
    }

    /// When so many bytes may go, after those of all other connections that came before.
    fn turn(&self, direction: Direction, bytes: usize, rate: u64) -> Instant {
        let free = &mut lock(&self.free)[direction as usize];
        let now = Instant::now();
        let turn = (*free).max(now.checked_sub(SLACK).unwrap_or(now));
        *free = turn + Duration::from_secs_f64(bytes as f64 / rate as f64);
        turn
    }

    /// Waits for as long as nothing goes through.
    async fn let_through(&self) {
        let mut now = self.now.subscribe();
        // The sender lives in `self`.
        _ = now.wait_for(|(rule, _)| *rule != Rule::Blackhole).await;
    }

    /// How much of so many bytes may still pass, and whether the connection is cut after that.
    fn spend(&self, direction: Direction, bytes: usize) -> (usize, bool) {
        let mut armed = lock(&self.armed);
        match armed.as_mut() {
            Some((of, left)) if *of == direction => {
                let wanted = bytes as u64;
                if wanted <= *left {
                    *left -= wanted;
                    return (bytes, false);
                }
                let allowed = *left as usize;
                *armed = None;
                self.cut.fetch_add(1, Ordering::SeqCst);
                (allowed, true)
            }
            _ => (bytes, false),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        port
    }

    async fn proxy() -> Proxy {
        Proxy::before(echo().await).await.unwrap()
    }

    async fn client(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap()
    }

    async fn there_and_back(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await?;
        Ok(back)
    }

    async fn until(condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_line_is_shared_by_its_connections() {
        let proxy = proxy().await;
        proxy.far(100_000, Duration::from_millis(50));
        let (mut one, mut other) = (client(&proxy).await, client(&proxy).await);
        let begun = Instant::now();
        let text = vec![7; 50_000];
        let (first, second) =
            tokio::join!(there_and_back(&mut one, &text), there_and_back(&mut other, &text));
        assert!(first.unwrap() == text && second.unwrap() == text);
        // 100,000 bytes each way: all but the last pieces wait for a second, and there is the way itself.
        assert!(begun.elapsed() > Duration::from_millis(700), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn bytes_pass_and_are_counted() {
        let proxy = proxy().await;
        let mut stream = client(&proxy).await;
        let text = vec![7; 100_000];
        assert_eq!(there_and_back(&mut stream, &text).await.unwrap(), text);
        assert_eq!(proxy.connections(), 1);
        assert_eq!(
            (proxy.carried(Direction::Up), proxy.carried(Direction::Down)),
            (100_000, 100_000)
        );
        // The end of one direction reaches the other side, and then all ends.
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
        until(|| proxy.connections() == 0).await;
    }

    #[tokio::test]
    async fn what_is_open_is_cut_and_what_comes_passes() {
        let proxy = proxy().await;
        let mut stream = client(&proxy).await;
        there_and_back(&mut stream, b"before").await.unwrap();
        proxy.cut();
        assert!(there_and_back(&mut stream, b"after").await.is_err());
        let mut another = client(&proxy).await;
        assert_eq!(there_and_back(&mut another, b"another").await.unwrap(), b"another");
    }

    #[tokio::test]
    async fn a_connection_is_cut_at_a_byte_and_only_once() {
        let proxy = proxy().await;
        let mut bystander = client(&proxy).await;
        there_and_back(&mut bystander, b"before").await.unwrap();
        proxy.cut_after(Direction::Down, 1_000);
        let mut stream = client(&proxy).await;
        stream.write_all(&[1; 5_000]).await.unwrap();
        let mut got = Vec::new();
        // An orderly end or a reset: both are a cut.
        _ = stream.read_to_end(&mut got).await;
        assert_eq!(got.len(), 1_000);
        assert_eq!(proxy.cuts(), 1);
        assert_eq!(there_and_back(&mut bystander, b"still").await.unwrap(), b"still");
        let mut another = client(&proxy).await;
        assert_eq!(there_and_back(&mut another, &[2; 5_000]).await.unwrap(), [2; 5_000]);
    }

    #[tokio::test]
    async fn clients_are_refused_until_it_passes_again() {
        let proxy = proxy().await;
        let mut stream = client(&proxy).await;
        there_and_back(&mut stream, b"before").await.unwrap();
        proxy.refuse().await;
        assert!(there_and_back(&mut stream, b"cut").await.is_err());
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        proxy.pass().await;
        assert_eq!(there_and_back(&mut client(&proxy).await, b"again").await.unwrap(), b"again");
    }

    #[tokio::test]
    async fn bytes_are_late_but_not_one_after_the_other() {
        let proxy = proxy().await;
        let mut stream = client(&proxy).await;
        let by = Duration::from_millis(100);
        proxy.delay(by);
        let begun = Instant::now();
        // Many pieces: were each to wait for the one before it, this would take for ever.
        let text = vec![3; 40 * PIECE];
        let (mut from, mut to) = stream.split();
        let mut back = vec![0; text.len()];
        let (sent, got) = tokio::join!(to.write_all(&text), from.read_exact(&mut back));
        sent.unwrap();
        got.unwrap();
        assert!(back == text);
        assert!(begun.elapsed() >= 2 * by);
        proxy.pass().await;
        there_and_back(&mut stream, b"quick").await.unwrap();
    }

    #[tokio::test]
    async fn a_throttled_link_is_slow_until_it_isnt() {
        let proxy = proxy().await;
        let mut stream = client(&proxy).await;
        proxy.throttle(100_000);
        let begun = Instant::now();
        there_and_back(&mut stream, &[4; 20_000]).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(150));
        // What is on its way already doesn't stay slow.
        proxy.throttle(1_000);
        stream.write_all(&[5; 100_000]).await.unwrap();
        proxy.pass().await;
        let mut back = vec![0; 100_000];
        stream.read_exact(&mut back).await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_link_answers_nothing_and_goes_on_where_it_stopped() {
        let proxy = proxy().await;
        let mut stream = client(&proxy).await;
        there_and_back(&mut stream, b"before").await.unwrap();
        proxy.blackhole();
        stream.write_all(b"lost?").await.unwrap();
        let mut newcomer = client(&proxy).await;
        newcomer.write_all(b"hello?").await.unwrap();
        until(|| proxy.connections() == 2).await;
        for stream in [&mut stream, &mut newcomer] {
            let answer = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
            assert!(answer.is_err(), "{answer:?}");
        }
        assert_eq!(proxy.carried(Direction::Up), 6);
        proxy.pass().await;
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"lost?");
        let mut back = [0; 6];
        newcomer.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello?");
    }
}
