//! Who gets a turn, in which order, and that no turn is lost. Only tests about the clock wait for it.

use tokio::task::JoinHandle;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn client(number: u8) -> Client {
    Client::with_token(&[number])
}

/// Lets tasks run until they all wait.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn enter(turns: &Arc<Turns>, kind: Kind) -> Turn {
    turns.enter(kind, client(0), LONG).await.unwrap()
}

/// Waits in a task that ends with its turn.
async fn wait_as(turns: &Arc<Turns>, kind: Kind, client: Client) -> JoinHandle<Result<Turn, ApiError>> {
    let turns = turns.clone();
    let task = tokio::spawn(async move { turns.enter(kind, client, LONG).await });
    settle().await;
    task
}

async fn wait(turns: &Arc<Turns>, kind: Kind, number: u8) -> JoinHandle<Result<Turn, ApiError>> {
    wait_as(turns, kind, client(number)).await
}

#[tokio::test]
async fn the_queue_is_bounded_in_length_and_time() {
    let turns = Turns::new(1, 2, 1);
    let running = enter(&turns, Kind::Query).await;
    let late = turns.enter(Kind::Query, client(0), Duration::from_millis(1)).await.unwrap_err();
    assert_eq!((late.status.as_u16(), late.retry_after), (503, Some(5)));
    assert_eq!(turns.waiting_in_all(), 0);

    let waiter = wait(&turns, Kind::Query, 0).await;
    assert_eq!(turns.waiting(Kind::Query), 1);
    let full = turns.enter(Kind::Query, client(0), LONG).await.unwrap_err();
    assert_eq!((full.status.as_u16(), full.retry_after), (429, Some(1)));
    drop(running);
    let turn = waiter.await.unwrap().unwrap();
    assert_eq!((turns.running(Kind::Query), turns.waiting_in_all()), (1, 0));
    drop(turn);
    assert_eq!(turns.running_in_all(), 0);
}

#[tokio::test]
async fn no_kind_waits_for_another() {
    for concurrency in [1, 2, 8] {
        let turns = Turns::new(concurrency, 2, 100);
        let mut all = Vec::new();
        for kind in Kind::ALL {
            for _ in 0..kind.running_max(concurrency) {
                all.push(wait(&turns, kind, 0).await);
            }
        }
        let others = Kind::ALL.into_iter().filter(|&kind| kind != Kind::Admin);
        let mut shared = 0;
        for kind in others {
            assert!(turns.running(kind) >= 1, "{concurrency}: {kind:?} has a turn of its own");
            shared += turns.running(kind) - 1;
        }
        assert_eq!(shared, concurrency - 1, "the rest is shared");
        assert_eq!(turns.running(Kind::Query), concurrency, "one kind alone has them all");
        assert_eq!(turns.running(Kind::Admin), concurrency);
        while !all.is_empty() {
            settle().await;
            let done = all.iter().position(JoinHandle::is_finished).expect("a request always runs");
            drop(all.remove(done).await.unwrap().unwrap());
        }
        assert_eq!((turns.running_in_all(), turns.waiting_in_all()), (0, 0));
    }
}

/// Ends turns one by one, beginning with `running`, and returns the order in which the tasks get theirs.
async fn order(running: Turn, tasks: Vec<JoinHandle<Result<Turn, ApiError>>>) -> Vec<usize> {
    let mut tasks: Vec<_> = tasks.into_iter().enumerate().collect();
    let (mut order, mut running) = (Vec::new(), Some(running));
    while !tasks.is_empty() {
        drop(running.take());
        settle().await;
        let done: Vec<usize> = (0..tasks.len()).filter(|&at| tasks[at].1.is_finished()).collect();
        assert_eq!(done.len(), 1, "one turn for one that ended");
        let (task, turn) = tasks.remove(done[0]);
        order.push(task);
        running = Some(turn.await.unwrap().unwrap());
    }
    order
}

#[tokio::test]
async fn clients_take_turns_in_rotation() {
    let turns = Turns::new(1, 2, 100);
    let running = enter(&turns, Kind::Query).await;
    let mut tasks = Vec::new();
    for number in [1, 1, 1, 2, 3, 2] {
        tasks.push(wait(&turns, Kind::Query, number).await);
    }
    assert_eq!(
        order(running, tasks).await,
        [0, 3, 4, 1, 5, 2],
        "a client that asks for more waits behind itself"
    );
    assert_eq!(turns.running_in_all(), 0);
}

#[tokio::test]
async fn kinds_take_shared_turns_in_rotation() {
    let turns = Turns::new(2, 2, 100);
    let own = [enter(&turns, Kind::Query).await, enter(&turns, Kind::List).await];
    let shared = enter(&turns, Kind::Query).await;
    let mut tasks = Vec::new();
    for kind in [Kind::Query, Kind::Query, Kind::Query, Kind::List, Kind::List, Kind::List] {
        tasks.push(wait(&turns, kind, 1).await);
    }
    let order = order(shared, tasks).await;
    let lists: Vec<bool> = order.iter().map(|&task| task >= 3).collect();
    assert!(lists.windows(2).all(|pair| pair[0] != pair[1]), "one of each kind, then again: {order:?}");
    drop(own);
    assert_eq!(turns.running_in_all(), 0);
}

#[tokio::test]
async fn a_full_queue_drops_what_the_busiest_client_sent_last() {
    let turns = Turns::new(1, 2, 3);
    let running = enter(&turns, Kind::Query).await;
    let mut greedy = Vec::new();
    for _ in 0..3 {
        greedy.push(wait(&turns, Kind::Query, 1).await);
    }
    assert_eq!(turns.enter(Kind::Query, client(1), LONG).await.unwrap_err().status, 429);
    let modest = wait(&turns, Kind::Query, 2).await;
    assert_eq!(
        greedy.pop().unwrap().await.unwrap().unwrap_err().status,
        429,
        "its place is the modest one's"
    );
    assert_eq!(turns.waiting(Kind::Query), 3);
    // Two requests of one client and one of the other: no client would then have many more than the next.
    assert_eq!(turns.enter(Kind::Query, client(2), LONG).await.unwrap_err().status, 429);
    drop(running);
    drop(greedy.remove(0).await.unwrap().unwrap());
    drop(modest.await.unwrap().unwrap());
    drop(greedy.remove(0).await.unwrap().unwrap());
    assert_eq!((turns.running_in_all(), turns.waiting_in_all()), (0, 0));
}

#[tokio::test]
async fn who_leaves_gives_back_its_place_and_its_turn() {
    let turns = Turns::new(1, 2, 100);
    let running = enter(&turns, Kind::Query).await;
    let tasks = [
        wait(&turns, Kind::Query, 1).await,
        wait(&turns, Kind::Query, 1).await,
        wait(&turns, Kind::Query, 2).await,
    ];
    tasks[0].abort();
    settle().await;
    assert_eq!(turns.waiting(Kind::Query), 2);
    // This task is aborted after it was given its turn and before it can take it.
    tasks[1].abort();
    tasks[2].abort();
    drop(running);
    settle().await;
    assert_eq!((turns.running_in_all(), turns.waiting_in_all()), (0, 0));
    assert!(turns.enter(Kind::Query, client(0), Duration::ZERO).await.is_ok());
}

/// Like [`wait`], for a client of a tenant.
async fn wait_of(turns: &Arc<Turns>, tenant: &str, number: u8) -> JoinHandle<Result<Turn, ApiError>> {
    wait_as(turns, Kind::Query, client(number).of_tenant(tenant)).await
}

#[tokio::test]
async fn tenants_take_turns_in_rotation_whatever_their_clients() {
    let turns = Turns::new(1, 2, 100);
    let running = enter(&turns, Kind::Query).await;
    let mut tasks = Vec::new();
    for (tenant, number) in [("a", 1), ("a", 2), ("a", 3), ("a", 1), ("b", 4), ("b", 4)] {
        tasks.push(wait_of(&turns, tenant, number).await);
    }
    tasks.push(wait(&turns, Kind::Query, 1).await);
    // The first client of each tenant (those without a tenant count as one), then the next ones.
    assert_eq!(order(running, tasks).await, [0, 4, 6, 1, 5, 2, 3]);
    assert_eq!((turns.running_in_all(), turns.waiting_in_all()), (0, 0));
}

#[tokio::test]
async fn a_full_queue_drops_what_the_busiest_tenant_sent_last() {
    let turns = Turns::new(1, 2, 4);
    let running = enter(&turns, Kind::Query).await;
    let mut greedy = Vec::new();
    for number in 1..=4 {
        greedy.push(wait_of(&turns, "a", number).await);
    }
    // Each client of the tenant has one request, so none takes the place of another.
    let fifth = turns.enter(Kind::Query, client(5).of_tenant("a"), LONG).await;
    assert_eq!(fifth.unwrap_err().status, 429);
    let modest = [wait_of(&turns, "b", 6).await, wait_of(&turns, "b", 7).await];
    for _ in 0..2 {
        assert_eq!(greedy.pop().unwrap().await.unwrap().unwrap_err().status, 429);
    }
    assert_eq!(turns.waiting(Kind::Query), 4);
    assert_eq!(turns.enter(Kind::Query, client(8).of_tenant("b"), LONG).await.unwrap_err().status, 429);
    // A client with several requests makes room for others of its tenant.
    drop(running);
    let mut tasks = Vec::from_iter(greedy);
    tasks.extend(modest);
    let first = tasks.remove(0).await.unwrap().unwrap();
    assert_eq!(order(first, tasks).await, [1, 0, 2]);
    assert_eq!((turns.running_in_all(), turns.waiting_in_all()), (0, 0));

    let turns = Turns::new(1, 2, 2);
    let running = enter(&turns, Kind::Query).await;
    let mut busy = [wait_of(&turns, "a", 1).await, wait_of(&turns, "a", 1).await];
    let other = wait_of(&turns, "a", 2).await;
    assert_eq!((&mut busy[1]).await.unwrap().unwrap_err().status, 429);
    drop(running);
    let [first, _] = busy;
    drop(first.await.unwrap().unwrap());
    drop(other.await.unwrap().unwrap());
    assert_eq!((turns.running_in_all(), turns.waiting_in_all()), (0, 0));
}

async fn enter_lane(turns: &Arc<Turns>, lane: Lane) -> JoinHandle<Result<Turn, ApiError>> {
    let turns = turns.clone();
    let task = tokio::spawn(async move { turns.enter_lane(Kind::Query, lane, client(1), LONG).await });
    settle().await;
    task
}

#[tokio::test]
async fn light_requests_do_not_wait_for_heavy_ones() {
    for (concurrency, cores, heavy_max) in [(8, 2, 2), (8, 64, 4), (3, 1, 1), (2, 2, 1)] {
        let turns = Turns::new(concurrency, cores, 100);
        let mut heavy = Vec::new();
        for _ in 0..10 {
            heavy.push(enter_lane(&turns, Lane::Heavy).await);
        }
        assert_eq!((turns.heavy(Kind::Query), turns.waiting(Kind::Query)), (heavy_max, 10 - heavy_max));
        let mut light = Vec::new();
        for _ in 0..concurrency {
            light.push(enter_lane(&turns, Lane::Light).await);
        }
        let running = |tasks: &[JoinHandle<_>]| tasks.iter().filter(|task| task.is_finished()).count();
        assert_eq!((running(&heavy), running(&light)), (heavy_max, concurrency - heavy_max));
        // Another kind has separate turns.
        let list = turns.enter_lane(Kind::List, Lane::Heavy, client(1), LONG).await.unwrap();
        assert_eq!(turns.heavy(Kind::List), 1);
        drop(list);
        while let Some(task) = heavy.iter().position(JoinHandle::is_finished) {
            drop(heavy.remove(task).await.unwrap().unwrap());
            settle().await;
        }
        for task in light {
            drop(task.await.unwrap().unwrap());
        }
        for task in heavy {
            drop(task.await.unwrap().unwrap());
        }
        assert_eq!((turns.running_in_all(), turns.heavy(Kind::Query), turns.waiting_in_all()), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_light_request_becomes_heavy_where_no_heavy_one_waits_and_few_run() {
    let turns = Turns::new(8, 2, 100);
    let light = [
        enter(&turns, Kind::Query).await,
        enter(&turns, Kind::Query).await,
        enter(&turns, Kind::Query).await,
    ];
    assert!(light[0].places().become_heavy() && light[0].places().become_heavy(), "once is enough");
    assert!(light[1].places().become_heavy());
    assert!(!light[2].places().become_heavy(), "two run already");
    assert_eq!((turns.running(Kind::Query), turns.heavy(Kind::Query)), (3, 2));
    let [first, second, third] = light;
    let heavy = enter_lane(&turns, Lane::Heavy).await;
    let next = enter_lane(&turns, Lane::Heavy).await;
    drop(first);
    let heavy = heavy.await.unwrap().unwrap();
    drop(second);
    let next = next.await.unwrap().unwrap();
    let waits = enter_lane(&turns, Lane::Heavy).await;
    drop((heavy, next));
    drop(waits.await.unwrap().unwrap());
    assert!(third.places().become_heavy());
    drop(third);
    assert_eq!((turns.running_in_all(), turns.heavy(Kind::Query)), (0, 0));
}

#[tokio::test]
async fn light_and_heavy_requests_take_turns() {
    let turns = Turns::new(2, 1, 100);
    let running = [enter(&turns, Kind::Query).await, enter(&turns, Kind::Query).await];
    let lanes = [Lane::Light, Lane::Light, Lane::Light, Lane::Heavy, Lane::Heavy, Lane::Heavy];
    let mut tasks = Vec::new();
    for lane in lanes {
        tasks.push(enter_lane(&turns, lane).await);
    }
    let [stays, ends] = running;
    let order = order(ends, tasks).await;
    let heavy: Vec<bool> = order.iter().map(|&task| task >= 3).collect();
    assert!(heavy.windows(2).all(|pair| pair[0] != pair[1]), "neither starves the other: {order:?}");
    drop(stays);
    assert_eq!((turns.running_in_all(), turns.heavy(Kind::Query)), (0, 0));
}
