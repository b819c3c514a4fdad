//! The loop: takes all that lies in the inbox, lets the shell handle it, then sends all outputs.

mod ports;

pub(crate) use ports::ServerPorts;

use crate::clock;
use crate::handle::{EventSender, Inbox};
use leasehold_core::{Config, Input, Millis, Time};
use leasehold_shell::{Answer, Beat, News, Shell};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// So many messages are handled before outputs are sent.
const BATCH: usize = 1024;
/// tokio's timers stand still while the machine is suspended: the loop looks at the clock at least
/// this often.
const LONGEST_SLEEP: Millis = Millis(250);

/// The loop and all that it alone owns.
#[derive(Debug)]
pub(crate) struct Driver {
    shell: Shell<EventSender, oneshot::Sender<Answer>, mpsc::Sender<News>>,
    ports: ServerPorts,
    inbox: Inbox,
    /// What the store answers, and what the watch of the Lease tells.
    store_results: mpsc::Receiver<Input>,
    beat: Arc<Beat>,
}

impl Driver {
    pub(crate) fn new(
        config: Config,
        inbox: Inbox,
        ports: ServerPorts,
        store_results: mpsc::Receiver<Input>,
        beat: Arc<Beat>,
    ) -> Self {
        let shell = Shell::new(config, Arc::clone(inbox.right.shared()), clock::now());
        Self { shell, ports, inbox, store_results, beat }
    }

    /// Runs until the tenure of a shutdown is stored.
    pub(crate) async fn run(mut self) {
        let mut timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        let mut timer_at = Time(0);
        let mut messages = Vec::with_capacity(BATCH);
        let mut closed = Vec::with_capacity(BATCH);
        self.shell.send_outputs(clock::now(), &mut self.ports);
        while !self.shell.is_stopped() {
            let now = clock::now();
            self.beat.mark(now);
            // A timer that fires too early does no harm, and setting one for each batch would cost
            // more than all the rest of it.
            let left = self.shell.next_deadline().map_or(LONGEST_SLEEP, |at| at.since(now)).min(LONGEST_SLEEP);
            let wake_at = now + left;
            if wake_at < timer_at || timer_at <= now {
                timer.as_mut().set(tokio::time::sleep(Duration::from_millis(left.0)));
                timer_at = wake_at;
            }
            let holds_calls = self.shell.holds_calls(now, &mut self.ports);
            // The clock is read for each message, after it was taken from where it waited.
            tokio::select! {
                biased;
                Some(result) = self.store_results.recv() => self.shell.handle(clock::now(), result, &mut self.ports),
                _ = self.inbox.closed.recv_many(&mut closed, BATCH) => {
                    for stream in closed.drain(..) {
                        self.shell.close_stream(clock::now(), stream, &mut self.ports);
                    }
                }
                _ = self.inbox.messages.recv_many(&mut messages, BATCH), if !holds_calls => {
                    for message in messages.drain(..) {
                        self.shell.receive(clock::now(), message, &mut self.ports);
                    }
                }
                () = &mut timer => {
                    timer_at = Time(0);
                    self.shell.handle(clock::now(), Input::Tick, &mut self.ports);
                }
            }
            self.shell.send_outputs(clock::now(), &mut self.ports);
            self.count();
        }
        self.ports.finish().await;
    }

    fn count(&mut self) {
        let status = self.shell.status();
        let (streams, mirrors) = (self.shell.streams(), self.shell.mirrors());
        self.ports.count(&status, streams, self.inbox.messages.len(), mirrors);
    }
}
