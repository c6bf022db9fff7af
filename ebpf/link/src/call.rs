//! The system calls `bpf(2)` and `perf_event_open(2)`, as safe functions.
//!
//! They are safe because every address that the kernel is handed is that of a borrow which outlives the
//! call, and every count is the length of that borrow.

use std::{
    ffi::{CStr, c_long},
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    ptr,
};

use aya_obj::generated::{
    PERF_FLAG_FD_CLOEXEC,
    bpf_attach_type::{self, BPF_PERF_EVENT, BPF_TRACE_UPROBE_MULTI},
    bpf_attr,
    bpf_cmd::{self, BPF_LINK_CREATE, BPF_PROG_LOAD, BPF_RAW_TRACEPOINT_OPEN},
    bpf_insn, bpf_prog_type, perf_event_attr,
};

/// How much the kernel says of its checks.
const LOG_LEVEL: u32 = 1;

/// What a program is loaded from.
pub(crate) struct Program<'a> {
    pub(crate) kind: bpf_prog_type,
    pub(crate) expected: Option<bpf_attach_type>,
    pub(crate) name: &'a str,
    pub(crate) license: &'a CStr,
    pub(crate) code: &'a [bpf_insn],
}

/// Loads a program; with room for a log the kernel says there what it checked.
pub(crate) fn load(program: &Program<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: a union of integers that is all zero is a valid value of each of its variants.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = program.kind as u32;
    load.expected_attach_type = program.expected.map_or(0, |expected| expected as u32);
    // The last byte stays zero: the kernel wants the name to end with one.
    let room = load.prog_name.len() - 1;
    for (to, from) in load.prog_name.iter_mut().take(room).zip(program.name.bytes()) {
        *to = from.cast_signed();
    }
    load.license = address(program.license.as_ptr());
    load.insns = address(program.code.as_ptr());
    load.insn_cnt = count(program.code.len())?;
    if !log.is_empty() {
        load.log_level = LOG_LEVEL;
        load.log_buf = address(log.as_mut_ptr());
        load.log_size = count(log.len())?;
    }
    bpf(BPF_PROG_LOAD, &mut attr)
}

pub(crate) fn open_raw_tracepoint(program: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.raw_tracepoint.name = address(name.as_ptr());
    attr.raw_tracepoint.prog_fd = number(program);
    bpf(BPF_RAW_TRACEPOINT_OPEN, &mut attr)
}

/// One link for all these offsets into a file; each offset has its cookie.
pub(crate) fn link_uprobes(
    program: BorrowedFd<'_>,
    path: &CStr,
    offsets: &[u64],
    cookies: &[u64],
    pid: u32,
) -> io::Result<OwnedFd> {
    if cookies.len() != offsets.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = number(program);
    attr.link_create.attach_type = BPF_TRACE_UPROBE_MULTI as u32;
    attr.link_create.__bindgen_anon_3.uprobe_multi.path = address(path.as_ptr());
    attr.link_create.__bindgen_anon_3.uprobe_multi.offsets = address(offsets.as_ptr());
    attr.link_create.__bindgen_anon_3.uprobe_multi.cookies = address(cookies.as_ptr());
    attr.link_create.__bindgen_anon_3.uprobe_multi.cnt = count(offsets.len())?;
    attr.link_create.__bindgen_anon_3.uprobe_multi.pid = pid;
    bpf(BPF_LINK_CREATE, &mut attr)
}

/// An event for one offset into a file; `kind` is the number of the kernel's unit `uprobe`.
pub(crate) fn open_uprobe_event(kind: u32, path: &CStr, offset: u64, pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the struct is made of integers, for which zero is a valid value.
    let mut attr = unsafe { mem::zeroed::<perf_event_attr>() };
    attr.size = count(size_of::<perf_event_attr>())?;
    attr.type_ = kind;
    attr.__bindgen_anon_3.uprobe_path = address(path.as_ptr());
    attr.__bindgen_anon_4.probe_offset = offset;
    let any_cpu = -1;
    let no_group = -1;
    // SAFETY: `attr` and the path that it points to outlive the call, and its size is its own.
    let opened = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            pid,
            any_cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    owned(opened)
}

pub(crate) fn link_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>, cookie: u64) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = number(program);
    attr.link_create.__bindgen_anon_2.target_fd = number(event);
    attr.link_create.attach_type = BPF_PERF_EVENT as u32;
    attr.link_create.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    bpf(BPF_LINK_CREATE, &mut attr)
}

/// Only for commands that return a new descriptor, with addresses of borrows that are still alive.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: `attr` outlives the call, and so does what it points to, as the callers above show.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    owned(returned)
}

fn owned(returned: c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(returned) {
        // SAFETY: the call returned a descriptor that is new, and so no one else's.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn zeroed() -> bpf_attr {
    // SAFETY: the union is made of integers, for which zero is a valid value.
    unsafe { mem::zeroed() }
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn count(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}
