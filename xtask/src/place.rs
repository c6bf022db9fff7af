//! Where things lie: the repository, and the cache of what is downloaded and built once.
//!
//! Everything that a command creates is under one of these two.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// The top of the repository that this binary was built from.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Downloads and builds that outlive a checkout: `$INNERSPAN_CACHE`, or the user's cache directory.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    if let Some(chosen) = env::var_os("INNERSPAN_CACHE") {
        return Ok(chosen.into());
    }
    if let Some(caches) = env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(caches).join("innerspan"));
    }
    let home = env::var_os("HOME").context("neither INNERSPAN_CACHE nor HOME is set: set one of them")?;
    Ok(PathBuf::from(home).join(".cache/innerspan"))
}
