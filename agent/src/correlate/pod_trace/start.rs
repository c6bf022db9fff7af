//! Where did the time of a pod's start go?
//!
//! In: the pod's history and the work that was done for it. Out: the phases of its start, from the write that made it
//! until it is ready, or has given up.

use super::{
    history::History,
    latency,
    phase::{Phase, Sighting},
    tree::{Evidence, Times, Told, Tree, said},
    work::{Deed, Verb},
};
use crate::model::{
    attr,
    pod::{Pod, Role, State},
    time::{Nanos, Wall},
};

/// As the condition `PodScheduled` says it.
const UNSCHEDULABLE: &str = "Unschedulable";

/// Writes of a pod's status that are shown; a start has three or four.
const MAX_STATUS_WRITES: usize = 8;
/// Synchronisations that are shown: of a start that fails for hours, the first ones.
const MAX_SYNCS: usize = 32;

/// The phases of a start.
pub(super) fn tell(evidence: &Evidence<'_>) -> Told {
    let begun = begun(evidence);
    let mut start = Start(Tree::new(evidence, (begun, end(evidence).max(begun))));
    start.control_plane();
    start.syncs();
    start.notice();
    start.waits();
    start.status_writes();
    let excluded = latency::excluded(&start.0);
    Told {
        excluded,
        ..start.0.finish()
    }
}

/// The API server's write; its own time stamp has whole seconds only.
fn begun(evidence: &Evidence<'_>) -> Nanos<Wall> {
    let created = creation(evidence).map(|created| created.start());
    let stamp = evidence.history.pod().map(|pod| pod.created);
    let earliest = evidence.works.iter().map(|work| work.span.start).min();
    created.or(stamp).or(earliest).unwrap_or(evidence.now)
}

/// The request that made the pod, or else its write.
pub(super) fn creation<'a>(evidence: &'a Evidence<'_>) -> Option<Sighting<'a>> {
    let stamp = evidence.history.pod().map(|pod| pod.created.count());
    [Deed::Request(Verb::Create), Deed::Store(Verb::Create)]
        .into_iter()
        .flat_map(|deed| evidence.seen(deed, None))
        .find(|seen| {
            // The stamp was taken within the request and then rounded down.
            stamp.is_none_or(|stamp| {
                seen.end().count() >= stamp && seen.start().count() < stamp + 1_000_000_000
            })
        })
}

/// When the pod was ready, or it was clear that it would not be, or now. Of a pod of another node only this is known:
/// that it went on when the pod was bound.
fn end(evidence: &Evidence<'_>) -> Nanos<Wall> {
    let history = evidence.history;
    let failed = || history.ended().into_iter().chain(history.deleted()).min();
    let bound = || {
        let bindings = [Deed::Request(Verb::Bind), Deed::BindingCycle].into_iter();
        let bindings = bindings.flat_map(|deed| evidence.seen(deed, None));
        bindings
            .map(|seen| seen.end())
            .max()
            .filter(|_| !evidence.is_local)
    };
    history
        .ready()
        .or_else(failed)
        .or_else(bound)
        .unwrap_or(evidence.now)
}

/// What held the start up: what the pod's status said, and what it did not say where the pod was not on this node yet.
pub(super) fn reasons(told: &Told, history: &History) -> Vec<String> {
    let said = history.reasons(told.times.1);
    let no_node = |phase: &Phase| phase.name == "scheduling cycle" && phase.error.is_some();
    let unscheduled = told.phases.iter().any(no_node) && !said.iter().any(|reason| reason == UNSCHEDULABLE);
    let unscheduled = unscheduled.then(|| UNSCHEDULABLE.to_owned());
    unscheduled.into_iter().chain(said).collect()
}

struct Start<'a>(Tree<'a>);

impl<'a> Start<'a> {
    fn add(&mut self, phase: Phase) -> usize {
        self.0.add(phase)
    }

    fn phases(&self, name: &'static str) -> impl Iterator<Item = &Phase> {
        self.0.phases.iter().filter(move |phase| phase.name == name)
    }

    fn reconcile(&mut self, until: Nanos<Wall>) {
        for work in self.0.evidence.reconciles {
            if work.span.start <= until {
                self.add(Phase::of("reconcile", None, &Sighting(vec![*work])));
            }
        }
    }

    fn control_plane(&mut self) {
        let creation = creation(self.0.evidence);
        if let Some(creation) = &creation {
            self.reconcile(creation.end());
            self.0.write("create", creation);
        }
        let cycles = self.scheduling(creation.as_ref().map_or(self.0.times.0, Sighting::end));
        self.bind(&cycles);
    }

    /// The scheduler's work: it is one phase, in which every attempt waits, chooses and binds.
    fn scheduling(&mut self, queued: Nanos<Wall>) -> Vec<Times> {
        let choices = self.0.seen(Deed::SchedulingCycle);
        let bindings = self.0.seen(Deed::BindingCycle);
        let cycles: Vec<_> = choices.iter().map(|seen| ("scheduling cycle", seen)).collect();
        let mut cycles: Vec<_> = cycles
            .into_iter()
            .chain(bindings.iter().map(|seen| ("binding cycle", seen)))
            .collect();
        cycles.sort_by_key(|(_, seen)| seen.start());
        let Some(last) = cycles.iter().map(|(_, seen)| seen.end()).max() else {
            return Vec::new();
        };
        // The scheduler may hear of the pod before whoever made it has its answer.
        let queued = cycles
            .first()
            .map_or(queued, |(_, seen)| queued.min(seen.start()));
        let schedule = self.add(Phase::new("schedule", "kube-scheduler", None, (queued, last)));
        for seen in self.0.seen(Deed::Schedule) {
            self.0.phases[schedule].tell(&seen);
        }
        let mut unplaced = self.0.seen(Deed::Choose);
        unplaced.retain(Sighting::failed);
        let mut waited_since = queued;
        for (name, seen) in cycles {
            if name == "scheduling cycle" && waited_since < seen.start() {
                let wait = (waited_since, seen.start());
                self.add(Phase::new("queue", "kube-scheduler", Some(schedule), wait));
            }
            let at = self.add(Phase::of(name, Some(schedule), seen));
            let times = (seen.start(), seen.end());
            if unplaced.iter().any(|choice| choice.is_within(times)) {
                self.0.phases[at].error = Some("no node fits".into());
            }
            waited_since = seen.end();
        }
        self.0.phases[schedule].error = None;
        bindings.iter().map(|seen| (seen.start(), seen.end())).collect()
    }

    /// The write that gives the pod its node: the request for it, or what is written while the scheduler binds.
    fn bind(&mut self, cycles: &[Times]) {
        let mut requests = self.0.seen(Deed::Request(Verb::Bind));
        if requests.is_empty() {
            requests = self.0.seen(Deed::Store(Verb::Update));
            requests.retain(|seen| cycles.iter().any(|cycle| seen.is_within(*cycle)));
        }
        for request in requests {
            self.0.write("bind", &request);
        }
    }

    fn notice(&mut self) {
        // Word of it goes out once it is stored, before whoever bound it has the answer.
        let phases = &self.0.phases;
        let is_bind = |phase: &Phase| {
            let whole = phase.parent.map_or(phase, |parent| &phases[parent]);
            whole.name == "bind"
        };
        let bound = phases
            .iter()
            .filter(|phase| is_bind(phase))
            .map(|phase| phase.end)
            .min();
        let heard = self.0.evidence.history.first_heard();
        let since = bound.into_iter().chain(heard).min();
        let sync = self.phases("sync").map(|phase| phase.start).min();
        if let (Some(since), Some(sync)) = (since, sync)
            && since < sync
        {
            self.add(Phase::new("notice", "kubelet", None, (since, sync)));
        }
    }

    /// The kubelet's synchronisations, and what they did.
    fn syncs(&mut self) {
        let found = [
            ("volumes", self.0.seen(Deed::Volumes)),
            ("sandbox", self.0.asked(Deed::RunSandbox)),
            ("pull", self.pulls()),
            ("create container", self.0.asked(Deed::CreateContainer)),
            ("start container", self.0.asked(Deed::StartContainer)),
            ("postStart", self.0.seen(Deed::Hook)),
        ];
        let mut parts: Vec<_> = found
            .into_iter()
            .flat_map(|(name, found)| found.into_iter().map(move |seen| (name, seen)))
            .collect();
        // Volumes are looked after in every synchronisation; the start waits for them before it has a sandbox.
        let sandboxes = parts.iter().filter(|(name, _)| *name == "sandbox");
        let sandbox = sandboxes.map(|(_, seen)| seen.start()).min();
        parts.retain(|(name, seen)| {
            *name != "volumes" || sandbox.is_none_or(|sandbox| seen.start() < sandbox)
        });
        let mut shown = 0;
        for (index, sync) in self.0.seen(Deed::Sync).iter().enumerate() {
            let times = (sync.start(), sync.end());
            let within = parts.iter().any(|(_, part)| part.is_within(times));
            if shown < MAX_SYNCS && (index == 0 || within || sync.failed()) {
                shown += 1;
                self.add(Phase::of("sync", None, sync));
            }
        }
        self.0.parts("sync", parts);
    }

    /// Pulls of images, from asking for the image to having it, which includes waiting for other pulls.
    fn pulls(&self) -> Vec<Sighting<'a>> {
        // The call of the runtime is made by a goroutine that says nothing of the pod.
        let mut pulls = self.0.asked(Deed::PullImage);
        pulls.extend(self.0.seen(Deed::Pull));
        let mut images = self.0.seen(Deed::Image);
        let within = |image: &Sighting<'_>| {
            let times = (image.start(), image.end());
            pulls.iter().any(|pull| pull.is_within(times))
        };
        images.retain(|image| within(image) || image.failed());
        for image in &mut images {
            let times = (image.start(), image.end());
            for pull in pulls.iter().filter(|pull| pull.is_within(times)) {
                image.0.extend(&pull.0);
            }
        }
        let around = |pull: &Sighting<'_>| {
            let mut times = images.iter().map(|image| (image.start(), image.end()));
            times.any(|times| pull.is_within(times))
        };
        let alone: Vec<_> = pulls.iter().filter(|pull| !around(pull)).cloned().collect();
        images.extend(alone);
        images
    }

    /// The times in which nothing was done for the pod, and what it waited for.
    fn waits(&mut self) {
        let Some(pod) = self.0.evidence.history.pod() else {
            return;
        };
        for container in &pod.containers {
            self.runs(&container.name, container.role);
        }
        self.back_off();
        self.observe();
        self.probes(pod);
    }

    /// The times at which a container of this name was started, with their ends.
    fn starts_of(&self, name: &str) -> Vec<Times> {
        let ids: Vec<_> = self
            .0
            .phases
            .iter()
            .filter(|phase| {
                phase.name == "create container" && said(phase, attr::K8S_CONTAINER_NAME) == Some(name)
            })
            .filter_map(|phase| said(phase, attr::CONTAINER_ID))
            .collect();
        let starts = self
            .0
            .phases
            .iter()
            .filter(|phase| phase.name == "start container");
        starts
            .filter(|phase| said(phase, attr::CONTAINER_ID).is_some_and(|id| ids.contains(&id)))
            .map(|phase| (phase.start, phase.end))
            .collect()
    }

    /// A container that had to end or to start first, or that ended too early, ran until the kubelet went on.
    fn runs(&mut self, name: &str, role: Role) {
        let starts = self.starts_of(name);
        for (index, (_, started)) in starts.iter().enumerate() {
            let phases = self.0.phases.iter();
            let next = phases
                .filter(|phase| matches!(phase.name, "sync" | "create container") && phase.start > *started)
                .map(|phase| phase.start)
                .min();
            let is_last = index + 1 == starts.len();
            let kind = match role {
                Role::Init => "init",
                Role::Sidecar if next.is_some() => "sidecar",
                Role::Main if !is_last || self.has_ended(name) => "run",
                Role::Sidecar | Role::Main => continue,
            };
            let end = next.unwrap_or(self.0.times.1).min(self.0.times.1);
            let mut run = Phase::new(kind, "kubelet", None, (*started, end));
            run.set(attr::K8S_CONTAINER_NAME, name.into());
            if kind == "run"
                && let Some(trouble) = self.0.evidence.history.trouble(self.0.times.1)
            {
                run.error = Some(trouble.into());
            }
            self.add(run);
        }
    }

    fn has_ended(&self, name: &str) -> bool {
        let pod = self.0.evidence.history.pod();
        let container = pod.and_then(|pod| pod.containers.iter().find(|container| &*container.name == name));
        container.is_some_and(|container| {
            matches!(container.state, State::Terminated(_)) || container.last_end.is_some()
        })
    }

    /// Between an attempt that failed and the next one.
    fn back_off(&mut self) {
        let mut attempts: Vec<_> = self
            .0
            .phases
            .iter()
            .filter(|phase| {
                matches!(
                    phase.name,
                    "pull" | "sandbox" | "volumes" | "run" | "create container"
                )
            })
            .map(|phase| (phase.start, phase.end, phase.name, phase.error.clone()))
            .collect();
        attempts.sort_by_key(|(start, ..)| *start);
        for (index, (_, end, _, error)) in attempts.iter().enumerate() {
            let Some(error) = error else { continue };
            let next = attempts
                .get(index + 1)
                .map_or(self.0.times.1, |(start, ..)| *start);
            if next > *end {
                let mut wait = Phase::new("back-off", "kubelet", None, (*end, next));
                wait.set("error.message", (&**error).into());
                self.add(wait);
            }
        }
    }

    /// A container runs, and the kubelet has still to see it and to say so.
    fn observe(&mut self) {
        let Some(observed) = self
            .0
            .evidence
            .history
            .started()
            .filter(|at| *at <= self.0.times.1)
        else {
            return;
        };
        let starts = self
            .0
            .phases
            .iter()
            .filter(|phase| phase.name == "start container");
        let started = starts.map(|phase| phase.end).filter(|end| *end < observed).max();
        if let Some(started) = started {
            self.add(Phase::new("observe", "kubelet", None, (started, observed)));
        }
    }

    /// From the time at which a container runs to the time at which its probe has found it ready.
    fn probes(&mut self, pod: &Pod) {
        let Some(started) = self.0.evidence.history.started() else {
            return;
        };
        for container in &pod.containers {
            if !container.is_probed {
                continue;
            }
            let ready = self.0.evidence.history.container_ready(&container.name);
            let ready = ready.unwrap_or(self.0.times.1).min(self.0.times.1);
            if ready > started {
                let mut probe = Phase::new("probe", "kubelet", None, (started, ready));
                probe.set(attr::K8S_CONTAINER_NAME, (&*container.name).into());
                self.add(probe);
            }
        }
    }

    /// The kubelet's reports of the pod's status.
    fn status_writes(&mut self) {
        let mut writes = self.0.seen(Deed::Request(Verb::Status));
        if writes.is_empty() {
            writes = self.0.seen(Deed::Store(Verb::Update));
        }
        let bound = |phase: &Phase| matches!(phase.name, "bind" | "create");
        let taken: Vec<_> = self
            .0
            .phases
            .iter()
            .filter(|phase| bound(phase))
            .map(|phase| phase.start)
            .collect();
        writes.retain(|write| !taken.contains(&write.start()) && write.start() < self.0.times.1);
        for write in writes.iter().take(MAX_STATUS_WRITES) {
            self.0.write("status", write);
        }
    }
}
