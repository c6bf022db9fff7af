//! Manifests: what members inherit, and which of our crates depend on which.

use anyhow::Context as _;
use toml::{Table, Value};

use super::{
    Fault, MEMBERS,
    tree::{Manifest, Tree},
};

/// Fields that are written once, in the root manifest.
const INHERITED: &[&str] = &[
    "version",
    "edition",
    "rust-version",
    "license",
    "repository",
    "publish",
];

pub(super) fn faults(tree: &Tree) -> anyhow::Result<Vec<Fault>> {
    let members = members(tree)?;
    let inside = |manifest: &&Manifest| {
        manifest
            .path
            .parent()
            .and_then(|folder| folder.to_str())
            .is_some_and(|folder| members.contains(&folder))
    };
    Ok(tree
        .manifests
        .iter()
        .filter(inside)
        .flat_map(member_faults)
        .collect())
}

/// The folders of the workspace's members.
fn members(tree: &Tree) -> anyhow::Result<Vec<&str>> {
    let root = tree
        .manifests
        .iter()
        .find(|manifest| manifest.path.as_os_str() == "Cargo.toml");
    let members = root
        .and_then(|root| root.table.get("workspace")?.get("members")?.as_array())
        .context("the root Cargo.toml lists no workspace members")?;
    Ok(members.iter().filter_map(Value::as_str).collect())
}

fn member_faults(manifest: &Manifest) -> Vec<Fault> {
    let mut says = Vec::new();
    let section = |name: &str| manifest.table.get(name).and_then(Value::as_table);
    let inherits = |table: Option<&Table>, key: &str| {
        table.and_then(|table| table.get(key)?.get("workspace")?.as_bool()) == Some(true)
    };
    for field in INHERITED {
        if !inherits(section("package"), field) {
            says.push(format!(
                "`{field}.workspace = true` is missing: it is written once, in the root"
            ));
        }
    }
    if section("lints").and_then(|lints| lints.get("workspace")?.as_bool()) != Some(true) {
        says.push("`[lints] workspace = true` is missing: one lint table holds for all".to_owned());
    }
    let name = section("package")
        .and_then(|package| package.get("name")?.as_str())
        .unwrap_or_default();
    let allowed = MEMBERS
        .iter()
        .find(|member| member.path == name)
        .map(|member| member.may);
    if allowed.is_none() {
        says.push(format!(
            "`{name}` is not in MEMBERS: add it with what it may depend on"
        ));
    }
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for dependency in section(kind).into_iter().flat_map(Table::keys) {
            if !inherits(section(kind), dependency) {
                says.push(format!(
                    "`{dependency}` has its version here: it belongs in the root's one table"
                ));
            }
            let ours = MEMBERS.iter().any(|member| member.path == dependency);
            if ours && !allowed.unwrap_or_default().contains(&dependency.as_str()) {
                says.push(format!("`{name}` must not depend on `{dependency}`"));
            }
        }
    }
    says.into_iter()
        .map(|says| Fault::new(&manifest.path, 1, says))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[package]\nname = 'abi'\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\nrepository.workspace = true\n\
        publish.workspace = true\n";

    fn check(text: &str, expected: &[&str]) {
        let manifest = Manifest {
            path: "m/Cargo.toml".into(),
            table: text.parse().unwrap(),
        };
        let says: Vec<String> = member_faults(&manifest)
            .into_iter()
            .map(|fault| fault.says)
            .collect();
        assert_eq!(says, expected);
    }

    #[test]
    fn a_member_that_inherits_everything_is_clean() {
        check(
            &format!("{HEAD}[dependencies]\nbytes.workspace = true\n[lints]\nworkspace = true"),
            &[],
        );
    }

    #[test]
    fn own_lints_and_own_fields_are_faults() {
        check(
            &HEAD.replace("edition.workspace = true", "edition = '2024'"),
            &[
                "`edition.workspace = true` is missing: it is written once, in the root",
                "`[lints] workspace = true` is missing: one lint table holds for all",
            ],
        );
    }

    #[test]
    fn own_versions_and_forbidden_members_are_faults() {
        check(
            &format!(
                "{HEAD}[lints]\nworkspace = true\n[dev-dependencies]\nbytes = '1'\ninnerspan.workspace = true"
            ),
            &[
                "`bytes` has its version here: it belongs in the root's one table",
                "`abi` must not depend on `innerspan`",
            ],
        );
    }
}
