//! The headers that a user adds to requests. No fault quotes a value: it may be a secret.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Of a file; what is larger is something else.
const MAX_FILE: u64 = 64 * 1024;

/// What the exporter writes itself.
const RESERVED: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
];

/// Why a header cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("has a header name with a letter that HTTP does not allow")]
    Name,
    #[error("sets {0}, which innerspan writes itself: remove it")]
    Reserved(HeaderName),
    #[error("has a value for {0} with a letter that HTTP does not allow")]
    Value(HeaderName),
    #[error("sets {0} a second time: keep one")]
    Twice(HeaderName),
    #[error("line {0}: expected `name: value`")]
    Line(usize),
    #[error("holds no text ({0})")]
    Text(#[source] io::Error),
}

/// Adds a header, its value marked, so that nothing shows it.
///
/// # Errors
/// When it cannot be sent, or is there already.
pub fn add(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Fault> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_invalid| Fault::Name)?;
    if RESERVED.contains(&name) || name.as_str().starts_with("grpc-") {
        return Err(Fault::Reserved(name));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_invalid| Fault::Value(name.clone()))?;
    value.set_sensitive(true);
    match headers.insert(&name, value) {
        None => Ok(()),
        Some(_) => Err(Fault::Twice(name)),
    }
}

/// Adds the headers of a file, one `name: value` a line, and says what is wrong with the others.
pub fn add_file(headers: &mut HeaderMap, path: &Path) -> Vec<Fault> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    let lines = text.lines().enumerate();
    let faults = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .filter_map(|(number, line)| match line.split_once(':') {
            Some((name, value)) => add(headers, name.trim(), value.trim()).err(),
            None => Some(Fault::Line(number + 1)),
        });
    read.err().map(Fault::Text).into_iter().chain(faults).collect()
}
