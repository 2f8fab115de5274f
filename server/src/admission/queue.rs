//! The queue of one kind of requests: fair among tenants, and within a tenant among clients.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::kind::Client;

/// The waiting requests for turns of one kind.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// The number of requests.
    pub(super) waiting: usize,
    /// No group is empty. The group at the front gets the next turn and moves to the back.
    groups: VecDeque<Group<T>>,
}

/// The clients of one tenant.
#[derive(Debug)]
struct Group<T> {
    tenant: u64,
    waiting: usize,
    /// No queue is empty. The client at the front gets the next turn of the tenant and moves to the back.
    lines: VecDeque<Line<T>>,
}

/// The requests of one client, oldest first.
#[derive(Debug)]
struct Line<T> {
    client: Client,
    waiters: VecDeque<Waiter<T>>,
}

/// A waiting request.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    /// The number of the request; later requests have larger numbers.
    pub(super) id: u64,
    /// Receives the turn.
    pub(super) sender: oneshot::Sender<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { waiting: 0, groups: VecDeque::new() }
    }
}

impl<T> Queue<T> {
    /// Adds a waiter behind those of its client.
    pub(super) fn join(&mut self, client: Client, waiter: Waiter<T>) {
        self.waiting += 1;
        match self.groups.iter_mut().find(|group| group.tenant == client.tenant()) {
            Some(group) => group.join(client, waiter),
            None => {
                let mut group = Group { tenant: client.tenant(), waiting: 0, lines: VecDeque::new() };
                group.join(client, waiter);
                self.groups.push_back(group);
            }
        }
    }

    /// Removes a waiter; it may already have its turn.
    pub(super) fn leave(&mut self, client: Client, id: u64) {
        let Some(at) = self.groups.iter().position(|group| group.tenant == client.tenant()) else { return };
        self.waiting -= self.groups[at].leave(client, id);
        if self.groups[at].lines.is_empty() {
            self.groups.remove(at);
        }
    }

    /// The waiter whose turn has come.
    pub(super) fn next(&mut self) -> Option<Waiter<T>> {
        let mut group = self.groups.pop_front()?;
        let waiter = group.next()?;
        self.waiting -= 1;
        if !group.lines.is_empty() {
            self.groups.push_back(group);
        }
        Some(waiter)
    }

    /// Makes room for one more request of `client`: drops the newest request of the client with the most requests, of
    /// the tenant with the most requests. Returns false if that client is `client`.
    pub(super) fn make_room(&mut self, client: Client) -> bool {
        let of_tenant = |group: &Group<T>| group.tenant == client.tenant();
        let own = self.groups.iter().find(|group| of_tenant(group)).map_or(0, |group| group.waiting);
        let Some(largest) = self.groups.iter().map(|group| group.waiting).max() else { return false };
        let is_foreign = largest > own + 1;
        let found = self.groups.iter_mut().find(|group| match is_foreign {
            true => group.waiting == largest,
            false => of_tenant(group),
        });
        let is_dropped = found.is_some_and(|group| match is_foreign {
            true => group.drop_newest(0),
            false => group.drop_newest(group.waiting_of(client) + 1),
        });
        self.waiting -= usize::from(is_dropped);
        is_dropped
    }
}

impl<T> Group<T> {
    fn join(&mut self, client: Client, waiter: Waiter<T>) {
        self.waiting += 1;
        match self.lines.iter_mut().find(|line| line.client == client) {
            Some(line) => line.waiters.push_back(waiter),
            None => self.lines.push_back(Line { client, waiters: VecDeque::from([waiter]) }),
        }
    }

    /// Removes a waiter if it is present. Returns the number removed.
    fn leave(&mut self, client: Client, id: u64) -> usize {
        let Some(at) = self.lines.iter().position(|line| line.client == client) else { return 0 };
        let line = &mut self.lines[at];
        let before = line.waiters.len();
        line.waiters.retain(|waiter| waiter.id != id);
        let left = before - line.waiters.len();
        if line.waiters.is_empty() {
            self.lines.remove(at);
        }
        self.waiting -= left;
        left
    }

    fn next(&mut self) -> Option<Waiter<T>> {
        let mut line = self.lines.pop_front()?;
        let waiter = line.waiters.pop_front()?;
        self.waiting -= 1;
        if !line.waiters.is_empty() {
            self.lines.push_back(line);
        }
        Some(waiter)
    }

    fn waiting_of(&self, client: Client) -> usize {
        self.lines.iter().find(|line| line.client == client).map_or(0, |line| line.waiters.len())
    }

    /// Drops the newest request of the client with the most requests, if it has more than `least`. Returns whether it
    /// did.
    fn drop_newest(&mut self, least: usize) -> bool {
        let by_size = |line: &Line<T>| (line.waiters.len(), line.waiters.back().map(|waiter| waiter.id));
        let longest = (0..self.lines.len()).max_by_key(|&at| by_size(&self.lines[at]));
        let Some(at) = longest.filter(|&at| self.lines[at].waiters.len() > least) else { return false };
        self.waiting -= usize::from(self.lines[at].waiters.pop_back().is_some());
        if self.lines[at].waiters.is_empty() {
            self.lines.remove(at);
        }
        true
    }
}
