//! What surrounds the nodes: a bridge that routes between them, the image registry, and the recorder of spans.
//!
//! In: the images to serve. Out: the outer space, with one address on the bridge. It has no way
//! out to the machine's own network, and it does not know how many nodes there are.

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::Context as _;

use super::{
    images::{self, Image},
    patience, recorder,
    space::{Ground, Space},
};

pub(crate) const PLACE: &str = "world";
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
/// The registry's name in image references; every node's hosts file has it.
pub(crate) const REGISTRY: &str = "registry.lab:5000";
/// Where the collector sends what it received.
pub(crate) const RECORDER: u16 = 4319;

/// Starts the outer space and its two services.
pub(crate) fn start(ground: &Ground, crane: &Path) -> anyhow::Result<Space> {
    let world = ground.start(None, PLACE)?;
    let address = format!("{ADDRESS}/24");
    for words in [
        &["hostname", "lab"][..],
        &["ip", "link", "set", "lo", "up"],
        &["ip", "link", "add", "lab0", "type", "bridge"],
        &["ip", "address", "add", &address, "dev", "lab0"],
        &["ip", "link", "set", "lab0", "up"],
        // From one node's pods to another's.
        &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"],
    ] {
        world.run(words)?;
    }
    // Node images are found by name from here too, for pushing.
    let blobs = ground.dir.join("registry");
    fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
    let registry = [
        crane.display().to_string(),
        "registry".into(),
        "serve".into(),
        "--address=:5000".into(),
        format!("--disk={}", blobs.display()),
    ];
    world.daemon("registry", &registry, &[])?;
    let xtask = std::env::current_exe().context("cannot find this program")?;
    let recorder = [
        xtask.display().to_string(),
        "lab".into(),
        "recorder".into(),
        format!("{ADDRESS}:{RECORDER}"),
        ground.dir.join(recorder::FILE).display().to_string(),
    ];
    world.daemon("recorder", &recorder, &[])?;
    Ok(world)
}

/// Puts an image into the registry.
pub(crate) fn push(world: &Space, crane: &Path, image: &Image) -> anyhow::Result<()> {
    let layout = images::layout(image)?;
    push_layout(world, crane, &layout, &format!("{}:{}", image.name, image.tag))
}

/// Puts an OCI layout into the registry under a name.
pub(crate) fn push_layout(world: &Space, crane: &Path, layout: &Path, name: &str) -> anyhow::Result<()> {
    let crane = crane.display().to_string();
    let layout = layout.display().to_string();
    let reference = format!("127.0.0.1:5000/{name}");
    let words = [crane.as_str(), "push", "--insecure", &layout, &reference];
    // The registry may still be starting.
    patience::until("the registry", Duration::from_secs(30), || {
        world.run_within(&words, Duration::from_mins(2))
    })?;
    Ok(())
}
