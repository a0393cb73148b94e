//! The harness that every step of a route inherits, on real servers: it fails at each point and is
//! run again; it is run twice; it is undone twice, and run anew.
//!
//! A point is an entry of the journal: the step is refused its n-th entry, for every n that it
//! reaches. (What a kill does at the same points is the subject of `kill.rs`.)

mod support;

use std::sync::Arc;

use daybreak::{
    config::{Config, Overrides},
    engine::{Context, Entry, Journal, Route, Severity, Step, StepPhase, StopSignal},
    event::Events,
    route,
};
use support::Pair;

struct Harness {
    context: Arc<Context>,
}

impl Harness {
    fn append(&self, entry: Entry) {
        self.context.journal.append(entry).unwrap();
    }

    fn phase(&self, step: &dyn Step) -> StepPhase {
        self.context.journal.state().step(step.id()).unwrap()
    }

    fn start(&self, step: &dyn Step) {
        self.append(Entry::StepStarted { step: step.id().into() });
    }

    async fn check(&self, step: &dyn Step) {
        let findings = step.check(&self.context).await.unwrap();
        let blockers: Vec<_> =
            findings.iter().filter(|finding| finding.severity == Severity::Blocker).collect();
        assert!(blockers.is_empty(), "{}: {blockers:?}", step.id());
    }

    /// Refuses the n-th entry, for every n, each time after what the last refusal left behind.
    async fn fails_at_each_point(&self, step: &dyn Step) -> u32 {
        for point in 0..200 {
            self.check(step).await;
            if self.phase(step) != StepPhase::Started {
                self.start(step);
            }
            self.context.journal.fail_in(Some(point));
            let result = step.run(&self.context).await;
            self.context.journal.fail_in(None);
            if result.is_ok() {
                return point;
            }
        }
        panic!("{} never gets through", step.id());
    }

    async fn undo(&self, step: &dyn Step, why: &str) {
        self.append(Entry::UndoStarted { step: step.id().into() });
        step.undo(&self.context)
            .await
            .unwrap_or_else(|error| panic!("{} {why}: {error}", step.id()));
        step.undo(&self.context)
            .await
            .unwrap_or_else(|error| panic!("{} {why}, second undo: {error}", step.id()));
        self.append(Entry::StepUndone { step: step.id().into() });
    }

    async fn run(&self, step: &dyn Step, why: &str) {
        self.check(step).await;
        self.start(step);
        step.run(&self.context)
            .await
            .unwrap_or_else(|error| panic!("{} {why}: {error}", step.id()));
    }

    async fn verify(&self, step: &dyn Step, why: &str) {
        step.verify(&self.context)
            .await
            .unwrap_or_else(|error| panic!("{} {why}: {error}", step.id()));
    }
}

async fn every_step(gtid: bool, settings: &str) {
    let pair = Pair::start(gtid, 500).await;
    let directory = pair.directory(settings);
    let config = Config::load(directory.path(), &Overrides::default()).unwrap();
    let journal = Arc::new(Journal::open(directory.path()).unwrap());
    let (plan, _) = route::make_plan(&config, Route::Logical, &Events::nowhere()).await.unwrap();
    let steps = route::steps(&plan);
    journal.append(Entry::Planned { plan: Box::new(plan), consent: false }).unwrap();
    let harness = Harness {
        context: Arc::new(Context {
            config,
            directory: directory.path().to_path_buf(),
            journal,
            events: Events::nowhere(),
            stop: StopSignal::default(),
            write_lock: tokio::sync::Mutex::new(None),
        }),
    };
    harness.append(Entry::Resumed { version: "test".into(), consent: true });
    let mut points = 0;
    for step in &steps {
        let step = step.as_ref();
        points += harness.fails_at_each_point(step).await;
        harness.verify(step, "after failing at each point").await;
        step.run(&harness.context)
            .await
            .unwrap_or_else(|error| panic!("{}, second run: {error}", step.id()));
        harness.verify(step, "after the second run").await;
        if !harness.context.journal.state().past_no_return {
            harness.undo(step, "after a whole run").await;
            // A partial run, undone.
            harness.check(step).await;
            harness.start(step);
            harness.context.journal.fail_in(Some(1));
            // A step with fewer entries gets through: as good a state to undo from.
            let partial = step.run(&harness.context).await;
            harness.context.journal.fail_in(None);
            harness
                .undo(
                    step,
                    if partial.is_ok() { "after a short run" } else { "after a partial run" },
                )
                .await;
            harness.run(step, "after undo").await;
            harness.verify(step, "run anew").await;
        }
        harness.append(Entry::StepFinished { step: step.id().into() });
        harness.append(Entry::StepVerified { step: step.id().into() });
    }
    harness.append(Entry::Completed);
    assert!(points > 5, "hardly a point was tried: {points}");
    pair.assert_equal("after every trial");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_by_gtid() {
    every_step(true, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_by_file_and_position() {
    every_step(false, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_with_accepted_downtime() {
    every_step(true, "[replication]\nmode = \"none\"\n").await;
}
