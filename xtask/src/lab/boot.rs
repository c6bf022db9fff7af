//! Up, down and status of the whole lab.
//!
//! In: a machine that may have another lab's leftovers. Out: a running lab, or a machine as it was.

use std::{
    fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    account, agent, capture, cluster, host, images,
    node::{self, Node},
    patience::{self, Interrupted},
    space::Ground,
    world,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Whether the components trace natively.
    #[arg(long, value_enum, default_value_t = Native::On)]
    pub(crate) native: Native,
    /// Nodes beside the one that has the control plane.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=i64::from(node::MAX_WORKERS)))]
    workers: u8,
    /// Keep the packets between components and the first node's agent in target/lab/capture.pcap.
    #[arg(long)]
    capture: bool,
    /// A value for the chart, as in `helm --set`.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// The components' own tracing: that of their configuration, which a user has or has not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Native {
    On,
    Off,
}

/// Up, for a user who leaves: an interrupted start leaves nothing behind, a failed one can be examined.
pub(crate) fn up_or_nothing(ground: &Ground, options: &Options) -> anyhow::Result<()> {
    patience::heed_interrupts()?;
    refuse_second(ground)?;
    match up(ground, options) {
        Ok(_) => Ok(()),
        Err(fault) if fault.is::<Interrupted>() => {
            patience::forgive_interrupt();
            down(ground)?;
            Err(fault)
        }
        Err(fault) => Err(fault.context(format!(
            "the lab is not whole; its logs are in {}, `cargo xtask lab exec` looks inside and \
             `cargo xtask lab down` ends it",
            ground.dir.join("logs").display()
        ))),
    }
}

/// Prepares the machine, builds what the cache lacks, and boots the cluster with all that belongs to it.
pub(crate) fn up(ground: &Ground, options: &Options) -> anyhow::Result<Node> {
    refuse_second(ground)?;
    host::prepare()?;
    ground.components.build()?;
    let pause = images::pause(&ground.components)?;
    let images = images::all(&ground.components, &pause)?;
    let agent = agent::build()?;
    down(ground)?;
    let logs = ground.dir.join("logs");
    if logs.exists() {
        fs::remove_dir_all(&logs).with_context(|| format!("cannot clear {}", logs.display()))?;
    }
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;

    let begun = Instant::now();
    let say = |what: &str| eprintln!("[{:>3} s] {what}", begun.elapsed().as_secs());
    say("namespaces, bridge, registry");
    let crane = ground.components.program("images", "crane");
    let world = world::start(ground, &crane)?;
    say(&format!("{} images into the registry", images.len()));
    for image in &images {
        world::push(&world, &crane, image)?;
    }
    agent::push(&world, &crane, &agent)?;
    let start = |number| {
        say(&format!("node {number}: containerd"));
        let node = Node::start(&world, number)?;
        if options.native == Native::On {
            node.trace()?;
        }
        if options.capture && number == 1 {
            node.capture(capture::FILTER)?;
        }
        node.start_containerd()?;
        anyhow::Ok(node)
    };
    let node = start(1)?;
    say("node 1: kubeadm init");
    cluster::init(&node)?;
    say("kube-proxy and CoreDNS");
    cluster::wait_for_addons(&node)?;
    say("the collector, and Jaeger behind it");
    cluster::install_observability(&node)?;
    for number in 2..options.workers + 2 {
        let worker = start(number)?;
        say(&format!("node {number}: kubeadm join"));
        cluster::join(&node, &worker)?;
    }
    say("innerspan");
    agent::install(&node, &options.settings)?;
    say("probes in all components");
    account::await_traced(ground)?;
    match options.native {
        Native::On => {
            say("spans of all components that trace natively");
            account::await_components(ground)?;
        }
        Native::Off => {
            say("the time in which the agent listens whether components trace natively");
            thread::sleep(account::LISTENS);
        }
    }
    say("up");
    Ok(node)
}

fn refuse_second(ground: &Ground) -> anyhow::Result<()> {
    if ground.find(world::PLACE, 2).is_some() {
        bail!("the lab is up already: `cargo xtask lab status` shows it, `cargo xtask lab down` ends it");
    }
    Ok(())
}

/// Ends the first process, and with it everything; then removes what the kernel does not.
pub(crate) fn down(ground: &Ground) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let begun = Instant::now();
    loop {
        let left = ground.tree.everyone();
        if left.is_empty() {
            break;
        }
        if begun.elapsed() > PATIENCE {
            bail!("processes {left:?} of the lab do not end");
        }
        for pid in left {
            // It may have ended with its namespace by now.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        thread::sleep(Duration::from_millis(50));
    }
    ground.tree.remove()?;
    let Ok(entries) = fs::read_dir(&ground.dir) else {
        return Ok(());
    };
    for entry in entries.flatten().filter(|entry| entry.file_name() != "logs") {
        let path = entry.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// A success if the lab is up.
pub(crate) fn status(ground: &Ground) -> anyhow::Result<ExitCode> {
    let (Some(world), Some(node)) = (ground.find(world::PLACE, 2), Node::find(ground, 1)) else {
        println!("down");
        return Ok(ExitCode::FAILURE);
    };
    println!(
        "up: first process {}, logs in {}",
        world.init,
        ground.dir.join("logs").display()
    );
    for words in [
        &["kubectl", "get", "nodes", "--output=wide"][..],
        &["kubectl", "get", "pods", "--all-namespaces", "--output=wide"],
    ] {
        println!("\n{}", node.space.run(words)?.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
