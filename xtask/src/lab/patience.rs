//! Waiting with a deadline, and running other programs with one.
//!
//! In: a condition or a command, and how long it may take. Out: its value, or an error that
//! says what did not happen and what was seen last. An interrupt (Ctrl-C, SIGTERM) ends every
//! wait at once, so that whoever waits can put things back in order.

use std::{
    error::Error,
    fmt, fs,
    io::Read,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

const PAUSE: Duration = Duration::from_millis(100);

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The user asked to stop.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl Error for Interrupted {}

/// From now on an interrupt ends waits instead of this process.
pub(crate) fn heed_interrupts() -> anyhow::Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&INTERRUPTED))
            .context("cannot listen for interrupts")?;
    }
    Ok(())
}

/// What was interrupted is over: the waits that follow (cleaning up) run to their end.
pub(crate) fn forgive_interrupt() {
    INTERRUPTED.store(false, Ordering::Relaxed);
}

/// Blocks until the user asks to stop.
pub(crate) fn interruption() {
    while !INTERRUPTED.load(Ordering::Relaxed) {
        thread::sleep(PAUSE);
    }
}

/// Sleeps for a moment; an error if the user asked to stop.
pub(crate) fn pause() -> Result<(), Interrupted> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Err(Interrupted);
    }
    thread::sleep(PAUSE);
    Ok(())
}

/// Tries until it works. Past the deadline the error tells what was awaited and why the last try failed.
pub(crate) fn until<T>(
    what: &str,
    within: Duration,
    mut attempt: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        let fault = match attempt() {
            Ok(value) => return Ok(value),
            Err(fault) => fault,
        };
        if begun.elapsed() > within {
            return Err(fault.context(format!("waited {} s in vain for {what}", within.as_secs())));
        }
        pause()?;
    }
}

/// Runs a command to its end and returns what it printed on standard output.
pub(crate) fn output(command: &mut Command, within: Duration) -> anyhow::Result<String> {
    let finished = finish(command, within)?;
    if !finished.status.success() {
        let said = [finished.stdout.trim(), finished.stderr.trim()].join("\n");
        bail!(
            "{} ended with {}: {}",
            line(command),
            finished.status,
            said.trim()
        );
    }
    Ok(finished.stdout)
}

#[derive(Debug)]
struct Finished {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// The command gets a process group of its own, so that it can be ended with all its children.
fn finish(command: &mut Command, within: Duration) -> anyhow::Result<Finished> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {program}: is it installed?"))?;
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child")? {
            break status;
        }
        let late = begun.elapsed() > within;
        let patience = pause();
        if late || patience.is_err() {
            if let Ok(group) = i32::try_from(child.id()) {
                // The group may just have ended by itself.
                killpg(Pid::from_raw(group), Signal::SIGKILL).ok();
            }
            child.wait().context("cannot wait for a child")?;
            patience?;
            bail!("{} took longer than {} s", line(command), within.as_secs());
        }
    };
    let read =
        |pipe: Option<thread::JoinHandle<String>>| pipe.and_then(|pipe| pipe.join().ok()).unwrap_or_default();
    Ok(Finished {
        status,
        stdout: read(stdout),
        stderr: read(stderr),
    })
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has given what there was.
        pipe.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The part of a command that its reader would recognise.
fn line(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

/// The end of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 20;
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let Ok(text) = text else {
        return format!("{}: not written yet", log.display());
    };
    let lines: Vec<_> = text.lines().collect();
    let last = lines.len().saturating_sub(LINES);
    format!("the end of {}:\n{}", log.display(), lines[last..].join("\n"))
}

/// Shows on the terminal, every few seconds, that something long is still going on.
pub(crate) fn with_progress<T>(title: &str, work: impl FnOnce() -> T) -> T {
    const EVERY: Duration = Duration::from_secs(10);
    let begun = Instant::now();
    let (done, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            eprintln!("{title}");
            while over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{title}: {} s", begun.elapsed().as_secs());
            }
        });
        let value = work();
        drop(done);
        value
    })
}
