//! A small client of our own, for the connections of the snapshot.
//!
//! mysql_async makes an allocation of each row and of each value in it, and copies a packet three times before
//! that; it hides its packets, so that nothing can be done about it from outside. On two cores that both servers
//! share that was half of what the copy takes of the processor. Here a row is borrowed from the buffer that
//! the socket was read to ([`Cells`]), and what is asked besides rows ([`Client`]) is answered by the same types as
//! there: rows, parameters and errors, so that an error means the same by either client.
//!
//! [`packets`] are read from a [`link`], perhaps [`squeezed`]; [`login`] is how a connection begins. It speaks no
//! more than is needed: one statement at a time, no LOCAL INFILE (a server that asks for a file gets none).
//!
//! What a server still owes is remembered ([`Owed`]), packet by packet. So an answer may be left half-read, its
//! reader dropped at any moment: the rest is read and dropped before the next statement is sent. A
//! connection whose *sending* was left half-way is of no more use.

mod key;
mod link;
mod login;
mod packets;
mod rows;
mod squeezed;

use std::{io, sync::Arc};

use async_trait::async_trait;
use mysql_async::{Column, DriverError, Error, LocalInfileError, Params, Row, Value};
use mysql_common::{
    constants::{CapabilityFlags, Command, StatusFlags},
    io::ParseBuf,
    named_params::ParsedNamedParams,
    packets::{
        ComStmtClose, ComStmtExecuteRequestBuilder, ComStmtSendLongData, CommonOkPacket, ErrPacket,
        OkPacket, OkPacketDeserializer, OldEofPacket, ResultSetTerminator, StmtPacket,
    },
    proto::{Binary, MyDeserialize, MySerialize, Text},
    row::RowDeserializer,
    value::ServerSide,
};

pub use self::rows::Cells;
use self::{
    link::Link,
    packets::{LONGEST, Packets},
};
use super::{
    Outcome, ServerUrl,
    client::{Client, Said},
};

/// The most columns that a result may have (4,096 are a table's).
const COLUMNS: u64 = 65_535;

/// What a server still has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// Whether a statement worked, or how many columns its rows have.
    Answer,
    /// So many columns' definitions.
    Columns(u64),
    /// That these were all.
    ColumnsEnd,
    /// Rows.
    Rows,
    /// Whether a statement could be prepared.
    Prepared,
    /// So many packets about its parameters and columns.
    Definitions(u32),
    /// Nobody knows: a statement was sent half-way, or the connection broke.
    Unknown,
}

/// What a packet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packet {
    /// Something before the rows, or after them.
    About,
    Row,
    /// The end of a result.
    End,
}

/// A connection.
pub struct Wire {
    packets: Packets,
    id: u32,
    capabilities: CapabilityFlags,
    owed: Owed,
    outcome: Outcome,
    /// The columns of the last result; they arrive one by one.
    columns: Vec<Column>,
    /// The statement that was prepared last.
    prepared: Option<StmtPacket>,
}

impl Wire {
    /// Connects and logs in, as [`ServerUrl::options`] has the other client do it.
    pub(super) async fn connect(url: &ServerUrl, program: &str) -> Said<Self> {
        let mut packets = Packets::new(Link::connect(url).await?);
        let login::LoggedIn { id, capabilities } =
            login::log_in(&mut packets, url, program).await?;
        Ok(Wire {
            packets,
            id,
            capabilities,
            owed: Owed::Nothing,
            outcome: Outcome::default(),
            columns: Vec::new(),
            prepared: None,
        })
    }

    /// Sends a query, and waits until its rows begin.
    pub(super) async fn begin(&mut self, sql: &[u8]) -> Said<()> {
        self.send(Command::COM_QUERY, sql, Owed::Answer).await?;
        while !matches!(self.owed, Owed::Rows | Owed::Nothing) {
            self.next_packet().await?;
        }
        Ok(())
    }

    /// Goes to the next row of a query that has begun: whether there is one. None if it isn't here yet.
    pub(super) fn row_is_here(&mut self) -> Said<Option<bool>> {
        if self.owed != Owed::Rows {
            return Ok(Some(false));
        }
        let here = self.packets.is_here();
        if !self.noted(here)? {
            return Ok(None);
        }
        Ok(Some(self.understand()? == Packet::Row))
    }

    /// Goes to the next row, and waits for it: whether there is one.
    pub(super) async fn next_row(&mut self) -> Said<bool> {
        Ok(self.owed == Owed::Rows && self.next_packet().await? == Packet::Row)
    }

    /// The row.
    pub(super) fn row(&self) -> Cells<'_> {
        Cells::of(self.packets.packet())
    }

    /// Sends a command, once all is read that the one before it has left.
    async fn send(&mut self, command: Command, body: &[u8], owed: Owed) -> Said<()> {
        let mut payload = Vec::with_capacity(1 + body.len());
        payload.push(command as u8);
        payload.extend_from_slice(body);
        self.send_payload(&payload, owed).await
    }

    async fn send_payload(&mut self, payload: &[u8], owed: Owed) -> Said<()> {
        while self.owed != Owed::Nothing {
            match self.next_packet().await {
                // It was about what nobody wants to know any more.
                Ok(_) | Err(Error::Server(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.owed = Owed::Unknown;
        self.packets.begin();
        self.packets.send(payload).await?;
        self.owed = owed;
        Ok(())
    }

    async fn next_packet(&mut self) -> Said<Packet> {
        if self.owed == Owed::Unknown {
            return Err(DriverError::ConnectionClosed.into());
        }
        let arrived = self.packets.arrive().await;
        self.noted(arrived)?;
        self.understand()
    }

    /// After anything but an error of the server's the connection is of no more use.
    fn noted<T>(&mut self, done: Said<T>) -> Said<T> {
        if done.as_ref().is_err_and(Error::is_fatal) {
            self.owed = Owed::Unknown;
            self.packets.cut();
        }
        done
    }

    /// What the packet that has just arrived is, and what comes after it.
    fn understand(&mut self) -> Said<Packet> {
        let understood = self.judge();
        if matches!(understood, Err(Error::Server(_))) {
            self.owed = Owed::Nothing;
            self.outcome = Outcome::default();
        }
        self.noted(understood)
    }

    fn judge(&mut self) -> Said<Packet> {
        let packet = self.packets.packet();
        let first = *packet.first().ok_or_else(|| malformed("an empty packet"))?;
        if first == 0xFF {
            return Err(server_error(packet, self.capabilities));
        }
        match self.owed {
            Owed::Answer if first == 0x00 => {
                let done = ended::<CommonOkPacket>(packet, self.capabilities)?;
                Ok(self.end(&done))
            }
            // Nothing is asked for that would need a file.
            Owed::Answer if first == 0xFB => Err(LocalInfileError::NoHandler.into()),
            Owed::Answer => {
                let columns = column_count(packet).ok_or_else(|| malformed("no result"))?;
                self.columns.clear();
                self.owed = Owed::Columns(columns);
                Ok(Packet::About)
            }
            Owed::Columns(left) => {
                let column = ParseBuf(packet).parse::<Column>(()).map_err(unread)?;
                self.columns.push(column);
                self.owed = match (left, self.ends_in_eof()) {
                    (2.., _) => Owed::Columns(left - 1),
                    (_, true) => Owed::ColumnsEnd,
                    (_, false) => Owed::Rows,
                };
                Ok(Packet::About)
            }
            Owed::ColumnsEnd if first == 0xFE => {
                self.owed = Owed::Rows;
                Ok(Packet::About)
            }
            Owed::Rows if first == 0xFE && !self.ends_in_eof() && packet.len() < LONGEST => {
                let done = ended::<ResultSetTerminator>(packet, self.capabilities)?;
                Ok(self.end(&done))
            }
            // A row that begins like that has a first cell of 16 MiB at least.
            Owed::Rows if first == 0xFE && self.ends_in_eof() && packet.len() < 9 => {
                let done = ended::<OldEofPacket>(packet, self.capabilities)?;
                Ok(self.end(&done))
            }
            Owed::Rows => Ok(Packet::Row),
            Owed::Prepared => {
                let prepared = ParseBuf(packet).parse::<StmtPacket>(()).map_err(unread)?;
                let packets = [prepared.num_params(), prepared.num_columns()]
                    .map(|count| u32::from(count) + u32::from(count > 0 && self.ends_in_eof()));
                self.owed = match packets[0] + packets[1] {
                    0 => Owed::Nothing,
                    packets => Owed::Definitions(packets),
                };
                self.prepared = Some(prepared);
                Ok(Packet::About)
            }
            Owed::Definitions(left) => {
                self.owed = match left {
                    2.. => Owed::Definitions(left - 1),
                    _ => Owed::Nothing,
                };
                Ok(Packet::About)
            }
            Owed::ColumnsEnd | Owed::Nothing | Owed::Unknown => {
                Err(malformed("a packet that nobody asked for"))
            }
        }
    }

    /// Whether definitions and rows end in packets of their own kind, as before MySQL 5.7.5.
    fn ends_in_eof(&self) -> bool {
        !self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF)
    }

    fn end(&mut self, done: &(Outcome, StatusFlags)) -> Packet {
        self.outcome = done.0;
        self.owed = match done.1.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS) {
            true => Owed::Answer,
            false => Owed::Nothing,
        };
        Packet::End
    }

    /// Reads a whole answer: the rows of its first result.
    async fn rows<P>(&mut self) -> Said<Vec<Row>>
    where
        for<'de> RowDeserializer<ServerSide, P>: MyDeserialize<'de, Ctx = Arc<[Column]>>,
    {
        let mut rows = Vec::new();
        let mut columns: Option<Arc<[Column]>> = None;
        let mut first = true;
        while self.owed != Owed::Nothing {
            match self.next_packet().await? {
                Packet::Row if first => {
                    let columns =
                        columns.get_or_insert_with(|| std::mem::take(&mut self.columns).into());
                    let row = ParseBuf(self.packets.packet())
                        .parse::<RowDeserializer<ServerSide, P>>(columns.clone());
                    let row = self.noted(row.map_err(unread))?;
                    rows.push(row.into_inner());
                }
                Packet::Row | Packet::About => {}
                Packet::End => first = false,
            }
        }
        Ok(rows)
    }

    /// Prepares a statement, runs it and forgets it.
    async fn prepared(&mut self, sql: &str, parameters: Params) -> Said<Vec<Row>> {
        let parsed = ParsedNamedParams::parse(sql.as_bytes())?;
        let names: Vec<Vec<u8>> = parsed.params().iter().map(|name| name.to_vec()).collect();
        let values = parameters.into_values(Some(&names[..]).filter(|names| !names.is_empty()))?;
        self.prepared = None;
        self.send(Command::COM_STMT_PREPARE, parsed.query(), Owed::Prepared).await?;
        while self.owed != Owed::Nothing {
            self.next_packet().await?;
        }
        let Some(statement) = self.prepared.take() else { return Err(malformed("no statement")) };
        let done = self.prepared_rows(&statement, &values).await;
        if done.as_ref().err().is_none_or(|error| !error.is_fatal()) {
            self.send_payload(
                &written(&ComStmtClose::new(statement.statement_id())),
                Owed::Nothing,
            )
            .await?;
        }
        done
    }

    async fn prepared_rows(&mut self, statement: &StmtPacket, values: &[Value]) -> Said<Vec<Row>> {
        let (id, required) = (statement.statement_id(), statement.num_params());
        if usize::from(required) != values.len() {
            // Not fatal: nothing was sent.
            return Err(DriverError::StmtParamsMismatch { required, supplied: values.len() }.into());
        }
        let (request, apart) = ComStmtExecuteRequestBuilder::new(id).build(values);
        if apart {
            for (at, value) in (0..required).zip(values) {
                let Value::Bytes(bytes) = value else { continue };
                // Once at least, for an empty value is one too.
                let (first, rest) = bytes.split_at(bytes.len().min(LONGEST - 7));
                for part in std::iter::once(first).chain(rest.chunks(LONGEST - 7)) {
                    let part = ComStmtSendLongData::new(id, at, part);
                    self.send_payload(&written(&part), Owed::Nothing).await?;
                }
            }
        }
        self.send_payload(&written(&request), Owed::Answer).await?;
        self.rows::<Binary>().await
    }
}

#[async_trait]
impl Client for Wire {
    fn id(&self) -> u32 {
        self.id
    }

    async fn query(&mut self, sql: &[u8]) -> Said<Vec<Row>> {
        self.send(Command::COM_QUERY, sql, Owed::Answer).await?;
        self.rows::<Text>().await
    }

    async fn run(&mut self, sql: &[u8]) -> Said<()> {
        self.send(Command::COM_QUERY, sql, Owed::Answer).await?;
        while self.owed != Owed::Nothing {
            self.next_packet().await?;
        }
        Ok(())
    }

    async fn query_prepared(&mut self, sql: &str, parameters: Params) -> Said<Vec<Row>> {
        self.prepared(sql, parameters).await
    }

    async fn run_prepared(&mut self, sql: &str, parameters: Params) -> Said<()> {
        self.prepared(sql, parameters).await.map(drop)
    }

    fn outcome(&self) -> Outcome {
        self.outcome
    }

    async fn bye(mut self) -> Said<()> {
        match self.goodbye() {
            Some(goodbye) => goodbye.await,
            None => Ok(()),
        }
    }
}

impl Wire {
    /// Says that nothing more is wanted, unless the server is in the middle of an answer.
    fn goodbye(&mut self) -> Option<impl Future<Output = Said<()>> + Send + 'static> {
        let owed = std::mem::replace(&mut self.owed, Owed::Unknown);
        let mut packets = self.packets.take_over().filter(|_| owed == Owed::Nothing)?;
        Some(async move {
            packets.begin();
            packets.send(&[Command::COM_QUIT as u8]).await?;
            packets.shut().await
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Cut without a word, a connection counts as a failure in the server's log.
        if let (Ok(runtime), Some(goodbye)) =
            (tokio::runtime::Handle::try_current(), self.goodbye())
        {
            runtime.spawn(goodbye);
        }
    }
}

/// How many columns a result has.
fn column_count(packet: &[u8]) -> Option<u64> {
    let count = match *packet {
        [count @ 1..=0xFA] => count.into(),
        [0xFC, a, b] => u16::from_le_bytes([a, b]).into(),
        [0xFD, a, b, c] => u32::from_le_bytes([a, b, c, 0]).into(),
        _ => return None,
    };
    (1..=COLUMNS).contains(&count).then_some(count)
}

/// What a packet says at the end of an answer.
fn ended<T>(packet: &[u8], capabilities: CapabilityFlags) -> Said<(Outcome, StatusFlags)>
where
    for<'de> OkPacketDeserializer<'de, T>:
        MyDeserialize<'de, Ctx = CapabilityFlags> + Into<OkPacket<'de>>,
{
    let done = ParseBuf(packet).parse::<OkPacketDeserializer<'_, T>>(capabilities);
    let done: OkPacket<'_> = done.map_err(unread)?.into();
    let outcome = Outcome { affected: done.affected_rows(), warnings: done.warnings() };
    Ok((outcome, done.status_flags()))
}

/// What a server refused.
fn server_error(packet: &[u8], capabilities: CapabilityFlags) -> Error {
    match ParseBuf(packet).parse::<ErrPacket<'_>>(capabilities) {
        Ok(ErrPacket::Error(error)) => error.into(),
        Ok(ErrPacket::Progress(_)) => malformed("a report that nobody asked for"),
        Err(error) => unread(error),
    }
}

fn written(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

fn malformed(what: &'static str) -> Error {
    io::Error::other(format!("the server doesn't keep to the protocol: {what}")).into()
}

fn unread(error: io::Error) -> Error {
    io::Error::other(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_some_columns() {
        assert_eq!(column_count(&[1]), Some(1));
        assert_eq!(column_count(&[0xFC, 0x00, 0x10]), Some(4096));
        for none in [&[][..], &[0], &[0xFB], &[0xFC, 1], &[0xFD, 0, 0, 1], &[0xFE; 9], &[1, 1]] {
            assert_eq!(column_count(none), None, "{none:?}");
        }
    }
}
