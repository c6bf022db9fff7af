//! Who names whom: rooms of the agent, crates behind fences, and what a room must not know.

use super::{
    ABSENCES, FENCES, Fault, ROOMS, Room,
    paths::{self, Named},
    tree::Source,
};

/// Faults of one file of the agent; other crates are held by their manifests.
pub(super) fn faults(source: &Source) -> Vec<Fault> {
    let Some(module) = source.module() else {
        return Vec::new();
    };
    if module == ["lib"] {
        return map_faults(source);
    }
    let Some(room) = room_of(&module) else {
        let says = format!(
            "`{}` is no room: add it to ROOMS with what it may name",
            module.join("/")
        );
        return vec![Fault::new(&source.path, 1, says)];
    };
    paths::named(source.tokens.clone(), &module)
        .iter()
        .filter_map(|named| Some(Fault::new(&source.path, named.line, judge(named, room, &module)?)))
        .collect()
}

/// `lib.rs` is the map of the crate: `mod` lines in the order that data travels.
fn map_faults(source: &Source) -> Vec<Fault> {
    let strangers = source
        .file
        .items
        .iter()
        .filter(|item| !matches!(item, syn::Item::Mod(_)));
    strangers
        .map(|item| {
            let line = syn::spanned::Spanned::span(item).start().line;
            Fault::new(&source.path, line, "lib.rs holds `mod` lines and nothing else")
        })
        .collect()
}

/// What is wrong with naming this path in `room`, if anything.
fn judge(named: &Named, room: &Room, module: &[String]) -> Option<String> {
    let path = named.segments.join("::");
    if named.ours {
        let other = room_of(&named.segments)?;
        let allowed = may_name(room, other);
        return (!allowed).then(|| format!("`{}` must not know `{}` (`{path}`)", room.path, other.path));
    }
    if named.segments.first().is_some_and(|first| first == "innerspan") {
        let other = room_of(named.segments.get(1..)?)?;
        return (!may_name(room, other)).then(|| format!("`{}` must not know `{}`", room.path, other.path));
    }
    if begins(&named.segments, "abi") && !room.may.contains(&"abi") {
        return Some(format!("`{}` must not know `abi`", room.path));
    }
    for fence in FENCES {
        let fenced = fence.paths.iter().any(|fenced| begins(&named.segments, fenced));
        if fenced && !fence.within.iter().any(|gate| stands_in(module, gate)) {
            return Some(format!(
                "`{path}` is fenced: it is named only in {}",
                fence.within.join(", ")
            ));
        }
    }
    ABSENCES
        .iter()
        .filter(|absence| stands_in(module, absence.room))
        .flat_map(|absence| absence.paths)
        .find(|absent| begins(&named.segments, absent))
        .map(|absent| format!("`{}` must not know `{absent}`", room.path))
}

/// The innermost room that a path lies in.
fn room_of(path: &[String]) -> Option<&'static Room> {
    ROOMS
        .iter()
        .filter(|room| stands_in(path, room.path))
        .max_by_key(|room| room.path.len())
}

fn may_name(room: &Room, other: &Room) -> bool {
    lies_in(room.path, other.path)
        || lies_in(other.path, room.path)
        || room.may.iter().any(|allowed| lies_in(other.path, allowed))
}

/// Whether room `inner` is `outer` or a part of it.
fn lies_in(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a module path lies in a room, or in a file of that name for `*/NAME`.
fn stands_in(module: &[String], place: &str) -> bool {
    match place.strip_prefix("*/") {
        Some(name) => module.iter().any(|segment| segment == name),
        None => lies_in(&module.join("/"), place),
    }
}

/// Whether a named path is `path`, written with `::`, or goes deeper.
fn begins(segments: &[String], path: &str) -> bool {
    let mut segments = segments.iter();
    path.split("::")
        .all(|word| segments.next().is_some_and(|segment| segment == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let source = Source::parse(path.into(), text.to_owned()).unwrap();
        let says: Vec<String> = faults(&source).into_iter().map(|fault| fault.says).collect();
        assert_eq!(says, expected);
    }

    #[test]
    fn a_stage_does_not_name_another() {
        check(
            "agent/src/ingest/otlp.rs",
            "use crate::{export::Queue, model::Span, ingest::Rejected};",
            &["`ingest/otlp` must not know `export` (`export::Queue`)"],
        );
    }

    #[test]
    fn siblings_within_a_stage_are_strangers_but_their_parent_knows_both() {
        check(
            "agent/src/ingest/otlp.rs",
            "use super::probe::Call;",
            &["`ingest/otlp` must not know `ingest/probe` (`ingest::probe::Call`)"],
        );
        check(
            "agent/src/ingest.rs",
            "use self::{otlp::Server, probe::Call};",
            &[],
        );
    }

    #[test]
    fn a_fenced_crate_is_named_only_behind_its_fence() {
        check(
            "agent/src/export/deliver.rs",
            "fn f() { kube::Client::new(); tonic::Status::ok(); }",
            &["`kube::Client::new` is fenced: it is named only in identify/cluster"],
        );
        check(
            "agent/src/export/metrics.rs",
            "use prometheus_client::registry::Registry;",
            &[],
        );
    }

    #[test]
    fn the_vocabulary_does_no_io_and_only_probe_knows_the_kernel_records() {
        check(
            "agent/src/model/span.rs",
            "use std::{fs, time::Duration};",
            &["`model` must not know `std::fs`"],
        );
        check(
            "agent/src/identify.rs",
            "use abi::exec::Exec;",
            &["`identify` must not know `abi`"],
        );
        check("agent/src/ingest/probe.rs", "use abi::exec::Exec;", &[]);
    }

    #[test]
    fn a_file_outside_all_rooms_is_a_fault() {
        check(
            "agent/src/glue.rs",
            "//! Glue.",
            &["`glue` is no room: add it to ROOMS with what it may name"],
        );
        check(
            "agent/src/lib.rs",
            "mod model;\npub use model::Span;",
            &["lib.rs holds `mod` lines and nothing else"],
        );
    }
}
