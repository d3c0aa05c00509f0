//! Runs an example as a program.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An example, by its name.
pub(crate) struct Program {
    pub(crate) example: &'static str,
}

impl Program {
    /// Returns the path of its sample log.
    pub(crate) fn sample_path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{}/sample.log", self.example))
    }

    /// Returns the program. Cargo builds it next to the directory of the test.
    pub(crate) fn command(&self) -> Command {
        let Self { example } = self;
        let this = env::current_exe().unwrap();
        let profile = this.parent().and_then(Path::parent).unwrap();
        let program = profile.join("examples").join(format!("{example}{}", env::consts::EXE_SUFFIX));
        assert!(
            program.exists(),
            "`cargo test --test examples` does not build examples: run `cargo build --example {example}` first"
        );
        Command::new(program)
    }

    pub(crate) fn run(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
        let mut child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that exits because of a wrong argument does not read.
        let _ = stdin.write_all(input.as_ref());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Returns what the program prints about a log on its standard input.
    pub(crate) fn report(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> String {
        let output = self.run(&[arguments, &["-"]].concat(), input);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    }
}
