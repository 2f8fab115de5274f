//! Tests of the queue of waiting takes. None waits for a clock: the patience of each take is practically unlimited.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use barograph::budget::{Full, Share};

use super::{Pool, Room};

const PATIENCE: Duration = Duration::from_secs(3600);

type Take<'a> = Pin<Box<dyn Future<Output = Result<Room, Full>> + 'a>>;

/// A runtime, for the timers of waiting takes.
fn clock() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn poll(take: &mut Take<'_>) -> Poll<Result<Room, Full>> {
    take.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn ready(take: &mut Take<'_>) -> Result<Room, Full> {
    match poll(take) {
        Poll::Ready(taken) => taken,
        Poll::Pending => panic!("it waits"),
    }
}

/// The bytes of modest takes, and of all takes.
fn used(pool: &Pool) -> (u64, u64) {
    let line = pool.line.lock();
    (line.used_modest, line.used)
}

/// A pool of 400 bytes, of which takes that hold nothing may have 300.
fn pool() -> Arc<Pool> {
    Pool::new(Share::new("bodies", 400), 1)
}

#[test]
fn memory_is_handed_over_in_the_order_of_the_requests() {
    let clock = clock();
    let _clock = clock.enter();
    let pool = pool();
    let first = pool.try_take(200).unwrap();
    let take = |bytes| -> Take<'_> { Box::pin(pool.take(bytes, PATIENCE)) };
    let (mut large, mut small) = (take(250), take(10));
    assert!(poll(&mut large).is_pending());
    assert!(poll(&mut small).is_pending(), "there is room for it, but the large one came first");
    assert!(pool.try_take(1).is_err());
    assert_eq!((pool.used(), pool.waiting()), (200, 2));
    drop(first);
    let large = ready(&mut large).unwrap();
    assert_eq!(ready(&mut small).unwrap().bytes(), 10);
    assert_eq!(pool.used(), 250, "the small one is already released");
    drop(large);
    assert_eq!((pool.used(), pool.share.used(), pool.waiting()), (0, 0, 0));
}

#[test]
fn one_that_gives_up_holds_up_nobody() {
    let clock = clock();
    let _clock = clock.enter();
    let pool = pool();
    let first = pool.try_take(200).unwrap();
    let mut large: Take<'_> = Box::pin(pool.take(250, PATIENCE));
    let mut small: Take<'_> = Box::pin(pool.take(10, PATIENCE));
    assert!(poll(&mut large).is_pending() && poll(&mut small).is_pending());
    drop(large);
    assert_eq!(ready(&mut small).unwrap().bytes(), 10);
    // Memory that was granted to a take whose future was dropped before it received it.
    let mut late: Take<'_> = Box::pin(pool.take(200, PATIENCE));
    assert!(poll(&mut late).is_pending());
    drop(first);
    assert_eq!(pool.used(), 200);
    drop(late);
    assert_eq!((pool.used(), pool.share.used()), (0, 0));
    let full = clock.block_on(async {
        let _all = pool.try_take(300).unwrap();
        pool.take(10, Duration::ZERO).await.unwrap_err()
    });
    assert!(!full.is_permanent());
}

#[test]
fn more_than_there_ever_is_is_refused_at_once() {
    let clock = clock();
    let _clock = clock.enter();
    let pool = pool();
    let mut take: Take<'_> = Box::pin(pool.take(301, PATIENCE));
    let full = ready(&mut take).unwrap_err();
    assert!(full.is_permanent() && full.limit == 300, "{full:?}");
    let mut room = pool.try_take(150).unwrap();
    assert!(room.try_grow(151).unwrap_err().is_permanent());
    let mut beside: Take<'_> = Box::pin(room.beside(&pool, 251, PATIENCE));
    assert!(ready(&mut beside).unwrap_err().is_permanent(), "with what it holds already");
    drop(beside);
    room.try_grow(150).unwrap();
    assert_eq!((room.bytes(), pool.used()), (300, 300));
    room.shrink(20);
    assert_eq!((room.bytes(), pool.used(), pool.share.used()), (20, 20, 20));
}

#[test]
fn work_in_progress_comes_first_and_has_the_last_quarter() {
    let clock = clock();
    let _clock = clock.enter();
    let pool = pool();
    let (a, mut b) = (pool.try_take(200).unwrap(), pool.try_take(100).unwrap());
    let mut coming: Take<'_> = Box::pin(pool.take(10, PATIENCE));
    assert!(poll(&mut coming).is_pending());
    let mut beside: Take<'_> = Box::pin(a.beside(&pool, 100, PATIENCE));
    let more = ready(&mut beside).unwrap();
    drop(beside);
    let mut beside: Take<'_> = Box::pin(a.beside(&pool, 50, PATIENCE));
    assert!(poll(&mut beside).is_pending());
    assert!(b.try_grow(1).is_err());
    drop(b);
    assert_eq!(ready(&mut beside).unwrap().bytes(), 50);
    drop(beside);
    drop(more);
    assert_eq!(ready(&mut coming).unwrap().bytes(), 10);
    // Holders of memory of another pool wait with them.
    let other = Pool::new(Share::new("forms", 100), 2);
    let form = other.try_take(10).unwrap();
    let rest = pool.try_take(100).unwrap();
    let mut beside: Take<'_> = Box::pin(form.beside(&pool, 200, PATIENCE));
    assert!(poll(&mut beside).is_pending());
    drop(rest);
    assert_eq!(ready(&mut beside).unwrap().bytes(), 200);
}

#[test]
fn where_all_wait_for_more_the_last_one_makes_room_for_the_first() {
    let clock = clock();
    let _clock = clock.enter();
    let pool = pool();
    let other = Pool::new(Share::new("forms", 100), 1);
    let rooms = [(); 3].map(|()| pool.try_take(100).unwrap());
    let form = other.try_take(10).unwrap();
    let mut waiting: Vec<Take<'_>> =
        rooms.iter().map(|room| -> Take<'_> { Box::pin(room.beside(&pool, 200, PATIENCE)) }).collect();
    let mut last: Take<'_> = Box::pin(form.beside(&pool, 200, PATIENCE));
    assert!(poll(&mut waiting[0]).is_pending());
    assert!(poll(&mut last).is_pending());
    assert!(poll(&mut waiting[1]).is_pending(), "the third one does not continue yet");
    let full = ready(&mut waiting[2]).unwrap_err();
    assert!(!full.is_permanent(), "it may come again");
    assert!(poll(&mut waiting[1]).is_pending());
    drop(waiting.pop());
    let [_first, _second, third] = rooms.each_ref();
    assert_eq!(third.bytes(), 100);
    assert!(poll(&mut waiting[0]).is_pending(), "until it has released memory");
}

#[test]
fn the_first_continues_when_the_last_has_given_back() {
    let clock = clock();
    clock.block_on(async {
        let pool = pool();
        let rooms = [(); 3].map(|()| pool.try_take(100).unwrap());
        // Each take needs 250 more, and ends when it has them or is refused.
        let work = |room: Room| {
            let pool = pool.clone();
            async move { room.beside(&pool, 250, PATIENCE).await.is_ok() }
        };
        let [a, b, c] = rooms.map(work);
        let ended = tokio::join!(a, b, c);
        assert_eq!(ended, (true, false, false));
        assert_eq!((pool.used(), pool.share.used()), (0, 0));
    });
}

#[test]
fn parts_of_a_share_are_apart() {
    let share = Share::new("forms", 800);
    let (a, b) = (Pool::new(share.clone(), 2), Pool::new(share.clone(), 2));
    let taken = a.try_take(300).unwrap();
    assert!(a.try_take(1).is_err());
    let other = b.try_take(300).unwrap();
    assert_eq!(share.used(), 600);
    drop((other, taken));
    assert_eq!((share.used(), a.used(), b.used()), (0, 0, 0));
}

#[test]
fn tenants_take_turns() {
    let clock = clock();
    let _clock = clock.enter();
    let pool = pool();
    let all = pool.try_take(300).unwrap();
    let take = |tenant: u64| -> Take<'_> { Box::pin(pool.take_for(tenant, 300, PATIENCE)) };
    let mut waiting: Vec<Take<'_>> = [1, 1, 1, 2, 2, 0].into_iter().map(take).collect();
    for take in &mut waiting {
        assert!(poll(take).is_pending());
    }
    let (mut order, mut held) = (Vec::new(), Some(all));
    for turn in 0..waiting.len() + 2 {
        drop(held.take());
        let served = (0..waiting.len()).find_map(|at| match poll(&mut waiting[at]) {
            Poll::Ready(room) if !order.contains(&at) => Some((at, room.unwrap())),
            _ => None,
        });
        let Some((at, room)) = served else { panic!("turn {turn}: no waiter has it") };
        // A served waiter must not be polled again.
        waiting[at] = Box::pin(std::future::pending());
        order.push(at);
        held = Some(room);
        if turn == 1 {
            // A later waiter waits only for the current round, not for all waiters of a tenant.
            waiting.extend([take(3), take(1)]);
            assert!(waiting[6..].iter_mut().all(|take| poll(take).is_pending()));
        }
    }
    assert_eq!(order, [0, 3, 5, 1, 4, 6, 2, 7]);
    drop(held);
    assert_eq!((pool.used(), pool.waiting()), (0, 0));
}

/// A pool of 800 bytes, 100 of them for takes of at most 40. Takes that hold nothing may have 600, large ones 500.
fn pool_with_modest() -> Arc<Pool> {
    Pool::with_modest(Share::new("bodies", 800), 40)
}

#[test]
fn modest_takes_do_not_wait_for_large_ones() {
    let clock = clock();
    let _clock = clock.enter();
    let pool = pool_with_modest();
    let take = |bytes| -> Take<'_> { Box::pin(pool.take(bytes, PATIENCE)) };
    let first = ready(&mut take(500)).unwrap();
    let (mut second, mut third) = (take(300), take(41));
    assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
    let modest = [(); 2].map(|()| ready(&mut take(40)).unwrap());
    let mut waits = take(40);
    assert!(poll(&mut waits).is_pending(), "while large ones wait, modest ones have their eighth");
    drop(modest);
    assert_eq!(ready(&mut waits).unwrap().bytes(), 40);
    drop(waits);
    drop(first);
    let second = ready(&mut second).unwrap();
    let third = ready(&mut third).unwrap();
    // Nobody waits, so modest takes may use all free memory.
    let mut modest = Vec::new();
    while let Ok(room) = pool.try_take(40) {
        modest.push(room);
    }
    assert_eq!((modest.len(), pool.used()), (6, 300 + 41 + 6 * 40));
    let mut large = take(200);
    assert!(poll(&mut large).is_pending());
    assert!(pool.try_take(10).is_err());
    drop((second, third));
    assert_eq!(ready(&mut large).unwrap().bytes(), 200);
    drop((large, modest));
    assert_eq!((pool.used(), pool.share.used(), pool.waiting()), (0, 0, 0));
    assert!(ready(&mut take(501)).unwrap_err().is_permanent());
}

#[test]
fn work_in_progress_leaves_the_eighth_to_modest_takes() {
    let clock = clock();
    let _clock = clock.enter();
    let pool = pool_with_modest();
    let (mut grown, large) = (pool.try_take(40).unwrap(), pool.try_take(400).unwrap());
    let rest = pool.try_take(60).unwrap();
    let mut beside: Take<'_> = Box::pin(large.beside(&pool, 270, PATIENCE));
    assert!(poll(&mut beside).is_pending(), "all but the eighth has 700 bytes");
    let mut other: Take<'_> = Box::pin(pool.take(40, PATIENCE));
    assert_eq!(ready(&mut other).unwrap().bytes(), 40);
    drop(other);
    let form = Pool::new(Share::new("forms", 100), 1).try_take(10).unwrap();
    let mut modest: Take<'_> = Box::pin(form.beside(&pool, 40, PATIENCE));
    assert_eq!(ready(&mut modest).unwrap().bytes(), 40, "before the large one that waits");
    drop(modest);
    assert!(grown.try_grow(1).is_err(), "others that hold some wait");
    drop((beside, rest));
    grown.try_grow(50).unwrap();
    assert_eq!(used(&pool), (0, 490));
    drop((grown, large));
    assert_eq!(used(&pool), (0, 0));
}
