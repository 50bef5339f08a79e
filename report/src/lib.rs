//! One page about evaluations: what was evaluated, statistics, box plots, paired comparisons, and pictures of the worst objects.
//!
//! The page is one HTML file that needs nothing else. Its Content-Security-Policy allows its own style and the pictures inside it, so
//! no request leaves it even if a name in a results file were taken for markup; and every name is escaped. There is no script and no
//! clock: the same results give the same bytes.

#![forbid(unsafe_code)]

mod box_plot;
mod evaluated;
mod page;
mod tables;
mod text;
mod worst;

use std::path::Path;

pub use page::Page;

/// Whether a file can be a page by its name: `.html` or `.htm`, in upper or lower case.
#[must_use]
pub fn is_page_name(path: &Path) -> bool {
    path.extension().is_some_and(|name| name.eq_ignore_ascii_case("html") || name.eq_ignore_ascii_case("htm"))
}
