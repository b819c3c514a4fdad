//! Runs many seeds on all processors. What comes of it doesn't depend on how many there are.

use crate::{Failure, Report, run};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What came of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// Seeds that were run.
    pub seeds: u64,
    /// Of all runs that kept every promise together.
    pub report: Report,
    /// Runs that broke one, in the order of their seeds.
    pub failures: BTreeMap<u64, Failure>,
}

/// Runs these seeds, so many at a time. The first failure ends it unless it is to go on: all seeds
/// before that one are run, and none that was run after it counts. `done` is told after each seed
/// how many have been run.
///
/// # Panics
/// If a thread did: a panic of the core doesn't count as one.
#[must_use]
pub fn run_all(seeds: Range<u64>, jobs: usize, keep_going: bool, done: &(dyn Fn(u64) + Sync)) -> Runs {
    let next = AtomicU64::new(seeds.start);
    let end = AtomicU64::new(seeds.end);
    let runs = Mutex::new(Runs::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = run(seed, false);
                    if result.is_err() && !keep_going {
                        end.fetch_min(seed, Ordering::Relaxed);
                    }
                    let mut runs = runs.lock().expect("nothing panics while it is held");
                    runs.count(seed, result);
                    done(runs.seeds);
                }
            });
        }
    });
    let mut runs = runs.into_inner().expect("nothing panics while it is held");
    if let Some(first) = runs.failures.keys().next().copied().filter(|_| !keep_going) {
        runs.failures.retain(|seed, _| *seed == first);
    }
    runs
}

impl Runs {
    fn count(&mut self, seed: u64, result: Result<Report, Box<Failure>>) {
        self.seeds += 1;
        match result {
            Ok(report) => {
                self.report.events += report.events;
                for (what, count) in report.reached {
                    *self.report.reached.entry(what).or_default() += count;
                }
            }
            Err(failure) => _ = self.failures.insert(seed, *failure),
        }
    }
}
