//! Asks an executable for all that can be asked, for property tests and fuzzing alike.
//!
//! In: a file that may be damaged, and names. Out: nothing, or a panic that says which answer contradicts
//! the file or another answer. That a question is refused is as good an answer as any. Hidden from the
//! documentation: it is public for tests, which are crates of their own.

use std::{collections::HashSet, fs::File, io, os::unix::fs::FileExt as _};

use super::{Binary, Type, Unreadable};

/// How deep into a type, and how many of its fields: a damaged type may well contain itself.
const DEPTH: u32 = 3;
const FIELDS: usize = 16;

/// Asserts that what is told of the functions and types of these names agrees with the file.
pub fn check(file: &File, functions: &[&str], types: &[&str]) -> io::Result<()> {
    // Refused: as a whole, or for one of the two.
    let _refusal: Option<Unreadable> = match Binary::open(file.try_clone()?) {
        Ok(binary) => check_functions(&binary, file, functions)
            .and_then(|()| check_types(&binary, types))
            .err(),
        Err(unreadable) => Some(unreadable),
    };
    Ok(())
}

fn check_functions(binary: &Binary, file: &File, names: &[&str]) -> Result<(), Unreadable> {
    let functions = binary.functions(&names.iter().copied().collect::<HashSet<_>>())?;
    for function in functions.all() {
        assert!(names.contains(&&*function.name), "{function:?} was not asked for");
        assert!(
            functions.named(&function.name).contains(function),
            "{function:?} is lost"
        );
        assert!(
            !functions.is_inlined(&function.name),
            "{function:?} has code of its own"
        );
        let Ok(code) = binary.code(function) else {
            continue;
        };
        let mut there = vec![0; code.len()];
        let read = file.read_exact_at(&mut there, function.file_offset);
        assert!(read.is_ok() && there == code, "{function:?} is not in the file");
    }
    Ok(())
}

fn check_types(binary: &Binary, names: &[&str]) -> Result<(), Unreadable> {
    let types = binary.types()?;
    for name in names {
        if let Some(ty) = types.named(name)? {
            assert_eq!(ty.name()?, *name, "{ty:?}");
            walk(&ty, DEPTH)?;
        }
    }
    Ok(())
}

fn walk(ty: &Type<'_>, depth: u32) -> Result<(), Unreadable> {
    if depth == 0 {
        return Ok(());
    }
    for field in ty.fields()?.into_iter().take(FIELDS) {
        assert!(
            ty.field(&field.name)?.is_some(),
            "{ty:?} has lost its field {}",
            field.name
        );
        walk(&field.ty, depth - 1)?;
    }
    if let Some(element) = ty.element()? {
        walk(&element, depth - 1)?;
    }
    if let Some(method) = ty.method("Add")? {
        assert!(
            !method.variadic || !method.params.is_empty(),
            "{ty:?}: nothing is variadic"
        );
    }
    Ok(())
}
