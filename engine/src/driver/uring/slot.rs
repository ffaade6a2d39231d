//! One connection's place in the ring: its socket, and the bytes that the kernel may still read.

use std::collections::VecDeque;

use socket2::Socket;

/// Requests up to this size are sent without asking for a completion. On a connection with
/// nothing in flight the kernel copies that little into the socket at once: the least send
/// buffer (tcp_wmem, net.core.wmem_default) is twice as large.
pub(super) const SMALL_SEND_BYTES_MAX: usize = 2048;

/// The least memory that a connection keeps for small requests.
const SMALL_SEND_BYTES_MIN: usize = 256;

/// One connection's place.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Counts the connections in this place, so that a late completion of an earlier one is known.
    pub(super) generation: u32,
    pub(super) socket: Option<Socket>,
    /// Memory for small sends: not moved or freed while the ring lives.
    small: Box<[u8]>,
    /// The turn in which small bytes were last held: before it ends, the kernel has not seen them.
    held_in: u64,
    /// Sends that are waited for: the first is with the kernel. Bytes of an earlier connection
    /// stay here until their completion came.
    pub(super) large: Sends,
}

/// Sends in their order, each with its connection's generation: nothing but a pointer on
/// connections that have none.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "a pointer is a quarter of a VecDeque, in each slot")]
pub(super) struct Sends(Option<Box<VecDeque<Send>>>);

type Send = (u32, Box<[u8]>);

impl Sends {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |sends| sends.len())
    }

    pub(super) fn front(&self) -> Option<&Send> {
        self.0.as_ref()?.front()
    }

    pub(super) fn push_back(&mut self, generation: u32, bytes: Box<[u8]>) {
        self.0.get_or_insert_default().push_back((generation, bytes));
    }

    pub(super) fn pop_front(&mut self) -> Option<Send> {
        self.0.as_mut()?.pop_front()
    }

    fn iter(&self) -> impl Iterator<Item = &Send> {
        self.0.iter().flat_map(|sends| sends.iter())
    }
}

impl Slot {
    /// Copies `bytes` to where they stay still while the kernel reads them, which it does at the
    /// end of `turn`. Nothing where they are too many, or others have to go before them. Memory
    /// that has become too small goes to `outgrown`, which must live as long as the ring.
    pub(super) fn hold_small(
        &mut self,
        bytes: &[u8],
        turn: u64,
        outgrown: &mut Vec<Box<[u8]>>,
    ) -> Option<*const u8> {
        let is_held = self.held_in == turn;
        if bytes.len() > SMALL_SEND_BYTES_MAX || is_held || !self.large.is_empty() {
            return None;
        }
        self.held_in = turn;
        if self.small.len() < bytes.len() {
            let size = bytes.len().next_power_of_two().max(SMALL_SEND_BYTES_MIN);
            let small = std::mem::replace(&mut self.small, vec![0; size].into());
            if !small.is_empty() {
                outgrown.push(small);
            }
        }
        self.small[..bytes.len()].copy_from_slice(bytes);
        Some(self.small.as_ptr())
    }

    /// What this place holds, in bytes.
    pub(super) fn own_bytes(&self) -> usize {
        let large = self.large.iter().map(|(_, large)| large.len());
        size_of::<Self>() + self.small.len() + large.sum::<usize>()
    }

    /// Gives the connection's socket up, to be ended: what completes for it from now on is late.
    pub(super) fn leave(&mut self) -> Option<Socket> {
        self.generation = self.generation.wrapping_add(1) & GENERATION_MAX;
        self.socket.take()
    }
}

/// Generations are kept in 24 bits of a completion's user data.
pub(super) const GENERATION_MAX: u32 = (1 << 24) - 1;
