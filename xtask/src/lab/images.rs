//! Container images of one layer, written as OCI layouts.
//!
//! In: an image's name and the files it holds. Out: a layout directory in the cache, named by a
//! hash of what went in, for `crane push` into the lab's registry. It does not know what the files do.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    components::{Components, hex},
    patience,
};
use crate::place;

/// What to put where.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) name: &'static str,
    pub(crate) tag: String,
    entrypoint: Vec<&'static str>,
    files: Vec<(PathBuf, String)>,
}

impl Image {
    fn new(name: &'static str, tag: impl Into<String>) -> Self {
        Self {
            name,
            tag: tag.into(),
            entrypoint: Vec::new(),
            files: Vec::new(),
        }
    }

    fn entrypoint(mut self, words: &[&'static str]) -> Self {
        self.entrypoint = words.to_vec();
        self
    }

    fn file(mut self, from: impl Into<PathBuf>, to: impl Into<String>) -> Self {
        self.files.push((from.into(), to.into()));
        self
    }

    /// A program of the host with the libraries that it is linked to.
    fn linked(mut self, program: &str) -> anyhow::Result<Self> {
        let listed = patience::output(Command::new("ldd").arg(program), Duration::from_secs(10))?;
        let libraries = listed
            .split_ascii_whitespace()
            .filter(|word| word.starts_with('/'));
        for path in std::iter::once(program).chain(libraries) {
            self = self.file(path, path);
        }
        Ok(self)
    }
}

/// Every image of the cluster but the agent's own.
pub(crate) fn all(components: &Components, pause: &Path) -> anyhow::Result<Vec<Image>> {
    let kubernetes = components.version("kubernetes");
    let mut images: Vec<_> = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        .map(|name| {
            Image::new(name, kubernetes).file(
                components.program("kubernetes", name),
                format!("/usr/local/bin/{name}"),
            )
        })
        .into();
    images.push(
        // kube-proxy calls nft to program the kernel.
        Image::new("kube-proxy", kubernetes)
            .file(
                components.program("kubernetes", "kube-proxy"),
                "/usr/local/bin/kube-proxy",
            )
            .linked("/usr/sbin/nft")?,
    );
    images.push(
        Image::new("etcd", components.version("etcd"))
            .file(components.program("etcd", "etcd"), "/usr/local/bin/etcd")
            .file(components.program("etcd", "etcdctl"), "/usr/local/bin/etcdctl"),
    );
    images.push(
        Image::new("coredns", components.version("coredns"))
            .file(components.program("coredns", "coredns"), "/coredns")
            .entrypoint(&["/coredns"]),
    );
    images.push(
        Image::new("otelcol", components.version("collector"))
            .file(components.program("collector", "otelcol"), "/otelcol")
            .entrypoint(&["/otelcol"]),
    );
    images.push(
        Image::new("jaeger", components.version("jaeger"))
            .file(components.program("jaeger", "jaeger"), "/jaeger")
            .entrypoint(&["/jaeger"]),
    );
    images.push(
        Image::new("pause", PAUSE)
            .file(pause, "/pause")
            .entrypoint(&["/pause"]),
    );
    images.push(
        Image::new("demo", "1")
            .file("/bin/busybox", "/bin/busybox")
            .file(place::root().join("tests/lab/demo/index.html"), "/www/index.html")
            .entrypoint(&["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]),
    );
    Ok(images)
}

/// The version of the sandbox image that kubeadm asks for.
pub(crate) const PAUSE: &str = "3.10.2";

/// Kubernetes's own first process of a pod, from the sources that its Go module carries. It reaps
/// orphans and nothing else, so it is the first process of the lab's namespaces too.
pub(crate) fn pause(components: &Components) -> anyhow::Result<PathBuf> {
    let version = components.version("kubernetes");
    let pause = place::cache()?.join(format!("lab/pause-{version}"));
    if pause.exists() {
        return Ok(pause);
    }
    let family = place::root().join("tests/lab/kubernetes");
    let mut list = Command::new("go");
    list.current_dir(family)
        .args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]);
    let module = patience::output(&mut list, Duration::from_mins(10))?;
    let source = Path::new(module.trim()).join("build/pause/linux/pause.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-Os", "-Wall", "-Werror", "-static"])
        .arg(format!("-DVERSION={PAUSE}"))
        .arg("-o")
        .args([&pause, &source]);
    patience::output(&mut gcc, Duration::from_mins(1))?;
    Ok(pause)
}

/// Writes the layout unless the cache has it.
pub(crate) fn layout(image: &Image) -> anyhow::Result<PathBuf> {
    let dir = place::cache()?
        .join("lab/images")
        .join(format!("{}-{}", image.name, key(image)?));
    if dir.exists() {
        return Ok(dir);
    }
    let part = dir.with_extension("part");
    let blobs = part.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
    write_layout(image, &part).with_context(|| format!("cannot write the image {}", image.name))?;
    fs::rename(&part, &dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// A file is known by path, size and time: the families' directories carry a hash already.
fn key(image: &Image) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{image:?}"));
    for (from, _) in &image.files {
        let file = fs::metadata(from).with_context(|| format!("cannot read {}", from.display()))?;
        hash.update(format!("{} {}", file.len(), file.mtime()));
    }
    Ok(hex(&hash.finalize())[..12].to_owned())
}

fn write_layout(image: &Image, dir: &Path) -> anyhow::Result<()> {
    let blobs = dir.join("blobs/sha256");
    let (layer, diff) = write_layer(image, &blobs)?;
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "Entrypoint": image.entrypoint },
        "rootfs": { "type": "layers", "diff_ids": [diff] },
    });
    let config = write_blob(&config, "application/vnd.oci.image.config.v1+json", &blobs)?;
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": config,
        "layers": [layer],
    });
    let manifest = write_blob(&manifest, manifest_type, &blobs)?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(dir.join("index.json"), index.to_string())?;
    fs::write(
        dir.join("oci-layout"),
        json!({ "imageLayoutVersion": "1.0.0" }).to_string(),
    )?;
    Ok(())
}

/// The layer's descriptor, and the digest of its content before compression.
fn write_layer(image: &Image, blobs: &Path) -> anyhow::Result<(Value, String)> {
    let path = blobs.join("layer");
    let packed = Hashed::new(File::create(&path)?);
    let plain = Hashed::new(GzEncoder::new(packed, Compression::fast()));
    let mut archive = tar::Builder::new(plain);
    for (from, to) in &image.files {
        archive
            .append_path_with_name(from, to.trim_start_matches('/'))
            .with_context(|| format!("cannot pack {}", from.display()))?;
    }
    let (gzip, diff) = archive.into_inner()?.finish();
    let packed = gzip.finish()?;
    let size = packed.size;
    let (_, digest) = packed.finish();
    fs::rename(&path, blobs.join(digest.trim_start_matches("sha256:")))?;
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    Ok((
        json!({ "mediaType": media_type, "digest": digest, "size": size }),
        diff,
    ))
}

fn write_blob(content: &Value, media_type: &str, blobs: &Path) -> anyhow::Result<Value> {
    let bytes = content.to_string().into_bytes();
    let digest = hex(&Sha256::digest(&bytes));
    fs::write(blobs.join(&digest), &bytes)?;
    Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
}

/// The name that OCI and Go give this machine's processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Counts and hashes what passes through.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hashed<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size: 0,
        }
    }

    fn finish(self) -> (W, String) {
        (self.inner, format!("sha256:{}", hex(&self.hash.finalize())))
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
