//! What a measured session is opened with.

use std::path::PathBuf;

use segvol::{Options, Provider, ProviderOptionError, ProviderOptions};

/// The default options, on this provider.
pub(crate) fn options_on(provider: Provider, threads: Option<usize>, library: Option<PathBuf>) -> Options {
    let mut options = Options::default().provider(provider);
    options.threads = threads;
    options.library = library;
    options
}

/// Options of any provider, from `PROVIDER.KEY=VALUE`, each.
///
/// # Errors
///
/// [`ProviderOptionError`] for the first that is none.
pub fn parse_provider_options(texts: &[String]) -> Result<ProviderOptions, ProviderOptionError> {
    let mut options = ProviderOptions::default();
    for text in texts {
        options.set(Provider::Auto, text)?;
    }
    Ok(options)
}
