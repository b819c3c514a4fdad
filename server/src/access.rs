//! What a caller may do: the policy in force, asked once for each call, by the handler that has
//! read it. Here is also what is counted for each subject, and what the audit log says.

pub(crate) mod audit;
mod policy_file;
mod quota;

pub(crate) use quota::CallQuota;

use crate::caller::Caller;
use crate::errors::Refusal;
use crate::metrics::Metrics;
use crate::settings::AuthSettings;
use leasehold_core::{ElectionName, Replace, Selection, Ticket};
use leasehold_policy::{Decision, Policy, Scope, Verb};
use policy_file::{BadPolicyFile, PolicyFile};
use quota::{ObserverPlace, ObserverQuota};
use std::sync::{Arc, PoisonError, RwLock};

/// The policy in force.
#[derive(Debug)]
pub(crate) struct Access {
    /// Whether anybody is asked who calls.
    asks: bool,
    now: RwLock<Arc<Policy>>,
    file: Option<PolicyFile>,
    observers: Arc<ObserverQuota>,
}

/// What one Observe stream is shown.
#[derive(Debug)]
pub(crate) struct Sight {
    access: Arc<Access>,
    caller: Caller,
    _place: Option<ObserverPlace>,
}

impl Access {
    /// Everybody may do everything: nobody is asked who calls.
    pub(crate) fn open() -> Self {
        let now = RwLock::new(Arc::new(Policy::open()));
        Self { asks: false, now, file: None, observers: Arc::new(ObserverQuota::new(usize::MAX)) }
    }

    /// What the settings say.
    ///
    /// # Errors
    /// When the policy file can't be used.
    pub(crate) fn load(settings: &AuthSettings) -> Result<Self, BadPolicyFile> {
        if !settings.asks() {
            return Ok(Self::open());
        }
        let file = settings.policy.clone().map(|path| PolicyFile::new(path, settings.admins.clone()));
        let policy = match &file {
            Some(file) => file.load()?,
            // Where no service account is accepted, its rule allows nothing.
            None => Policy::of_namespaces().with_admins(&settings.admins),
        };
        let observers = Arc::new(ObserverQuota::new(settings.observers_per_subject));
        Ok(Self { asks: true, now: RwLock::new(Arc::new(policy)), file, observers })
    }

    /// Reads the policy file again when it changes, for ever.
    pub(crate) async fn look_after(self: Arc<Self>, metrics: Arc<Metrics>) {
        let Some(file) = &self.file else { return };
        loop {
            let policy = file.changed(&metrics).await;
            *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        }
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Refuses what the caller may not do, and says so in the audit log.
    pub(crate) fn check(&self, caller: &Caller, verb: Verb, election: &str) -> Result<(), Refusal> {
        if !self.asks {
            return Ok(());
        }
        let denial = match self.policy().decide(caller.subject().as_str(), verb, election) {
            Ok(_) => return Ok(()),
            Err(denial) => denial,
        };
        audit::denied(caller, verb.name(), election);
        Err(Refusal::Denied(Box::new(denial)))
    }

    /// What the policy says of a question about this subject, or about the caller: whoever asks
    /// about others must have the verb `admin` in that election.
    pub(crate) fn explain(
        &self,
        caller: &Caller,
        subject: Option<&str>,
        verb: Verb,
        election: &ElectionName,
    ) -> Result<Decision, Refusal> {
        let own = caller.subject();
        if subject.is_some_and(|subject| subject != own.as_str()) {
            self.check(caller, Verb::Admin, election.as_str())?;
        }
        Ok(self.policy().decide(subject.unwrap_or(own.as_str()), verb, election.as_str()))
    }

    /// Whose candidacies a worker replaces that says that its former self is dead. Within one pod
    /// that is proven: a pod runs one instance of a container, and a token that is bound to a pod
    /// says which one its bearer runs in. Otherwise it is a word that the policy must allow.
    pub(crate) fn replaces(&self, caller: &Caller, asked: bool, election: &ElectionName) -> Result<Replace, Refusal> {
        if !asked {
            return Ok(Replace::Nobody);
        }
        if !self.asks {
            return Ok(Replace::All);
        }
        let may = self.policy().allows(caller.subject().as_str(), Verb::Replace, election.as_str());
        let replaces = match (may, caller.pod()) {
            (true, _) => Replace::All,
            (false, Some(_)) => Replace::OfItsPod,
            (false, None) => {
                self.check(caller, Verb::Replace, election.as_str())?;
                Replace::All
            }
        };
        audit::replaces(caller, election, replaces);
        Ok(replaces)
    }

    /// A ticket is worth something in the hands of whoever it was given to.
    pub(crate) fn check_owner(&self, caller: &Caller, ticket: &Ticket) -> Result<(), Refusal> {
        if !self.asks || ticket.subject == caller.subject() {
            return Ok(());
        }
        audit::denied(caller, "use the ticket of another subject", ticket.election.as_str());
        let (subject, election) = (caller.subject().to_string(), ticket.election.to_string());
        Err(Refusal::OtherSubject { subject, election })
    }

    /// Where the caller may see who leads. `None`: everywhere.
    pub(crate) fn observable(&self, caller: &Caller) -> Option<Scope> {
        self.asks.then(|| self.policy().scope(caller.subject().as_str(), Verb::Observe))
    }

    /// The part of what begins with `prefix` that has all that the caller may see.
    pub(crate) fn narrow(&self, caller: &Caller, prefix: String) -> Result<String, Refusal> {
        let Some(scope) = self.observable(caller) else { return Ok(prefix) };
        match scope.narrow(&prefix) {
            Some(narrowed) => Ok(narrowed),
            None => {
                let every = format!("{prefix}**");
                self.check(caller, Verb::Observe, &every)?;
                Ok(prefix)
            }
        }
    }

    /// What an Observe stream is shown of a selection.
    pub(crate) fn sight(
        self: &Arc<Self>,
        caller: &Caller,
        selection: Selection,
    ) -> Result<(Selection, Sight), Refusal> {
        let selection = match selection {
            Selection::Prefix(prefix) => Selection::Prefix(self.narrow(caller, prefix)?),
            Selection::Named(names) => {
                for name in &names {
                    self.check(caller, Verb::Observe, name.as_str())?;
                }
                Selection::Named(names)
            }
        };
        let place = if self.asks { Some(self.observers.take(caller.subject())?) } else { None };
        Ok((selection, Sight { access: Arc::clone(self), caller: caller.clone(), _place: place }))
    }
}

impl Sight {
    /// Whether this election is shown, by the policy that is in force now.
    pub(crate) fn shows(&self, election: &ElectionName) -> bool {
        !self.access.asks
            || self.access.policy().allows(self.caller.subject().as_str(), Verb::Observe, election.as_str())
    }
}
