//! A ring of provided buffers: the kernel takes one for each piece of data that it receives.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    io,
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::{Submitter, types::BufRingEntry};

/// The ring's entries must begin at a page (io_uring_register(2), IORING_REGISTER_PBUF_RING).
const PAGE_BYTES: usize = 4096;

/// Provided buffers of one size, shared with the kernel.
#[derive(Debug)]
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    bytes_each: usize,
    tail: u16,
}

impl Buffers {
    /// `count` buffers (a power of two) of `bytes_each`, registered as `group`.
    pub(super) fn register(
        submitter: &Submitter<'_>,
        group: u16,
        count: u16,
        bytes_each: usize,
    ) -> io::Result<Self> {
        debug_assert!(count.is_power_of_two());
        let mut buffers = Self {
            entries: allocate(entries_layout(count)).cast(),
            memory: allocate(memory_layout(count, bytes_each)),
            count,
            bytes_each,
            tail: 0,
        };
        // SAFETY: `entries` is page-aligned memory for `count` entries that lives as long as self;
        // the owner of self keeps it until the kernel has ended every operation on the group.
        unsafe {
            submitter.register_buf_ring_with_flags(
                buffers.entries.as_ptr() as u64,
                count,
                group,
                0,
            )?;
        }
        for id in 0..count {
            buffers.give(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The first `len` bytes of buffer `id`, which the kernel has just handed out.
    pub(super) fn bytes(&self, id: u16, len: usize) -> &[u8] {
        assert!(id < self.count && len <= self.bytes_each);
        // SAFETY: in bounds by the assertion, initialised (zeroed when allocated), and the kernel
        // does not write to a buffer between handing it out and `give`, which takes &mut self.
        unsafe {
            let start = self.memory.as_ptr().add(usize::from(id) * self.bytes_each);
            std::slice::from_raw_parts(start, len)
        }
    }

    /// Gives buffer `id` back; the kernel sees it after [`Buffers::publish`].
    pub(super) fn give(&mut self, id: u16) {
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: `index` is below `count`; the kernel reads entries below the published tail only,
        // and the entry at the tail is not among them.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        // SAFETY: `id` came from the kernel or from `register`: it is below `count`.
        let start = unsafe { self.memory.as_ptr().add(usize::from(id) * self.bytes_each) };
        entry.set_addr(start as u64);
        entry.set_len(self.bytes_each as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see the buffers given back since the last call.
    pub(super) fn publish(&self) {
        // SAFETY: the tail is a u16 inside the first entry (its reserved field), aligned, and
        // shared with the kernel, so it is written as an atomic; release, since the entries that
        // it covers must be seen before it.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with these layouts. The owner drops self only after the
        // kernel has ended every operation that could write here (see `Uring::drop`).
        unsafe {
            dealloc(self.entries.as_ptr().cast(), entries_layout(self.count));
            dealloc(self.memory.as_ptr(), memory_layout(self.count, self.bytes_each));
        }
    }
}

fn entries_layout(count: u16) -> Layout {
    Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), PAGE_BYTES)
        .expect("at most 512 KiB")
}

fn memory_layout(count: u16, bytes_each: usize) -> Layout {
    Layout::from_size_align(usize::from(count) * bytes_each, PAGE_BYTES)
        .expect("named constants, far below isize::MAX")
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: neither layout is of size zero.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
