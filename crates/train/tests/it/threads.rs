//! Results do not depend on the number of threads.

use std::path::Path;

use fewbit_nn::Device;
use fewbit_train::{Loss, Optim, Silent, Trainer};

use crate::{TestClock, glyphs, plan};

#[test]
fn one_two_and_three_threads_end_in_the_same_bits() {
    let data = glyphs(430, 100);
    let cases = [
        ("TFC_1W1A", Optim::Adam, Loss::SquareHinge),
        ("TFC_2W2A", Optim::Sgd, Loss::CrossEntropy),
        // Its parameters are long enough to be split.
        ("LFC_1W2A", Optim::Adam, Loss::SquareHinge),
    ];
    for (network, optim, loss) in cases {
        let run = |threads: usize| {
            let mut config = plan(network, Path::new("."));
            (config.recipe.optim, config.recipe.loss) = (optim, loss);
            (config.recipe.epochs, config.run.num_workers) = (2, threads - 1);
            let [train, test] = &data;
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut trainer = Trainer::new(&config, train, test, &Device::cpu()).unwrap();
                trainer.run(None, &mut Silent, &TestClock::default()).unwrap();
                trainer.checkpoint().to_bytes()
            })
        };
        let alone = run(1);
        assert!(alone == run(2), "{network} with 2 threads");
        assert!(alone == run(3), "{network} with 3 threads");
    }
}
