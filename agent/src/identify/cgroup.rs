//! Whose a process is, by the control group that the kubelet and the runtime put it in.
//!
//! In: a path, or the `cgroup` file of a process, of version 1 or 2. Out: the pod, and the container if it is in one.
//! Pure: text in, values out. Must not know which pods there are.
//!
//! What is asked of a path is one segment that names a pod. What stands above it differs from node to node (the prefix
//! of a kubelet that runs in a container, `..` where the agent has a control group namespace of its own) and says
//! nothing. The first pod counts: a cluster in a pod of this node is that pod's business.

use std::sync::Arc;

use crate::model::pod::PodUid;

/// Where a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub pod: PodUid,
    /// The runtime's id of the container, or of the pod's sandbox; none for what the runtime itself runs beside them.
    pub container: Option<Arc<str>>,
}

impl Place {
    /// Of a process, by its file `/proc/PID/cgroup`: version 1 has a line for each hierarchy, not all of which need to
    /// name the pod.
    #[must_use]
    pub fn of_process(file: &str) -> Option<Self> {
        file.lines().find_map(|line| {
            let (_hierarchy, rest) = line.split_once(':')?;
            let (_controllers, path) = rest.split_once(':')?;
            Self::of_path(path.strip_suffix(" (deleted)").unwrap_or(path))
        })
    }

    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let mut segments = path.split('/');
        let (pod, within) = segments.find_map(pod)?;
        let container = within.or_else(|| segments.next()).and_then(container);
        Some(Self {
            pod,
            container: container.map(Arc::from),
        })
    }
}

/// The pod that a segment names, and what it names within it.
///
/// The cgroupfs driver writes `pod<uid>`, the systemd driver `kubepods-burstable-pod<uid>.slice` with underscores for
/// dashes. A runtime that is told the latter and drives cgroupfs makes one segment of pod and container:
/// `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`.
fn pod(segment: &str) -> Option<(PodUid, Option<&str>)> {
    let (slice, within) = match segment.split_once(':') {
        Some((slice, within)) => (slice, Some(within)),
        None => (segment, None),
    };
    let name = slice.strip_suffix(".slice").unwrap_or(slice);
    let (above, uid) = name.rsplit_once("pod")?;
    let uid = PodUid::parse(&uid.replace('_', "-"))?;
    (above.is_empty() || above.ends_with('-')).then_some((uid, within))
}

/// The container that a segment names: `<id>`, `cri-containerd-<id>.scope`, `crio-<id>.scope`, `docker-<id>.scope`.
fn container(segment: &str) -> Option<&str> {
    const ID: usize = 64;
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    let (runtime, id) = name.rsplit_once(['-', ':']).unwrap_or(("", name));
    let is_id = id.len() == ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    // CRI-O's monitor of a container is not in it.
    (is_id && !runtime.ends_with("conmon")).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    const HASH: &str = "3a4b5c6d7e8f90123a4b5c6d7e8f9012";
    const ID: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
    const OTHER: &str = "decade00decade00decade00decade00decade00decade00decade00decade00";

    /// `UID`, `U_D` (with underscores), `HASH`, `ID` and `OTHER` stand for themselves.
    fn place(path: &str) -> Option<Place> {
        Place::of_path(&spelled(path))
    }

    fn spelled(path: &str) -> String {
        path.replace("UID", UID)
            .replace("U_D", &UID.replace('-', "_"))
            .replace("HASH", HASH)
            .replace("ID", ID)
            .replace("OTHER", OTHER)
    }

    fn check(path: &str, pod: &str, container: Option<&str>) {
        let expected = Place {
            pod: PodUid::parse(pod).unwrap(),
            container: container.map(Arc::from),
        };
        assert_eq!(place(path), Some(expected), "{path}");
    }

    #[test]
    fn a_container_is_named_by_every_driver_and_runtime() {
        for path in [
            // cgroupfs
            "/kubepods/burstable/podUID/ID",
            "/kubepods/besteffort/podUID/ID",
            "/kubepods/podUID/ID",
            "/kubepods/burstable/podUID/crio-ID",
            // systemd
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_D.slice/crio-ID.scope",
            "/kubepods.slice/kubepods-podU_D.slice/docker-ID.scope",
            // A control group of the container's own, inside its scope.
            "/kubepods.slice/kubepods-podU_D.slice/crio-ID.scope/container",
            "/kubepods.slice/kubepods-podU_D.slice/cri-containerd-ID.scope/init.scope",
            // A runtime without the systemd driver under a kubelet with it.
            "/system.slice/containerd.service/kubepods-burstable-podU_D.slice:cri-containerd:ID",
            // k3s
            "/system.slice/k3s.service/kubepods/burstable/podUID/ID",
            // kind
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
             kubelet-kubepods-burstable-podU_D.slice/cri-containerd-ID.scope",
            "/docker/OTHER/kubelet/kubepods/besteffort/podUID/ID",
            "/system.slice/docker-OTHER.scope/kubelet.slice/kubelet-kubepods.slice/\
             kubelet-kubepods-podU_D.slice/cri-containerd-ID.scope",
            // As seen from another control group namespace.
            "/../podUID/ID",
            "/../../kubepods-burstable-podU_D.slice/cri-containerd-ID.scope",
            "/../../../kubepods.slice/kubepods-podU_D.slice/cri-containerd-ID.scope",
            // A cluster inside a pod.
            "/kubepods/podUID/ID/docker/OTHER/kubelet/kubepods/podHASH/OTHER",
        ] {
            check(path, UID, Some(ID));
        }
    }

    #[test]
    fn a_static_pod_is_named_by_its_hash() {
        check("/kubepods/burstable/podHASH/ID", HASH, Some(ID));
        check(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podHASH.slice/cri-containerd-ID.scope",
            HASH,
            Some(ID),
        );
    }

    #[test]
    fn what_is_in_no_container_is_still_the_pods() {
        for path in [
            "/kubepods/burstable/podUID",
            "/kubepods/burstable/podUID/",
            "/kubepods/burstable/podUID/crio-conmon-ID",
            "/kubepods.slice/kubepods-podU_D.slice",
            "/kubepods.slice/kubepods-podU_D.slice/crio-conmon-ID.scope",
            "/kubepods.slice/kubepods-podU_D.slice/cri-containerd-c0ffee.scope",
            "/kubepods/podUID/sub/ID",
        ] {
            check(path, UID, None);
        }
    }

    #[test]
    fn what_is_no_pods_is_nobodys() {
        for path in [
            "",
            "/",
            "/init.scope",
            "/system.slice/kubelet.service",
            "/system.slice/docker-ID.scope",
            "/kubepods",
            "/kubepods.slice/kubepods-burstable.slice",
            "/kubepods/burstable/pod0f8fad5b/ID",
            "/kubepods/burstable/podID",
            "/machine.slice/libpodHASH.scope",
            "/docker/ID",
            "/../cri-containerd-ID.scope",
        ] {
            assert_eq!(place(path), None, "{path}");
        }
    }

    #[test]
    fn a_process_is_where_the_first_line_that_names_a_pod_says() {
        let expected = place("/kubepods/podUID/ID");
        for file in [
            "0::/kubepods/podUID/ID\n",
            "0::/kubepods/podUID/ID (deleted)\n",
            "12:rdma:/\n11:cpu,cpuacct:/kubepods/podUID/ID\n1:name=systemd:/kubepods/podHASH/OTHER\n0::/\n",
            "1:name=systemd:/system.slice/containerd.service/kubepods-podU_D.slice:cri-containerd:ID\n",
        ] {
            assert_eq!(Place::of_process(&spelled(file)), expected, "{file}");
        }
        for none in [
            "",
            "0::/\n",
            "/kubepods/podUID/ID\n",
            "0:/kubepods/podUID/ID\n",
            "::\n",
        ] {
            assert_eq!(Place::of_process(&spelled(none)), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_place_is_found_below_any_prefix(
            prefix in "(/[a-z.-]{0,9}){0,4}",
            uid in "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
            id in "[0-9a-f]{64}",
            class in select(vec!["", "burstable-", "besteffort-"]),
            runtime in select(vec!["cri-containerd", "crio", "docker"]),
        ) {
            let expected = Place { pod: PodUid::parse(&uid).unwrap(), container: Some(id.as_str().into()) };
            let cgroupfs = format!("{prefix}/pod{uid}/{id}");
            prop_assert_eq!(Place::of_path(&cgroupfs), Some(expected.clone()));
            let slice = format!("kubepods-{class}pod{}.slice", uid.replace('-', "_"));
            let systemd = format!("{prefix}/{slice}/{runtime}-{id}.scope");
            prop_assert_eq!(Place::of_path(&systemd), Some(expected));
        }

        #[test]
        fn no_text_is_too_odd(text in "([0-9]?:|/|pod|\\.slice|_|-|[0-9a-f]{32}|\\PC){0,30}") {
            for place in [Place::of_process(&text), Place::of_path(&text)].into_iter().flatten() {
                // Nothing is invented.
                let digits = text.replace(['-', '_'], "");
                prop_assert!(digits.contains(&place.pod.to_string().replace('-', "")));
                prop_assert!(place.container.is_none_or(|id| text.contains(&*id)));
            }
        }
    }
}
