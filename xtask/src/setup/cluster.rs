//! What a real cluster on this machine needs of it: programs of the distribution, and Go.

use std::{path::Path, process::Command};

use anyhow::bail;

use super::{apt, part::Part};

/// Files that the lab needs, with their Debian packages.
const FILES: [(&str, &str); 12] = [
    ("/usr/bin/gcc", "gcc"),
    ("/usr/include/stdlib.h", "libc6-dev"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/bin/unshare", "util-linux"),
    ("/usr/sbin/sysctl", "procps"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/tcpdump", "tcpdump"),
    ("/bin/busybox", "busybox-static"),
    ("/usr/bin/ldd", "libc-bin"),
];

pub(super) const PROGRAMS: Part = Part {
    name: "the programs of a node",
    is_there: || absent().is_empty(),
    install: || apt::install(&absent()),
    by_hand: "the Debian packages gcc libc6-dev iproute2 util-linux procps runc nftables iptables conntrack \
              tcpdump busybox-static libc-bin",
};

pub(super) const GO: Part = Part {
    name: "Go 1.21 or later, which fetches the release that the modules ask for",
    is_there: || {
        let version = Command::new("go").arg("version").output();
        version.is_ok_and(|output| output.status.success())
    },
    install: || bail!("the distributions' own is mostly too old"),
    by_hand: "https://go.dev/dl, with its bin directory on PATH",
};

fn absent() -> Vec<&'static str> {
    FILES
        .into_iter()
        .filter(|(path, _)| !Path::new(path).exists())
        .map(|(_, package)| package)
        .collect()
}
