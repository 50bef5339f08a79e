//! Runs every stage once before the first request, because the first run of a graph takes longer.

use segvol::volume::Affine;
use segvol::{Model, Names, PointLabel, Prompt, StudyOptions, Volume};

/// Voxels of each side of the scan, more than a window has.
const SIDE: usize = 64;

/// Segments something in a ball, with every kind of prompt that the model takes.
pub(crate) fn warm_up(model: &Model, options: &StudyOptions) -> Result<(), segvol::Error> {
    let middle = SIDE as f64 / 2.0;
    let inside = |n: usize| {
        let at = [n % SIDE, n / SIDE % SIDE, n / SIDE / SIDE];
        at.iter().map(|&i| (i as f64 - middle).powi(2)).sum::<f64>() < (middle * 0.8).powi(2)
    };
    // Without contrast, a scan is refused.
    let voxels = (0..SIDE.pow(3)).map(|n| if inside(n) { (n % SIDE) as f32 } else { -1000.0 }).collect();
    let rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    let volume = Volume::new([SIDE; 3], voxels, Affine::new(rows))?;
    let name = model.names().and_then(|names| Names::list(names).first()).map_or("liver", |name| name.name.as_str());
    let (low, high) = (middle * 0.5, middle * 1.5);
    let prompts = [
        Prompt::text(name),
        Prompt::new().named("point").point([middle; 3], PointLabel::Foreground),
        Prompt::new().named("box").bounding_box([low; 3], [high; 3]),
    ];
    let study = model.study_with(volume, options)?;
    for prompt in prompts.iter().filter(|prompt| options.profile.check(prompt).is_ok()) {
        study.segment(prompt)?;
    }
    Ok(())
}
