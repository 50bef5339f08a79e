//! `segvol completions`: scripts that complete the command's options in a shell.

use std::io::Write;

use clap_complete::Shell;

/// Print a script that completes commands and options in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bash   segvol completions bash > ~/.local/share/bash-completion/completions/segvol
  zsh    segvol completions zsh > ~/.zfunc/_segvol        (with ~/.zfunc in fpath)
  fish   segvol completions fish > ~/.config/fish/completions/segvol.fish")]
pub(crate) struct Completions {
    /// Shell that will read the script
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command: clap::Command, out: &mut impl Write) -> anyhow::Result<()> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        Ok(out.write_all(&script)?)
    }
}
