//! The beginning of a connection: what both sides can, TLS, and the proof that we know the password.
//!
//! Asked for and answered as by mysql_async, whose errors these are.

use std::{collections::HashMap, io};

use mysql_async::{DriverError, Error};
use mysql_common::{
    constants::CapabilityFlags,
    io::ParseBuf,
    packets::{
        AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, OldAuthSwitchRequest,
        SslRequest,
    },
};

use super::{key, packets::Packets, server_error, unread, written};
use crate::mysql::{Secret, ServerUrl, TlsMode, client::Said, url::LARGEST_PACKET};

/// The length of what a server gives to prove the password with; zeros where it is shorter.
const NONCE: usize = 20;

/// The collation that is asked for: utf8mb4_general_ci, and for servers before 5.5.3 utf8_general_ci.
const COLLATIONS: [u8; 2] = [45, 33];

/// What a login found.
pub(super) struct LoggedIn {
    pub(super) id: u32,
    pub(super) capabilities: CapabilityFlags,
}

/// What we can. No LOCAL INFILE: a server that asks for a file gets none. No several statements in one.
fn wanted(url: &ServerUrl) -> CapabilityFlags {
    let mut wanted = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PS_MULTI_RESULTS
        | CapabilityFlags::CLIENT_DEPRECATE_EOF
        | CapabilityFlags::CLIENT_PLUGIN_AUTH;
    wanted.set(CapabilityFlags::CLIENT_SSL, url.tls != TlsMode::Off);
    wanted.set(CapabilityFlags::CLIENT_COMPRESS, url.compression);
    wanted
}

/// Logs in.
pub(super) async fn log_in(
    packets: &mut Packets,
    url: &ServerUrl,
    program: &str,
) -> Said<LoggedIn> {
    let wanted = wanted(url);
    packets.arrive().await?;
    // Until it knows what we can, a server writes errors in the old way.
    refused(packets.packet(), CapabilityFlags::empty())?;
    let greeting = ParseBuf(packets.packet()).parse::<HandshakePacket<'_>>(()).map_err(unread)?;
    let mut nonce = greeting.scramble_1_ref().to_vec();
    nonce.extend_from_slice(greeting.scramble_2_ref().unwrap_or_default());
    nonce.resize(NONCE, 0);
    let version = greeting
        .maria_db_server_version_parsed()
        .or_else(|| greeting.server_version_parsed())
        .unwrap_or_default();
    let (id, capabilities) = (greeting.connection_id(), greeting.capabilities() & wanted);
    // Whatever else it names, it asks for again when it is told this one.
    let plugin = match greeting.auth_plugin() {
        Some(AuthPlugin::CachingSha2Password) => AuthPlugin::CachingSha2Password,
        _ => AuthPlugin::MysqlNativePassword,
    };
    if wanted.contains(CapabilityFlags::CLIENT_SSL) {
        if !capabilities.contains(CapabilityFlags::CLIENT_SSL) {
            return Err(DriverError::NoClientSslFlagFromServer.into());
        }
        let collation = COLLATIONS[usize::from(version < (5, 5, 3))];
        let request = SslRequest::new(capabilities, LARGEST_PACKET as u32, collation);
        packets.send(&written(&request)).await?;
        packets.encrypt(url).await?;
    }
    let password = url.password.as_ref().map(Secret::reveal);
    let proof = plugin.gen_data(password, &nonce);
    let response = HandshakeResponse::new(
        proof.as_deref(),
        version,
        Some(url.user.as_bytes()),
        None::<&[u8]>,
        Some(plugin.borrow()),
        capabilities,
        Some(HashMap::from([("program_name".to_string(), program.to_string())])),
        LARGEST_PACKET as u32,
    );
    packets.send(&written(&response)).await?;
    let mut proving = Proving { plugin: plugin.into_owned(), nonce, password, switched: false };
    proving.go_on(packets, capabilities).await?;
    if capabilities.contains(CapabilityFlags::CLIENT_COMPRESS) {
        packets.squeeze();
    }
    Ok(LoggedIn { id, capabilities })
}

/// The proof that we know the password.
struct Proving<'a> {
    plugin: AuthPlugin<'static>,
    nonce: Vec<u8>,
    password: Option<&'a str>,
    /// Whether the server has asked for another plugin: it does so once.
    switched: bool,
}

impl Proving<'_> {
    async fn go_on(&mut self, packets: &mut Packets, capabilities: CapabilityFlags) -> Said<()> {
        loop {
            packets.arrive().await?;
            let packet = packets.packet();
            refused(packet, capabilities)?;
            match (packet, &self.plugin) {
                ([0x00, ..], _) => return Ok(()),
                ([0xFE, ..], _) if !self.switched => {
                    self.switch(packet)?;
                    let proof = self.plugin.gen_data(self.password, &self.nonce);
                    let proof = proof.map(|proof| written(&proof.into_owned()));
                    packets.send(&proof.unwrap_or_default()).await?;
                }
                // The server remembers the password from a login before: what follows says so.
                ([0x01, 0x03], AuthPlugin::CachingSha2Password) => {}
                ([0x01, 0x04], AuthPlugin::CachingSha2Password) => self.whole(packets).await?,
                _ => return Err(unexpected()),
            }
        }
    }

    /// Takes the plugin that the server asks for.
    fn switch(&mut self, packet: &[u8]) -> Said<()> {
        self.switched = true;
        let asked = match packet.len() {
            // Servers of before 4.1's passwords.
            1 => {
                ParseBuf(packet).parse::<OldAuthSwitchRequest>(()).map_err(unread)?;
                return Err(DriverError::MysqlOldPasswordDisabled.into());
            }
            _ => ParseBuf(packet).parse::<AuthSwitchRequest<'_>>(()).map_err(unread)?,
        };
        let plugin = asked.auth_plugin().clone().into_owned();
        match &plugin {
            AuthPlugin::CachingSha2Password
            | AuthPlugin::MysqlNativePassword
            | AuthPlugin::Ed25519 => {}
            AuthPlugin::MysqlOldPassword => {
                return Err(DriverError::MysqlOldPasswordDisabled.into());
            }
            // It would send the password as it is, to whoever asks.
            AuthPlugin::MysqlClearPassword => {
                return Err(DriverError::CleartextPluginDisabled.into());
            }
            AuthPlugin::MariadbParsec { .. } | AuthPlugin::Other(_) => {
                let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
                return Err(DriverError::UnknownAuthPlugin { name }.into());
            }
        }
        self.nonce = asked.plugin_data().to_vec();
        self.plugin = plugin;
        Ok(())
    }

    /// Sends the whole password: as it is where nobody can read along, else under the server's key.
    async fn whole(&self, packets: &mut Packets) -> Said<()> {
        let mut secret = self.password.unwrap_or_default().as_bytes().to_vec();
        secret.push(0);
        if packets.is_private() {
            return packets.send(&secret).await;
        }
        packets.send(&[0x02]).await?;
        packets.arrive().await?;
        // Errors of this moment are in the form that was agreed on, with a state.
        refused(packets.packet(), CapabilityFlags::CLIENT_PROTOCOL_41)?;
        let Some((0x01, pem)) = packets.packet().split_first() else { return Err(unexpected()) };
        if self.nonce.is_empty() {
            return Err(unexpected());
        }
        for (byte, mask) in secret.iter_mut().zip(self.nonce.iter().cycle()) {
            *byte ^= mask;
        }
        let sent = key::encrypted(&secret, pem).ok_or_else(|| {
            Error::from(io::Error::other("the server's public key can't be used for the password"))
        })?;
        packets.send(&sent).await
    }
}

/// An error of the server's, if that is what the packet is.
fn refused(packet: &[u8], capabilities: CapabilityFlags) -> Said<()> {
    match packet {
        [] => Err(unexpected()),
        [0xFF, ..] => Err(server_error(packet, capabilities)),
        _ => Ok(()),
    }
}

fn unexpected() -> Error {
    // Without the packet: it may be a part of the login.
    DriverError::UnexpectedPacket { payload: Vec::new() }.into()
}
