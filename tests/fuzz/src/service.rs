//! The services on a shell without a clock or a task: whoever fuzzes them says when time passes,
//! and a call is answered before it returns. The right never ends by the machine's clock.

use futures::{Stream, StreamExt};
use leasehold_core::{ClockFloor, Config, Found, Input, Millis, Outcome, Over, StreamId, Time, WriteId};
use leasehold_server::fuzzing::{Items, Services};
use leasehold_shell::{Answer, BoardNews, Gone, News, Ports, RightNews, Shell, StreamItem, Write};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Poll, Waker};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

/// Deadlines in one step of time: a shell that needs more doesn't get on.
const MOST_DEADLINES: usize = 10_000;

/// For its timers; nothing ever runs on it.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime of one thread"));

/// A server without sockets and a disk: its file holds whatever it was told that it holds.
#[derive(Debug)]
pub(crate) struct Service {
    shell: Shell<Items, oneshot::Sender<Answer>, mpsc::Sender<News>>,
    /// What stands around the shell.
    pub(crate) outside: Outside,
    now: Time,
}

/// The services, a file, and what the core was told.
#[derive(Debug)]
pub(crate) struct Outside {
    /// The services.
    pub(crate) services: Services,
    found: Found,
    /// What the file says next.
    answers: VecDeque<Input>,
    /// All that the core was told, the oldest first.
    pub(crate) heard: Vec<Input>,
}

impl Service {
    /// Starts over what was found.
    #[must_use]
    pub(crate) fn start(config: Config, found: Found) -> Self {
        let services = Services::new(config.max_ttl);
        let now = Time(1_000_000);
        let shell = Shell::new(config, Arc::clone(services.right()), now);
        let outside = Outside { services, found, answers: VecDeque::new(), heard: Vec::new() };
        let mut this = Self { shell, outside, now };
        this.tick();
        this
    }

    /// Answers a call.
    ///
    /// # Panics
    /// If it waits for anything but the shell.
    pub(crate) fn answer<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        loop {
            if let Some(answer) = poll(call.as_mut()) {
                return answer;
            }
            assert!(self.turn(), "a call waits for something other than the shell");
        }
    }

    /// What comes on a stream right now; `None` if nothing does.
    pub(crate) fn next<T>(&mut self, stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<Option<T>> {
        self.turn();
        poll(pin!(stream.next()))
    }

    /// Lets time pass, from one deadline to the next.
    ///
    /// # Panics
    /// If the core asks to be woken at once for ever.
    pub(crate) fn pass(&mut self, time: Millis) {
        let until = self.now + time;
        for _ in 0..MOST_DEADLINES {
            let next = self.shell.next_deadline().filter(|at| *at < until);
            self.now = next.map_or(until, |at| self.now.max(at));
            self.tick();
            if next.is_none() {
                return;
            }
        }
        panic!("{MOST_DEADLINES} deadlines in {time}");
    }

    fn tick(&mut self) {
        self.shell.handle(self.now, Input::Tick, &mut self.outside);
        self.settle();
    }

    /// Handles what lies in the inbox. Whether anything did.
    fn turn(&mut self) -> bool {
        let mut any = false;
        while let Some(stream) = self.outside.services.next_closed() {
            self.shell.close_stream(self.now, stream, &mut self.outside);
            self.settle();
            any = true;
        }
        while let Some(message) = self.outside.services.next_message() {
            self.shell.receive(self.now, message, &mut self.outside);
            self.settle();
            any = true;
        }
        any
    }

    /// Lets the shell say everything, and the file answer.
    fn settle(&mut self) {
        loop {
            self.shell.check();
            self.shell.send_outputs(self.now, &mut self.outside);
            let Some(answer) = self.outside.answers.pop_front() else { return };
            self.shell.handle(self.now, answer, &mut self.outside);
        }
    }
}

impl Ports<Items, oneshot::Sender<Answer>, mpsc::Sender<News>> for Outside {
    fn told(&mut self, _: Time, input: &Input) {
        self.heard.push(input.clone());
    }

    fn read(&mut self) {
        self.answers.push_back(Input::Found { found: self.found.clone(), clock_floor: ClockFloor(1) });
    }

    fn write(&mut self, Write { write, record, .. }: Write) {
        self.found = Found::Record(*record);
        self.answers.push_back(Input::Written { write, outcome: Outcome::Stored(None) });
    }

    fn write_unsigned(&mut self, _: WriteId, _: Over, _: Time) {
        unreachable!("there is no Lease");
    }

    fn answer(&mut self, call: oneshot::Sender<Answer>, answer: Answer) {
        let _ = call.send(answer);
    }

    fn is_gone(&self, stream: &Items) -> bool {
        stream.is_closed()
    }

    fn send(&mut self, (_, stream): (StreamId, &mut Items), item: StreamItem) -> Result<(), Gone> {
        stream.try_send(item).map_err(|_| Gone)
    }

    fn mirror(&mut self, mirror: &mpsc::Sender<News>, news: News) -> Result<(), Gone> {
        mirror.try_send(news).map_err(|_| Gone)
    }

    fn board(&mut self, news: &BoardNews<'_>) {
        self.services.tell_observers(news);
    }

    fn right(&mut self, news: RightNews) {
        if let RightNews::Extended(tenure, _) = news {
            self.services.right().extend(tenure, Time(u64::MAX));
        }
    }
}

/// Asks a future once.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let _timers = RUNTIME.enter();
    match future.poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}
