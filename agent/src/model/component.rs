//! Which Kubernetes component an item comes from.

/// The component whose telemetry an item is, decided by its resource's `service.name`.
///
/// A closed list, because it labels metrics: a label is never taken from input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    KubeApiserver,
    Etcd,
    Kubelet,
    Containerd,
    Crio,
    Other,
    /// What this agent makes itself, whichever component it is about.
    Innerspan,
}

impl Component {
    pub const ALL: [Self; 7] = [
        Self::KubeApiserver,
        Self::Etcd,
        Self::Kubelet,
        Self::Containerd,
        Self::Crio,
        Self::Other,
        Self::Innerspan,
    ];

    /// Names as the components' own defaults send them: kube-apiserver calls itself `apiserver`.
    #[must_use]
    pub fn of_service(service_name: &[u8]) -> Self {
        match service_name {
            b"apiserver" | b"kube-apiserver" => Self::KubeApiserver,
            b"etcd" => Self::Etcd,
            b"kubelet" => Self::Kubelet,
            b"containerd" => Self::Containerd,
            b"crio" | b"cri-o" => Self::Crio,
            _ => Self::Other,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::Etcd => "etcd",
            Self::Kubelet => "kubelet",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Other => "other",
            Self::Innerspan => "innerspan",
        }
    }

    /// Its place in [`Component::ALL`], for arrays with one place per component.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}
