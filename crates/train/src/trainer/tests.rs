//! Runs that are killed, at every moment there is.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use fewbit_data::{DatasetName, Split};
use fewbit_nn::config::NetworkConfig;

use super::*;
use crate::clock::Timestamp;
use crate::config::{Decayed, Loss, Optim};
use crate::danger::{Death, count_moments, die_at};
use crate::metrics::read_metrics;
use crate::observer::Silent;
use crate::schedule::Scheduler;

/// Every look at it is a millisecond later.
#[derive(Default)]
struct TestClock(Cell<u64>);

impl Clock for TestClock {
    fn elapsed(&self) -> Duration {
        self.0.set(self.0.get() + 1);
        Duration::from_millis(self.0.get())
    }

    fn now(&self) -> Timestamp {
        let unix = Duration::from_secs(1_755_470_010) + Duration::from_millis(self.0.get());
        Timestamp { unix, offset_seconds: 0 }
    }
}

/// Breaks off after so many batches.
struct BreakAfter(u64);

impl Observer for BreakAfter {
    fn on_batch(&mut self, _: &TrainBatch) -> ControlFlow<()> {
        self.0 -= 1;
        if self.0 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

const TRAIN_IMAGES: usize = 130;
const EPOCHS: u64 = 3;
/// Batches of 40: three whole ones and one of ten images.
const STEPS: u64 = 4;

fn plan(experiments: &Path) -> TrainConfig {
    let mut config = TrainConfig::new(NetworkConfig::named("TFC_1W2A").unwrap());
    config.recipe.dataset = DatasetName::Glyphs;
    (config.recipe.batch_size, config.recipe.epochs) = (40, EPOCHS);
    config.recipe.scheduler = Scheduler::Step;
    config.recipe.milestones = vec![1, 2];
    config.run.experiments = experiments.to_owned();
    config.run.log_freq = 2;
    config.run.checkpoint_steps = Some(3);
    config
}

/// The same with every option that keeps something between steps, or draws by chance.
fn modern_plan(experiments: &Path) -> TrainConfig {
    let mut config = plan(experiments);
    let recipe = &mut config.recipe;
    recipe.augment = "crop=2,flip,cutout=6".parse().unwrap();
    (recipe.optim, recipe.nesterov, recipe.lr) = (Optim::Sgd, true, 0.5);
    (recipe.weight_decay, recipe.weight_decay_on) = (1e-3, Decayed::Weights);
    (recipe.loss, recipe.label_smoothing) = (Loss::CrossEntropy, 0.1);
    (recipe.scheduler, recipe.warmup_epochs) = (Scheduler::OneCycle, Some(1));
    recipe.ema_decay = Some(0.75);
    config
}

fn data() -> [Dataset; 2] {
    let open = |split, limit| {
        Dataset::open(DatasetName::Glyphs, Path::new("."), split, Some(limit)).unwrap()
    };
    [open(Split::Train, TRAIN_IMAGES), open(Split::Test, 50)]
}

/// Starts a run, or goes on with the one below `experiments`, as the program does.
fn start_or_go_on(
    config: &TrainConfig,
    [train, test]: &[Dataset; 2],
    observer: &mut dyn Observer,
    clock: &TestClock,
) -> Ended {
    let device = Device::cpu();
    let Some(path) = run_folder(config) else {
        let mut trainer = Trainer::new(config, train, test, &device).unwrap();
        let folder = RunFolder::create(config, clock.now()).unwrap();
        return trainer.run(Some(&folder), observer, clock).unwrap();
    };
    let folder = RunFolder::open(&path).unwrap();
    assert_eq!(&folder.read_config().unwrap(), config);
    let newest = [folder.last_checkpoint(), folder.best_checkpoint()];
    let mut trainer = match newest.iter().find(|path| path.exists()) {
        Some(path) => {
            let checkpoint = Checkpoint::read(path).unwrap();
            Trainer::resume(config, &checkpoint, train, test, &device).unwrap()
        }
        None => Trainer::new(config, train, test, &device).unwrap(),
    };
    trainer.run(Some(&folder), observer, clock).unwrap()
}

/// The folder of the run; one without a plan is removed, as nothing has been computed yet.
fn run_folder(config: &TrainConfig) -> Option<PathBuf> {
    let entries = fs::read_dir(&config.run.experiments).ok()?;
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    runs.retain(|run| {
        let kept = run.join("config.toml").exists();
        if !kept {
            fs::remove_dir_all(run).unwrap();
        }
        kept
    });
    assert!(runs.len() <= 1, "{runs:?}");
    runs.pop()
}

/// What has to be the same: the bytes of the checkpoints, the metrics apart from times, the steps of
/// the event file. Nothing else lies around.
#[derive(Debug, PartialEq)]
struct Results {
    files: Vec<String>,
    checkpoints: [Vec<u8>; 2],
    metrics: Vec<EpochRecord>,
    events_length: u64,
}

fn results(config: &TrainConfig) -> Results {
    let folder = RunFolder::open(&run_folder(config).unwrap()).unwrap();
    let mut files = vec![];
    let mut folders = vec![folder.path().to_owned()];
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned();
            if path.is_dir() { folders.push(path) } else { files.push(name) }
        }
    }
    // The number in an event file's name is a time.
    let (events, mut files): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|name| name.contains("tfevents"));
    assert_eq!(events.len(), 1, "{events:?}");
    files.sort();
    let timeless = |record| EpochRecord { images_per_second: 0.0, seconds: 0.0, ..record };
    Results {
        files,
        checkpoints: [folder.last_checkpoint(), folder.best_checkpoint()]
            .map(|p| fs::read(p).unwrap()),
        metrics: read_metrics(&folder.metrics()).unwrap().into_iter().map(timeless).collect(),
        events_length: fs::metadata(folder.path().join(&events[0])).unwrap().len(),
    }
}

/// The results of a run that nothing happens to.
fn undisturbed(data: &[Dataset; 2]) -> Results {
    undisturbed_by(plan, data)
}

fn undisturbed_by(plan: fn(&Path) -> TrainConfig, data: &[Dataset; 2]) -> Results {
    let parent = tempfile::tempdir().unwrap();
    let config = plan(parent.path());
    let ended = start_or_go_on(&config, data, &mut Silent, &TestClock::default());
    assert_eq!(ended, Ended::Finished);
    results(&config)
}

#[test]
fn killed_at_every_moment_a_run_ends_in_the_same_bits() {
    let data = data();
    let expected = undisturbed(&data);
    assert_eq!(
        expected.files,
        [
            "checkpoints/best.safetensors",
            "checkpoints/last.safetensors",
            "config.toml",
            "log.txt",
            "metrics.jsonl"
        ]
    );
    let epochs: Vec<_> = expected.metrics.iter().map(|m| (m.epoch, m.learning_rate)).collect();
    assert_eq!(epochs, [(1, 0.02), (2, 0.02 * 0.1), (3, 0.02 * 0.010000000000000002)]);
    let last = Checkpoint::from_bytes(&expected.checkpoints[0], Path::new("last")).unwrap();
    assert_eq!((last.progress.epochs_finished, last.progress.steps), (EPOCHS, EPOCHS * STEPS));

    let whole = tempfile::tempdir().unwrap();
    let moments = count_moments(|| {
        start_or_go_on(&plan(whole.path()), &data, &mut Silent, &TestClock::default());
    });
    assert!(moments > 70, "{moments}");
    for index in 0..moments {
        let parent = tempfile::tempdir().unwrap();
        let config = plan(parent.path());
        let run = || start_or_go_on(&config, &data, &mut Silent, &TestClock::default());
        assert_eq!(die_at(index, run), Death::Died);
        assert_eq!(run(), Ended::Finished);
        let results = results(&config);
        assert!(
            results == expected,
            "killed at moment {index} of {moments}: {:?}",
            results.metrics
        );
    }
}

#[test]
fn killed_again_and_again_a_run_ends_in_the_same_bits() {
    let data = data();
    let expected = undisturbed(&data);
    // A life of 20 moments is enough to reach the next checkpoint.
    for life in [20, 23, 31] {
        let parent = tempfile::tempdir().unwrap();
        let config = plan(parent.path());
        let mut lives = 1;
        while die_at(life, || start_or_go_on(&config, &data, &mut Silent, &TestClock::default()))
            == Death::Died
        {
            lives += 1;
            assert!(lives < 50, "the run does not get on with lives of {life} moments");
        }
        assert!(lives > 2, "{lives}");
        assert!(results(&config) == expected, "with lives of {life} moments");
    }
}

#[test]
fn broken_off_after_any_batch_a_run_ends_in_the_same_bits() {
    let data = data();
    let expected = undisturbed(&data);
    let mut broken = 0;
    for batches in 1..=EPOCHS * STEPS {
        let parent = tempfile::tempdir().unwrap();
        let config = plan(parent.path());
        let clock = TestClock::default();
        let ended = start_or_go_on(&config, &data, &mut BreakAfter(batches), &clock);
        assert_eq!(ended, Ended::Interrupted);
        let folder = RunFolder::open(&run_folder(&config).unwrap()).unwrap();
        let saved = Checkpoint::read(&folder.last_checkpoint()).unwrap().progress;
        assert_eq!(saved.steps, batches);
        start_or_go_on(&config, &data, &mut Silent, &clock);
        assert!(results(&config) == expected, "broken off after {batches} batches");
        broken += 1;
    }
    assert_eq!(broken, 12);
}

/// With an average of the weights, momentum, and images that chance alters.
#[test]
fn modern_runs_end_in_the_same_bits_too() {
    let data = data();
    let expected = undisturbed_by(modern_plan, &data);
    let last = Checkpoint::from_bytes(&expected.checkpoints[0], Path::new("last")).unwrap();
    assert_ne!(last.training.as_ref().unwrap(), &last.model);
    let whole = tempfile::tempdir().unwrap();
    let moments = count_moments(|| {
        start_or_go_on(&modern_plan(whole.path()), &data, &mut Silent, &TestClock::default());
    });
    // Every third: the others are like their neighbours, and the plain run dies at each.
    for index in (0..moments).step_by(3) {
        let parent = tempfile::tempdir().unwrap();
        let config = modern_plan(parent.path());
        let run = || start_or_go_on(&config, &data, &mut Silent, &TestClock::default());
        assert_eq!(die_at(index, run), Death::Died);
        assert_eq!(run(), Ended::Finished);
        assert!(results(&config) == expected, "killed at moment {index} of {moments}");
    }
    for batches in 1..=EPOCHS * STEPS {
        let parent = tempfile::tempdir().unwrap();
        let config = modern_plan(parent.path());
        let clock = TestClock::default();
        let ended = start_or_go_on(&config, &data, &mut BreakAfter(batches), &clock);
        assert_eq!(ended, Ended::Interrupted);
        start_or_go_on(&config, &data, &mut Silent, &clock);
        assert!(results(&config) == expected, "broken off after {batches} batches");
    }
}

/// The values of a tensor; counters as they are.
fn wide(tensor: &StateTensor) -> Vec<f64> {
    match &tensor.data {
        StateData::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        StateData::I64(values) => values.iter().map(|&value| value as f64).collect(),
    }
}

/// The average of what the checkpoints after every step say is the network of the checkpoint, and it is
/// what was evaluated.
#[test]
fn the_averaged_network_is_evaluated_and_saved() {
    let [train, test] = data();
    let config = modern_plan(Path::new("."));
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    assert_eq!(trainer.checkpoint().training, None, "no average before the first step");
    let mut averages: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for step in 0..STEPS {
        trainer.run(None, &mut BreakAfter(1), &TestClock::default()).unwrap();
        let checkpoint = trainer.checkpoint();
        let own = checkpoint.training.unwrap();
        assert_eq!(own.len(), checkpoint.model.len());
        for (name, now) in &own {
            let is_counter = matches!(now.data, StateData::I64(_));
            let average = averages.entry(name.clone()).or_insert_with(|| wide(now));
            for (average, now) in average.iter_mut().zip(wide(now)) {
                *average = if is_counter { now } else { 0.75 * *average + 0.25 * now };
            }
            for (found, expected) in wide(&checkpoint.model[name]).iter().zip(average) {
                assert!((found - *expected).abs() < 1e-5, "{name} after step {step}");
            }
        }
        assert!(step == 0 || own != checkpoint.model);
    }
    let mut one_epoch = config.clone();
    one_epoch.recipe.epochs = 2;
    let mut trainer = Trainer::new(&one_epoch, &train, &test, &Device::cpu()).unwrap();
    trainer.run(None, &mut Silent, &TestClock::default()).unwrap();
    let checkpoint = trainer.checkpoint();
    let mut averaged = checkpoint.network(&Device::cpu()).unwrap();
    let Recipe { batch_size, loss, .. } = one_epoch.recipe;
    let found = evaluate(&mut averaged, &test, batch_size, loss).unwrap();
    let record = checkpoint.progress;
    assert_eq!(record.epochs_finished, 2);
    let again = evaluate(&mut trainer.averaged().unwrap().unwrap(), &test, 7, loss).unwrap();
    assert_eq!(found.hits, again.hits);
}

/// A checkpoint says which of its networks is which; one without an average has one.
#[test]
fn a_second_network_without_an_average_is_refused() {
    let [train, test] = data();
    let config = modern_plan(Path::new("."));
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    trainer.run(None, &mut BreakAfter(1), &TestClock::default()).unwrap();
    let good = trainer.checkpoint();
    let resume = |checkpoint: &Checkpoint| {
        let file = Path::new("last.safetensors");
        let checkpoint = Checkpoint::from_bytes(&checkpoint.to_bytes(), file)?;
        Trainer::resume(&config, &checkpoint, &train, &test, &Device::cpu())
    };
    resume(&good).unwrap();
    let mut without = good.clone();
    without.recipe.ema_decay = None;
    let error = resume(&without).unwrap_err().to_string();
    assert!(error.contains("training.") && error.contains("not averaged"), "{error}");
    let mut lacking = good;
    lacking.training.as_mut().unwrap().remove("features.2.weight").unwrap();
    let error = resume(&lacking).unwrap_err().to_string();
    assert!(error.contains("training.features.2.weight"), "{error}");
}

/// Rates that change with every step, whatever epoch it is in.
#[test]
fn every_step_has_the_rate_of_the_schedule() {
    struct Rates(Vec<f64>);
    impl Observer for Rates {
        fn on_batch(&mut self, batch: &TrainBatch) -> ControlFlow<()> {
            self.0.push(batch.learning_rate);
            ControlFlow::Continue(())
        }
    }
    let [train, test] = data();
    let mut config = plan(Path::new("."));
    config.recipe.scheduler = Scheduler::Cosine;
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    let mut rates = Rates(vec![]);
    trainer.run(None, &mut rates, &TestClock::default()).unwrap();
    let schedule = config.recipe.schedule(STEPS);
    let expected: Vec<f64> = (0..EPOCHS * STEPS).map(|step| schedule.learning_rate(step)).collect();
    assert_eq!(rates.0, expected);
}

/// A run that is done stays as it is, and more epochs go on from there.
#[test]
fn finished_runs_go_on_for_more_epochs_only() {
    let data = data();
    let expected = undisturbed(&data);
    let parent = tempfile::tempdir().unwrap();
    let mut config = plan(parent.path());
    let clock = TestClock::default();
    config.recipe.epochs = 2;
    start_or_go_on(&config, &data, &mut Silent, &clock);
    let two = results(&config);
    assert_eq!(start_or_go_on(&config, &data, &mut BreakAfter(1), &clock), Ended::Finished);
    assert!(results(&config) == two);

    config.recipe.epochs = EPOCHS;
    let folder = RunFolder::open(&run_folder(&config).unwrap()).unwrap();
    folder.write_config(&config).unwrap();
    start_or_go_on(&config, &data, &mut Silent, &clock);
    // The recipe in an old best checkpoint says 2 epochs; the last one is the same.
    assert!(results(&config).checkpoints[0] == expected.checkpoints[0]);
    assert_eq!(results(&config).metrics, expected.metrics);
}

#[test]
fn checkpoints_after_seconds() {
    struct Count(u64);
    impl Observer for Count {
        fn on_checkpoint(&mut self, _: &Path) {
            self.0 += 1;
        }
    }
    /// A second per look.
    struct SlowClock(TestClock);
    impl Clock for SlowClock {
        fn elapsed(&self) -> Duration {
            self.0.elapsed() * 1000
        }
        fn now(&self) -> Timestamp {
            self.0.now()
        }
    }
    let [train, test] = data();
    let mut written = vec![];
    for (seconds, steps) in [(None, None), (Some(1), None), (None, Some(1))] {
        let parent = tempfile::tempdir().unwrap();
        let mut config = plan(parent.path());
        (config.run.checkpoint_seconds, config.run.checkpoint_steps) = (seconds, steps);
        config.recipe.epochs = 1;
        let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
        let clock = SlowClock(TestClock::default());
        let folder = RunFolder::create(&config, clock.now()).unwrap();
        let mut count = Count(0);
        trainer.run(Some(&folder), &mut count, &clock).unwrap();
        written.push(count.0);
    }
    // Best and last at the end; one more after each batch.
    assert_eq!(written, [2, 2 + STEPS, 2 + STEPS]);
}
