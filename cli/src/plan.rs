//! What a segmentation will take: windows, seconds and memory, before its zoom-in pass begins.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

use indicatif::ProgressBar;
use segvol::report::PlanReport;
use segvol::{Follower, Progress, Prompt, WindowPlan};
use segvol_base::{machine, printable};
use segvol_tuning::Expected;

/// Follows a segmentation: moves the progress bar, and finds out what the rest will take.
pub(crate) struct Watch<'a> {
    pub(crate) bar: &'a ProgressBar,
    /// What was measured on this machine; if nothing was, the first window of the zoom-in pass is the measure.
    pub(crate) expected: Option<Expected>,
    /// Bytes of the masks that will be written.
    pub(crate) mask_bytes: u64,
    /// Whether to stop as soon as it is known what the rest will take.
    pub(crate) only_plan: bool,
    plan: Option<PlanReport>,
    first_window: Option<Instant>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(bar: &'a ProgressBar, expected: Option<Expected>, mask_bytes: u64, only_plan: bool) -> Self {
        Self { bar, expected, mask_bytes, only_plan, plan: None, first_window: None }
    }

    /// The plan; `None` if the segmentation failed before it was made.
    pub(crate) fn into_plan(self) -> Option<PlanReport> {
        self.plan
    }

    fn go_on(&self) -> ControlFlow<()> {
        let known = self.plan.as_ref().is_some_and(|plan| plan.expected_s.is_some());
        if self.only_plan && known { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Follower for Watch<'_> {
    fn planned(&mut self, windows: &WindowPlan) -> ControlFlow<()> {
        let seconds = |expected: &Expected| {
            let decode_ms = expected.decode_ms.unwrap_or(0.0) * windows.decodes as f64;
            (expected.encode_ms * windows.windows_to_encode as f64 + decode_ms) / 1e3
        };
        let nothing = (windows.windows == 0).then_some(0.0);
        self.plan = Some(PlanReport {
            expected_s: nothing.or_else(|| self.expected.as_ref().map(seconds)),
            expected_from: if self.expected.is_some() { "stored benchmark" } else { "first window" },
            peak_memory_bytes: machine::peak_resident_bytes()
                .map(|bytes| bytes + windows.memory_bytes + self.mask_bytes),
            windows: windows.clone(),
        });
        self.first_window = Some(Instant::now());
        self.go_on()
    }

    fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        self.bar.set_length(progress.total as u64);
        self.bar.set_position(progress.done as u64);
        if let (2, Some(start), Some(plan)) = (progress.done, self.first_window, &mut self.plan) {
            // Windows whose embeddings are known take less; which windows these are is not known here.
            plan.expected_s.get_or_insert(start.elapsed().as_secs_f64() * plan.windows.windows as f64);
        }
        self.go_on()
    }
}

/// Prints a plan.
pub(crate) fn print(out: &mut impl Write, prompts: &[Prompt], plan: &PlanReport) -> std::io::Result<()> {
    let WindowPlan { windows, windows_to_encode, decodes, windows_per_object, .. } = &plan.windows;
    writeln!(out, "windows: {windows} after the zoom-out window, {windows_to_encode} of them to encode")?;
    for (prompt, count) in prompts.iter().zip(windows_per_object) {
        writeln!(out, "  {}: {count}", printable(prompt.name()))?;
    }
    writeln!(out, "masks to decode: {decodes}")?;
    match plan.expected_s {
        Some(seconds) => {
            writeln!(out, "time after the zoom-out window: about {seconds:.1} s, by the {}", plan.expected_from)?
        }
        None => writeln!(out, "time: not known")?,
    }
    match plan.peak_memory_bytes {
        Some(bytes) => writeln!(out, "memory: about {} MiB at its peak", bytes.div_ceil(1 << 20)),
        None => writeln!(out, "memory: not known on this system"),
    }
}
