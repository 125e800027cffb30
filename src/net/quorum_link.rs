//! The socket between a leader and a learner.
//!
//! Any thread may write without waiting; who cannot go on waits in a task. One task reads, as much at
//! a time as has come.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::link_buffer::{LinkBuffer, MOST_SLICES};
use super::socket_options::SocketOptions;
use crate::proto::QuorumPacket;
use crate::proto::quorum_packet::Side;

/// A link's socket, for those who write and end it.
#[derive(Debug)]
pub struct LinkSocket {
    writer: OwnedWriteHalf,
    peer: SocketAddr,
}

/// What comes over a link.
#[derive(Debug)]
pub struct LinkReader {
    reader: OwnedReadHalf,
    input: BytesMut,
}

/// Room for so many bytes is made before a read …
const READ_BYTES: usize = 128 << 10;
/// … where less than this is left.
const LEAST_READ_BYTES: usize = 16 << 10;

/// Sets a connected socket, and divides it.
///
/// # Errors
/// The other end is gone already.
pub fn link(stream: TcpStream, options: SocketOptions) -> io::Result<(LinkSocket, LinkReader)> {
    let peer = stream.peer_addr()?;
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    options.set(&stream);
    let (reader, writer) = stream.into_split();
    Ok((LinkSocket { writer, peer }, LinkReader { reader, input: BytesMut::new() }))
}

impl LinkSocket {
    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Writes what the socket takes without waiting; `false` if something is left.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn try_write(&self, buffer: &mut LinkBuffer) -> io::Result<bool> {
        while !buffer.is_empty() {
            let mut slices = [IoSlice::new(&[]); MOST_SLICES];
            let filled = buffer.slices(&mut slices);
            let written = match &slices[..filled] {
                [only] => self.writer.try_write(only),
                slices => self.writer.try_write_vectored(slices),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => buffer.wrote(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Waits until more can be written.
    ///
    /// # Errors
    /// The other end is gone.
    pub async fn writable(&self) -> io::Result<()> {
        self.writer.writable().await
    }

    /// Writes some of it, at least a byte, as soon as it can be written.
    ///
    /// # Errors
    /// The other end is gone.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.writer.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writer.writable().await?;
                }
                written => return written,
            }
        }
    }

    /// Ends the link: who waits for it wakes. What was written may still arrive.
    pub fn end(&self) {
        // It may be gone already.
        let _ = SockRef::from(self.writer.as_ref()).shutdown(Shutdown::Both);
    }
}

impl LinkReader {
    /// Waits until at least one packet has come, and takes all that have; but nothing behind a
    /// SNAP, which a tree follows. `max_length` is how long a field may be, in bytes.
    ///
    /// # Errors
    /// In words: why the link ends. The packets that came before are there.
    pub async fn packets(
        &mut self,
        side: Side,
        max_length: usize,
        packets: &mut Vec<QuorumPacket>,
    ) -> Result<(), String> {
        loop {
            while let Some(packet) = QuorumPacket::take(&mut self.input, side, max_length)? {
                let is_snap = matches!(packet, QuorumPacket::Snap { .. });
                packets.push(packet);
                if is_snap {
                    return Ok(());
                }
            }
            if !packets.is_empty() {
                return Ok(());
            }
            self.more().await?;
        }
    }

    /// Waits for bytes, unless some are here, and returns those that are: at most about so many.
    ///
    /// # Errors
    /// In words: why the link ends.
    pub async fn bytes(&mut self, most: usize) -> Result<BytesMut, String> {
        if self.input.is_empty() {
            self.more().await?;
        }
        Ok(self.input.split_to(self.input.len().min(most)))
    }

    /// What was taken too much comes again.
    pub fn put_back(&mut self, bytes: BytesMut) {
        let rest = std::mem::replace(&mut self.input, bytes);
        self.input.unsplit(rest);
    }

    async fn more(&mut self) -> Result<(), String> {
        let Self { reader, input } = self;
        if input.capacity() - input.len() < LEAST_READ_BYTES {
            input.reserve(READ_BYTES);
        }
        match reader.read_buf(input).await {
            Ok(0) if input.has_remaining() => {
                Err("the other end has closed the link in the midst of a packet".to_owned())
            }
            Ok(0) => Err("the other end has closed the link".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
