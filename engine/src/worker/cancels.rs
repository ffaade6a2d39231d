//! The connections by which requests that were given up are cancelled.

use std::collections::VecDeque;

use crate::ConnectionId;

/// So many requests are cancelled at once, by one worker: a server may start a process for each.
const AT_ONCE_MAX: usize = 64;

/// Places for connections that are open only while a server is told to end a request, and who waits
/// for one.
#[derive(Debug)]
pub(super) struct Cancels {
    /// The first place's id; the others follow.
    first: ConnectionId,
    /// Per place: whose request it cancels.
    places: Vec<Option<ConnectionId>>,
    waiting: VecDeque<ConnectionId>,
}

impl Cancels {
    /// Places from `first` on for so many connections whose requests can be cancelled.
    pub(super) fn new(first: ConnectionId, connections: usize) -> Self {
        let places = vec![None; connections.min(AT_ONCE_MAX)];
        Self { first, places, waiting: VecDeque::with_capacity(connections) }
    }

    /// How many places there are.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// Whether any request is being cancelled or waits for that.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.places.iter().all(Option::is_none)
    }

    /// Whose request is cancelled in this place, if it is one.
    #[inline]
    pub(super) fn whose(&self, place: ConnectionId) -> Option<ConnectionId> {
        let index = place.checked_sub(self.first)?;
        self.places.get(index as usize).copied().flatten()
    }

    /// The request of `id` is to be cancelled once there is a place.
    pub(super) fn push(&mut self, id: ConnectionId) {
        self.waiting.push_back(id);
    }

    /// Who comes next, and in which place, if one is free.
    pub(super) fn begin(&mut self) -> Option<(ConnectionId, ConnectionId)> {
        let index = self.places.iter().position(Option::is_none)?;
        let id = self.waiting.pop_front()?;
        self.places[index] = Some(id);
        Some((id, self.first + index as ConnectionId))
    }

    /// The request of `id` is not to be cancelled any more. The place that it had, if it had one.
    pub(super) fn end(&mut self, id: ConnectionId) -> Option<ConnectionId> {
        self.waiting.retain(|other| *other != id);
        let index = self.places.iter().position(|place| *place == Some(id))?;
        self.places[index] = None;
        Some(self.first + index as ConnectionId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_waits_its_turn() {
        let mut cancels = Cancels::new(1000, 1000);
        (0..AT_ONCE_MAX as u32 + 2).for_each(|id| cancels.push(id));
        for index in 0..AT_ONCE_MAX as u32 {
            assert_eq!(cancels.begin(), Some((index, 1000 + index)));
        }
        assert_eq!(cancels.begin(), None);
        assert_eq!(
            (cancels.whose(1007), cancels.whose(7), cancels.whose(2000)),
            (Some(7), None, None)
        );
        assert_eq!(cancels.end(7), Some(1007));
        assert_eq!(cancels.end(64), None, "it waited");
        assert_eq!(cancels.begin(), Some((65, 1007)));
        for id in 0..100 {
            cancels.end(id);
        }
        assert!(cancels.is_empty());
    }
}
