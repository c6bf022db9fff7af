//! A program on instructions of another process.
//!
//! One link holds all probes of a process where the kernel can do that. Older kernels want a perf event
//! and a link for each probe, and `CAP_SYS_ADMIN`.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use crate::{Fault, Kind, Object, RunTime, call};

/// Where the kernel says by which number `perf_event_open(2)` knows probes of user space.
const EVENT_KIND: &str = "/sys/bus/event_source/devices/uprobe/type";

/// How this kernel attaches probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// One link for all: Linux 6.6, with the correction of its filter by process.
    Multi,
    /// An event and a link for each: Linux 5.15.
    Event,
}

/// An instruction to probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Its place in the file.
    pub offset: u64,
    /// What the program is told with every hit.
    pub cookie: u64,
}

/// A program that can be attached to instructions.
#[derive(Debug)]
pub struct Uprobe {
    program: OwnedFd,
    method: Method,
}

/// Probes of one process. They are gone when this is dropped, and in any case when this process ends.
#[derive(Debug)]
pub struct Probes {
    #[expect(dead_code, reason = "open as long as the probes are there")]
    links: Vec<OwnedFd>,
}

impl Uprobe {
    /// Loads a program by the best method that this kernel has.
    pub fn load(object: &Object, program: &'static str) -> Result<Self, Fault> {
        if let Ok(multi) = object.load(program, Kind::UprobeMulti)
            && has_multi(multi.as_fd())
        {
            return Ok(Self {
                program: multi,
                method: Method::Multi,
            });
        }
        Self::load_for(object, program, Method::Event)
    }

    /// Loads a program for one method.
    pub fn load_for(object: &Object, program: &'static str, method: Method) -> Result<Self, Fault> {
        let kind = match method {
            Method::Multi => Kind::UprobeMulti,
            Method::Event => Kind::Uprobe,
        };
        let program = object.load(program, kind)?;
        Ok(Self { program, method })
    }

    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Of all processes together.
    #[must_use]
    pub fn run_time(&self) -> Option<RunTime> {
        RunTime::of(self.program.as_fd())
    }

    /// Attaches to all points of a file, or to none, for the hits of one process.
    pub fn attach(&self, path: &Path, pid: u32, points: &[Point]) -> io::Result<Probes> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let program = self.program.as_fd();
        let links = match self.method {
            Method::Multi => vec![attach_all(program, &path, pid, points)?],
            Method::Event => attach_each(program, &path, pid, points)?,
        };
        Ok(Probes { links })
    }
}

fn attach_all(program: BorrowedFd<'_>, path: &CStr, pid: u32, points: &[Point]) -> io::Result<OwnedFd> {
    let offsets: Vec<u64> = points.iter().map(|point| point.offset).collect();
    let cookies: Vec<u64> = points.iter().map(|point| point.cookie).collect();
    call::link_uprobes(program, path, &offsets, &cookies, pid)
}

fn attach_each(program: BorrowedFd<'_>, path: &CStr, pid: u32, points: &[Point]) -> io::Result<Vec<OwnedFd>> {
    let kind = fs::read_to_string(EVENT_KIND)?;
    let kind = kind.trim().parse().map_err(io::Error::other)?;
    let mut links = Vec::with_capacity(points.len());
    for point in points {
        let event = call::open_uprobe_event(kind, path, point.offset, pid)?;
        // The link holds the event.
        links.push(call::link_event(program, event.as_fd(), point.cookie)?);
    }
    Ok(links)
}

/// Whether this kernel has links for many probes, which count only the hits of the process asked for.
///
/// Both are asked with links that no kernel makes: one to a directory, which a kernel that knows such
/// links refuses as no file (EBADF); and one for the process -1, which a kernel with the correction
/// refuses before it looks at the path (EINVAL), as libbpf asks too:
/// <https://github.com/libbpf/libbpf/blob/v1.5.0/src/features.c#L397-L424>
fn has_multi(program: BorrowedFd<'_>) -> bool {
    let refusal = |pid| {
        let refused = call::link_uprobes(program, c"/", &[0], &[0], pid).err();
        refused.and_then(|error| error.raw_os_error())
    };
    refusal(0) == Some(libc::EBADF) && refusal(u32::MAX) == Some(libc::EINVAL)
}
