//! The sockets of the server, bound according to the settings.

use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

use crate::config::Config;
use crate::listen::udp::DatagramSocket;

/// The bound sockets.
pub struct Sockets {
    /// For HTTP requests.
    pub http: TcpListener,
    /// For lines over TCP.
    pub tcp: Option<TcpListener>,
    /// For lines over UDP.
    pub udp: Option<DatagramSocket>,
}

impl Sockets {
    /// Binds the addresses in the settings.
    ///
    /// # Errors
    /// An address does not resolve, is in use, or would allow anyone to connect (an address other than loopback without
    /// tokens or `insecure`).
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let http = bind_tcp(&config.listen, "listen", config.insecure || config.token_file.is_some()).await?;
        let tcp = match &config.tcp_listen {
            Some(address) => Some(bind_tcp(address, "tcp_listen", config.insecure).await?),
            None => None,
        };
        let udp = match &config.udp_listen {
            Some(address) => {
                let socket =
                    UdpSocket::bind(address).await.map_err(|e| cannot_bind("udp_listen", address, &e))?;
                require_loopback(socket.local_addr()?, "udp_listen", config.insecure)?;
                Some(DatagramSocket::new(socket.into_std()?, config.udp_buffer)?)
            }
            None => None,
        };
        Ok(Sockets { http, tcp, udp })
    }
}

async fn bind_tcp(address: &str, setting: &str, open: bool) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.map_err(|e| cannot_bind(setting, address, &e))?;
    require_loopback(listener.local_addr()?, setting, open)?;
    Ok(listener)
}

fn cannot_bind(setting: &str, address: &str, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("{setting}: cannot listen on {address}: {error}")
}

fn require_loopback(address: SocketAddr, setting: &str, open: bool) -> anyhow::Result<()> {
    if address.ip().is_loopback() || open {
        return Ok(());
    }
    let way_out = if setting == "listen" { "set token_file, or insecure" } else { "set insecure" };
    anyhow::bail!(
        "{setting}: {address} is not a loopback address, so anybody who reaches it could read, write and delete; {way_out}"
    )
}
