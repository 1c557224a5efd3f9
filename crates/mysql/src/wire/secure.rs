//! The stream under the packets: a socket, or TLS over it.

use std::io::{Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;

use mysql_async::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};

use crate::access::{Access, SslMode};

/// What packets are read from.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Stream {
    /// TLS over a socket, as far as its handshake.
    pub(super) fn encrypted(socket: TcpStream, config: Arc<ClientConfig>, host: &str) -> mysql_async::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(mysql_async::TlsError::from)?;
        let connection = ClientConnection::new(config, name)?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            // What the library finds wrong comes wrapped as an error of the socket.
            stream.conn.complete_io(&mut stream.sock).map_err(|error| match rustls_error(&error) {
                Some(found) => Error::from(found),
                None => Error::from(error),
            })?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }
}

fn rustls_error(error: &std::io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}

/// How a server has to prove itself, by `ssl.mode`: from verify_ca on authority and name together, before that not at all.
pub(super) fn config(access: &Access) -> mysql_async::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    match &access.ssl_ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let text = std::fs::read(path)?;
            for certificate in CertificateDer::pem_slice_iter(&text) {
                roots.add(certificate?)?;
            }
            if roots.is_empty() {
                roots.add(CertificateDer::from(text))?;
            }
        }
    }
    let roots = Arc::new(roots);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let trusted = matches!(access.ssl, SslMode::VerifyCa | SslMode::VerifyIdentity);
    let config = if trusted {
        config.with_root_certificates(roots).with_no_client_auth()
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(built_in()), provider).build();
        let anybody = Anybody(verifier.map_err(mysql_async::TlsError::from)?);
        config.dangerous().with_custom_certificate_verifier(Arc::new(anybody)).with_no_client_auth()
    };
    Ok(Arc::new(config))
}

fn built_in() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Takes any certificate; the handshake's signatures still have to be right.
#[derive(Debug)]
struct Anybody(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
