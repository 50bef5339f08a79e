//! The worst objects with their pictures.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use maud::{Markup, html};
use segvol_evaluation::{Figure, WorstObject};

use crate::text::shown;

pub(crate) fn gallery(objects: &[WorstObject]) -> Markup {
    html! {
        h3 { "Lowest Dice" }
        p { "The objects with the lowest Dice, each by the prompt with its lowest: the contour that was found in colour, the truth as a dashed \
             white line." }
        div.gallery { @for object in objects { (figure(object)) } }
    }
}

fn figure(object: &WorstObject) -> Markup {
    let name = format!("{} in {} by {}", shown(&object.structure), shown(&object.case), object.prompt);
    let figures = Figure::ALL.iter().filter(|figure| **figure != Figure::VolumeErrorRelative).filter_map(|figure| {
        let value = format!("{:.*}", figure.digits(), figure.of(&object.scores)?);
        // A unit comes after the number.
        Some(match figure.title().split_once(", ") {
            Some((title, unit)) => format!("{title} {value} {unit}"),
            None => format!("{} {value}", figure.title()),
        })
    });
    let figures = figures.collect::<Vec<_>>().join(", ");
    html! {
        figure {
            figcaption { strong { (name) } br; (figures) }
            @match &object.picture {
                Ok(png) => img alt={ "Slices through " (name) } src={ "data:image/png;base64," (BASE64_STANDARD.encode(png)) };,
                Err(reason) => p.no-picture { "No picture: " (shown(reason)) },
            }
        }
    }
}
