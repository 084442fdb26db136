//! A proxy between a client and its server, which breaks connections at the worst moments.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

const CHUNK: usize = 16 * 1024;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A way to lose a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// After so many more bytes of requests were passed on: in the middle of one.
    MidRequest {
        /// How many; none is passed on of what comes after.
        bytes: usize,
    },
    /// After a request was passed on, and before any byte that the server answers is.
    BeforeReply,
}

/// What struck so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fired {
    /// Connections cut in the middle of a request.
    pub mid_request: u64,
    /// Connections cut between a request and its answer, the answer being there.
    pub before_reply: u64,
    /// Connections cut by [`Proxy::cut_all`].
    pub at_once: u64,
    /// Pieces that were held back by [`Proxy::black_hole`].
    pub held: u64,
    /// Answers that were delayed.
    pub delayed: u64,
}

/// A proxy with a port of its own for each server; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Woken when the black hole closes.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Strikes the next connection that sends something.
    armed: Option<Cut>,
    black_hole: bool,
    delay: Duration,
    fired: Fired,
    connections: HashMap<u64, Arc<Connection>>,
    next: u64,
    ended: bool,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    doom: Mutex<Option<Cut>>,
}

impl Connection {
    /// Both ends see the connection close.
    fn close(&self) {
        // One that is closed already cannot be closed, which is what this is for.
        self.client.shutdown(Shutdown::Both).ok();
        self.server.shutdown(Shutdown::Both).ok();
    }

    fn doom(&self) -> MutexGuard<'_, Option<Cut>> {
        self.doom.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a piece back while the black hole is open; how long to delay it afterwards.
    fn pass(&self) -> Duration {
        let mut state = self.state();
        if state.black_hole {
            state.fired.held += 1;
        }
        while state.black_hole && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.delay
    }
}

impl Proxy {
    /// Starts a proxy before servers, which need not be there yet.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn start(upstreams: &[SocketAddr]) -> Result<Self> {
        let mut proxy = Self { addresses: Vec::new(), shared: Arc::default() };
        for upstream in upstreams {
            let listener = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port")?;
            proxy.addresses.push(listener.local_addr().context("the proxy's address")?);
            let (shared, upstream) = (Arc::clone(&proxy.shared), *upstream);
            thread::spawn(move || accept(&shared, &listener, upstream));
        }
        Ok(proxy)
    }

    /// Where clients connect to, in the order of the servers.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Cuts, in this way, the next connection on which a client sends something; only that one.
    pub fn arm(&self, cut: Cut) {
        self.shared.state().armed = Some(cut);
    }

    /// Cuts every connection at once; how many there were.
    pub fn cut_all(&self) -> u64 {
        let mut state = self.shared.state();
        let connections: Vec<_> = state.connections.drain().collect();
        let count = u64::try_from(connections.len()).unwrap_or(u64::MAX);
        state.fired.at_once += count;
        drop(state);
        for (_, connection) in connections {
            connection.close();
        }
        count
    }

    /// Holds everything back, both ways, as a network does that has lost its way; `false` lets go
    /// of what was held.
    pub fn black_hole(&self, open: bool) {
        self.shared.state().black_hole = open;
        self.shared.changed.notify_all();
    }

    /// Delays every answer by so much.
    pub fn delay(&self, by: Duration) {
        self.shared.state().delay = by;
    }

    /// Ends every fault that has not struck.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.armed = None;
        state.black_hole = false;
        state.delay = Duration::ZERO;
        let connections: Vec<_> = state.connections.values().map(Arc::clone).collect();
        drop(state);
        for connection in connections {
            *connection.doom() = None;
        }
        self.shared.changed.notify_all();
    }

    /// What struck so far.
    #[must_use]
    pub fn fired(&self) -> Fired {
        self.shared.state().fired
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
        self.cut_all();
        for address in &self.addresses {
            // Wakes the thread that accepts; one that cannot be woken has no socket any more.
            TcpStream::connect_timeout(address, CONNECT_LIMIT).ok();
        }
    }
}

/// Takes clients in, until the proxy ends.
fn accept(shared: &Arc<Shared>, listener: &TcpListener, upstream: SocketAddr) {
    for client in listener.incoming() {
        if shared.state().ended {
            return;
        }
        let shared = Arc::clone(shared);
        // A client whose server cannot be reached sees its connection close.
        if let Ok(client) = client {
            thread::spawn(move || serve(&shared, client, upstream).ok());
        }
    }
}

fn serve(shared: &Arc<Shared>, client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let server = TcpStream::connect_timeout(&upstream, CONNECT_LIMIT)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let connection = Arc::new(Connection { client, server, doom: Mutex::new(None) });
    let number = {
        let mut state = shared.state();
        if state.ended {
            return Ok(());
        }
        state.next += 1;
        let number = state.next;
        state.connections.insert(number, Arc::clone(&connection));
        number
    };
    let answers = {
        let (shared, connection) = (Arc::clone(shared), Arc::clone(&connection));
        thread::spawn(move || {
            pass_answers(&shared, &connection).ok();
            connection.close();
        })
    };
    pass_requests(shared, &connection).ok();
    connection.close();
    answers.join().ok();
    shared.state().connections.remove(&number);
    Ok(())
}

/// Passes on what the client sends, until either end closes or a cut is due.
fn pass_requests(shared: &Shared, connection: &Connection) -> std::io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        let read = (&connection.client).read(&mut buffer)?;
        let mut bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        shared.pass();
        let armed = shared.state().armed.take();
        let mut doom = connection.doom();
        if let Some(cut) = armed {
            *doom = Some(cut);
        }
        let mut cut_here = false;
        if let Some(Cut::MidRequest { bytes: left }) = &mut *doom {
            cut_here = *left <= bytes.len();
            bytes = bytes.get(..*left).unwrap_or(bytes);
            *left -= bytes.len();
        }
        drop(doom);
        (&connection.server).write_all(bytes)?;
        if cut_here {
            shared.state().fired.mid_request += 1;
            return Ok(());
        }
    }
}

/// Passes on what the server answers, until either end closes or a cut is due.
fn pass_answers(shared: &Shared, connection: &Connection) -> std::io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        let read = (&connection.server).read(&mut buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        if *connection.doom() == Some(Cut::BeforeReply) {
            shared.state().fired.before_reply += 1;
            return Ok(());
        }
        let delay = shared.pass();
        if !delay.is_zero() {
            shared.state().fired.delayed += 1;
            thread::sleep(delay);
        }
        (&connection.client).write_all(bytes)?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    /// Answers every piece with the same bytes, and says what came, connection by connection.
    fn echo() -> (SocketAddr, Receiver<Vec<u8>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, sender) = (stream.unwrap(), sender.clone());
                thread::spawn(move || {
                    let (mut all, mut buffer) = (Vec::new(), [0; 64]);
                    while let Ok(read @ 1..) = stream.read(&mut buffer) {
                        all.extend(&buffer[..read]);
                        if stream.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                    }
                    sender.send(all).ok();
                });
            }
        });
        (address, received)
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.addresses()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn ask(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
        stream.write_all(text).unwrap();
        let mut answer = vec![0; text.len()];
        let read = stream.read(&mut answer).unwrap_or_default();
        answer.truncate(read);
        answer
    }

    #[test]
    fn what_is_sent_comes_out_at_the_other_end() {
        let (upstream, _received) = echo();
        let proxy = Proxy::start(&[upstream]).unwrap();
        let mut stream = connect(&proxy);
        assert_eq!(ask(&mut stream, b"one"), b"one");
        assert_eq!(ask(&mut stream, b"two"), b"two");
        assert_eq!(proxy.fired(), Fired::default());
    }

    #[test]
    fn a_request_is_cut_after_exactly_the_bytes_asked_for() {
        let (upstream, received) = echo();
        let proxy = Proxy::start(&[upstream]).unwrap();
        let mut stream = connect(&proxy);
        proxy.arm(Cut::MidRequest { bytes: 3 });
        stream.write_all(b"request").unwrap();
        assert_eq!(received.recv().unwrap(), b"req");
        assert_eq!(proxy.fired().mid_request, 1);
        // Only one connection was struck.
        assert_eq!(ask(&mut connect(&proxy), b"next"), b"next");
    }

    #[test]
    fn a_request_is_carried_out_whose_answer_is_cut_off() {
        let (upstream, received) = echo();
        let proxy = Proxy::start(&[upstream]).unwrap();
        let mut stream = connect(&proxy);
        proxy.arm(Cut::BeforeReply);
        assert_eq!(ask(&mut stream, b"request"), b"");
        assert_eq!(received.recv().unwrap(), b"request");
        assert_eq!(proxy.fired().before_reply, 1);
    }

    #[test]
    fn all_connections_are_cut_at_once() {
        let (upstream, received) = echo();
        let proxy = Proxy::start(&[upstream]).unwrap();
        let mut streams = [connect(&proxy), connect(&proxy)];
        for stream in &mut streams {
            assert_eq!(ask(stream, b"x"), b"x");
        }
        assert_eq!(proxy.cut_all(), 2);
        for stream in &mut streams {
            assert_eq!(stream.read(&mut [0; 1]).unwrap_or_default(), 0);
            assert_eq!(received.recv().unwrap(), b"x");
        }
        assert_eq!(proxy.fired().at_once, 2);
    }

    #[test]
    fn what_a_black_hole_held_arrives_when_it_closes() {
        let (upstream, _received) = echo();
        let proxy = Proxy::start(&[upstream]).unwrap();
        let mut stream = connect(&proxy);
        proxy.black_hole(true);
        stream.write_all(b"late").unwrap();
        while proxy.fired().held == 0 {
            thread::yield_now();
        }
        stream.set_nonblocking(true).unwrap();
        assert!(stream.read(&mut [0; 4]).is_err());
        stream.set_nonblocking(false).unwrap();
        proxy.heal();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"late");
    }

    #[test]
    fn a_delayed_answer_is_counted_and_arrives() {
        let (upstream, _received) = echo();
        let proxy = Proxy::start(&[upstream]).unwrap();
        proxy.delay(Duration::from_millis(1));
        assert_eq!(ask(&mut connect(&proxy), b"x"), b"x");
        assert_eq!(proxy.fired().delayed, 1);
    }

    #[test]
    fn each_server_has_a_port_of_its_own() {
        let (servers, received): (Vec<_>, Vec<_>) = [echo(), echo()].into_iter().unzip();
        let proxy = Proxy::start(&servers).unwrap();
        for (address, received) in proxy.addresses().iter().zip(&received) {
            let mut stream = TcpStream::connect(address).unwrap();
            assert_eq!(ask(&mut stream, b"here"), b"here");
            drop(stream);
            assert_eq!(received.recv().unwrap(), b"here");
        }
    }

    #[test]
    fn a_server_that_is_not_there_closes_the_connection() {
        let gone = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let proxy = Proxy::start(&[gone]).unwrap();
        assert_eq!(connect(&proxy).read(&mut [0; 1]).unwrap_or_default(), 0);
    }
}
