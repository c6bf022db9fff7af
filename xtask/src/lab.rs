//! `cargo xtask lab`: a real Kubernetes cluster on this machine, with innerspan in it.
//!
//! In: this machine, root, and a Go toolchain. Out: a kubeadm cluster in namespaces of its own,
//! its native tracing on, the agent from `deploy/chart` on its node and a collector behind it.
//! Its state is under `target/lab`; killing its first process ends all of it.

use std::{
    convert::Infallible,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use self::{boot::Native, cgroup::Tree, components::Components, node::Node, space::Ground};
use crate::place;

mod account;
mod agent;
mod boot;
mod capture;
mod cases;
mod cgroup;
mod cluster;
pub(crate) mod components;
mod demo;
mod fidelity;
mod host;
mod images;
mod jaeger;
mod node;
mod outline;
mod patience;
mod print;
mod record;
mod recorder;
mod space;
mod spans;
mod starts;
mod template;
mod twins;
mod world;

/// Without a verb: bring the lab up, show what it does, and end it on Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// End by itself after the demonstration.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    options: boot::Options,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Bring the lab up and leave it running.
    Up(boot::Options),
    /// End everything and leave nothing behind but the logs.
    Down,
    /// Say whether the lab is up, and what runs in it.
    Status,
    /// Run a command on the node, with kubectl, helm, ctr and their settings at hand.
    Exec {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Say where the components' spans are: sent, received, exported, dropped, arrived.
    Spans {
        /// One JSON object, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Start fifty pods at once, and hold the trace of each against what the kubelet logs of it.
    Starts {
        /// One JSON list, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Start pods, and compare the agent's spans of calls with the components' own.
    Fidelity {
        /// One JSON list, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Start a pod that fails or is slow in one way, and say its UID once it is where it gets.
    Case {
        #[arg(value_parser = cases::names())]
        name: String,
        /// End the pod if it does not start, and print the outline of its trace in place of its UID.
        #[arg(long)]
        outline: bool,
    },
    /// Write tests/data/otlp from the requests that a lab with --capture has seen so far.
    Record,
    /// Build a program of the cluster, or of an earlier release, unless it is there, and say where it is.
    #[command(hide = true)]
    Program { family: String, program: String },
    /// Start a command in a place of the lab's cgroup tree.
    #[command(hide = true)]
    Enter {
        place: String,
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Keep what the collector sends on.
    #[command(hide = true)]
    Recorder(recorder::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        None => return session(&ground()?, args),
        Some(Verb::Up(options)) => boot::up_or_nothing(&ground()?, options)?,
        Some(Verb::Down) => boot::down(&ground()?)?,
        Some(Verb::Status) => return boot::status(&ground()?),
        Some(Verb::Exec { command }) => return Err(node(&ground()?)?.space.become_program(command)),
        Some(Verb::Spans { json }) => {
            let account = account::take(&node(&ground()?)?)?;
            if *json {
                println!("{}", account::as_json(&account));
            } else {
                print::account(&account);
            }
        }
        Some(Verb::Fidelity { json }) => {
            let lines = fidelity::measure(&node(&ground()?)?)?;
            if *json {
                println!("{}", fidelity::as_json(&lines));
            } else {
                print::fidelity(&lines);
            }
        }
        Some(Verb::Starts { json }) => {
            let node = node(&ground()?)?;
            let starts = starts::measure(&node)?;
            if *json {
                println!("{}", starts::as_json(&starts));
            } else {
                print::starts(&starts);
            }
        }
        Some(Verb::Case { name, outline }) => {
            let node = node(&ground()?)?;
            let uid = cases::run(&node, name)?;
            if *outline {
                print!("{}", cases::outline(&node, name, &uid)?);
            } else {
                println!("{uid}");
            }
        }
        Some(Verb::Record) => {
            let capture = ground()?.dir.join(capture::FILE);
            record::fixtures(&capture, &place::root().join("tests/data/otlp"))?;
        }
        Some(Verb::Program { family, program }) => {
            let path = Components::locate()?.build_program(family, program)?;
            println!("{}", path.display());
        }
        Some(Verb::Enter { place, command }) => return Err(enter(place, command)),
        Some(Verb::Recorder(args)) => recorder::serve(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// From nothing to the demonstration, and back to nothing, whatever happens in between.
fn session(ground: &Ground, args: &Args) -> anyhow::Result<ExitCode> {
    patience::heed_interrupts()?;
    let outcome = boot::up(ground, &args.options).and_then(|node| demonstrate(&node, args.options.native));
    if outcome.is_ok() && !args.once {
        println!("\nThe lab runs until Ctrl-C; `cargo xtask lab exec -- kubectl get pods -A` looks into it.");
        patience::interruption();
    }
    patience::forgive_interrupt();
    boot::down(ground)?;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// A success only if the traces are whole and no span was dropped.
fn demonstrate(node: &Node, native: Native) -> anyhow::Result<()> {
    let pod = demo::start(node)?;
    if native == Native::On {
        demo::show(node, &pod)?;
    }
    let account = account::take(node)?;
    println!();
    print::account(&account);
    println!(
        "\nThe components of each node sent to innerspan on its loopback (4317, 4318), innerspan to {}, and the \
         collector to {} and to Jaeger.",
        agent::ENDPOINT,
        node.space.ground.dir.join(recorder::FILE).display()
    );
    let dropped: u64 = account.lines.values().map(|line| line.dropped).sum();
    if dropped > 0 {
        bail!("innerspan dropped {dropped} spans");
    }
    demo::show_start(node, &pod, native)
}

/// What the agent of a running lab shows of itself; none without a lab.
pub(crate) fn agent_metrics() -> anyhow::Result<Option<String>> {
    let ground = ground()?;
    let node = Node::find(&ground, 1);
    node.map(|_| account::metrics(&ground)).transpose()
}

fn node(ground: &Ground) -> anyhow::Result<Node> {
    Node::find(ground, 1).context("the lab is down: `cargo xtask lab up` starts it")
}

/// Joins the cgroups, then becomes the command. It runs for everything that the lab starts, so it
/// looks at nothing that it does not need.
fn enter(place: &str, command: &[String]) -> anyhow::Error {
    let become_command = || {
        tree()?.enter(place)?;
        let (program, arguments) = command.split_first().context("no command to start")?;
        let fault = Command::new(program).args(arguments).exec();
        Err::<Infallible, _>(fault).with_context(|| format!("cannot start {program}"))
    };
    match become_command() {
        Err(fault) => fault,
        Ok(never) => match never {},
    }
}

fn ground() -> anyhow::Result<Ground> {
    Ok(Ground {
        tree: tree()?,
        dir: dir(),
        components: Components::locate()?,
    })
}

/// Two checkouts may each have a lab: the cgroup tree is named after the directory.
fn tree() -> anyhow::Result<Tree> {
    let name = components::hex(&Sha256::digest(dir().as_os_str().as_encoded_bytes()));
    Tree::new(format!("innerspan-lab-{}", &name[..8]))
}

fn dir() -> PathBuf {
    place::root().join("target/lab")
}
