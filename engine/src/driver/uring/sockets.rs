//! What the worker's decisions become: sockets, and entries for the ring.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};

use io_uring::{opcode, squeue, types::Fixed};
use socket2::SockAddr;

use super::{
    BUFFER_GROUP,
    slot::{GENERATION_MAX, Slot},
    stamps::Stamps,
};
use crate::{ConnectionId, Transport, driver::socket};

/// What the worker's decisions become: entries for the ring.
pub(super) struct Sockets {
    pub(super) maker: socket::Sockets,
    pub(super) slots: Vec<Slot>,
    /// Memory for sends that larger memory took the place of.
    pub(super) outgrown: Vec<Box<[u8]>>,
    /// Where connections go: few, never moved or freed while the ring lives.
    #[expect(clippy::vec_box, reason = "the kernel reads one while another is added")]
    pub(super) addresses: Vec<Box<SockAddr>>,
    /// Counts what was handed over to the kernel.
    pub(super) turn: u64,
    /// Entries for the next enter, in order.
    pub(super) entries: Vec<squeue::Entry>,
    /// Registered files to change before the next enter.
    pub(super) files: Vec<(ConnectionId, RawFd)>,
    /// Where the kernel is asked when it received what it hands over.
    pub(super) stamps: Option<Stamps>,
    /// Connections whose socket could not even be made.
    pub(super) failed: Vec<(ConnectionId, io::Error)>,
    /// Receives that the kernel holds; each may write to a buffer until it ends.
    pub(super) receives: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Action {
    Connect = 1,
    Receive = 2,
    Send = 3,
    LargeSend = 4,
}

pub(super) fn user_data(action: Action, generation: u32, id: ConnectionId) -> u64 {
    u64::from(action as u8) << 56 | u64::from(generation & GENERATION_MAX) << 32 | u64::from(id)
}

impl Sockets {
    pub(super) fn receive(&mut self, id: ConnectionId) {
        let generation = self.slots[id as usize].generation;
        self.receives += 1;
        let entry = match &self.stamps {
            Some(stamps) => stamps.receive(id, BUFFER_GROUP),
            None => opcode::RecvMulti::new(Fixed(id), BUFFER_GROUP).build(),
        };
        self.entries.push(entry.user_data(user_data(Action::Receive, generation, id)));
    }

    fn push_large(&mut self, id: ConnectionId) {
        let slot = &self.slots[id as usize];
        let Some((generation, bytes)) = slot.large.front() else { return };
        self.entries.push(
            opcode::Send::new(Fixed(id), bytes.as_ptr(), bytes.len() as u32)
                .flags(SEND_FLAGS)
                .build()
                .user_data(user_data(Action::LargeSend, *generation, id)),
        );
    }

    /// Whether all of the bytes went out.
    pub(super) fn large_sent(&mut self, id: ConnectionId, result: i32) -> bool {
        let slot = &mut self.slots[id as usize];
        let sent = slot.large.pop_front();
        let current = slot.generation;
        while slot.large.front().is_some_and(|(generation, _)| *generation != current) {
            slot.large.pop_front();
        }
        self.push_large(id);
        sent.is_some_and(|(_, bytes)| usize::try_from(result) == Ok(bytes.len()))
    }
}

const SEND_FLAGS: i32 = (rustix::net::SendFlags::NOSIGNAL.bits() | MSG_WAITALL) as i32;
/// Not among rustix's send flags: the kernel takes it for sends on a ring (io_uring_prep_send(3)).
const MSG_WAITALL: u32 = 0x100;

impl Transport for Sockets {
    fn connect(&mut self, id: ConnectionId, address: &SockAddr) {
        let socket = match self.maker.open(id, address) {
            Ok(socket) => socket,
            Err(error) => return self.failed.push((id, error)),
        };
        if self.stamps.is_some()
            && address.as_socket().is_some()
            && let Err(error) = Stamps::ask(&socket)
        {
            return self.failed.push((id, error));
        }
        let fd = socket.as_raw_fd();
        if !self.addresses.iter().any(|known| **known == *address) {
            self.addresses.push(Box::new(address.clone()));
        }
        let known = self.addresses.iter().find(|known| ***known == *address);
        let address = known.expect("just added");
        let slot = &mut self.slots[id as usize];
        slot.socket = Some(socket);
        let entry = opcode::Connect::new(Fixed(id), address.as_ptr().cast(), address.len())
            .build()
            .user_data(user_data(Action::Connect, slot.generation, id));
        self.files.retain(|(other, _)| *other != id);
        self.files.push((id, fd));
        self.entries.push(entry);
    }

    fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        let slot = &mut self.slots[id as usize];
        let Some(start) = slot.hold_small(bytes, self.turn, &mut self.outgrown) else {
            slot.large.push_back(slot.generation, bytes.into());
            if slot.large.len() == 1 {
                self.push_large(id);
            }
            return;
        };
        self.entries.push(
            opcode::Send::new(Fixed(id), start, bytes.len() as u32)
                .flags(SEND_FLAGS)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(user_data(Action::Send, slot.generation, id)),
        );
    }

    fn end(&mut self, id: ConnectionId, last_words: &[u8]) {
        let slot = &mut self.slots[id as usize];
        if slot.socket.is_some() {
            // Entries that were not handed over yet would meet the next connection's file.
            let generation = slot.generation;
            let receives = &mut self.receives;
            self.entries.retain(|entry| {
                let data = entry.get_user_data();
                if data == user_data(Action::Receive, generation, id) {
                    *receives -= 1;
                } else if data == user_data(Action::LargeSend, generation, id) {
                    slot.large.pop_front();
                } else {
                    return data & CONNECTION_MASK
                        != user_data(Action::Send, generation, id) & CONNECTION_MASK;
                }
                false
            });
            self.files.retain(|(other, _)| *other != id);
            if let Some(socket) = slot.leave() {
                self.maker.end(&socket, last_words);
            }
            self.files.push((id, -1));
        }
    }
}

/// Generation and connection of a completion's user data.
const CONNECTION_MASK: u64 = (1 << 56) - 1;
