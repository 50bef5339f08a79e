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

use std::io::{self, Write as _};
use std::path::Path;

use segvol_base::atomic_file;
use segvol_evaluation::{Comparison, Results, WorstObject};

/// What a page shows.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The results, each with a name that distinguishes it; the name of a single one is not shown.
    pub results: &'a [(String, Results)],
    /// Paired comparisons.
    pub comparisons: &'a [Comparison],
    /// The worst objects of each result, in the order of the results; may be shorter than these.
    pub worst: &'a [Vec<WorstObject>],
    /// What readers must know about the whole, one sentence each: results that could not be compared, for example.
    pub notes: &'a [String],
}

impl Page<'_> {
    /// The page as HTML.
    #[must_use]
    pub fn html(&self) -> String {
        page::html(self).into_string()
    }

    /// Writes the page to a file, whole or not at all.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let html = self.html();
        atomic_file::write(path, |mut file| file.write_all(html.as_bytes()))
    }
}

/// Whether a file can be a page by its name: `.html` or `.htm`, in upper or lower case.
#[must_use]
pub fn is_page_name(path: &Path) -> bool {
    path.extension().is_some_and(|name| name.eq_ignore_ascii_case("html") || name.eq_ignore_ascii_case("htm"))
}
