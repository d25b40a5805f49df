//! What a run leaves in its folder.

use std::fs;

use fewbit_nn::Device;
use fewbit_train::{Checkpoint, Clock, Ended, RunFolder, Silent, Trainer, read_metrics};

use crate::{TestClock, glyphs, plan};

#[test]
fn a_run_folder_holds_all_of_a_run() {
    let parent = tempfile::tempdir().unwrap();
    let mut config = plan("TFC_2W2A", parent.path());
    config.run.log_freq = 3;
    let [train, test] = glyphs(420, 120);
    let clock = TestClock::default();
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    let folder = RunFolder::create(&config, clock.now()).unwrap();
    assert_eq!(trainer.run(Some(&folder), &mut Silent, &clock).unwrap(), Ended::Finished);

    let records = read_metrics(&folder.metrics()).unwrap();
    assert_eq!(
        records.iter().map(|r| (r.epoch, r.steps)).collect::<Vec<_>>(),
        [(1, 9), (2, 18), (3, 27)]
    );
    for record in &records {
        assert!(record.train_loss > 0.0 && record.test_loss > 0.0, "{record:?}");
        assert!((0.0..=100.0).contains(&record.test_top1_percent), "{record:?}");
        assert!(record.test_top1_percent <= record.best_test_top1_percent, "{record:?}");
        assert!(record.test_top1_percent <= record.test_top5_percent, "{record:?}");
        assert!(record.images_per_second > 0.0 && record.seconds > 0.0, "{record:?}");
        // Of 120 images.
        let hits = record.test_top1_percent * 1.2;
        assert!((hits - hits.round_ties_even()).abs() < 1e-9, "{record:?}");
    }

    let best = Checkpoint::read(&folder.best_checkpoint()).unwrap();
    let last = Checkpoint::read(&folder.last_checkpoint()).unwrap();
    assert_eq!((last.progress.epochs_finished, last.progress.steps), (3, 27));
    let of_best = last.progress.best.unwrap();
    assert_eq!(best.progress.best, Some(of_best));
    assert_eq!(best.progress.epochs_finished, of_best.epoch);
    let highest = records.iter().map(|r| r.test_top1_percent).fold(0.0, f64::max);
    assert_eq!(of_best.test_top1_percent, highest);

    let log = fs::read_to_string(folder.log()).unwrap();
    let time = "2025-08-17 22:33:30,000 ";
    assert!(log.lines().all(|line| line.starts_with(time)), "{log}");
    let starting =
        |words: &str| log.lines().filter(|line| line[time.len()..].starts_with(words)).count();
    // Batches 0, 3, 6 and the last, 8.
    assert_eq!((starting("Epoch: [1]["), starting("Epoch: [3][8/9]\tTime ")), (4, 1), "{log}");
    assert_eq!((starting("Test: ["), starting("Test: [2/3]\tModel Time ")), (9, 3), "{log}");
    assert!(starting("Saving checkpoint model to ") >= 4, "{log}");
    let last_test = log.lines().rfind(|line| line.contains("Test: [2/3]")).unwrap();
    let average = format!("({:.3})", records[2].test_top1_percent);
    assert!(last_test.contains("Prec@1 ") && last_test.contains(&average), "{last_test} {average}");
    assert!(last_test.ends_with('\t'), "{last_test:?}");
}

/// `tests/event_files.py read` shows the same with TensorBoard itself.
#[test]
fn the_event_file_has_every_epoch_once() {
    let parent = tempfile::tempdir().unwrap();
    let config = plan("TFC_1W1A", parent.path());
    let [train, test] = glyphs(100, 50);
    let clock = TestClock::default();
    let mut trainer = Trainer::new(&config, &train, &test, &Device::cpu()).unwrap();
    let folder = RunFolder::create(&config, clock.now()).unwrap();
    trainer.run(Some(&folder), &mut Silent, &clock).unwrap();
    let files: Vec<_> = fs::read_dir(folder.tensorboard()).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].file_name(), "events.out.tfevents.1755470010.fewbit");
    let bytes = fs::read(files[0].path()).unwrap();
    let count = |words: &[u8]| bytes.windows(words.len()).filter(|window| *window == words).count();
    assert_eq!(
        (count(b"brain.Event:2"), count(b"loss/test"), count(b"top1_percent/train")),
        (1, 3, 3)
    );
}
