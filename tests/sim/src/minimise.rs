//! Makes the world of a failure smaller as long as it fails in the same way: a short story is
//! easier to read.

use crate::plan::{Fault, Plan};
use crate::rng::Rng;
use crate::world::World;
use crate::{Failure, run_world};

/// So many worlds are tried at most.
const TRIES: u64 = 3000;
/// So many with each thing left out: chance falls differently in each.
const TRIES_EACH: u64 = 60;

/// A way to make a plan smaller.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Fault(Fault),
    HalfOfTheWorkers,
    OneWorker,
    OneReplica,
    OneElection,
    Observers,
    LateMessages,
    LostMessages,
    HeldCalls,
    LateRequests,
    LostAnswers,
    Gaps,
}

/// The same failure in a smaller world, with its trace; the failure itself if there is none.
pub(crate) fn minimise(failure: &Failure) -> Failure {
    let mut best = failure.clone();
    let mut plan = Plan::new(&mut Rng::new(failure.seed));
    let mut tries = 0;
    let mut smaller = true;
    while smaller {
        smaller = false;
        for cut in cuts(&plan) {
            let Some(less) = plan.clone().without(cut) else { continue };
            for chance in 0..TRIES_EACH {
                tries += 1;
                if tries > TRIES {
                    return best;
                }
                let seed = failure.seed ^ (chance << 48);
                let found = run_world(World::with_plan(seed, less.clone(), true), failure.seed);
                if let Err(found) = found
                    && found.guarantee == failure.guarantee
                    && found.events <= best.events
                {
                    (best, plan, smaller) = (*found, less, true);
                    break;
                }
            }
        }
    }
    best
}

fn cuts(plan: &Plan) -> Vec<Cut> {
    let simple = [
        Cut::HalfOfTheWorkers,
        Cut::OneWorker,
        Cut::OneReplica,
        Cut::OneElection,
        Cut::Observers,
        Cut::LateMessages,
        Cut::LostMessages,
        Cut::HeldCalls,
        Cut::LateRequests,
        Cut::LostAnswers,
        Cut::Gaps,
    ];
    plan.faults.iter().map(|fault| Cut::Fault(*fault)).chain(simple).collect()
}

impl Plan {
    /// The plan without that; `None` if it is without already.
    fn without(mut self, cut: Cut) -> Option<Self> {
        let workers = self.candidates.len();
        let some = |number: &mut u64| std::mem::take(number) > 0;
        let smaller = match cut {
            Cut::Fault(fault) => {
                let before = self.faults.len();
                self.faults.retain(|other| *other != fault);
                self.faults.len() < before
            }
            Cut::HalfOfTheWorkers => {
                self.candidates.truncate(workers.div_ceil(2).max(1));
                self.candidates.len() < workers
            }
            Cut::OneWorker => workers > 1 && self.candidates.pop().is_some(),
            Cut::OneReplica => {
                let more = self.replicas > 1;
                self.replicas -= usize::from(more);
                more
            }
            Cut::OneElection => {
                let gone = self.elections.len() > 1;
                if gone && let Some(gone) = self.elections.pop() {
                    self.candidates.retain(|candidate| candidate.election != gone);
                }
                gone && !self.candidates.is_empty()
            }
            Cut::Observers => std::mem::take(&mut self.observers) > 0,
            Cut::LateMessages => some(&mut self.late),
            Cut::LostMessages => some(&mut self.lost),
            Cut::HeldCalls => some(&mut self.held),
            Cut::LateRequests => some(&mut self.api_late),
            Cut::LostAnswers => some(&mut self.api_lost),
            Cut::Gaps => some(&mut self.gaps),
        };
        smaller.then_some(self)
    }
}
