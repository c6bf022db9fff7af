//! One node: its own namespaces on the bridge, containerd, and the kubelet.
//!
//! In: its number. Out: a space that looks like a machine of its own to all that runs in it. What
//! it writes goes to `target/lab/<node>`; `/etc` is the host's with a layer of its own on top.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{
    capture, images, patience,
    space::{Ground, Space},
    template, world,
};
use crate::place;

/// Where a user puts the components' tracing set-up; the lab uses the same files.
const CONTROL_PLANE: &str = "deploy/control-plane";
/// Below /etc: what kubeadm changes in the control plane's pods, what the kubelet adds to its configuration, and the
/// environment of containerd.
const PATCHES: &str = "kubernetes/patches";
const KUBELET_ADDITIONS: &str = "kubernetes/kubelet.conf.d";
const CONTAINERD_ENVIRONMENT: &str = "default/containerd";

/// Nodes beside the first.
pub(crate) const MAX_WORKERS: u8 = 9;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) number: u8,
    pub(crate) space: Space,
}

pub(crate) fn name(number: u8) -> String {
    format!("node{number}")
}

pub(crate) fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, 0, 10 + number)
}

/// The controller manager hands these out in the order in which nodes join.
fn pods(number: u8) -> String {
    format!("10.244.{}.0/24", number - 1)
}

/// The leaf for the node's own processes: in a version 2 tree a cgroup with children has none.
fn system(number: u8) -> String {
    format!("{}/system", name(number))
}

impl Node {
    /// Finds a node that is running.
    pub(crate) fn find(ground: &Ground, number: u8) -> Option<Self> {
        let space = ground.find(&system(number), 3)?;
        Some(Self { number, space })
    }

    /// All nodes of a lab that is up: the first has the control plane.
    pub(crate) fn all(ground: &Ground) -> Vec<Self> {
        (1..=MAX_WORKERS + 1)
            .map_while(|number| Self::find(ground, number))
            .collect()
    }

    /// Starts the node's namespaces, network and files, but no process of Kubernetes.
    pub(crate) fn start(world: &Space, number: u8) -> anyhow::Result<Self> {
        let ground = &world.ground;
        let place = name(number);
        let mut space = ground.start(Some(world), &place)?;
        ground.tree.create(&system(number))?;
        for pid in ground.tree.members(&place) {
            ground.tree.admit(&pid.to_string(), &system(number))?;
        }
        ground.tree.delegate(&system(number))?;
        space.place = system(number);
        let node = Self { number, space };
        node.connect(world)?;
        node.furnish()?;
        Ok(node)
    }

    pub(crate) fn name(&self) -> String {
        name(self.number)
    }

    /// The node's files, seen from outside.
    pub(crate) fn dir(&self) -> PathBuf {
        self.space.ground.dir.join(self.name())
    }

    pub(crate) fn log(&self, component: &str) -> PathBuf {
        self.space.ground.log_path(&self.log_name(component))
    }

    fn log_name(&self, component: &str) -> String {
        format!("{}-{component}", self.name())
    }

    /// A cable to the bridge, and a route to the node's pods for everybody on it.
    fn connect(&self, world: &Space) -> anyhow::Result<()> {
        let cable = format!("lab-{}", self.name());
        let holder = self.space.init_from_outside()?.to_string();
        let address = address(self.number).to_string();
        world.run(&[
            "ip", "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &holder,
        ])?;
        world.run(&["ip", "link", "set", &cable, "master", "lab0", "up"])?;
        world.run(&[
            "ip",
            "route",
            "add",
            &pods(self.number),
            "via",
            &address,
            "onlink",
            "dev",
            "lab0",
        ])?;
        let gateway = world::ADDRESS.to_string();
        for words in [
            &["hostname", &self.name()][..],
            &["ip", "link", "set", "lo", "up"],
            &["ip", "address", "add", &format!("{address}/24"), "dev", "eth0"],
            &["ip", "link", "set", "eth0", "up"],
            &["ip", "route", "add", "default", "via", &gateway],
            &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"],
        ] {
            self.space.run(words)?;
        }
        Ok(())
    }

    /// File systems: what a booted machine has, and directories of its own where Kubernetes writes.
    fn furnish(&self) -> anyhow::Result<()> {
        let dir = self.dir();
        for sub in [
            "var/lib",
            "var/log",
            "var/tmp",
            "var/cache",
            "etc",
            "etc-work",
            "sysctl",
        ] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        std::os::unix::fs::symlink("/run", dir.join("var/run")).context("cannot link /var/run")?;
        self.configure()?;
        let mount = |words: &[&str]| {
            let words: Vec<_> = std::iter::once("mount").chain(words.iter().copied()).collect();
            self.space.run(&words)
        };
        let (upper, work) = (dir.join("etc"), dir.join("etc-work"));
        let layers = format!(
            "lowerdir=/etc,upperdir={},workdir={}",
            upper.display(),
            work.display()
        );
        let var = dir.join("var").display().to_string();
        mount(&["--make-rshared", "/"])?;
        mount(&["-t", "overlay", "overlay", "-o", &layers, "/etc"])?;
        mount(&["--bind", &var, "/var"])?;
        mount(&["-t", "tmpfs", "tmpfs", "/run"])?;
        mount(&["-t", "sysfs", "sysfs", "/sys"])?;
        mount(&["-t", "tracefs", "tracefs", "/sys/kernel/tracing"])?;
        mount(&["-t", "bpf", "bpf", "/sys/fs/bpf"])?;
        let hierarchies = self.space.ground.tree.mounts();
        if hierarchies.len() > 1 {
            mount(&["-t", "tmpfs", "tmpfs", "/sys/fs/cgroup"])?;
        }
        for (point, kind, options) in hierarchies {
            let point = point.display().to_string();
            self.space.run(&["mkdir", "-p", &point])?;
            mount(&["-t", kind, "-o", &options, "cgroup", &point])?;
        }
        self.guard_sysctls()
    }

    /// The kubelet sets these for the whole machine. It leaves them alone where they have the value
    /// that it wants, so the node gets files that say so, and the machine stays as it was.
    fn guard_sysctls(&self) -> anyhow::Result<()> {
        for (sysctl, value) in [
            ("vm/overcommit_memory", "1"),
            ("vm/panic_on_oom", "0"),
            ("kernel/panic", "10"),
            ("kernel/panic_on_oops", "1"),
            ("kernel/keys/root_maxkeys", "1000000"),
            ("kernel/keys/root_maxbytes", "25000000"),
        ] {
            let file = self.dir().join("sysctl").join(sysctl.replace('/', "."));
            fs::write(&file, value).with_context(|| format!("cannot write {}", file.display()))?;
            let (file, sysctl) = (file.display().to_string(), format!("/proc/sys/{sysctl}"));
            self.space.run(&["mount", "--bind", &file, &sysctl])?;
        }
        Ok(())
    }

    /// The node's own layer of /etc.
    fn configure(&self) -> anyhow::Result<()> {
        let etc = self.dir().join("etc");
        let templates = place::root().join("tests/lab/node");
        let cni = self.space.ground.components.dir("cni").display().to_string();
        let sandbox = format!("{}/pause:{}", world::REGISTRY, images::PAUSE);
        let registry = world::ADDRESS.to_string();
        let (name, address, pods) = (self.name(), address(self.number).to_string(), pods(self.number));
        let values = [
            ("REGISTRY", world::REGISTRY),
            ("REGISTRY_ADDRESS", &registry),
            ("SANDBOX_IMAGE", &sandbox),
            ("CNI_PLUGINS", &cni),
            ("NODE_NAME", &name),
            ("NODE_ADDRESS", &address),
            ("POD_SUBNET", &pods),
        ];
        let hosts = format!("containerd/certs.d/{}/hosts.toml", world::REGISTRY);
        for (from, to) in [
            ("hosts", "hosts"),
            ("resolv.conf", "resolv.conf"),
            ("containerd.toml", "containerd/config.toml"),
            ("hosts.toml", &hosts),
            ("cni.conflist", "cni/net.d/10-lab.conflist"),
        ] {
            template::install(&templates.join(from), &etc.join(to), &values)?;
        }
        fs::write(etc.join("hostname"), &name).context("cannot write the node's hostname")?;
        // Two nodes must not have one machine id.
        fs::write(etc.join("machine-id"), format!("{:032x}\n", self.number))
            .context("cannot write a machine id")?;
        // What kubeadm and the kubelet add to their configuration: nothing, until tracing is switched on.
        [PATCHES, KUBELET_ADDITIONS].iter().try_for_each(|dir| {
            let dir = etc.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))
        })
    }

    /// Switches the components' own tracing on, as a user would: before any of them starts.
    pub(crate) fn trace(&self) -> anyhow::Result<()> {
        let etc = self.dir().join("etc");
        let tracing = place::root().join(CONTROL_PLANE);
        for (from, to) in [
            (
                "apiserver-tracing.yaml",
                "kubernetes/tracing/apiserver-tracing.yaml",
            ),
            (
                "kubelet-tracing.conf",
                "kubernetes/kubelet.conf.d/10-tracing.conf",
            ),
            ("containerd-tracing.env", CONTAINERD_ENVIRONMENT),
            (
                "kubeadm-patches/etcd+json.yaml",
                "kubernetes/patches/etcd+json.yaml",
            ),
            (
                "kubeadm-patches/kube-apiserver+json.yaml",
                "kubernetes/patches/kube-apiserver+json.yaml",
            ),
        ] {
            template::install(&tracing.join(from), &etc.join(to), &[])?;
        }
        Ok(())
    }

    /// Keeps all packets on the loopback that pass the filter, from now on.
    pub(crate) fn capture(&self, filter: &str) -> anyhow::Result<()> {
        let file = self.space.ground.dir.join(capture::FILE);
        // Its own user could not write to the lab's directory; a buffer of 64 MiB loses nothing.
        let words = [
            "tcpdump",
            "-i",
            "lo",
            "-Z",
            "root",
            "-B",
            "65536",
            "-s",
            "0",
            "-U",
            "--immediate-mode",
            "-w",
        ];
        let mut words = words.map(str::to_owned).to_vec();
        words.extend([file.display().to_string(), filter.to_owned()]);
        self.space.daemon(&self.log_name("tcpdump"), &words, &[])?;
        patience::until("tcpdump", Duration::from_secs(10), || {
            fs::metadata(&file).context("no capture is written")
        })
        .map_err(|fault| fault.context(patience::tail(&self.log("tcpdump"))))?;
        Ok(())
    }

    /// Starts containerd, with the environment that its unit would have, and waits until it answers.
    pub(crate) fn start_containerd(&self) -> anyhow::Result<()> {
        let environment = self.dir().join("etc").join(CONTAINERD_ENVIRONMENT);
        let environment = if environment.exists() {
            environment_file(&environment)?
        } else {
            Vec::new()
        };
        let words = ["containerd", "--config", "/etc/containerd/config.toml"].map(str::to_owned);
        self.space
            .daemon(&self.log_name("containerd"), &words, &environment)?;
        patience::until("containerd", Duration::from_secs(30), || {
            self.space.run(&["ctr", "version"])
        })
        .map_err(|fault| fault.context(patience::tail(&self.log("containerd"))))?;
        Ok(())
    }

    /// Starts the kubelet with the flags that kubeadm wrote, as its systemd unit would.
    pub(crate) fn start_kubelet(&self) -> anyhow::Result<()> {
        let flags = self.dir().join("var/lib/kubelet/kubeadm-flags.env");
        let text = patience::until("kubeadm to configure the kubelet", Duration::from_mins(1), || {
            fs::read_to_string(&flags).with_context(|| format!("cannot read {}", flags.display()))
        })?;
        let (_, flags) = text
            .split_once('"')
            .context("kubeadm-flags.env has no quoted flags")?;
        let mut words = vec![
            "kubelet".to_owned(),
            "--config=/var/lib/kubelet/config.yaml".into(),
            "--config-dir=/etc/kubernetes/kubelet.conf.d".into(),
            "--kubeconfig=/etc/kubernetes/kubelet.conf".into(),
            "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf".into(),
        ];
        words.extend(
            flags
                .trim()
                .trim_end_matches('"')
                .split_ascii_whitespace()
                .map(str::to_owned),
        );
        self.space.daemon(&self.log_name("kubelet"), &words, &[])
    }
}

/// Reads `NAME=VALUE` lines, as systemd's `EnvironmentFile=` does.
fn environment_file(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut variables = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            bail!("{}: not NAME=VALUE: {line}", path.display());
        };
        variables.push((name.to_owned(), value.to_owned()));
    }
    Ok(variables)
}
