//! `segvol man`: the manual pages.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap_mangen::Man as Page;
use segvol_base::{atomic_file, printable_path};

use crate::exit::Usage;
use crate::outputs::Files;
use crate::warnings;

/// Print a manual page, or write all of them into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  segvol man convert | man -l -
  segvol man --output ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Command whose page is printed [default: that of segvol itself]
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    command: Option<String>,
    /// Folder for all pages: segvol.1, segvol-convert.1 and so on
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, command: clap::Command, out: &mut impl Write) -> anyhow::Result<()> {
        let pages = pages(command)?;
        if let Some(dir) = &self.output {
            let paths = || pages.iter().map(|(name, _)| dir.join(format!("{name}.1")));
            let mut files = Files::default();
            files.folder("--output", dir, paths());
            files.check()?.iter().for_each(|warning| warnings::say("", warning));
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
            for (path, (_, page)) in paths().zip(&pages) {
                write(&path, page)?;
            }
            writeln!(out, "wrote {} pages into {}", pages.len(), printable_path(dir))?;
            return Ok(());
        }
        let name = self.command.map_or_else(|| "segvol".to_owned(), |command| format!("segvol-{command}"));
        match pages.iter().find(|(page, _)| *page == name) {
            Some((_, page)) => Ok(out.write_all(page)?),
            None => {
                let known: Vec<&str> = pages.iter().filter_map(|(page, _)| page.strip_prefix("segvol-")).collect();
                Err(Usage(format!("no page of that name: expected one of {}", known.join(", "))).into())
            }
        }
    }
}

fn write(path: &Path, page: &[u8]) -> anyhow::Result<()> {
    atomic_file::write(path, |mut file| file.write_all(page))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// The name and the text of each page: the command's own, then one for each of its commands.
fn pages(mut command: clap::Command) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    // Gives each command its name in full, and the options that all commands have.
    command.build();
    let is_page = |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
    let commands: Vec<clap::Command> = command.get_subcommands().filter(is_page).cloned().collect();
    let page = |command: clap::Command| {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let mut text = Vec::new();
        Page::new(command).title(name.to_uppercase()).render(&mut text)?;
        Ok((name, text))
    };
    std::iter::once(command).chain(commands).map(page).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_options() {
        let pages = pages(crate::Arguments::command()).expect("rendered");
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["segvol", "segvol-convert", "segvol-segment", "segvol-man"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("worker") || name.contains("help")), "{names:?}");
        let (_, convert) = pages.iter().find(|(name, _)| name == "segvol-convert").expect("a page");
        let convert = String::from_utf8_lossy(convert).replace("\\-", "-");
        for part in ["--calibrate", "--verbose", "SegVol_v1.pth", "segvol convert"] {
            assert!(convert.contains(part), "{part} in {convert}");
        }
    }
}
