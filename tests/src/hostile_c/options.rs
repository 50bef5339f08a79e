//! How a bundle is to be opened.

use std::ffi::{CString, c_char};
use std::ptr;

use segvol::Provider;
use segvol_capi::model::{SegvolModel, segvol_model_open};
use segvol_capi::options::{SegvolOptions, segvol_options_init};
use segvol_capi::status::SegvolStatus;
use segvol_onnx::{Precision, Stage};

use super::{Recipe, init, is_good, message, nowhere, pointer, put, refused};

/// Texts in an array, and how many there are said to be.
fn texts(recipe: &mut Recipe<'_>) -> (Vec<Option<CString>>, Vec<*const c_char>, usize) {
    let kind = recipe.byte();
    let texts: Vec<Option<CString>> = (0..kind % 4).map(|_| recipe.text()).collect();
    let pointers: Vec<*const c_char> = texts.iter().map(pointer).collect();
    let len = match kind {
        200..=219 => isize::MAX as usize / size_of::<usize>() + 1 + usize::from(kind),
        220.. => recipe.number() as usize,
        _ => texts.len(),
    };
    (texts, pointers, len)
}

/// Options, with which a bundle that is not there is opened: they are read first.
pub(crate) fn options(bytes: &[u8]) {
    let mut recipe = Recipe(bytes);
    init(&mut recipe, segvol_options_init);
    let said = recipe.size::<SegvolOptions>();
    let (provider, precision, library) = (recipe.text(), recipe.text(), recipe.text());
    // No library that is there, whatever the bytes say.
    let library = library.map(|name| [b"/nonexistent/", name.as_bytes()].concat());
    let library = library.and_then(|path| CString::new(path).ok());
    let (option_texts, option_pointers, provider_options_len) = texts(&mut recipe);
    let (stage_texts, stage_pointers, stage_providers_len) = texts(&mut recipe);
    // An array that is said to be longer than it is must be NULL, unless no memory has as much.
    let array = |pointers: &Vec<*const c_char>, len: usize| {
        let there = len == pointers.len() || len > isize::MAX as usize / size_of::<usize>();
        if there { pointers.as_ptr() } else { ptr::null() }
    };
    let given = SegvolOptions {
        size: said.0,
        provider: pointer(&provider),
        precision: pointer(&precision),
        library: pointer(&library),
        provider_options: array(&option_pointers, provider_options_len),
        provider_options_len,
        stage_providers: array(&stage_pointers, stage_providers_len),
        stage_providers_len,
        threads: recipe.number() as usize,
        cache_bytes: recipe.number() as usize,
        overlap: recipe.real(),
        zoom_in: recipe.int(),
        orientation: recipe.int(),
        profile: recipe.int(),
        reserved: recipe.int(),
    };

    let mut problems = Vec::new();
    let mut problem = |status: SegvolStatus, there: bool| {
        if there {
            problems.push(status);
        }
    };
    let flags = [given.zoom_in, given.orientation, given.profile].iter().all(|flag| (0..=1).contains(flag));
    problem(SegvolStatus::Argument, !is_good::<SegvolOptions>(said) || !flags || given.reserved != 0);
    problem(SegvolStatus::Option, !(0.0..=0.95).contains(&given.overlap));
    for text in [&provider, &precision, &library].into_iter().flatten() {
        problem(SegvolStatus::Utf8, text.to_str().is_err());
    }
    let known = |name: &str| name.parse::<Provider>().ok();
    let named = |text: &Option<CString>| text.as_ref().and_then(|text| text.to_str().ok().map(str::to_owned));
    problem(SegvolStatus::ProviderUnknown, named(&provider).is_some_and(|name| known(&name).is_none()));
    problem(SegvolStatus::Option, named(&precision).is_some_and(|name| name.parse::<Precision>().is_err()));
    for (texts, len) in [(&option_texts, provider_options_len), (&stage_texts, stage_providers_len)] {
        problem(SegvolStatus::Null, len != texts.len() && len <= isize::MAX as usize / size_of::<usize>());
        problem(SegvolStatus::Argument, len > isize::MAX as usize / size_of::<usize>());
        if len == texts.len() {
            problem(SegvolStatus::Null, texts.iter().any(Option::is_none));
            problem(SegvolStatus::Utf8, texts.iter().flatten().any(|text| text.to_str().is_err()));
        }
    }
    for text in stage_texts.iter().filter_map(named) {
        let (stage, name) = text.split_once('=').unwrap_or((&text, ""));
        let stage = Stage::ALL.into_iter().any(|known| known.name() == stage);
        let unknown = !stage || known(name).is_none();
        problem(SegvolStatus::ProviderUnknown, unknown);
        problem(SegvolStatus::Option, known(name) == Some(Provider::Auto));
    }
    let certain = !problems.is_empty();
    if !option_texts.is_empty() {
        problems.push(SegvolStatus::ProviderOption); // Perhaps: which options there are is the providers' own.
    }
    if !certain {
        problems.push(SegvolStatus::Bundle);
    }

    let mut placed = Vec::new();
    put(&mut placed, 0, &given, said);
    let mut model: *mut SegvolModel = nowhere();
    let bundle = c"/nonexistent/bundle";
    // SAFETY: the struct is as long as it says, its texts live above.
    let status = unsafe { segvol_model_open(bundle.as_ptr(), placed.as_ptr().cast(), &mut model) };
    assert_eq!(model, nowhere(), "written by a call that failed");
    refused(status, &message(), &problems, if status == SegvolStatus::Bundle { "bundle" } else { "options" });
}
