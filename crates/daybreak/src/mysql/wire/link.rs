//! The way to a server: TCP or a Unix socket, with TLS or without, as its URL says.

use std::{io, sync::Arc};

use mysql_async::{Error, TlsError};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use crate::mysql::{ServerUrl, TlsMode, client::Said, url::KEEPALIVE};

type Socket = Either<TcpStream, UnixStream>;

/// A way that is open.
pub(super) enum Link {
    Open(Socket),
    Encrypted(Box<TlsStream<Socket>>),
}

impl Link {
    /// Connects, without TLS yet.
    pub(super) async fn connect(url: &ServerUrl) -> io::Result<Self> {
        let socket = match &url.socket {
            Some(path) => Either::Right(UnixStream::connect(path).await?),
            None => {
                let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
                let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
                socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                stream.set_nodelay(true)?;
                Either::Left(stream)
            }
        };
        Ok(Link::Open(socket))
    }

    /// Goes on with TLS.
    pub(super) async fn encrypted(self, url: &ServerUrl) -> Said<Self> {
        let Link::Open(socket) = self else { return Ok(self) };
        let name = ServerName::try_from(url.host.clone()).map_err(TlsError::InvalidDnsName)?;
        let connector = TlsConnector::from(Arc::new(config(url).await?));
        Ok(Link::Encrypted(Box::new(connector.connect(name, socket).await?)))
    }

    /// Whether nobody on the way can read along: a password may go over it as it is.
    pub(super) fn is_private(&self) -> bool {
        matches!(self, Link::Encrypted(_) | Link::Open(Either::Right(_)))
    }

    /// Some bytes; none at the end. What was read isn't lost if this is dropped.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Open(socket) => socket.read(into).await,
            Link::Encrypted(stream) => stream.read(into).await,
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Link::Open(socket) => socket.write_all(bytes).await,
            Link::Encrypted(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    pub(super) async fn shut(&mut self) -> io::Result<()> {
        match self {
            Link::Open(socket) => socket.shutdown().await,
            Link::Encrypted(stream) => stream.shutdown().await,
        }
    }
}

async fn config(url: &ServerUrl) -> Said<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &url.ca {
        Some(path) => {
            let text = tokio::fs::read(path).await?;
            for certificate in CertificateDer::pem_slice_iter(&text) {
                roots.add(certificate?)?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = Verifier { mode: url.tls, inner: inner.build().map_err(TlsError::from)? };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Looks at as much of a server's certificate as the mode asks for. That the server has the
/// certificate's key is always proven.
#[derive(Debug)]
struct Verifier {
    mode: TlsMode,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        use rustls::Error::InvalidCertificate;
        // Nothing is left out but by its mode.
        if matches!(self.mode, TlsMode::Off | TlsMode::Required) {
            return Ok(ServerCertVerified::assertion());
        }
        match self.inner.verify_server_cert(certificate, between, name, ocsp, now) {
            // The name is looked at last, when all else is well.
            Err(InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if self.mode == TlsMode::VerifyCa =>
            {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The end that a server puts to a connection without a word.
pub(super) fn closed() -> Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed").into()
}
