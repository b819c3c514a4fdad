//! Examples that stand below the options in each subcommand's help.

pub(super) const RUN: &str = "\
The command finds in its environment:
  LEASEHOLD_ELECTION         the election
  LEASEHOLD_CANDIDATE        the name of this candidate
  LEASEHOLD_FENCING_TOKEN    the fencing token: hand it to whatever the command writes to
  LEASEHOLD_TASK_TOKEN_FILE  a file with a signed token that shows to others who leads, replaced as it is refreshed
  LEASEHOLD_ENDPOINT         the service, as it was given to leasehold; likewise LEASEHOLD_CA, _CERT, _KEY and _TOKEN_FILE

When the leadership can't be kept, or an operator ends it, the command gets SIGTERM. Before the leadership's time
is over, it and all that it started get SIGKILL, even when leasehold itself was stopped or killed. What the command leaves
running when it ends is killed too, and then the election is free for the next.

The health command finds the same in its environment, but before this candidate leads only the election and the endpoint: then there
is no command yet that it could ask.

Examples:
  leasehold run backup -- ./backup.sh --full
  leasehold run --no-wait nightly/report -- make report   # not if another machine is at it
  leasehold run --no-wait --hold 1m nightly/report -- make report   # nor if it was within the last minute
  leasehold run --timeout 30s --ttl 5s billing/poller -- python3 poller.py
  leasehold run --health-cmd 'test -w /mnt/data' billing/poller -- python3 poller.py
  leasehold run db/console -- psql                        # has the terminal, and ^Z works";

pub(super) const CAMPAIGN: &str = "\
Examples:
  leasehold campaign demo --name alice
  leasehold campaign demo --no-wait --value 10.0.0.7:8080
  leasehold --output json campaign demo | jq --unbuffered .elected.fencing_token";

pub(super) const OBSERVE: &str = "\
Examples:
  leasehold observe                 # everything
  leasehold observe billing/        # all elections under billing/
  leasehold observe billing/poller
  leasehold --output json observe | jq --unbuffered 'select(.change).change'";

pub(super) const LIST: &str = "\
Examples:
  leasehold list
  leasehold list billing/
  leasehold --output json list | jq -r 'select(.leader) | .name'";

pub(super) const GET: &str = "\
Examples:
  leasehold get billing/poller
  leasehold --output json get billing/poller | jq -r .leader.value";

pub(super) const VERIFY: &str = "\
Examples:
  leasehold verify billing/poller 49213571072001
  leasehold verify billing/poller \"$(cat task-token)\"
  leasehold verify \"$(cat \"$LEASEHOLD_TASK_TOKEN_FILE\")\" && echo still leading";

pub(super) const STEP_DOWN: &str = "\
Examples:
  leasehold step-down billing/poller
  leasehold step-down billing/poller --token 49213571072001   # only that leader";

pub(super) const STATUS: &str = "\
Examples:
  leasehold status
  leasehold --endpoint 10.0.0.5:7400,10.0.0.6:7400 status   # of the first that answers
  leasehold --endpoint https://leasehold.example:7400 --ca ca.crt status
  leasehold --endpoint 10.0.0.5:7400 --output json status | jq .leaders";

pub(super) const WHOAMI: &str = "\
Examples:
  leasehold whoami
  leasehold --output json whoami | jq -r .subject";

pub(super) const POLICY: &str = "\
Examples:
  leasehold policy check campaign team-a/report   # may I?
  leasehold policy check --as system:serviceaccount:team-a:worker step-down team-a/report
  leasehold policy check --file policy.toml --as system:serviceaccount:team-a:worker campaign team-a/report
  leasehold --output json policy check --file policy.toml --as cn:ann observe team-a/report | jq .allowed";

pub(super) const COMPLETIONS: &str = "\
Examples:
  source <(leasehold completions bash)
  leasehold completions zsh > \"${fpath[1]}/_leasehold\"
  leasehold completions fish > ~/.config/fish/completions/leasehold.fish";

pub(super) const MAN: &str = "\
Examples:
  leasehold man | man -l -
  leasehold man run > /usr/local/share/man/man1/leasehold-run.1";

pub(super) const VERSION: &str = "\
Examples:
  leasehold version
  leasehold --output json version | jq -r .version";
