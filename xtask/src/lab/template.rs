//! Files with `${NAME}` in them, filled and put where they belong.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

/// Reads a template and fills it; a name without a value is an error.
pub(crate) fn fill(from: &Path, values: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut text = fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    for (name, value) in values {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    if let Some((_, rest)) = text.split_once("${") {
        let name = rest.split('}').next().unwrap_or_default();
        bail!("{}: nothing is known of ${{{name}}}", from.display());
    }
    Ok(text)
}

/// Fills a template into a file of its own.
pub(crate) fn install(from: &Path, to: &Path, values: &[(&str, &str)]) -> anyhow::Result<()> {
    let text = fill(from, values)?;
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))
}
