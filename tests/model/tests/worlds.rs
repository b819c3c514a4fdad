//! With all rules every promise holds, in every state of every world.

use leasehold_model::check::exhaust;
use leasehold_model::promises::REACHED;
use leasehold_model::worlds::QUICK;
use std::collections::BTreeSet;

#[test]
fn all_promises_hold_with_all_rules() {
    let mut reached = BTreeSet::new();
    for world in QUICK {
        let report = exhaust(world);
        assert!(report.broken.is_empty(), "{}: {:?}", world.name, report.broken);
        // A world that is nearly empty proves nearly nothing.
        assert!(report.states > 5_000, "{}: only {} states", world.name, report.states);
        reached.extend(report.reached);
    }
    for (what, _) in REACHED {
        assert!(reached.contains(what), "no world reached this: {what}");
    }
}
