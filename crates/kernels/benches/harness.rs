//! Measures closures and prints their rates. `--cpu` counts the processor time of all threads (Linux): for a busy machine.

use std::sync::OnceLock;
use std::time::Instant;

use fewbit_formats::CounterRng;

/// Seeded values in [-1, 1], or integers up to `codes`.
pub fn values(key: u64, len: usize, codes: f32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    CounterRng::new(1, key).fill_uniform(0, &mut values);
    for v in &mut values {
        *v = 2.0 * *v - 1.0;
        if codes > 0.0 {
            *v = (*v * codes).round_ties_even();
        }
    }
    values
}

pub struct Bench {
    filters: Vec<String>,
    clock: fn() -> f64,
    /// Seconds of a run, at least: processor time is counted in ticks.
    shortest: f64,
}

impl Bench {
    /// Reads the arguments and starts the threads.
    pub fn new() -> Self {
        let filters = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
        let threads = std::env::args()
            .find_map(|a| a.strip_prefix("--threads=").and_then(|t| t.parse().ok()));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
        pool.build_global().expect("the first pool of the process");
        print(&format!(
            "{}, {} threads",
            fewbit_kernels::Isa::current(),
            rayon::current_num_threads()
        ));
        let (clock, shortest): (fn() -> f64, f64) = if std::env::args().any(|a| a == "--cpu") {
            (processor_time, 0.05)
        } else {
            (wall_time, 0.005)
        };
        Self { filters, clock, shortest }
    }

    /// Prints the best and the median rate, `work` operations a call.
    pub fn run(&self, name: &str, work: f64, unit: &str, mut f: impl FnMut()) {
        if !self.filters.is_empty() && !self.filters.iter().any(|filter| name.contains(filter)) {
            return;
        }
        f();
        let measure = |f: &mut dyn FnMut()| {
            let start = (self.clock)();
            f();
            (self.clock)() - start
        };
        let once = measure(&mut f).max(1e-9);
        let repetitions = (self.shortest / once).clamp(1.0, 10_000.0) as usize;
        let runs = (0.5 / (once * repetitions as f64)).clamp(3.0, 21.0) as usize;
        let mut seconds: Vec<f64> = (0..runs)
            .map(|_| measure(&mut || (0..repetitions).for_each(|_| f())) / repetitions as f64)
            .collect();
        seconds.sort_by(f64::total_cmp);
        let (best, median) = (seconds[0], seconds[seconds.len() / 2]);
        let show = |seconds: f64| {
            format!("{:9.1} us {:7.1} G{unit}/s", seconds * 1e6, work / seconds / 1e9)
        };
        print(&format!("{name:>36}  best {}, median {}", show(best), show(median)));
    }
}

#[allow(clippy::print_stdout, reason = "a benchmark prints")]
fn print(line: &str) {
    println!("{line}");
}

fn wall_time() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

fn processor_time() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has processes in /proc");
    let nanoseconds = tasks.map(|task| {
        let path = task.expect("the tasks can be listed").path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default()
    });
    nanoseconds.sum::<f64>() / 1e9
}
