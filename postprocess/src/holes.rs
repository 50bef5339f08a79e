//! Holes: what a mask encloses on all sides.

use segvol_base::OutOfMemory;
use segvol_base::memory::check_available;

use crate::components::Components;
use crate::part::Part;
use crate::settings::Neighbours;

/// Fills the holes of a mask, and returns how many there were.
///
/// A hole is a component of the background that does not touch the border of the scan. What connects the background follows from
/// `neighbours`, those of the mask: [`Neighbours::of_background`]. The box around the mask is enough to look at: beyond it there is
/// only background, which reaches the border of the scan.
pub(crate) fn fill(part: &mut Part, neighbours: Neighbours) -> Result<usize, OutOfMemory> {
    check_available::<bool>("the background around the mask", part.inside.len())?;
    let background = part.inside.map(|&inside| !inside);
    let components = Components::of(&background, neighbours.of_background())?;
    let mut open = vec![false; components.len()];
    let [nk, nj, ni]: [usize; 3] = background.dim().into();
    let on_face = |at: usize, n: usize| at == 0 || at + 1 == n;
    for k in 0..nk {
        for j in 0..nj {
            let whole_row = on_face(k, nk) || on_face(j, nj);
            // The two ends of a row, or all of it.
            let step = if whole_row { 1 } else { ni.saturating_sub(1).max(1) };
            for i in (0..ni).step_by(step) {
                if let Some(component) = components.at([k, j, i]) {
                    open[component] = true;
                }
            }
        }
    }
    let mut holes = background;
    let closed: Vec<bool> = open.into_iter().map(|open| !open).collect();
    let filled = components.keep(&mut holes, &closed);
    part.inside.zip_mut_with(&holes, |inside, &hole| *inside |= hole);
    Ok(filled)
}
