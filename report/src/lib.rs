//! One page about evaluations: what was evaluated, statistics, box plots, paired comparisons, and pictures of the worst objects. Another
//! about a cohort: volumes, outliers, failures, and pictures of the strangest scans.
//!
//! A page is one HTML file that needs nothing else. Its Content-Security-Policy allows its own style and the pictures inside it, so
//! no request leaves it even if a name in a file were taken for markup; and every name is escaped. There is no script and no
//! clock: the same input gives the same bytes.

#![forbid(unsafe_code)]

mod box_plot;
mod cohort;
mod evaluated;
mod figure_plot;
mod frame;
mod page;
mod settings;
mod tables;
mod text;
mod volume_plot;
mod worst;

use std::path::Path;

pub use cohort::{CohortPage, CohortPicture};
pub use page::Page;

/// Whether a file can be a page by its name: `.html` or `.htm`, in upper or lower case.
#[must_use]
pub fn is_page_name(path: &Path) -> bool {
    path.extension().is_some_and(|name| name.eq_ignore_ascii_case("html") || name.eq_ignore_ascii_case("htm"))
}
