//! `cargo xtask image`: the agent as it is shipped.
//!
//! In: this checkout. Out: a static binary, and an OCI archive of an image that holds little else,
//! both under `target/`, with their sizes. Nothing outside `target/` is changed: buildah gets a store
//! there, too.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};

use crate::{
    place,
    setup::{self, Need},
    step,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the image is called in the archive.
    #[arg(long, default_value = concat!("innerspan:", env!("CARGO_PKG_VERSION")))]
    tag: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let archive = build(&args.tag)?;
    for file in [static_binary()?, archive] {
        let bytes = fs::metadata(&file)
            .with_context(|| format!("read {}", file.display()))?
            .len();
        println!(
            "{:>6}.{} MB  {}",
            bytes / 1_000_000,
            bytes / 100_000 % 10,
            file.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the image and returns its OCI archive.
pub(crate) fn build(tag: &str) -> anyhow::Result<PathBuf> {
    setup::ensure(&[Need::Image])?;
    let binary = static_binary()?;
    let home = target()?.join("image");
    let context = home.join("context");
    fs::create_dir_all(&context).with_context(|| format!("create {}", context.display()))?;
    for (from, to) in [
        (binary.as_path(), "innerspan"),
        (Path::new(setup::AUTHORITIES), "ca-certificates.crt"),
    ] {
        fs::copy(from, context.join(to)).with_context(|| format!("copy {}", from.display()))?;
    }
    // The time of the commit, so that the same binary makes the same image.
    let [revision, time] = [git("%H")?, git("%ct")?];
    let mut buildah = buildah(&home);
    buildah.args(["build", "--quiet", "--isolation", "chroot", "--tag", tag]);
    buildah.args(["--timestamp", &time]);
    buildah.args(["--build-arg", concat!("VERSION=", env!("CARGO_PKG_VERSION"))]);
    buildah.args(["--build-arg", &format!("REVISION={revision}")]);
    buildah.arg("--file").arg(recipe());
    step::succeed(buildah.arg(&context))?;
    let archive = home.join("innerspan.tar");
    // buildah adds to an archive that is there, and refuses one that has this tag already.
    if archive.exists() {
        fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))?;
    }
    let mut push = self::buildah(&home);
    push.args([
        "push",
        "--quiet",
        tag,
        &format!("oci-archive:{}:{tag}", archive.display()),
    ]);
    step::succeed(&mut push)?;
    Ok(archive)
}

/// Builds the agent as the image has it, and returns the program. Cargo decides whether it is fresh.
pub(crate) fn static_binary() -> anyhow::Result<PathBuf> {
    setup::ensure(&[Need::Programs, Need::StaticBinary])?;
    let target = setup::musl_target();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(place::root());
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "innerspan",
        "--target",
        &target,
    ]);
    // C dependencies are compiled against musl's headers, too.
    cargo.env(format!("CC_{}", target.replace('-', "_")), "musl-gcc");
    step::succeed(&mut cargo)?;
    Ok(self::target()?.join(target).join("release/innerspan"))
}

/// What the image sets in the environment of the agent.
pub(crate) fn environment() -> anyhow::Result<Vec<(String, String)>> {
    let recipe = recipe();
    let text = fs::read_to_string(&recipe).with_context(|| format!("read {}", recipe.display()))?;
    text.lines()
        .filter_map(|line| line.strip_prefix("ENV "))
        .map(|setting| {
            let setting = setting
                .split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            setting.with_context(|| format!("{}: an ENV is one NAME=VALUE", recipe.display()))
        })
        .collect()
}

fn recipe() -> PathBuf {
    place::root().join("deploy/Containerfile")
}

/// Cargo's target directory: this program lies in a profile's directory of it.
fn target() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("find this program's own path")?;
    let target = program
        .ancestors()
        .nth(2)
        .context("this program lies in no target directory")?;
    Ok(target.to_owned())
}

/// With a store of its own, whose driver needs nothing of the kernel.
fn buildah(home: &Path) -> Command {
    let mut buildah = Command::new("buildah");
    buildah
        .arg("--root")
        .arg(home.join("store"))
        .arg("--runroot")
        .arg(home.join("run"));
    buildah.args(["--storage-driver", "vfs"]);
    buildah
}

/// One fact of the commit that is built.
fn git(format: &str) -> anyhow::Result<String> {
    let mut git = Command::new("git");
    git.current_dir(place::root())
        .args(["log", "-1", &format!("--format={format}")]);
    let output = git.output().context("cannot start git: is it installed?")?;
    if !output.status.success() {
        bail!("an image names the commit that it is built from, and this is no checkout of git");
    }
    Ok(String::from_utf8(output.stdout)
        .context("git printed no text")?
        .trim()
        .to_owned())
}
