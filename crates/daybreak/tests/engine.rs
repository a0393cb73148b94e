//! The engine without servers: every pair of state and entry, the journal's chain, and the runner
//! over steps that fail at each point, run twice and undo twice.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use daybreak::{
    config::{Config, Overrides},
    engine::{
        Context, Entry, Finding, Fingerprint, Journal, Phase, Plan, PlannedStep, PositionBy,
        ReplicationMode, Route, Runner, Severity, Standing, State, Step, StepPhase, StopReason,
        StopSignal, SwitchOptions,
    },
    error::{Error, Kind, Result},
    event::Events,
    select::Selection,
    sync::verify::repair::expect_repairable,
};

fn plan(steps: &[&str]) -> Plan {
    Plan {
        migration: "0badcafe".into(),
        route: Route::Logical,
        reason: "a test".into(),
        replication: ReplicationMode::Native,
        position: PositionBy::Gtid,
        source: "a@h1:3306".into(),
        target: "b@h2:3306".into(),
        fingerprint: Fingerprint {
            server_uuid: "u".into(),
            version: "9.7.0".into(),
            schema_digest: "d".into(),
        },
        target_uuid: "t".into(),
        selection: Selection::default(),
        definer: Default::default(),
        streamed: false,
        tables: Vec::new(),
        steps: steps
            .iter()
            .map(|id| PlannedStep {
                id: (*id).into(),
                title: format!("does {id}"),
                rollback: "undoes it".into(),
            })
            .collect(),
    }
}

fn entries_for(step: &str) -> Vec<Entry> {
    let step = step.to_string();
    vec![
        Entry::Planned { plan: Box::new(plan(&["a", "b"])), consent: false },
        Entry::Resumed { version: "1".into(), consent: false },
        Entry::SwitchOptions { options: SwitchOptions::default() },
        Entry::ConsentEnded { why: "w".into() },
        Entry::StepStarted { step: step.clone() },
        Entry::Checkpoint { step: step.clone(), name: "n".into(), data: 1.into() },
        Entry::StepFinished { step: step.clone() },
        Entry::StepVerified { step: step.clone() },
        Entry::StepFailed { step: step.clone(), error: "e".into() },
        Entry::PointOfNoReturn { step: step.clone() },
        Entry::PointOfNoReturnLifted { step: step.clone() },
        Entry::RepairStarted { table: "d.t".into() },
        Entry::RepairEnded { table: "d.t".into() },
        Entry::Paused { reason: "r".into() },
        Entry::UndoStarted { step: step.clone() },
        Entry::StepUndone { step },
        Entry::Completed,
        Entry::Aborted,
    ]
}

const PHASES: [Phase; 6] =
    [Phase::Empty, Phase::Planned, Phase::Active, Phase::Paused, Phase::Completed, Phase::Aborted];

const STEP_PHASES: [StepPhase; 6] = [
    StepPhase::Pending,
    StepPhase::Started,
    StepPhase::Failed,
    StepPhase::Finished,
    StepPhase::Verified,
    StepPhase::Undoing,
];

/// Every state of two steps against every entry: the function is total, and what it allows is what
/// the rules below say in other words.
#[test]
fn every_pair_of_state_and_entry() {
    let mut allowed = 0;
    for phase in PHASES {
        for first in STEP_PHASES {
            for second in STEP_PHASES {
                for past_no_return in [false, true] {
                    let state = State {
                        phase,
                        steps: vec![("a".into(), first), ("b".into(), second)],
                        past_no_return,
                        consent: false,
                        repairing: (first == second).then(|| "d.t".into()),
                    };
                    for (name, own, earlier_ok, later_ok) in [
                        ("a", first, true, second == StepPhase::Pending),
                        ("b", second, first == StepPhase::Verified, true),
                    ] {
                        for entry in entries_for(name) {
                            let active = phase == Phase::Active;
                            use StepPhase as S;
                            let legal = match &entry {
                                Entry::Planned { .. } => {
                                    matches!(phase, Phase::Empty | Phase::Planned)
                                        || phase == Phase::Paused
                                            && !past_no_return
                                            && (first, second) == (S::Pending, S::Pending)
                                }
                                Entry::Resumed { .. }
                                | Entry::SwitchOptions { .. }
                                | Entry::ConsentEnded { .. } => {
                                    matches!(phase, Phase::Planned | Phase::Active | Phase::Paused)
                                }
                                Entry::RepairStarted { .. } => {
                                    let over = [Phase::Empty, Phase::Completed, Phase::Aborted];
                                    !past_no_return && !over.contains(&phase)
                                }
                                Entry::RepairEnded { .. } => first == second,
                                Entry::StepStarted { .. } => {
                                    active
                                        && earlier_ok
                                        && matches!(own, S::Pending | S::Started | S::Failed)
                                }
                                Entry::Checkpoint { .. } => {
                                    active && matches!(own, S::Started | S::Finished | S::Undoing)
                                }
                                Entry::StepFinished { .. } => active && own == S::Started,
                                Entry::PointOfNoReturn { .. } => {
                                    active && own == S::Started && state.repairing.is_none()
                                }
                                Entry::PointOfNoReturnLifted { .. } => {
                                    active && past_no_return && own == S::Started
                                }
                                Entry::StepVerified { .. } => active && own == S::Finished,
                                Entry::StepFailed { .. } => {
                                    active && matches!(own, S::Started | S::Finished)
                                }
                                Entry::Paused { .. } => active,
                                Entry::UndoStarted { .. } => {
                                    active && !past_no_return && own != S::Pending && later_ok
                                }
                                Entry::StepUndone { .. } => active && own == S::Undoing,
                                Entry::Completed => {
                                    active && first == S::Verified && second == S::Verified
                                }
                                Entry::Aborted => {
                                    active && first == S::Pending && second == S::Pending
                                }
                            };
                            let after = state.after(&entry);
                            assert_eq!(after.is_ok(), legal, "{state:?} then {entry:?}");
                            if let Ok(after) = after {
                                allowed += 1;
                                assert!(
                                    after.past_no_return >= state.past_no_return
                                        || matches!(entry, Entry::PointOfNoReturnLifted { .. }),
                                    "the point of no return is taken back by {entry:?}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(allowed > 500, "the test allows nothing: {allowed}");
}

#[test]
fn an_unknown_step_is_refused() {
    let state = State {
        phase: Phase::Active,
        steps: vec![("a".into(), StepPhase::Pending)],
        past_no_return: false,
        consent: false,
        repairing: None,
    };
    assert!(state.after(&Entry::StepStarted { step: "x".into() }).is_err());
}

#[test]
fn a_journal_is_read_back_and_its_chain_holds() {
    let directory = tempfile::tempdir().unwrap();
    {
        let journal = Journal::open(directory.path()).unwrap();
        journal
            .append(Entry::Planned { plan: Box::new(plan(&["a", "b"])), consent: false })
            .unwrap();
        journal.append(Entry::Resumed { version: "1".into(), consent: false }).unwrap();
        journal.append(Entry::StepStarted { step: "a".into() }).unwrap();
        journal.record("a", "n", &1).unwrap();
        journal.record("a", "n", &2).unwrap();
        assert!(journal.append(Entry::StepStarted { step: "b".into() }).is_err());
    }
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(journal.state().step("a"), Some(StepPhase::Started));
    assert_eq!(journal.recall::<i32>("a", "n").unwrap(), Some(2));
    assert_eq!(journal.recall::<i32>("b", "n").unwrap(), None);
    journal.append(Entry::UndoStarted { step: "a".into() }).unwrap();
    journal.append(Entry::StepUndone { step: "a".into() }).unwrap();
    assert_eq!(journal.recall::<i32>("a", "n").unwrap(), None, "undone steps remember nothing");
    assert_eq!(journal.entries().unwrap().len(), 7);
    drop(journal);

    let file = directory.path().join(daybreak::engine::journal::FILE);
    let db = rusqlite::Connection::open(&file).unwrap();
    assert!(db.execute("UPDATE entries SET body = '{}' WHERE seq = 3", []).is_err());
    assert!(db.execute("DELETE FROM entries WHERE seq = 7", []).is_err());
    db.execute_batch(
        "DROP TRIGGER entries_stay; UPDATE entries SET at = '2020-01-01T00:00:00Z' WHERE seq = 3",
    )
    .unwrap();
    drop(db);
    let error = Journal::open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Journal);
    assert!(error.to_string().contains("broken at entry 3"), "{error}");
}

/// A step whose work is a count in the world, and which fails where it is told to.
struct Probe {
    id: &'static str,
    world: Arc<World>,
}

#[derive(Default)]
struct World {
    /// Effects standing, by step: 1 once run, 0 once undone.
    effects: [AtomicUsize; 2],
    /// Fails at this call, counted over all calls; 0 never.
    fail_at: AtomicUsize,
    calls: AtomicUsize,
    runs: AtomicUsize,
    transient: std::sync::atomic::AtomicBool,
}

impl World {
    fn call(&self) -> Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call == self.fail_at.load(Ordering::SeqCst) {
            let kind =
                if self.transient.load(Ordering::SeqCst) { Kind::Deadlock } else { Kind::Sql };
            return Err(Error::new(kind, "told to fail"));
        }
        Ok(())
    }
}

impl Probe {
    fn effect(&self) -> &AtomicUsize {
        &self.world.effects[usize::from(self.id == "b")]
    }
}

#[async_trait]
impl Step for Probe {
    fn id(&self) -> &'static str {
        self.id
    }
    fn title(&self) -> &'static str {
        "probes"
    }
    fn rollback(&self) -> &'static str {
        "unprobes"
    }
    async fn check(&self, _: &Context) -> Result<Vec<Finding>> {
        self.world.call()?;
        Ok(Vec::new())
    }
    async fn run(&self, context: &Context) -> Result<()> {
        self.world.runs.fetch_add(1, Ordering::SeqCst);
        self.world.call()?;
        context.journal.record(self.id, "doing", &true)?;
        self.effect().store(1, Ordering::SeqCst);
        self.world.call()
    }
    async fn verify(&self, _: &Context) -> Result<()> {
        self.world.call()?;
        match self.effect().load(Ordering::SeqCst) {
            1 => Ok(()),
            _ => Err(Error::new(Kind::Bug, "no effect")),
        }
    }
    async fn undo(&self, _: &Context) -> Result<()> {
        self.world.call()?;
        self.effect().store(0, Ordering::SeqCst);
        self.world.call()
    }
}

fn context(directory: &Path) -> Arc<Context> {
    let overrides = Overrides {
        source: Some("mysql://u@127.0.0.1:1/".into()),
        target: Some("mysql://u@127.0.0.1:2/".into()),
        ..Overrides::default()
    };
    let journal = Journal::open(directory).unwrap();
    if journal.plan().is_err() {
        journal
            .append(Entry::Planned { plan: Box::new(plan(&["a", "b"])), consent: false })
            .unwrap();
    }
    Arc::new(Context {
        config: Config::from_overrides(&overrides).unwrap(),
        directory: directory.to_path_buf(),
        journal: Arc::new(journal),
        events: Events::nowhere(),
        stop: StopSignal::default(),
        write_lock: tokio::sync::Mutex::new(None),
    })
}

fn runner(context: &Arc<Context>, world: &Arc<World>) -> Runner {
    let steps: Vec<Box<dyn Step>> = vec![
        Box::new(Probe { id: "a", world: world.clone() }),
        Box::new(Probe { id: "b", world: world.clone() }),
    ];
    Runner::new(context.clone(), steps).unwrap()
}

#[tokio::test]
async fn a_run_that_fails_anywhere_is_resumed() {
    // check, run twice, verify for each of two steps: eight calls.
    for fail_at in 1..=8 {
        let directory = tempfile::tempdir().unwrap();
        let world = Arc::new(World::default());
        world.fail_at.store(fail_at, Ordering::SeqCst);
        let first = {
            let context = context(directory.path());
            runner(&context, &world).run(None, true).await
        };
        assert_eq!(first.unwrap_err().kind(), Kind::Sql);
        let context = context(directory.path());
        assert_eq!(context.journal.state().phase, Phase::Paused);
        assert_eq!(runner(&context, &world).run(None, true).await.unwrap(), Standing::Completed);
        assert_eq!(context.journal.state().phase, Phase::Completed);
        let runs = world.runs.load(Ordering::SeqCst);
        assert_eq!(runner(&context, &world).run(None, true).await.unwrap(), Standing::Completed);
        assert_eq!(
            world.runs.load(Ordering::SeqCst),
            runs,
            "a completed migration isn't run again"
        );
    }
}

/// Wraps a probe so that it wants consent.
struct Agreed(Probe);

#[async_trait]
impl Step for Agreed {
    fn id(&self) -> &'static str {
        self.0.id()
    }
    fn title(&self) -> &'static str {
        self.0.title()
    }
    fn rollback(&self) -> &'static str {
        self.0.rollback()
    }
    fn wants_consent(&self) -> bool {
        true
    }
    async fn check(&self, context: &Context) -> Result<Vec<Finding>> {
        self.0.check(context).await
    }
    async fn run(&self, context: &Context) -> Result<()> {
        self.0.run(context).await
    }
    async fn verify(&self, context: &Context) -> Result<()> {
        self.0.verify(context).await
    }
    async fn undo(&self, context: &Context) -> Result<()> {
        self.0.undo(context).await
    }
}

#[tokio::test]
async fn a_step_that_wants_consent_waits_for_it_and_a_resume_remembers() {
    let directory = tempfile::tempdir().unwrap();
    let world = Arc::new(World::default());
    let context = context(directory.path());
    let steps: Vec<Box<dyn Step>> = vec![
        Box::new(Probe { id: "a", world: world.clone() }),
        Box::new(Agreed(Probe { id: "b", world: world.clone() })),
    ];
    let runner = Runner::new(context.clone(), steps).unwrap();
    // The step before fails: no attempt was made, and the consent stays.
    world.fail_at.store(2, Ordering::SeqCst);
    runner.run(None, true).await.unwrap_err();
    assert!(context.journal.state().consent);
    assert_eq!(runner.run(None, false).await.unwrap(), Standing::Completed);
}

/// A consent is for one attempt, wherever that ends: in the check, in the run, or killed.
#[tokio::test]
async fn a_consent_is_for_one_attempt() {
    let waits = Standing::WantsConsent("b".into());
    for fail_at in 0..=3 {
        let directory = tempfile::tempdir().unwrap();
        let world = Arc::new(World::default());
        let context = context(directory.path());
        let steps: Vec<Box<dyn Step>> = vec![
            Box::new(Probe { id: "a", world: world.clone() }),
            Box::new(Agreed(Probe { id: "b", world: world.clone() })),
        ];
        let runner = Runner::new(context.clone(), steps).unwrap();
        assert_eq!(runner.run(None, false).await.unwrap(), waits);
        assert_eq!(context.journal.state().phase, Phase::Paused);
        let options = SwitchOptions { pause_before_open: true, max_write_stop_millis: Some(1_500) };
        context.journal.append(Entry::SwitchOptions { options }).unwrap();
        if fail_at == 0 {
            // As a process leaves it that is killed in the run.
            for entry in [
                Entry::Resumed { version: "1".into(), consent: true },
                Entry::ConsentEnded { why: "begins".into() },
                Entry::StepStarted { step: "b".into() },
            ] {
                context.journal.append(entry).unwrap();
            }
            world.effects[1].store(1, Ordering::SeqCst);
        } else {
            world.fail_at.store(world.calls.load(Ordering::SeqCst) + fail_at, Ordering::SeqCst);
            runner.run(None, true).await.unwrap_err();
        }
        let runs = world.runs.load(Ordering::SeqCst);
        assert!(!context.journal.state().consent, "{fail_at}");
        // What the attempt left is taken back, and no other is made.
        for _ in 0..2 {
            assert_eq!(runner.run(None, false).await.unwrap(), waits, "{fail_at}");
            assert_eq!(world.effects[1].load(Ordering::SeqCst), 0, "{fail_at}");
            assert_eq!(context.journal.state().step("b"), Some(StepPhase::Pending), "{fail_at}");
            assert_eq!(world.runs.load(Ordering::SeqCst), runs, "{fail_at}");
        }
        assert_eq!(context.journal.switch_options().unwrap(), Some(options));
        assert_eq!(
            options.command(),
            "daybreak cutover --pause-before-open --max-write-stop 1500ms"
        );
        assert_eq!(runner.run(None, true).await.unwrap(), Standing::Completed);
    }
}

/// Past the point of no return there is nothing to take back: going on is no further attempt.
#[tokio::test]
async fn past_no_return_a_step_goes_on_without_another_word() {
    let directory = tempfile::tempdir().unwrap();
    let world = Arc::new(World::default());
    let context = context(directory.path());
    let steps: Vec<Box<dyn Step>> = vec![
        Box::new(Probe { id: "a", world: world.clone() }),
        Box::new(Agreed(Probe { id: "b", world: world.clone() })),
    ];
    let runner = Runner::new(context.clone(), steps).unwrap();
    runner.run(Some("a"), false).await.unwrap();
    for entry in [
        Entry::Resumed { version: "1".into(), consent: true },
        Entry::ConsentEnded { why: "begins".into() },
        Entry::StepStarted { step: "b".into() },
        Entry::PointOfNoReturn { step: "b".into() },
    ] {
        context.journal.append(entry).unwrap();
    }
    assert_eq!(runner.run(None, false).await.unwrap(), Standing::Completed);
}

#[tokio::test]
async fn passing_failures_are_tried_again_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let world = Arc::new(World::default());
    world.transient.store(true, Ordering::SeqCst);
    world.fail_at.store(3, Ordering::SeqCst);
    let context = context(directory.path());
    assert_eq!(runner(&context, &world).run(None, true).await.unwrap(), Standing::Completed);
    assert_eq!(world.runs.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn undo_from_anywhere_leaves_nothing_and_can_fail_and_be_repeated() {
    for until in ["a", "b"] {
        for fail_at in 0..=4 {
            let directory = tempfile::tempdir().unwrap();
            let world = Arc::new(World::default());
            let context = context(directory.path());
            let runner = runner(&context, &world);
            if until == "a" {
                runner.run(Some("a"), true).await.unwrap();
            } else {
                // The last step is begun but doesn't finish.
                world.fail_at.store(7, Ordering::SeqCst);
                runner.run(None, true).await.unwrap_err();
            }
            let calls = world.calls.load(Ordering::SeqCst);
            world.fail_at.store(if fail_at == 0 { 0 } else { calls + fail_at }, Ordering::SeqCst);
            if runner.undo(None).await.is_err() {
                runner.undo(None).await.unwrap();
            }
            runner.undo(None).await.unwrap();
            let left: usize = world.effects.iter().map(|e| e.load(Ordering::SeqCst)).sum();
            assert_eq!(left, 0);
            assert!(context.journal.state().steps.iter().all(|(_, s)| *s == StepPhase::Pending));
            world.fail_at.store(0, Ordering::SeqCst);
            assert_eq!(runner.run(None, true).await.unwrap(), Standing::Completed);
        }
    }
}

#[tokio::test]
async fn a_pause_stops_before_the_next_step_and_undo_is_refused_past_no_return() {
    let directory = tempfile::tempdir().unwrap();
    let world = Arc::new(World::default());
    {
        let context = context(directory.path());
        context.stop.stop(StopReason::Pause);
        let error = runner(&context, &world).run(None, true).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Paused);
        assert_eq!(world.runs.load(Ordering::SeqCst), 0);
    }
    let context = context(directory.path());
    let runner = runner(&context, &world);
    runner.run(Some("a"), true).await.unwrap();
    context.journal.append(Entry::Resumed { version: "1".into(), consent: false }).unwrap();
    context.journal.append(Entry::StepStarted { step: "b".into() }).unwrap();
    context.journal.append(Entry::PointOfNoReturn { step: "b".into() }).unwrap();
    context.journal.append(Entry::Paused { reason: "test".into() }).unwrap();
    let error = runner.undo(None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::State);
    assert!(error.to_string().contains("opened for writes"));
    assert_eq!(runner.run(None, true).await.unwrap(), Standing::Completed);
}

#[tokio::test]
async fn abort_undoes_everything_and_closes_the_migration() {
    let directory = tempfile::tempdir().unwrap();
    let world = Arc::new(World::default());
    let context = context(directory.path());
    let runner = runner(&context, &world);
    runner.run(Some("a"), true).await.unwrap();
    runner.abort().await.unwrap();
    assert_eq!(context.journal.state().phase, Phase::Aborted);
    assert_eq!(runner.run(None, true).await.unwrap_err().kind(), Kind::State);
}

struct Blocked;

#[async_trait]
impl Step for Blocked {
    fn id(&self) -> &'static str {
        "a"
    }
    fn title(&self) -> &'static str {
        "is blocked"
    }
    fn rollback(&self) -> &'static str {
        "nothing"
    }
    async fn check(&self, _: &Context) -> Result<Vec<Finding>> {
        Ok(vec![Finding {
            id: "x.y".into(),
            severity: Severity::Blocker,
            objects: vec![],
            why: "it can't be".into(),
            remedy: "change it".into(),
        }])
    }
    async fn run(&self, _: &Context) -> Result<()> {
        Err(Error::new(Kind::Bug, "run in spite of a blocker"))
    }
    async fn verify(&self, _: &Context) -> Result<()> {
        Ok(())
    }
    async fn undo(&self, _: &Context) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_blocker_keeps_a_step_from_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let context = context(directory.path());
    let steps: Vec<Box<dyn Step>> =
        vec![Box::new(Blocked), Box::new(Probe { id: "b", world: Arc::default() })];
    let error = Runner::new(context.clone(), steps).unwrap().run(None, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked);
    assert!(
        error.to_string().contains("x.y: it can't be") && error.to_string().contains("change it")
    );
    assert_eq!(context.journal.state().step("a"), Some(StepPhase::Pending));
    // Whoever looks later finds what to do, too.
    let last = context.journal.entries().unwrap().pop().unwrap().entry;
    let told = |reason: &str| reason.contains("x.y: it can't be") && reason.contains("change it");
    assert!(matches!(&last, Entry::Paused { reason } if told(reason)), "{last:?}");
}

#[tokio::test]
async fn a_plan_of_other_steps_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let context = context(directory.path());
    let steps: Vec<Box<dyn Step>> = vec![Box::new(Blocked)];
    assert_eq!(Runner::new(context, steps).err().unwrap().kind(), Kind::State);
}

/// A repair sets the target's rows by the source's: once the copy is there, and while nothing is moved.
#[test]
fn when_rows_may_be_repaired() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    let refused = |why: &str| {
        let error = expect_repairable(&journal).expect_err(why);
        assert_eq!(error.kind(), Kind::State);
        assert!(error.what().contains(why), "{error} instead of {why}");
    };
    let append = |entry| journal.append(entry).map(drop).unwrap();
    let plan = Box::new(plan(&["rows", "verify", "cutover"]));
    append(Entry::Planned { plan, consent: true });
    append(Entry::Resumed { version: "1".into(), consent: true });
    let done = |step: &str| {
        append(Entry::StepStarted { step: step.into() });
        append(Entry::StepFinished { step: step.into() });
        append(Entry::StepVerified { step: step.into() });
    };
    refused("rows isn't done");
    done("rows");
    expect_repairable(&journal).unwrap();
    done("verify");
    append(Entry::StepStarted { step: "cutover".into() });
    refused("a cutover was begun");
    append(Entry::StepFailed { step: "cutover".into(), error: "e".into() });
    refused("a cutover was begun");
    append(Entry::UndoStarted { step: "cutover".into() });
    refused("a cutover was begun");
    append(Entry::StepUndone { step: "cutover".into() });
    expect_repairable(&journal).unwrap();
    append(Entry::StepStarted { step: "cutover".into() });
    append(Entry::PointOfNoReturn { step: "cutover".into() });
    refused("opened for writes");
}
