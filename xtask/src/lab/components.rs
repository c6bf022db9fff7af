//! The programs of the cluster, built from their pinned Go modules as their releases are built.
//!
//! In: `tests/lab/<family>/go.mod`, which alone says what version there is. Out: one directory of
//! binaries per family in the cache, named by a hash of all that went in; a second call finds it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use super::patience;
use crate::place;

mod families;

use families::{Build, EARLIER, FAMILIES, Family, KUBERNETES, Link};

/// One cold build of the largest family on a slow machine.
const PATIENCE: Duration = Duration::from_hours(1);

/// Where the built programs lie.
#[derive(Debug, Clone)]
pub(crate) struct Components {
    families: Vec<(&'static str, Built)>,
}

#[derive(Debug, Clone)]
struct Built {
    dir: PathBuf,
    version: String,
}

impl Components {
    /// Where they are, or will be once they are built.
    pub(crate) fn locate() -> anyhow::Result<Self> {
        let go = go_version()?;
        let families = FAMILIES
            .iter()
            .chain(&EARLIER)
            .map(|family| Ok((family.name, family.locate(&go)?)));
        Ok(Self {
            families: families.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Builds what the cache lacks, one family after another, each with all cores.
    pub(crate) fn build(&self) -> anyhow::Result<()> {
        FAMILIES.iter().try_for_each(|family| self.build_family(family))
    }

    /// Builds one program's family alone, unless the cache has it.
    pub(crate) fn build_program(&self, family: &str, program: &str) -> anyhow::Result<PathBuf> {
        FAMILIES
            .iter()
            .chain(&EARLIER)
            .filter(|known| known.name == family)
            .try_for_each(|known| self.build_family(known))?;
        Ok(self.program(family, program))
    }

    fn build_family(&self, family: &Family) -> anyhow::Result<()> {
        match self.family(family.name) {
            Some(built) if !built.dir.exists() => family.build(built),
            _ => Ok(()),
        }
    }

    /// The directory of a family's programs.
    pub(crate) fn dir(&self, family: &str) -> PathBuf {
        self.program(family, "")
    }

    /// A program of a family.
    pub(crate) fn program(&self, family: &str, program: &str) -> PathBuf {
        self.family(family)
            .map(|built| built.dir.join(program))
            .unwrap_or_default()
    }

    /// The version of a family, as its go.mod has it (`v1.36.3`).
    pub(crate) fn version(&self, family: &str) -> &str {
        self.family(family)
            .map(|built| built.version.as_str())
            .unwrap_or_default()
    }

    /// All directories of programs, for PATH.
    pub(crate) fn path(&self) -> String {
        let dirs: Vec<_> = self
            .families
            .iter()
            .filter(|(name, _)| FAMILIES.iter().any(|family| family.name == *name))
            .map(|(_, built)| built.dir.display().to_string())
            .collect();
        dirs.join(":")
    }

    fn family(&self, name: &str) -> Option<&Built> {
        self.families
            .iter()
            .find(|(family, _)| *family == name)
            .map(|(_, built)| built)
    }
}

impl Family {
    fn source(&self) -> PathBuf {
        place::root().join("tests/lab").join(self.name)
    }

    /// The directory is named by everything that decides what is built.
    fn locate(&self, go: &str) -> anyhow::Result<Built> {
        let mut hash = Sha256::new();
        for file in ["go.mod", "go.sum", "manifest.yaml"] {
            let path = self.source().join(file);
            if path.exists() {
                hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
            }
        }
        let version = self.version()?;
        hash.update(self.go.unwrap_or(go));
        hash.update(format!("{:?}{}", self.builds, ldflags(self.module, &version)));
        let key = hex(&hash.finalize())[..12].to_owned();
        let dir = place::cache()?.join("lab").join(format!("{}-{key}", self.name));
        Ok(Built { dir, version })
    }

    fn version(&self) -> anyhow::Result<String> {
        let path = self.source().join("go.mod");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.lines()
            .map(|line| line.trim().trim_start_matches("require "))
            .find_map(|line| line.strip_prefix(self.module)?.strip_prefix(' '))
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .map(str::to_owned)
            .with_context(|| format!("{} does not require {}", path.display(), self.module))
    }

    /// Builds beside the final place and renames, so that a half-built family is never found.
    fn build(&self, built: &Built) -> anyhow::Result<()> {
        let begun = Instant::now();
        let part = built.dir.with_extension("part");
        if part.exists() {
            fs::remove_dir_all(&part).with_context(|| format!("cannot clear {}", part.display()))?;
        }
        fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        let source = match self.name {
            "collector" => generate_collector(&self.source(), &part)?,
            _ => self.source(),
        };
        for build in self.builds {
            let what = build.named.map_or_else(|| names(build.packages), str::to_owned);
            let target = build.named.map_or_else(|| part.join(""), |name| part.join(name));
            let title = format!("{} {}: building {what}", self.name, built.version);
            let flags = ldflags(self.module, &built.version);
            go(
                &title,
                &source,
                &build.arguments(&flags, &target),
                build.link,
                self.go,
            )?;
        }
        fs::rename(&part, &built.dir).with_context(|| format!("cannot make {}", built.dir.display()))?;
        eprintln!(
            "{} {}: built in {} s",
            self.name,
            built.version,
            begun.elapsed().as_secs()
        );
        Ok(())
    }
}

impl Build {
    fn arguments(&self, ldflags: &str, target: &Path) -> Vec<String> {
        let mut arguments = vec![
            "build".to_owned(),
            "-trimpath".into(),
            "-ldflags".into(),
            ldflags.into(),
        ];
        if matches!(self.link, Link::CgoPie) {
            arguments.push("-buildmode=pie".into());
        }
        arguments.extend(["-o".into(), target.display().to_string()]);
        arguments.extend(self.packages.iter().map(ToString::to_string));
        arguments
    }
}

/// The releases are stripped; Kubernetes is told its version at link time.
fn ldflags(module: &str, version: &str) -> String {
    let mut flags = "-s -w".to_owned();
    if module == KUBERNETES {
        let mut numbers = version.trim_start_matches('v').split('.');
        let major = numbers.next().unwrap_or_default();
        let minor = numbers.next().unwrap_or_default();
        for (variable, value) in [
            ("k8s.io/component-base/version.gitVersion", version),
            ("k8s.io/component-base/version.gitMajor", major),
            ("k8s.io/component-base/version.gitMinor", minor),
            ("k8s.io/component-base/version.gitTreeState", "clean"),
            ("k8s.io/client-go/pkg/version.gitVersion", version),
        ] {
            flags = format!("{flags} -X {variable}={value}");
        }
    }
    flags
}

/// The collector's builder turns the manifest into a Go program; our go.mod pins what it imports.
fn generate_collector(source: &Path, part: &Path) -> anyhow::Result<PathBuf> {
    let builder = part.join("builder");
    let arguments = ["build", "-trimpath", "-o", &builder.display().to_string()].map(str::to_owned);
    let mut arguments = arguments.to_vec();
    arguments.push("go.opentelemetry.io/collector/cmd/builder".into());
    go(
        "collector: building its builder",
        source,
        &arguments,
        Link::Static,
        None,
    )?;
    let generated = part.join("source");
    let mut builder = Command::new(builder);
    builder
        .arg("--config")
        .arg(source.join("manifest.yaml"))
        .arg("--output-path")
        .arg(&generated)
        .args(["--skip-compilation", "--skip-get-modules"]);
    patience::output(&mut builder, PATIENCE)?;
    for file in ["go.mod", "go.sum"] {
        fs::copy(source.join(file), generated.join(file))
            .with_context(|| format!("cannot copy the collector's {file}"))?;
    }
    Ok(generated)
}

/// Runs go with a line on the terminal every few seconds: the largest family takes minutes.
fn go(
    title: &str,
    dir: &Path,
    arguments: &[String],
    link: Link,
    release: Option<&str>,
) -> anyhow::Result<()> {
    let cgo = match link {
        Link::Static => "0",
        Link::Cgo | Link::CgoPie => "1",
    };
    let mut command = Command::new("go");
    command
        .current_dir(dir)
        .args(arguments)
        .env("CGO_ENABLED", cgo)
        .env("GOFLAGS", "-mod=readonly -buildvcs=false");
    if let Some(release) = release {
        // Go fetches it as a module.
        command.env("GOTOOLCHAIN", release);
    }
    patience::with_progress(title, || patience::output(&mut command, PATIENCE))?;
    Ok(())
}

fn go_version() -> anyhow::Result<String> {
    let output = Command::new("go")
        .arg("version")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start go: install Go 1.26 or later from https://go.dev/dl")?;
    if !output.status.success() {
        bail!("go version ended with {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn names(packages: &[&str]) -> String {
    let names: Vec<_> = packages
        .iter()
        .filter_map(|package| package.rsplit('/').next())
        .collect();
    names.join(", ")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes all that is written to it.
        write!(text, "{byte:02x}").ok();
        text
    })
}
