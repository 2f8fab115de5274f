//! A service with tokio: one task writes for all, queries run on threads that may block, and durable data is pushed to
//! every listener. `cargo run --release --workspace --example service`

#![expect(clippy::print_stdout, reason = "a program")]

use std::io;
use std::time::Duration;

use barograph::{Batch, Database, Labels, Request, Response, Subscription, Timestamp, Update, Value};
use tokio::sync::{broadcast, mpsc};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
const SECOND: Duration = Duration::from_secs(1);

/// Why the service ended early.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// A call of the database failed.
    #[error(transparent)]
    Database(#[from] barograph::Error),
    /// A task panicked.
    #[error("{0}")]
    Task(#[from] JoinError),
    /// The runtime could not start.
    #[error("the runtime could not start: {0}")]
    Runtime(#[from] io::Error),
}

/// A measurement taken somewhere in the service.
struct Measured {
    time: Timestamp,
    latency: Duration,
}

/// Writes everything that has arrived since the last write as one batch: the slower the disk, the larger the batches.
fn start_writer(db: Database, mut incoming: mpsc::Receiver<Measured>) -> JoinHandle<barograph::Result<()>> {
    spawn_blocking(move || {
        let latency = db.handle(&Labels::from_pairs([("__name__", "latency_seconds")])?)?;
        let mut batch = Batch::new();
        while let Some(first) = incoming.blocking_recv() {
            batch.clear();
            let more = std::iter::from_fn(|| incoming.try_recv().ok());
            for measured in std::iter::once(first).chain(more).take(10_000) {
                batch.push_to(&latency, measured.time, Value::Float(measured.latency.as_secs_f64()));
            }
            db.append(&batch)?;
        }
        Ok(())
    })
}

/// Sends durable data to all listeners, until the database is closed.
fn start_push(subscription: Subscription, listeners: broadcast::Sender<Update>) {
    std::thread::spawn(move || {
        for update in subscription {
            // This fails if there are no listeners, which is fine.
            let _ = listeners.send(update);
        }
    });
}

/// A query stops when its caller no longer waits for it, for example because the client disconnected.
async fn ask(db: &Database, request: Request) -> Result<Response, Failed> {
    struct CancelOnDrop(barograph::Cancel);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let _cancel = CancelOnDrop(request.cancel.clone());
    let db = db.clone();
    Ok(spawn_blocking(move || db.execute(&request)).await??)
}

async fn serve() -> Result<(), Failed> {
    let db = spawn_blocking(|| Database::open("service-data")).await??;
    let (measured, incoming) = mpsc::channel(10_000);
    let (listeners, mut listener) = broadcast::channel(10_000);
    start_push(db.subscribe(&[])?, listeners);
    let writer = start_writer(db.clone(), incoming);

    for number in 0..1_000 {
        let measurement =
            Measured { time: START + SECOND * number, latency: number * Duration::from_millis(1) };
        if measured.send(measurement).await.is_err() {
            break; // the writer has failed, and its error follows
        }
    }
    drop(measured); // the writer ends
    writer.await??;
    let slowest = Request::instant("max_over_time(latency_seconds[1h])", START + SECOND * 999);
    let answer = ask(&db, slowest).await?;
    let samples = answer.value.into_vector().unwrap_or_default();
    println!("slowest: {:?}", samples.first().and_then(|sample| sample.value.as_f64()));

    // On shutdown: closing flushes, which may take a moment, and ends the subscription.
    spawn_blocking(move || db.close()).await??;
    let mut pushed = 0;
    while listener.recv().await.is_ok() {
        pushed += 1;
    }
    println!("{pushed} samples were pushed");
    assert_eq!(pushed, 1_000);
    Ok(())
}

/// Runs the example; a test calls it as well.
pub fn main() -> Result<(), Failed> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve())
}
