//! The options that a measured session is opened with.

use std::path::PathBuf;

use segvol::{Options, Provider, ProviderOptionError, ProviderOptions};

/// The default options with this provider, number of threads and library.
pub(crate) fn options_on(provider: Provider, threads: Option<usize>, library: Option<PathBuf>) -> Options {
    let mut options = Options::default().provider(provider);
    options.threads = threads;
    options.library = library;
    options
}

/// Parses options of any provider, each as `PROVIDER.KEY=VALUE`.
///
/// # Errors
///
/// [`ProviderOptionError`] for the first text that is not an option.
pub fn parse_provider_options(texts: &[String]) -> Result<ProviderOptions, ProviderOptionError> {
    let mut options = ProviderOptions::default();
    for text in texts {
        options.set(Provider::Auto, text)?;
    }
    Ok(options)
}
