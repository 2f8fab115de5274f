//! Runs admitted work: work that has its turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use barograph::budget::{Allowance, Cancel, Hold, Share, Work};
use barograph::internals::Usage;
use barograph::{QueryError, Times};
use hyper::StatusCode;

use crate::admission::{Active, Answer, Client, Described, Kind, Lane, Pieces, Turn, Turns, Writer};
use crate::api::call::Call;
use crate::api::endpoint::Admission;
use crate::error::ApiError;
use crate::http::reply::Reply;
use crate::runtime;

/// The allowance of a light request: the series of a few panels, or a few milliseconds of anything else. A busy machine
/// takes longer for the same work, so the time limit is generous.
const LIGHT_STEPS: u64 = 8192;
const LIGHT_TIME: Duration = Duration::from_secs(1);
/// How long after its deadline work that has not stopped is abandoned.
const GRACE: Duration = Duration::from_secs(1);

/// A request for admission.
pub struct Asked {
    /// The text in the list of active work: the expression, or the selectors.
    pub text: String,
    /// The times at which an expression is evaluated.
    pub times: Option<Times>,
    /// How long the work may run; `None` means as long as its client keeps reading.
    pub timeout: Option<Duration>,
    /// The resources that the work uses.
    pub usage: Usage,
    /// Cancels the work.
    pub cancel: Cancel,
}

impl Asked {
    /// The request of `call`: its selectors, and a deadline of `query_timeout` or of the shorter time that it asks for.
    ///
    /// # Errors
    /// 400 for a bad `timeout`.
    pub fn of(call: &Call) -> Result<Self, ApiError> {
        let selectors: Vec<&str> = call.params.all("match[]").collect();
        Ok(Asked {
            text: selectors.join(", "),
            times: None,
            timeout: Some(call.timeout()?),
            usage: Usage::of(call.state.memory.queries.clone()),
            cancel: Cancel::default(),
        })
    }

    /// The same with a different text.
    #[must_use]
    pub fn named(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// The same without a deadline.
    #[must_use]
    pub fn unhurried(mut self) -> Self {
        self.timeout = None;
        self
    }
}

/// Work that has its turn. The turn ends when the work is done or dropped.
pub struct Admitted {
    place: Place,
    asked_turn: AskedTurn,
    light_bytes: u64,
    usage: Usage,
    cancel: Cancel,
    timeout: Option<Duration>,
    memory_max: u64,
    /// The shares of running work and of unread answers.
    shares: [Arc<Share>; 2],
    path: &'static str,
    /// When the work began to wait for its turn.
    pub since: Instant,
    /// Whether the client accepts gzip.
    pub gzip: bool,
}

/// State that lasts until the thread of the work is done.
struct Place {
    /// `None` while the work waits for another turn.
    turn: Option<Turn>,
    active: Active,
    _said: Arc<Hold>,
}

/// Everything needed to wait for a turn.
#[derive(Clone)]
struct AskedTurn {
    turns: Arc<Turns>,
    kind: Kind,
    client: Client,
    patience: Duration,
}

impl AskedTurn {
    /// Waits for a turn.
    async fn wait(&self, lane: Lane, active: &Active) -> Result<Turn, ApiError> {
        let turn = tokio::select! {
            turn = self.turns.enter_lane(self.kind, lane, self.client, self.patience) => turn?,
            () = active.canceled() => return Err(QueryError::Canceled.into()),
        };
        active.runs(true);
        Ok(turn)
    }
}

/// Sets the flag when the future that waits for the work is dropped.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs a call on a thread that may block, for at most `timeout` and a grace period.
async fn in_time<R, F>(timeout: Option<Duration>, call: F) -> Result<R, ApiError>
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    let run = runtime::blocking(call);
    let Some(timeout) = timeout else { return run.await };
    match tokio::time::timeout(timeout.saturating_add(GRACE), run).await {
        Ok(result) => result,
        Err(_) => Err(QueryError::Timeout { seconds: timeout.as_secs_f64() }.into()),
    }
}

/// Calls `read`. If the share of reads was full, calls it again with the turn, which lasts until the answer is written,
/// because writing takes memory in addition to the result.
fn attempted<T>(
    work: &Work,
    usage: &Usage,
    read: &mut impl FnMut(&Work) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    // With its turn, a read gets this status only if the share is full.
    let is_refused = |error: &ApiError| error.status == StatusCode::TOO_MANY_REQUESTS;
    // Memory that an attempt left with its work for a result is released together with the result.
    work.attempted(is_refused, || read(work).inspect_err(|_| usage.keep_bytes(0)))
}

impl Call {
    /// Adds the request to the list of active work and waits for its turn.
    ///
    /// # Errors
    /// 429 if too many requests wait or the share of queries has no memory for the text of the request, 503 if the wait
    /// was too long, 499 if the request is canceled in the meantime.
    pub async fn admit(&self, asked: Asked) -> Result<Admitted, ApiError> {
        let Admission::Turn(kind) = self.endpoint.admission else {
            return Err(ApiError::internal(format!("{} has no kind of turn", self.endpoint.path)));
        };
        let said = match &self.said {
            Some(said) => said.clone(),
            None => Arc::new(self.state.memory.queries.take_to_begin(self.params.bytes())?),
        };
        let described = Described {
            kind,
            path: self.endpoint.path,
            text: asked.text,
            times: asked.times,
            client: self.client,
            tenant: self.tenant.clone(),
        };
        let active = self.state.gates.active.enter(described, asked.usage.clone(), asked.cancel.clone());
        let since = Instant::now();
        let patience = asked.timeout.unwrap_or(Duration::MAX).min(self.config.query_wait);
        let asked_turn =
            AskedTurn { turns: self.state.gates.turns.clone(), kind, client: self.who(), patience };
        let turn = asked_turn.wait(Lane::Light, &active).await?;
        Ok(Admitted {
            place: Place { turn: Some(turn), active, _said: said },
            asked_turn,
            light_bytes: self.state.memory.one_light_read(),
            usage: asked.usage,
            cancel: asked.cancel,
            timeout: asked.timeout,
            memory_max: self.state.memory.one_query(&self.config),
            shares: [self.state.memory.queries.clone(), self.state.memory.answers.clone()],
            path: self.endpoint.path,
            since,
            gzip: self.accepts_gzip(),
        })
    }
}

impl Admitted {
    /// The work, whose time begins now.
    fn work(&self) -> Work {
        let work = Work::unbounded()
            .charged_to(self.usage.account().clone())
            .holding(self.memory_max)
            .until(self.cancel.clone());
        match self.timeout {
            Some(timeout) => work.within(timeout),
            None => work,
        }
    }

    /// Runs `make` on a thread that may block. The work stops when it is canceled, at its deadline, and when this
    /// future is dropped, which happens when the client disconnects.
    ///
    /// # Errors
    /// The errors of `make`, and 503 when the time is up.
    pub async fn run<T, F>(self, make: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Work) -> Result<T, ApiError> + Send + 'static,
    {
        let _gone = CancelOnDrop(self.cancel.clone());
        let work = self.work();
        let place = self.place;
        in_time(self.timeout, move || {
            // The turn ends when the thread does, not when the client stops waiting.
            let _place = place;
            make(&work)
        })
        .await?
    }

    /// Runs `make` like [`Admitted::run`], as light work. If it exceeds the allowance and no turn for heavy requests is
    /// free, the work waits for one and runs again.
    async fn run_in_lanes<T, F>(self, mut make: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnMut(&Work) -> Result<T, ApiError> + Send + 'static,
    {
        let _gone = CancelOnDrop(self.cancel.clone());
        let account = self.usage.account().clone();
        if let Some(turn) = &self.place.turn {
            let allowance = Allowance { steps: LIGHT_STEPS, bytes: self.light_bytes, time: LIGHT_TIME };
            account.begin_light(allowance, turn.places());
        }
        let (work, timeout) = (self.work(), self.timeout);
        let (asked_turn, place) = (self.asked_turn, self.place);
        let as_light = work.clone();
        let (made, mut make, mut place) = in_time(timeout, move || {
            let made = make(&as_light);
            (made, make, place)
        })
        .await?;
        if made.is_ok() || !account.must_be_heavy() {
            return made;
        }
        place.turn = None;
        place.active.runs(false);
        place.turn = Some(asked_turn.wait(Lane::Heavy, &place.active).await?);
        account.begin_heavy();
        // The time of the work begins now.
        let work = timeout.map_or(work.clone(), |timeout| work.within(timeout));
        in_time(timeout, move || {
            let _place = place;
            make(&work)
        })
        .await?
    }

    /// Runs `read` like [`Admitted::run`]. If others use up the shared memory, runs it again in its turn with the
    /// reserve. `read` must not change anything, and must hold nothing when it fails.
    ///
    /// # Errors
    /// Same as [`Admitted::run`].
    pub async fn read<T, F>(self, mut read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnMut(&Work) -> Result<T, ApiError> + Send + 'static,
    {
        let usage = self.usage.clone();
        self.run_in_lanes(move |work| attempted(work, &usage, &mut read)).await
    }

    /// Runs `make` like [`Admitted::read`] and answers with its result.
    ///
    /// # Errors
    /// Same as [`Admitted::run`], and 429 if clients have too many unread answers.
    pub async fn whole<F>(self, content_type: &'static str, mut make: F) -> Result<Reply, ApiError>
    where
        F: FnMut(&Work) -> Result<Answer, ApiError> + Send + 'static,
    {
        let [reads, answers] = self.shares.clone();
        let usage = self.usage.clone();
        let outgoing = self.run_in_lanes(move |work| {
            let answer = attempted(work, &usage, &mut make)?;
            // The data that the answer was made from is gone.
            work.account().keep(answer.taken());
            Ok(answer.leave(&reads, &answers, work.account().is_light())?)
        });
        Ok(Reply::answer(content_type, outgoing.await?))
    }

    /// Runs `make` like [`Admitted::read`]; its output is the answer.
    ///
    /// # Errors
    /// Same as [`Admitted::whole`].
    pub async fn answer<F>(self, content_type: &'static str, mut make: F) -> Result<Reply, ApiError>
    where
        F: FnMut(&Work, &mut Writer<'_>) -> Result<(), ApiError> + Send + 'static,
    {
        let gzip = self.gzip;
        self.whole(content_type, move |work| {
            let mut writer = Writer::new(work, gzip);
            make(work, &mut writer)?;
            writer.finish()
        })
        .await
    }

    /// Runs `make` on a thread that may block, and sends its pieces while it runs. The work stops when it is canceled,
    /// at its deadline, and when the answer is dropped, which happens when the client disconnects.
    ///
    /// # Errors
    /// The errors of `make` before the first piece. A later failure closes the connection.
    pub async fn stream<F>(self, content_type: &'static str, make: F) -> Result<Reply, ApiError>
    where
        F: FnOnce(&Work, &mut Pieces) -> Result<(), ApiError> + Send + 'static,
    {
        let work = self.work();
        let gone = CancelOnDrop(self.cancel);
        let (mut pieces, source) = Pieces::new(&work)?;
        let (place, path) = (self.place, self.path);
        tokio::task::spawn_blocking(move || {
            let done = make(&work, &mut pieces);
            pieces.finish(path, done);
            drop((work, place));
        });
        let ended = |_| ApiError::internal("a stream ended without an answer");
        source.starting.await.map_err(ended)??;
        let guard = Box::new((gone, source.in_flight));
        Ok(Reply::stream(content_type, source.receiver).guarded(guard))
    }
}
