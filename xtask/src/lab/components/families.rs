//! What is built, and how its release links it. Versions are not said here: `tests/lab/<family>/go.mod` pins them.

/// One Go module with the tools that it pins.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    /// The module whose version is the family's.
    pub(super) module: &'static str,
    /// The release of Go that builds it, where the newest one would tell nothing new.
    pub(super) go: Option<&'static str>,
    pub(super) builds: &'static [Build],
}

/// One call of `go build`.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) packages: &'static [&'static str],
    pub(super) link: Link,
    /// The name of the binary, where the package's own is not the usual one.
    pub(super) named: Option<&'static str>,
}

/// How the release of a program is linked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Link {
    Static,
    Cgo,
    CgoPie,
}

const fn all(packages: &'static [&'static str], link: Link) -> Build {
    Build {
        packages,
        link,
        named: None,
    }
}

const fn one(packages: &'static [&'static str], named: &'static str) -> Build {
    Build {
        packages,
        link: Link::Static,
        named: Some(named),
    }
}

pub(super) const FAMILIES: [Family; 9] = [
    Family {
        name: "images",
        module: "github.com/google/go-containerregistry",
        go: None,
        builds: &[all(
            &["github.com/google/go-containerregistry/cmd/crane"],
            Link::Static,
        )],
    },
    Family {
        name: "cni",
        module: "github.com/containernetworking/plugins",
        go: None,
        builds: &[all(
            &[
                "github.com/containernetworking/plugins/plugins/main/bridge",
                "github.com/containernetworking/plugins/plugins/main/loopback",
                "github.com/containernetworking/plugins/plugins/ipam/host-local",
                "github.com/containernetworking/plugins/plugins/meta/portmap",
            ],
            Link::Static,
        )],
    },
    Family {
        name: "etcd",
        module: "go.etcd.io/etcd/server/v3",
        go: None,
        builds: &[
            one(&["go.etcd.io/etcd/server/v3"], "etcd"),
            one(&["go.etcd.io/etcd/etcdctl/v3"], "etcdctl"),
        ],
    },
    Family {
        name: "containerd",
        module: "github.com/containerd/containerd/v2",
        go: None,
        builds: &[
            all(
                &[
                    "github.com/containerd/containerd/v2/cmd/containerd",
                    "github.com/containerd/containerd/v2/cmd/ctr",
                ],
                Link::CgoPie,
            ),
            all(
                &["github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"],
                Link::Static,
            ),
        ],
    },
    Family {
        name: "helm",
        module: "helm.sh/helm/v3",
        go: None,
        builds: &[all(&["helm.sh/helm/v3/cmd/helm"], Link::Static)],
    },
    Family {
        name: "coredns",
        module: "github.com/coredns/coredns",
        go: None,
        builds: &[all(&["github.com/coredns/coredns"], Link::Static)],
    },
    Family {
        name: "collector",
        module: "go.opentelemetry.io/collector/service",
        go: None,
        builds: &[one(&["."], "otelcol")],
    },
    Family {
        name: "jaeger",
        module: "github.com/jaegertracing/jaeger",
        go: None,
        builds: &[one(&["github.com/jaegertracing/jaeger/cmd/all-in-one"], "jaeger")],
    },
    Family {
        name: "kubernetes",
        module: KUBERNETES,
        go: None,
        builds: &[
            all(
                &[
                    "k8s.io/kubernetes/cmd/kubeadm",
                    "k8s.io/kubernetes/cmd/kube-apiserver",
                    "k8s.io/kubernetes/cmd/kube-scheduler",
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                    "k8s.io/kubernetes/cmd/kube-proxy",
                    "k8s.io/kubernetes/cmd/kubectl",
                ],
                Link::Static,
            ),
            all(&["k8s.io/kubernetes/cmd/kubelet"], Link::Cgo),
        ],
    },
];

/// Earlier releases, which are looked into and never run.
pub(super) const EARLIER: [Family; 2] = [
    Family {
        name: "kubernetes-1.34",
        module: KUBERNETES,
        go: Some("go1.24.9"),
        builds: &[all(&["k8s.io/kubernetes/cmd/kubelet"], Link::Cgo)],
    },
    Family {
        name: "containerd-1.7",
        module: "github.com/containerd/containerd",
        go: None,
        builds: &[all(
            &["github.com/containerd/containerd/cmd/containerd"],
            Link::CgoPie,
        )],
    },
];

pub(super) const KUBERNETES: &str = "k8s.io/kubernetes";
