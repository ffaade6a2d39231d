//! One connection's place in the ring: its socket, and the bytes that the kernel may still read.

use std::{
    collections::VecDeque,
    io,
    net::Shutdown,
    os::fd::{AsRawFd, RawFd},
};

use socket2::{SockAddr, Socket};

use crate::{ConnectionId, driver::socket};

/// Requests up to this size are sent without asking for a completion. On a connection with
/// nothing in flight the kernel copies that little into the socket at once: the least send
/// buffer (tcp_wmem, net.core.wmem_default) is twice as large.
pub(super) const SMALL_SEND_BYTES_MAX: usize = 2048;

/// One connection's place.
#[derive(Debug)]
pub(super) struct Slot {
    /// Counts the connections in this place, so that a late completion of an earlier one is known.
    pub(super) generation: u32,
    pub(super) socket: Option<Socket>,
    pub(super) address: Option<SockAddr>,
    /// Never moved or freed while the ring lives; allocated at the first send.
    small: Box<[u8]>,
    /// Sends that are waited for: the first is with the kernel. Bytes of an earlier connection
    /// stay here until their completion came.
    pub(super) large: VecDeque<(u32, Box<[u8]>)>,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            generation: 0,
            socket: None,
            address: None,
            small: Box::default(),
            large: VecDeque::new(),
        }
    }

    /// A new socket to connect to `address`.
    pub(super) fn create(
        &mut self,
        maker: socket::Sockets,
        id: ConnectionId,
        address: &SockAddr,
    ) -> io::Result<RawFd> {
        let socket = maker.open(id, address)?;
        let fd = socket.as_raw_fd();
        self.address = Some(address.clone());
        self.socket = Some(socket);
        Ok(fd)
    }

    /// Copies `bytes` to where they stay still while the kernel reads them.
    pub(super) fn hold_small(&mut self, bytes: &[u8]) -> *const u8 {
        if self.small.is_empty() {
            self.small = vec![0; SMALL_SEND_BYTES_MAX].into();
        }
        self.small[..bytes.len()].copy_from_slice(bytes);
        self.small.as_ptr()
    }

    /// Ends the connection for the peer and for the kernel: operations on it complete now.
    pub(super) fn close(&mut self) {
        self.generation = self.generation.wrapping_add(1) & GENERATION_MAX;
        if let Some(socket) = self.socket.take() {
            // It may never have been connected.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Generations are kept in 24 bits of a completion's user data.
pub(super) const GENERATION_MAX: u32 = (1 << 24) - 1;
