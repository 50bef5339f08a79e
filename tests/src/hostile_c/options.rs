//! Options for opening a bundle.

use std::ffi::{CString, c_char};
use std::ptr;

use segvol::{AxisCodes, Provider};
use segvol_capi::model::{SegvolModel, segvol_model_open};
use segvol_capi::options::{SegvolOptions, segvol_options_init};
use segvol_capi::status::SegvolStatus;
use segvol_onnx::{Precision, Stage};

use super::{Recipe, init, is_good, message, nowhere, pointer, put, refused};

/// An array of strings, and the length that is claimed for it.
struct Texts {
    texts: Vec<Option<CString>>,
    pointers: Vec<*const c_char>,
    /// Whether NULL is passed instead of the array.
    null: bool,
    len: usize,
}

impl Texts {
    fn read(recipe: &mut Recipe<'_>) -> Self {
        let kind = recipe.byte();
        let count = if kind < 200 { kind % 4 } else { 0 };
        let texts: Vec<Option<CString>> = (0..count).map(|_| recipe.text()).collect();
        let pointers = texts.iter().map(pointer).collect();
        let len = match kind {
            ..200 => texts.len(),
            200..220 => isize::MAX as usize / size_of::<usize>() + 1 + usize::from(kind),
            _ => recipe.number() as usize,
        };
        Self { texts, pointers, null: kind >= 220, len }
    }

    fn as_ptr(&self) -> *const *const c_char {
        if self.null { ptr::null() } else { self.pointers.as_ptr() }
    }

    fn problem(&self) -> Option<SegvolStatus> {
        let too_long = self.len != self.texts.len();
        match self.null {
            true => (self.len > 0).then_some(SegvolStatus::Null),
            false => too_long.then_some(SegvolStatus::Argument),
        }
    }
}

/// Opens a bundle that does not exist, because the options are read first.
pub(crate) fn options(bytes: &[u8]) {
    let mut recipe = Recipe(bytes);
    init(&mut recipe, segvol_options_init);
    let said = recipe.size::<SegvolOptions>();
    let (provider, precision, library) = (recipe.text(), recipe.text(), recipe.text());
    // The library never exists, so that none is loaded.
    let library = library.map(|name| [b"/nonexistent/", name.as_bytes()].concat());
    let library = library.and_then(|path| CString::new(path).ok());
    let (options, stages) = (Texts::read(&mut recipe), Texts::read(&mut recipe));
    let given = SegvolOptions {
        size: said.0,
        provider: pointer(&provider),
        precision: pointer(&precision),
        library: pointer(&library),
        provider_options: options.as_ptr(),
        provider_options_len: options.len,
        stage_providers: stages.as_ptr(),
        stage_providers_len: stages.len,
        threads: recipe.number() as usize,
        cache_bytes: recipe.number() as usize,
        overlap: recipe.real(),
        zoom_in: recipe.int(),
        orientation: recipe.int(),
        profile: recipe.int(),
        straighten: recipe.int(),
        axes: ptr::null(),
        embeddings: ptr::null(),
        embeddings_bytes: 0,
        effort: 1,
        independent: 0,
        threshold: 0.5,
    };
    let axes = recipe.text();
    // The folder never exists, and no scan is prepared that would make it.
    let embeddings = recipe.text().map(|name| [b"/nonexistent/", name.as_bytes()].concat());
    let embeddings = embeddings.and_then(|path| CString::new(path).ok());
    let embeddings_bytes = recipe.number();
    let (axes_of, folder) = (pointer(&axes), pointer(&embeddings));
    let (effort, independent) = (recipe.int(), recipe.int());
    let threshold = recipe.real();
    let given =
        SegvolOptions { axes: axes_of, embeddings: folder, embeddings_bytes, effort, independent, threshold, ..given };
    let read_effort = said.0 >= std::mem::offset_of!(SegvolOptions, independent);
    let read_independent = said.0 >= std::mem::offset_of!(SegvolOptions, threshold);
    let read_threshold = said.0 >= size_of::<SegvolOptions>();
    // The structs of older programs do not have all fields.
    let axes = axes.filter(|_| said.0 >= std::mem::offset_of!(SegvolOptions, embeddings));
    let embeddings = embeddings.filter(|_| said.0 >= std::mem::offset_of!(SegvolOptions, embeddings_bytes));

    let mut problems = Vec::new();
    let mut problem = |status: SegvolStatus, there: bool| {
        if there {
            problems.push(status);
        }
    };
    let flags = (0..=1).contains(&given.zoom_in)
        && (0..=1).contains(&given.straighten)
        && (0..=4).contains(&given.profile)
        && (0..=2).contains(&given.orientation)
        && (!read_effort || (0..=2).contains(&given.effort))
        && (!read_independent || (0..=1).contains(&given.independent));
    problem(SegvolStatus::Argument, axes.is_some() && given.orientation != 2);
    problem(SegvolStatus::Argument, !is_good::<SegvolOptions>(said) || !flags);
    let stored_only = (2..=4).contains(&given.profile);
    problem(SegvolStatus::Option, stored_only && (given.orientation == 0 || axes.is_some()));
    problem(SegvolStatus::Option, given.straighten == 1 && (1..=4).contains(&given.profile));
    problem(SegvolStatus::Option, given.overlap != -1.0 && !(0.0..=0.95).contains(&given.overlap));
    let is_probability = given.threshold > 0.0 && given.threshold < 1.0;
    problem(SegvolStatus::Option, read_threshold && !is_probability);
    for text in [&provider, &precision, &library, &axes, &embeddings].into_iter().flatten() {
        problem(SegvolStatus::Utf8, text.to_str().is_err());
    }
    let known = |name: &str| name.parse::<Provider>().ok();
    let named = |text: &Option<CString>| text.as_ref().and_then(|text| text.to_str().ok().map(str::to_owned));
    problem(SegvolStatus::ProviderUnknown, named(&provider).is_some_and(|name| known(&name).is_none()));
    problem(SegvolStatus::Option, named(&precision).is_some_and(|name| name.parse::<Precision>().is_err()));
    problem(SegvolStatus::Option, named(&axes).is_some_and(|codes| codes.parse::<AxisCodes>().is_err()));
    for array in [&options, &stages] {
        problem(SegvolStatus::Null, array.texts.iter().any(Option::is_none));
        problem(SegvolStatus::Utf8, array.texts.iter().flatten().any(|text| text.to_str().is_err()));
        if let Some(status) = array.problem() {
            problem(status, true);
        }
    }
    for text in stages.texts.iter().filter_map(named) {
        let (stage, name) = text.split_once('=').unwrap_or((&text, ""));
        let stage = Stage::ALL.into_iter().any(|known| known.name() == stage);
        let unknown = !stage || known(name).is_none();
        problem(SegvolStatus::ProviderUnknown, unknown);
        problem(SegvolStatus::Option, known(name) == Some(Provider::Auto));
    }
    let certain = !problems.is_empty();
    if !options.texts.is_empty() {
        problems.push(SegvolStatus::ProviderOption); // Possible: each provider has its own options.
    }
    if !certain {
        problems.push(SegvolStatus::Bundle);
    }

    let mut placed = Vec::new();
    put(&mut placed, 0, &given, said);
    let mut model: *mut SegvolModel = nowhere();
    let bundle = c"/nonexistent/bundle";
    // SAFETY: the struct is as long as it claims, and its strings live above.
    let status = unsafe { segvol_model_open(bundle.as_ptr(), placed.as_ptr().cast(), &mut model) };
    assert_eq!(model, nowhere(), "written by a call that failed");
    refused(status, &message(), &problems, if status == SegvolStatus::Bundle { "bundle" } else { "options" });
}
