//! Goes through a plan: runs, resumes, pauses, undoes. A failure pauses; undo is asked for.

use std::{sync::Arc, time::Instant};

use super::{
    Context, Entry, FINDINGS, Finding, Phase, Severity, Step, StepPhase, SwitchOptions, noted, step,
};
use crate::{
    error::{Error, Kind, Result, Retry},
    event::Event,
    switch::hook,
};

/// How often a step is tried again by itself after a passing failure.
const ATTEMPTS: u32 = 5;

/// How hints call going on, and another attempt at the cutover.
const RESUME: &str = "`daybreak resume`";
const CUTOVER: &str = "`daybreak cutover`";

/// Where a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Every step is verified.
    Completed,
    /// Stopped where asked, after this step.
    Until(String),
    /// Stopped before this step, which wants consent.
    WantsConsent(String),
}

/// Goes through the steps of a plan, over its journal.
pub struct Runner {
    context: Arc<Context>,
    steps: Vec<Box<dyn Step>>,
}

impl Runner {
    /// A runner for the plan in the context's journal. `steps` are all steps of its route, in order.
    ///
    /// # Errors
    /// `State` when the plan was made by a daybreak that had other steps.
    pub fn new(context: Arc<Context>, steps: Vec<Box<dyn Step>>) -> Result<Self> {
        let plan = context.plan()?;
        if plan.steps.iter().map(|step| step.id.as_str()).ne(steps.iter().map(|step| step.id())) {
            return Err(Error::new(Kind::State, "the plan has other steps than this daybreak")
                .next(
                    "go on with the version of daybreak that made the plan, or undo and plan anew",
                ));
        }
        Ok(Runner { context, steps })
    }

    /// Begins or goes on, up to the end or through the step `until`. A completed migration stays so.
    ///
    /// Steps that want consent are run only with `consent`, or when it was given before and no attempt
    /// was made since: it is for one attempt. What an attempt left half done before the point of no
    /// return is taken back; past that point the step goes on.
    ///
    /// # Errors
    /// Whatever stopped it. The journal says `Paused`, and the same call goes on from there.
    pub async fn run(&self, until: Option<&str>, consent: bool) -> Result<Standing> {
        if let Some(step) = until {
            self.position(step)?;
        }
        if self.context.journal.state().phase == Phase::Completed {
            return Ok(Standing::Completed);
        }
        self.take_up(consent)?;
        let result = self.go(until).await;
        // The lock of a closed source doesn't outlive the work.
        if let Some(lock) = self.context.write_lock.lock().await.take() {
            let released = lock.release().await;
            let reason = match &result {
                Ok(_) => "the work ended before the cutover",
                Err(error) => error.what(),
            };
            hook::on_abort(&self.context, reason).await;
            match released {
                Ok(held) => self.context.events.send(Event::WritesResumed {
                    why: "cutover".into(),
                    millis: held.as_secs_f64() * 1e3,
                    on_target: false,
                }),
                // The first failure is the one to tell, but nobody may miss this one.
                Err(held) if result.is_err() => self.context.events.warn(held.to_string()),
                Err(held) => return self.let_go(Err(held)),
            }
        }
        self.let_go(result)
    }

    fn take_up(&self, consent: bool) -> Result<()> {
        let ended = match self.context.journal.state().phase {
            Phase::Completed => Some("complete"),
            Phase::Aborted => Some("aborted"),
            Phase::Empty | Phase::Planned | Phase::Active | Phase::Paused => None,
        };
        if let Some(ended) = ended {
            return Err(Error::new(Kind::State, format!("this migration is {ended}"))
                .next("there is nothing to go on with; begin a new one in another --dir"));
        }
        self.context.journal.pause_requested(true)?;
        self.context
            .journal
            .append(Entry::Resumed { version: env!("CARGO_PKG_VERSION").to_string(), consent })?;
        Ok(())
    }

    /// Writes why the work ends here, unless it is complete.
    fn let_go<T>(&self, result: Result<T>) -> Result<T> {
        if self.context.journal.state().phase == Phase::Active {
            let reason = match &result {
                Ok(_) => "as far as asked".to_string(),
                // No other entry has what to do about it.
                Err(error) if error.kind() == Kind::Blocked => error.to_string(),
                Err(error) => error.what().to_string(),
            };
            let paused = self.context.journal.append(Entry::Paused { reason });
            // The first failure is the one to tell.
            if result.is_ok() {
                paused?;
            }
        }
        result
    }

    async fn go(&self, until: Option<&str>) -> Result<Standing> {
        for (at, step) in self.steps.iter().enumerate() {
            if self.phase(step.as_ref()) != StepPhase::Verified {
                self.context.stop.check()?;
                if !self.agreed(step.as_ref()).await? {
                    return Ok(Standing::WantsConsent(step.id().to_string()));
                }
                self.context.events.send(Event::StepStarted {
                    step: step.id().to_string(),
                    title: step.title().to_string(),
                    number: at + 1,
                    of: self.steps.len(),
                });
                let begun = Instant::now();
                self.one(step.as_ref()).await?;
                self.context.events.send(Event::StepVerified {
                    step: step.id().to_string(),
                    millis: begun.elapsed().as_millis() as u64,
                });
            }
            if until == Some(step.id()) && at + 1 < self.steps.len() {
                return Ok(Standing::Until(step.id().to_string()));
            }
        }
        self.context.journal.append(Entry::Completed)?;
        Ok(Standing::Completed)
    }

    /// Whether a step may be attempted now. A consent is used up by that.
    async fn agreed(&self, step: &dyn Step) -> Result<bool> {
        let (journal, id) = (&self.context.journal, step.id());
        if !step.wants_consent() || journal.state().past_no_return {
            return Ok(true);
        }
        let consent = journal.state().consent;
        let phase = self.phase(step);
        if phase == StepPhase::Undoing || (!consent && phase != StepPhase::Pending) {
            self.context
                .events
                .info(format!("{id} was begun and didn't come through: it is taken back"));
            self.take_back(step).await?;
        }
        if consent {
            journal.append(Entry::ConsentEnded { why: format!("an attempt at {id} begins") })?;
        }
        Ok(consent)
    }

    /// One step to *verified*; passing failures are tried again, anything else fails the step.
    async fn one(&self, step: &dyn Step) -> Result<()> {
        let mut attempt = 1;
        loop {
            let result = self.attempt(step).await;
            let Err(mut error) = result else { return Ok(()) };
            if let (Some(options), Some(next)) = (self.asked_anew(step), error.next_step()) {
                let next = with_word(next, options);
                error = error.next(next);
            }
            let stopping = matches!(error.kind(), Kind::Paused | Kind::Interrupted);
            if !stopping {
                self.context.events.send(Event::StepFailed {
                    step: step.id().to_string(),
                    error: error.to_string(),
                });
                if matches!(self.phase(step), StepPhase::Started | StepPhase::Finished) {
                    let noted = self.context.journal.append(Entry::StepFailed {
                        step: step.id().to_string(),
                        error: error.to_string(),
                    });
                    // The first failure is the one to tell.
                    if let Err(unwritten) = noted {
                        self.context.events.warn(unwritten.to_string());
                        return Err(error);
                    }
                }
            }
            if stopping || error.kind().retry() == Retry::No || attempt >= ATTEMPTS {
                return Err(error);
            }
            self.context.events.warn(format!(
                "{}: trying again ({attempt} of {})",
                step.id(),
                ATTEMPTS - 1
            ));
            let pause = std::time::Duration::from_millis(250 << attempt);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.context.stop.stopped() => self.context.stop.check()?,
            }
            attempt += 1;
        }
    }

    /// How another attempt at a step goes that wants consent, which an attempt uses up; none elsewhere.
    fn asked_anew(&self, step: &dyn Step) -> Option<SwitchOptions> {
        let journal = &self.context.journal;
        (step.wants_consent() && !journal.state().past_no_return)
            .then(|| journal.switch_options().ok().flatten().unwrap_or_default())
    }

    async fn attempt(&self, step: &dyn Step) -> Result<()> {
        let (context, journal) = (&*self.context, &self.context.journal);
        if self.phase(step) == StepPhase::Undoing {
            return Err(Error::new(Kind::State, format!("{} is being undone", step.id()))
                .next("the same `daybreak undo` again ends that; then `daybreak resume` goes on"));
        }
        if self.phase(step) != StepPhase::Finished {
            let mut findings = step.check(context).await?;
            if let Some(options) = self.asked_anew(step) {
                for finding in findings.iter_mut().filter(|one| one.severity == Severity::Blocker) {
                    finding.remedy = with_word(&finding.remedy, options);
                }
            }
            let blockers: Vec<&Finding> =
                findings.iter().filter(|one| one.severity == Severity::Blocker).collect();
            if let Some(error) = step::blocked(&format!("{} can't begin", step.id()), &blockers) {
                return Err(error);
            }
            journal.append(Entry::StepStarted { step: step.id().to_string() })?;
            self.tell(step.id(), &findings)?;
            step.run(context).await?;
            journal.append(Entry::StepFinished { step: step.id().to_string() })?;
        }
        step.verify(context).await?;
        journal.append(Entry::StepVerified { step: step.id().to_string() })?;
        Ok(())
    }

    /// Says and notes what a step's check found; what was found before isn't said again.
    fn tell(&self, step: &str, findings: &[Finding]) -> Result<()> {
        let (journal, events) = (&self.context.journal, &self.context.events);
        let before: Option<Vec<Finding>> = journal.recall(step, FINDINGS)?;
        if before.as_deref().unwrap_or_default() == findings {
            return Ok(());
        }
        let known = noted(&journal.entries()?);
        journal.record(step, FINDINGS, &findings)?;
        for finding in findings.iter().filter(|finding| !known.contains(finding)) {
            match finding.severity {
                Severity::Note => events.info(finding.line()),
                _ => events.warn(format!("{}; {}", finding.line(), finding.remedy)),
            }
        }
        Ok(())
    }

    /// Undoes steps from the last one begun back to (and without) `to`, or all of them.
    ///
    /// # Errors
    /// `State` past the point of no return, where only falling back is left.
    pub async fn undo(&self, to: Option<&str>) -> Result<()> {
        let keep = match to {
            Some(step) => self.position(step)? + 1,
            None => 0,
        };
        if self.context.journal.state().past_no_return {
            return Err(Error::new(
                Kind::State,
                "the target has been opened for writes: undo would lose what was written there",
            )
            .next("going back needs the target's writes brought back to the source; a cutover that isn't complete goes on with `daybreak resume`"));
        }
        self.take_up(false)?;
        let result = self.undo_down_to(keep).await;
        self.let_go(result)
    }

    async fn undo_down_to(&self, keep: usize) -> Result<()> {
        for step in self.steps[keep..].iter().rev() {
            if self.phase(step.as_ref()) != StepPhase::Pending {
                self.take_back(step.as_ref()).await?;
            }
        }
        Ok(())
    }

    async fn take_back(&self, step: &dyn Step) -> Result<()> {
        let id = step.id().to_string();
        self.context.journal.append(Entry::UndoStarted { step: id.clone() })?;
        step.undo(&self.context).await?;
        self.context.journal.append(Entry::StepUndone { step: id.clone() })?;
        self.context.events.send(Event::StepUndone { step: id });
        Ok(())
    }

    /// Undoes everything and closes the migration for good.
    pub async fn abort(&self) -> Result<()> {
        self.undo(None).await?;
        self.take_up(false)?;
        self.context.journal.append(Entry::Aborted)?;
        Ok(())
    }

    fn phase(&self, step: &dyn Step) -> StepPhase {
        self.context.journal.state().step(step.id()).unwrap_or(StepPhase::Pending)
    }

    fn position(&self, id: &str) -> Result<usize> {
        self.steps.iter().position(|step| step.id() == id).ok_or_else(|| {
            let known: Vec<&str> = self.steps.iter().map(|step| step.id()).collect();
            Error::new(Kind::Usage, format!("the plan has no step {id}"))
                .next(format!("choose one of {}", known.join(", ")))
        })
    }
}

/// An attempt that failed has used its consent up: `daybreak resume` alone doesn't make another, and
/// another is to go as this one.
fn with_word(next: &str, options: SwitchOptions) -> String {
    let command = format!("`{}`", options.command());
    match next.contains(CUTOVER) {
        true => next.replace(CUTOVER, &command),
        false => next.replace(RESUME, &format!("{command} (or `daybreak resume --yes`)")),
    }
}
