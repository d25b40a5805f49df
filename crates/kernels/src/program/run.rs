//! A program on some images: which blocks are computed when, and by which thread.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::form::Form;
use super::product::Class;
use super::sink::{Rows, store_plane, stored};
use super::{Program, Sink, Source, Stage, Step};
#[cfg(target_arch = "x86_64")]
use super::{chain::Chain, registers};
use crate::scratch::{self, Line};
use crate::tile::{COLUMNS, Output, ROWS};

/// Pixels in a block.
const BLOCK: usize = 4 * ROWS;

/// Pixels that use a panel of weights before the next one comes, about.
const SPAN: usize = 8 * BLOCK;

/// Words of tensors that one thread works on at a time, about: they stay in its cache.
const CACHED: usize = 1 << 18;

/// Words that are multiplied by one thread rather than handed out.
const ALONE: usize = 1 << 19;

/// The tensors between the stages, for some images.
#[derive(Debug)]
pub(super) struct Workspace {
    images: usize,
    buffers: Vec<Vec<Line>>,
}

impl Workspace {
    fn new(forms: &[Form], images: usize) -> Self {
        let buffer = |form: &Form| {
            let mut lines = vec![Line::ZERO; (images * form.len()).div_ceil(Line::WORDS)];
            if form.zero() != 0 {
                scratch::words_mut(&mut lines).fill(form.zero());
            }
            lines
        };
        Self { images, buffers: forms.iter().map(buffer).collect() }
    }
}

/// How many images a thread computes together, if there are many.
pub(super) fn images_together(stages: &[Stage], forms: &[Form]) -> usize {
    // The largest stage: what it reads and what it writes.
    let words = |stage: &Stage| -> usize {
        let form = |form: usize| forms[form].len();
        let read = match &stage.source {
            Source::Input => stage.channels * stage.pixels(),
            Source::Product(product) => form(product.form()),
            Source::Window(window) => form(window.form()),
            Source::Tensor { form: index, .. } => form(*index),
        };
        let written = |sink: &Sink| match *sink {
            Sink::Form(index) => form(index),
            Sink::Output { .. } => stage.channels * stage.pixels(),
        };
        read + stage.sinks.iter().map(written).sum::<usize>()
    };
    let largest = stages.iter().map(words).max().unwrap_or(1).max(1);
    (CACHED / largest).clamp(4, 256)
}

pub(super) fn run(
    program: &Program,
    input: &[f32],
    images: usize,
    outputs: &mut [Vec<f32>],
) -> bool {
    assert_eq!(input.len(), images * program.input, "values of {images} images");
    assert_eq!(outputs.len(), program.outputs.len(), "outputs");
    for (output, &len) in outputs.iter().zip(&program.outputs) {
        assert_eq!(output.len(), images * len, "an output of {images} images");
    }
    let outputs: Vec<Output<'_>> = outputs.iter_mut().map(|output| Output::new(output)).collect();
    let threads =
        if images.saturating_mul(program.work) < ALONE { 1 } else { rayon::current_num_threads() };
    let together = program.together;
    let job = |first: usize, count: usize, shared: bool| {
        with_workspace(program, count, |buffers| {
            let run = Run {
                program,
                buffers,
                outputs: &outputs,
                input: &input[first * program.input..][..count * program.input],
                first,
                images: count,
                misfit: AtomicBool::new(false),
            };
            if shared { run.shared(threads) } else { run.alone() }
        })
    };
    if threads == 1 {
        return (0..images)
            .step_by(together)
            .all(|first| job(first, together.min(images - first), false));
    }
    if images < 4 * threads {
        return (0..images)
            .step_by(together)
            .all(|first| job(first, together.min(images - first), true));
    }
    // Chunks of the same size, a whole number for each thread, as far as that goes.
    let chunks = images.div_ceil(together).next_multiple_of(threads);
    let size = images.div_ceil(chunks);
    let starts: Vec<usize> = (0..images).step_by(size).collect();
    starts.into_par_iter().with_max_len(1).all(|first| job(first, size.min(images - first), false))
}

/// Lends the buffers of a workspace for so many images.
fn with_workspace<R>(program: &Program, images: usize, f: impl FnOnce(&[Output<'_>]) -> R) -> R {
    let lock = || program.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = lock().pop().filter(|workspace| workspace.images >= images);
    let mut workspace = kept.unwrap_or_else(|| Workspace::new(&program.forms, images));
    let views: Vec<Output<'_>> = workspace
        .buffers
        .iter_mut()
        .map(|lines| Output::of_words(scratch::words_mut(lines)))
        .collect();
    let result = f(&views);
    lock().push(workspace);
    result
}

/// Some images on their way through a program.
struct Run<'a> {
    program: &'a Program,
    buffers: &'a [Output<'a>],
    outputs: &'a [Output<'a>],
    input: &'a [f32],
    /// Number of the first image among all.
    first: usize,
    images: usize,
    misfit: AtomicBool,
}

/// Values of a block, where registers like to find them.
#[repr(align(64))]
struct Block([f32; BLOCK * COLUMNS]);

/// A part of a stage.
#[derive(Clone)]
struct Part<'a> {
    class: Option<&'a Class>,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
}

impl Run<'_> {
    /// All stages by this thread. False if a value did not fit.
    fn alone(&self) -> bool {
        self.program.stages.iter().enumerate().all(|(index, stage)| {
            self.parts(stage).iter().for_each(|part| self.part(index, part));
            !self.misfit.load(Ordering::Relaxed)
        })
    }

    /// All stages, each by whichever of so many threads come. False if a value did not fit.
    fn shared(&self, threads: usize) -> bool {
        let stages: Vec<Shared<'_>> =
            self.program.stages.iter().map(|stage| self.share(stage, threads)).collect();
        // Threads that come late, or never, leave the work to the others.
        rayon::in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| self.take_part(&stages));
            }
            self.take_part(&stages);
        });
        !self.misfit.load(Ordering::Relaxed)
    }

    fn share<'b>(&self, stage: &'b Stage, threads: usize) -> Shared<'b> {
        let mut parts = self.parts(stage);
        let pays = self.images * stage.work() >= ALONE / 4;
        if pays && !matches!(stage.source, Source::Input) {
            let heavy = match &stage.source {
                Source::Product(product) => product.is_heavy(self.images),
                _ => false,
            };
            parts = parts.iter().flat_map(|part| part.split(heavy, PARTS * threads)).collect();
            // The longest first, so that nobody is left with one in the end.
            parts.sort_by_key(|part| std::cmp::Reverse(part.rows.len() * part.panels.len()));
        }
        Shared { parts, next: AtomicUsize::new(0), done: AtomicUsize::new(0) }
    }

    /// Computes parts of one stage after the other until there are no more.
    fn take_part(&self, stages: &[Shared<'_>]) {
        for (index, shared) in stages.iter().enumerate() {
            while let Some(part) = shared.parts.get(shared.next.fetch_add(1, Ordering::Relaxed)) {
                let _done = Done(&shared.done);
                self.part(index, part);
            }
            // Only for parts that somebody is at.
            let mut turns = 0;
            while shared.done.load(Ordering::Acquire) < shared.parts.len() {
                turns += 1;
                if turns < TURNS { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
            if self.misfit.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// The pixels of a stage by the taps that they see.
    fn parts<'b>(&self, stage: &'b Stage) -> Vec<Part<'b>> {
        let panels = 0..stage.channels.div_ceil(COLUMNS);
        match &stage.source {
            Source::Product(product) => product
                .classes(self.images)
                .iter()
                .map(|class| Part {
                    class: Some(class),
                    rows: 0..self.images * class.pixels.len(),
                    panels: panels.clone(),
                })
                .collect(),
            _ => vec![Part { class: None, rows: 0..self.images * stage.pixels(), panels }],
        }
    }

    fn part(&self, index: usize, part: &Part<'_>) {
        let stage = &self.program.stages[index];
        if matches!(stage.source, Source::Input) {
            return self.planes(stage);
        }
        if self.largest_bytes(stage, part) {
            return;
        }
        let mut block = Block([0.0; BLOCK * COLUMNS]);
        for span in part.rows.clone().step_by(SPAN) {
            let end = (span + SPAN).min(part.rows.end);
            for panel in part.panels.clone() {
                for first in (span..end).step_by(BLOCK) {
                    let count = (end - first).min(BLOCK);
                    self.block(
                        index,
                        part.class,
                        first..first + count,
                        panel,
                        &mut block.0[..count * COLUMNS],
                    );
                }
            }
        }
    }

    /// Takes the largest codes as they are, if a stage does no more than that.
    fn largest_bytes(&self, stage: &Stage, part: &Part<'_>) -> bool {
        let (Source::Window(window), [], &[Sink::Form(to)]) =
            (&stage.source, stage.steps.as_slice(), stage.sinks.as_slice())
        else {
            return false;
        };
        let (from, form) = (&self.program.forms[window.form()], &self.program.forms[to]);
        if !window.is_of_bytes(from) || form.element() != from.element() {
            return false;
        }
        let words = form.panel(part.panels.start)..form.panel(part.panels.end).min(form.words());
        for row in part.rows.clone() {
            let (image, pixel) = (row / stage.pixels(), row % stage.pixels());
            let start = image * form.len() + form.place(pixel) + words.start;
            // SAFETY: each pixel's panels are computed once, by one thread, and nobody reads them before the stage is over.
            let result = unsafe { self.buffers[to].slice(start, words.len()) };
            let place = (image * from.len(), pixel, words.start);
            window.largest(self.program.level, self.buffers[window.form()], place, result);
        }
        true
    }

    fn block(
        &self,
        index: usize,
        class: Option<&Class>,
        rows: std::ops::Range<usize>,
        panel: usize,
        block: &mut [f32],
    ) {
        let (level, stage) = (self.program.level, &self.program.stages[index]);
        #[cfg(target_arch = "x86_64")]
        let chain = self.program.chains[index].as_ref();
        #[cfg(not(target_arch = "x86_64"))]
        let chain: Option<&()> = None;
        // Image and pixel of each row.
        let mut places = [(0, 0); BLOCK];
        let places = &mut places[..rows.len()];
        let mut starts = [0; BLOCK];
        let starts = &mut starts[..rows.len()];
        match (&stage.source, class) {
            (Source::Product(product), Some(class)) => {
                let len = self.program.forms[product.form()].len();
                let count = class.pixels.len();
                let (mut image, mut i) = (rows.start / count, rows.start % count);
                for (place, start) in places.iter_mut().zip(&mut *starts) {
                    let (pixel, first) = class.pixels[i];
                    (*place, *start) = ((image, pixel), image * len + first);
                    i += 1;
                    if i == count {
                        (image, i) = (image + 1, 0);
                    }
                }
                #[cfg(target_arch = "x86_64")]
                if let Some(chain) = chain {
                    self.pass(stage, chain, panel, places).fetch();
                }
                product.block(level, self.buffers[product.form()], class, starts, panel, block);
            }
            _ => {
                let count = stage.pixels();
                for (place, row) in places.iter_mut().zip(rows) {
                    *place = (row / count, row % count);
                }
                match &stage.source {
                    Source::Window(window) => {
                        let form = &self.program.forms[window.form()];
                        let (rows, _) = block.as_chunks_mut::<COLUMNS>();
                        for (row, &(image, pixel)) in rows.iter_mut().zip(&*places) {
                            let place = (image, pixel, panel);
                            window.row(level, self.buffers[window.form()], form, place, row);
                        }
                    }
                    Source::Tensor { .. } if chain.is_some() => {}
                    &Source::Tensor { form, scale } => {
                        let rows = self.rows(stage, form, panel, places, starts);
                        // SAFETY: stages read what stages before them have written, which nobody writes meanwhile.
                        unsafe { rows.load(level, block, scale) }
                    }
                    Source::Product(_) | Source::Input => unreachable!("done before"),
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(chain) = chain {
            return self.in_registers(stage, chain, panel, places, block);
        }
        for step in &stage.steps {
            let other = match *step {
                Step::AddTensor { form, .. } => Some(self.rows(stage, form, panel, places, starts)),
                _ => None,
            };
            step.apply(level, block, panel, other);
        }
        for sink in &stage.sinks {
            match *sink {
                Sink::Form(form) => {
                    let rows = self.rows(stage, form, panel, places, starts);
                    // SAFETY: each pixel's panel is computed once, by one thread, and nobody reads it before the stage is over.
                    if !unsafe { rows.store(level, block) } {
                        self.misfit.store(true, Ordering::Relaxed);
                    }
                }
                Sink::Output { index, scale } => {
                    self.output(stage, index, scale, panel, places, block)
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn pass<'b>(
        &'b self,
        stage: &'b Stage,
        chain: &'b Chain,
        panel: usize,
        places: &'b [(usize, usize)],
    ) -> registers::Pass<'b> {
        let (forms, buffers) = (&self.program.forms, self.buffers);
        registers::Pass { stage, chain, forms, buffers, panel, places }
    }

    /// All steps of a block, and its result, in one pass.
    #[cfg(target_arch = "x86_64")]
    fn in_registers(
        &self,
        stage: &Stage,
        chain: &Chain,
        panel: usize,
        places: &[(usize, usize)],
        block: &mut [f32],
    ) {
        let pass = self.pass(stage, chain, panel, places);
        // SAFETY: there are chains only with AVX-512; each pixel's panel is computed once, by one thread, and nobody reads it before the stage is over.
        if !unsafe { pass.run(block) } {
            self.misfit.store(true, Ordering::Relaxed);
        }
        for sink in &stage.sinks {
            if let Sink::Output { index, scale } = *sink {
                self.output(stage, index, scale, panel, places, block);
            }
        }
    }

    /// Where a block lies in a form.
    fn rows<'b>(
        &'b self,
        stage: &Stage,
        form: usize,
        panel: usize,
        places: &[(usize, usize)],
        starts: &'b mut [usize],
    ) -> Rows<'b> {
        let view = self.buffers[form];
        let form = &self.program.forms[form];
        for (start, &(image, pixel)) in starts.iter_mut().zip(places) {
            *start = image * form.len() + form.place(pixel) + form.panel(panel);
        }
        let columns = (stage.channels - panel * COLUMNS).min(COLUMNS);
        Rows { view, element: form.element(), starts, columns }
    }

    /// Writes a block into an output, `[images, channels, pixels]`.
    fn output(
        &self,
        stage: &Stage,
        index: usize,
        scale: f32,
        panel: usize,
        places: &[(usize, usize)],
        block: &[f32],
    ) {
        let columns = (stage.channels - panel * COLUMNS).min(COLUMNS);
        let pixels = stage.pixels();
        let (rows, _) = block.as_chunks::<COLUMNS>();
        for (row, &(image, pixel)) in rows.iter().zip(places) {
            let first = ((self.first + image) * stage.channels + panel * COLUMNS) * pixels + pixel;
            for (i, &v) in row[..columns].iter().enumerate() {
                // SAFETY: each pixel's panel is computed once, by one thread, and nobody reads it before the run is over.
                let word = unsafe { self.outputs[index].slice(first + i * pixels, 1) };
                word[0] = if scale == 1.0 { v } else { v * scale }.to_bits();
            }
        }
    }

    /// The input: values of one channel after the other. By one thread, since neighbouring channels share words.
    fn planes(&self, stage: &Stage) {
        let pixels = stage.pixels();
        let uniform = stage.steps.iter().all(Step::is_uniform);
        let mut block = Block([0.0; BLOCK * COLUMNS]);
        for image in 0..self.images {
            let values = &self.input[image * self.program.input..][..self.program.input];
            if pixels == 1 && uniform {
                for (i, values) in values.chunks(BLOCK * COLUMNS).enumerate() {
                    self.flat(stage, image, i * BLOCK, values, &mut block.0);
                }
                continue;
            }
            for (channel, plane) in values.chunks_exact(pixels.max(1)).enumerate() {
                let steps: Vec<Step> =
                    stage.steps.iter().map(|step| step.of_channel(channel)).collect();
                for (i, values) in plane.chunks(BLOCK * COLUMNS).enumerate() {
                    let block = &mut block.0[..values.len().next_multiple_of(COLUMNS)];
                    block[..values.len()].copy_from_slice(values);
                    for step in &steps {
                        step.apply(self.program.level, block, 0, None);
                    }
                    let first = i * BLOCK * COLUMNS;
                    self.store_channel(stage, image, channel, first, &block[..values.len()]);
                }
            }
        }
    }

    /// Neighbouring channels of an image of one pixel, from panel `panel` on.
    fn flat(&self, stage: &Stage, image: usize, panel: usize, values: &[f32], block: &mut [f32]) {
        let level = self.program.level;
        let block = &mut block[..values.len().next_multiple_of(COLUMNS)];
        block[..values.len()].copy_from_slice(values);
        for step in &stage.steps {
            step.apply(level, block, 0, None);
        }
        for sink in &stage.sinks {
            match *sink {
                Sink::Form(index) => {
                    let form = &self.program.forms[index];
                    let start = image * form.len() + form.place(0) + form.panel(panel);
                    let words = values.len().div_ceil(form.element().words().count());
                    // SAFETY: the input is laid out by one thread.
                    let words = unsafe { self.buffers[index].slice(start, words) };
                    if !stored(level, form.element(), &block[..values.len()], words) {
                        self.misfit.store(true, Ordering::Relaxed);
                    }
                }
                Sink::Output { index, scale } => {
                    for (i, block) in block.chunks_exact(COLUMNS).enumerate() {
                        self.output(stage, index, scale, panel + i, &[(image, 0)], block);
                    }
                }
            }
        }
    }

    fn store_channel(
        &self,
        stage: &Stage,
        image: usize,
        channel: usize,
        first: usize,
        values: &[f32],
    ) {
        let (rows, columns) = stage.size;
        debug_assert!(rows * columns > 0, "an image without pixels");
        for sink in &stage.sinks {
            match *sink {
                Sink::Form(index) => {
                    let form = &self.program.forms[index];
                    // Line by line: between two lines there may be zeros.
                    let mut done = 0;
                    while done < values.len() {
                        let pixel = first + done;
                        let len = (columns - pixel % columns).min(values.len() - done);
                        let start = image * form.len() + form.place(pixel);
                        // SAFETY: the input is laid out by one thread.
                        let fit = unsafe {
                            store_plane(
                                self.buffers[index],
                                form,
                                start,
                                channel,
                                &values[done..done + len],
                            )
                        };
                        if !fit {
                            self.misfit.store(true, Ordering::Relaxed);
                        }
                        done += len;
                    }
                }
                Sink::Output { index, scale } => {
                    let start =
                        ((self.first + image) * stage.channels + channel) * stage.pixels() + first;
                    // SAFETY: the input is laid out by one thread.
                    let out = unsafe { self.outputs[index].slice(start, values.len()) };
                    for (out, &v) in out.iter_mut().zip(values) {
                        *out = if scale == 1.0 { v } else { v * scale }.to_bits();
                    }
                }
            }
        }
    }
}

impl<'a> Part<'a> {
    /// About `count` parts; `heavy` if there is more to read of weights than of the tensor.
    fn split(&self, heavy: bool, count: usize) -> Vec<Part<'a>> {
        let rows = self.rows.len();
        let most = (rows.div_ceil(BLOCK).min(count).max(1), self.panels.len().min(count).max(1));
        // What is split by rows reads all weights in each part; what is split by panels, all of the tensor.
        let (by_rows, by_panels) = if heavy {
            (count.div_ceil(most.1).min(most.0), most.1)
        } else {
            (most.0, count.div_ceil(most.0).min(most.1))
        };
        let size = rows.div_ceil(by_rows).next_multiple_of(ROWS);
        let width = self.panels.len().div_ceil(by_panels);
        let mut parts = Vec::with_capacity(by_rows * by_panels);
        for first in self.rows.clone().step_by(size.max(1)) {
            for panel in self.panels.clone().step_by(width.max(1)) {
                parts.push(Part {
                    class: self.class,
                    rows: first..(first + size).min(self.rows.end),
                    panels: panel..(panel + width).min(self.panels.end),
                });
            }
        }
        parts
    }
}

/// A stage that several threads compute.
#[repr(align(128))]
struct Shared<'a> {
    parts: Vec<Part<'a>>,
    /// The next part that nobody is at.
    next: AtomicUsize,
    /// How many are done.
    done: AtomicUsize,
}

/// Counts a part as done, even if it panics: others wait for it.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Parts of a stage for each thread, about.
const PARTS: usize = 4;

/// How often a thread looks for the end of a stage before it lets others run: some ten microseconds.
const TURNS: usize = 1000;
