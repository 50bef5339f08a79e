//! Writes segvol.h to standard output, from the comments and types of bindings/c/src.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

/// The first function of each part of the header, and the title of the part.
const PARTS: [(&str, &str); 9] = [
    ("segvol_status_name", "Statuses, versions and messages"),
    ("segvol_model_open", "Models: open bundles"),
    ("segvol_volume_open", "Volumes: scans from a file or from memory"),
    ("segvol_study_new", "Studies: scans that are ready for prompts"),
    ("segvol_result_len", "Results: the objects of a call"),
    ("segvol_mask_save", "Masks"),
    ("segvol_options_init", "Options and prompts"),
    ("segvol_providers_new", "Providers"),
    ("segvol_log_set", "Log"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml"))?;
    let bindings = cbindgen::Builder::new().with_crate(&folder).with_config(config).generate()?;
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    let mut header = String::from_utf8(bytes)?;
    for (function, part) in PARTS {
        // The comment at the top mentions some of them too, so the search starts after it.
        let functions = header.find("extern \"C\"").ok_or("no functions in the header")?;
        let at =
            header[functions..].find(&format!("{function}(")).ok_or_else(|| format!("no {function} in the header"))?;
        let comment = header[..functions + at].rfind("/**").ok_or_else(|| format!("{function} has no comment"))?;
        let rule = "-".repeat(part.len());
        header.insert_str(comment, &format!("/*\n * {part}\n * {rule}\n */\n\n"));
    }
    std::io::stdout().write_all(header.as_bytes())?;
    Ok(())
}
