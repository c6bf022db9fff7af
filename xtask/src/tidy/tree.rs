//! Reads the repository once: its top level, its manifests and its Rust sources, parsed.
//!
//! Build output and hidden folders are no part of it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use proc_macro2::TokenStream;

pub(super) struct Tree {
    /// Names of the entries at the top.
    pub(super) top: Vec<String>,
    pub(super) sources: Vec<Source>,
    pub(super) manifests: Vec<Manifest>,
}

/// A Rust file; its path is relative to the top.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) tokens: TokenStream,
    pub(super) file: syn::File,
}

/// A `Cargo.toml`; its path is relative to the top.
pub(super) struct Manifest {
    pub(super) path: PathBuf,
    pub(super) table: toml::Table,
}

impl Tree {
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self {
            top: names(root)?,
            sources: Vec::new(),
            manifests: Vec::new(),
        };
        tree.walk(root, Path::new(""))?;
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, folder: &Path) -> anyhow::Result<()> {
        for name in names(&root.join(folder))? {
            if name == "target" || name.starts_with('.') {
                continue;
            }
            let path = folder.join(&name);
            let full = root.join(&path);
            if full.is_dir() {
                self.walk(root, &path)?;
            } else if name == "Cargo.toml" {
                self.manifests.push(Manifest::read(path, &full)?);
            } else if full.extension() == Some(OsStr::new("rs")) {
                let text =
                    fs::read_to_string(&full).with_context(|| format!("reading {}", path.display()))?;
                self.sources.push(Source::parse(path, text)?);
            }
        }
        Ok(())
    }
}

impl Source {
    pub(super) fn parse(path: PathBuf, text: String) -> anyhow::Result<Self> {
        let place = |fault: &dyn std::fmt::Display| format!("{} is not Rust: {fault}", path.display());
        let tokens: TokenStream = text.parse().map_err(|fault| anyhow::anyhow!(place(&fault)))?;
        let file = syn::parse2(tokens.clone()).map_err(|fault| anyhow::anyhow!(place(&fault)))?;
        Ok(Self {
            path,
            text,
            tokens,
            file,
        })
    }

    /// Where the file stands in the agent, `ingest/otlp/scan` for instance; none outside `agent/src`.
    pub(super) fn module(&self) -> Option<Vec<String>> {
        let inside = self.path.strip_prefix("agent/src").ok()?.with_extension("");
        Some(
            inside
                .iter()
                .map(|name| name.to_string_lossy().into_owned())
                .collect(),
        )
    }
}

impl Manifest {
    fn read(path: PathBuf, full: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(full).with_context(|| format!("reading {}", path.display()))?;
        let table = text
            .parse()
            .with_context(|| format!("parsing {}", path.display()))?;
        Ok(Self { path, table })
    }
}

/// The entries of a folder, in order; git's own and cargo's output at any level are not ours.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name != ".git" && name != "target");
    names.sort();
    Ok(names)
}
