//! Where did the time of a pod's start go?
//!
//! In: the pod's history and the work that was done for it. Out: the phases of its start, each from its best source,
//! and when the whole began and ended. What was not seen makes no phase.

use super::{
    history::History,
    phase::{Phase, Sighting, sightings},
    work::{Deed, Verb, Work},
};
use crate::model::{
    attr::{self, Value},
    pod::{Pod, Role, State},
    time::{Nanos, Wall},
    trace::SpanKind,
};

/// Writes of a pod's status that are shown; a start has three or four.
const MAX_STATUS_WRITES: usize = 8;
/// Synchronisations that are shown: of a start that fails for hours, the first ones.
const MAX_SYNCS: usize = 32;

/// All that is known of a pod's start.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) history: &'a History,
    pub(super) works: &'a [Work],
    /// What controllers did for the pod's owner, before it was made.
    pub(super) reconciles: &'a [&'a Work],
    pub(super) now: Nanos<Wall>,
}

/// The phases of a start.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) start: Nanos<Wall>,
    pub(super) end: Nanos<Wall>,
    /// A parent stands before its parts.
    pub(super) phases: Vec<Phase>,
    /// Time spent on pulling images, and in containers that must end before the pod starts: no part of the pod
    /// startup latency that SIG Scalability defines.
    pub(super) excluded: u64,
}

impl Evidence<'_> {
    pub(super) fn start(&self) -> Start {
        let begun = self.begun();
        let end = self.end().max(begun);
        let mut tree = Tree {
            evidence: self,
            phases: Vec::new(),
            begun,
            end,
        };
        tree.control_plane();
        let syncs = tree.syncs();
        tree.notice(syncs.first());
        tree.waits();
        tree.status_writes();
        Start {
            start: begun,
            end,
            excluded: tree.excluded(),
            phases: tree.finish(),
        }
    }

    /// The API server's write; its own time stamp has whole seconds only.
    fn begun(&self) -> Nanos<Wall> {
        let created = self.creation().map(|created| created.start());
        let stamp = self.history.pod().map(|pod| pod.created);
        let earliest = self.works.iter().map(|work| work.span.start).min();
        created.or(stamp).or(earliest).unwrap_or(self.now)
    }

    /// The request that made the pod, or else its write.
    pub(super) fn creation(&self) -> Option<Sighting<'_>> {
        let stamp = self.history.pod().map(|pod| pod.created.count());
        [Deed::Request(Verb::Create), Deed::Store(Verb::Create)]
            .into_iter()
            .flat_map(|deed| self.seen(deed, None))
            .find(|seen| {
                // The stamp was taken within the request and then rounded down.
                stamp.is_none_or(|stamp| {
                    seen.end().count() >= stamp && seen.start().count() < stamp + 1_000_000_000
                })
            })
    }

    /// When the pod was ready, or gave up, or now.
    fn end(&self) -> Nanos<Wall> {
        let history = self.history;
        let last = history.ready().or(history.ended()).or(history.deleted());
        last.unwrap_or(self.now)
    }

    /// The works of one kind, each once.
    fn seen(&self, deed: Deed, kind: Option<SpanKind>) -> Vec<Sighting<'_>> {
        let works = self.works.iter();
        let wanted = |work: &&Work| work.deed == deed && kind.is_none_or(|kind| work.span.kind == kind);
        sightings(works.filter(wanted).collect())
    }

    /// The works of one kind by who asked for it; else by who did it.
    fn asked(&self, deed: Deed) -> Vec<Sighting<'_>> {
        let asked = self.seen(deed, Some(SpanKind::Client));
        if asked.is_empty() {
            self.seen(deed, Some(SpanKind::Server))
        } else {
            asked
        }
    }
}

/// The phases as they are found.
struct Tree<'a> {
    evidence: &'a Evidence<'a>,
    phases: Vec<Phase>,
    begun: Nanos<Wall>,
    end: Nanos<Wall>,
}

impl<'a> Tree<'a> {
    fn add(&mut self, phase: Phase) -> usize {
        self.phases.push(phase);
        self.phases.len() - 1
    }

    fn times(&self, at: usize) -> (Nanos<Wall>, Nanos<Wall>) {
        (self.phases[at].start, self.phases[at].end)
    }

    fn reconcile(&mut self, until: Nanos<Wall>) {
        for work in self.evidence.reconciles {
            if work.span.start <= until {
                self.add(Phase::of("reconcile", None, &Sighting(vec![*work])));
            }
        }
    }

    fn control_plane(&mut self) {
        let evidence = self.evidence;
        let creation = evidence.creation();
        if let Some(creation) = &creation {
            self.reconcile(creation.end());
            self.write("create", creation);
        }
        let cycles = self.scheduling(creation.as_ref().map_or(self.begun, Sighting::end));
        self.bind(&cycles);
    }

    /// The scheduler's work: it is one phase, in which every attempt waits, chooses and binds.
    fn scheduling(&mut self, queued: Nanos<Wall>) -> Vec<(Nanos<Wall>, Nanos<Wall>)> {
        let evidence = self.evidence;
        let choices = evidence.seen(Deed::SchedulingCycle, None);
        let bindings = evidence.seen(Deed::BindingCycle, None);
        let cycles: Vec<_> = choices.iter().map(|seen| ("scheduling cycle", seen)).collect();
        let mut cycles: Vec<_> = cycles
            .into_iter()
            .chain(bindings.iter().map(|seen| ("binding cycle", seen)))
            .collect();
        cycles.sort_by_key(|(_, seen)| seen.start());
        let Some(last) = cycles.iter().map(|(_, seen)| seen.end()).max() else {
            return Vec::new();
        };
        let schedule = self.add(Phase::new("schedule", "kube-scheduler", None, (queued, last)));
        for seen in evidence.seen(Deed::Schedule, None) {
            self.phases[schedule].tell(&seen);
        }
        let mut waited_since = queued;
        for (name, seen) in cycles {
            if name == "scheduling cycle" && waited_since < seen.start() {
                let wait = (waited_since, seen.start());
                self.add(Phase::new("queue", "kube-scheduler", Some(schedule), wait));
            }
            self.add(Phase::of(name, Some(schedule), seen));
            waited_since = seen.end();
        }
        self.phases[schedule].error = None;
        bindings.iter().map(|seen| (seen.start(), seen.end())).collect()
    }

    /// The write that gives the pod its node: the request for it, or what is written while the scheduler binds.
    fn bind(&mut self, cycles: &[(Nanos<Wall>, Nanos<Wall>)]) {
        let evidence = self.evidence;
        let mut requests = evidence.seen(Deed::Request(Verb::Bind), None);
        if requests.is_empty() {
            requests = evidence.seen(Deed::Store(Verb::Update), None);
            requests.retain(|seen| cycles.iter().any(|cycle| seen.is_within(*cycle)));
        }
        for request in requests {
            self.write("bind", &request);
        }
    }

    /// A write of the pod, with etcd's part in it.
    fn write(&mut self, name: &'static str, seen: &Sighting<'_>) {
        let at = self.add(Phase::of(name, None, seen));
        let times = self.times(at);
        let traces: Vec<_> = seen.0.iter().map(|work| work.span.trace_id).collect();
        let evidence = self.evidence;
        let works = evidence.works.iter();
        let below = |work: &&Work| {
            work.deed == Deed::Transaction && work.span.start >= times.0 && work.span.end <= times.1
        };
        let mut transactions: Vec<&Work> = works.filter(below).collect();
        // What is known by its trace to belong to this write, rather than what only falls into its time.
        if transactions
            .iter()
            .any(|work| traces.contains(&work.span.trace_id))
        {
            transactions.retain(|work| traces.contains(&work.span.trace_id));
        }
        let of_etcd = |work: &&&Work| work.span.service.as_ref() == "etcd";
        let chosen = transactions
            .iter()
            .filter(of_etcd)
            .min_by_key(|work| (work.span.kind == SpanKind::Server, work.span.start))
            .or(transactions.first());
        if let Some(work) = chosen {
            self.add(Phase::of("etcd txn", Some(at), &Sighting(vec![*work])));
        }
    }

    fn notice(&mut self, first_sync: Option<&(Nanos<Wall>, Nanos<Wall>)>) {
        let bound = self
            .phases
            .iter()
            .filter(|phase| phase.name == "bind")
            .map(|phase| phase.end)
            .min();
        let heard = self.evidence.history.first_heard();
        if let (Some(since), Some((sync, _))) = (bound.or(heard), first_sync)
            && since < *sync
        {
            self.add(Phase::new("notice", "kubelet", None, (since, *sync)));
        }
    }

    /// The kubelet's synchronisations, and what they did.
    fn syncs(&mut self) -> Vec<(Nanos<Wall>, Nanos<Wall>)> {
        let evidence = self.evidence;
        let all: Vec<_> = evidence
            .seen(Deed::Sync, None)
            .into_iter()
            .filter(|sync| sync.start() <= self.end)
            .collect();
        let mut parts: Vec<(&'static str, Sighting<'_>)> = Vec::new();
        for (name, found) in [
            ("volumes", evidence.seen(Deed::Volumes, None)),
            ("sandbox", evidence.asked(Deed::RunSandbox)),
            ("pull", self.pulls()),
            ("create container", evidence.asked(Deed::CreateContainer)),
            ("start container", evidence.asked(Deed::StartContainer)),
        ] {
            parts.extend(found.into_iter().map(|seen| (name, seen)));
        }
        parts.sort_by_key(|(name, seen)| (seen.start(), *name));
        parts.retain(|(_, seen)| seen.start() <= self.end);
        let mut shown = Vec::new();
        for (index, sync) in all.iter().enumerate() {
            let times = (sync.start(), sync.end());
            let within = parts.iter().any(|(_, part)| part.is_within(times));
            if shown.len() >= MAX_SYNCS || !(index == 0 || within || sync.failed()) {
                continue;
            }
            let at = self.add(Phase::of("sync", None, sync));
            shown.push((at, times));
        }
        for (name, part) in parts {
            let around = shown.iter().find(|(_, times)| part.is_within(*times));
            let at = self.add(Phase::of(name, around.map(|(at, _)| *at), &part));
            self.below(at);
        }
        shown.into_iter().map(|(_, times)| times).collect()
    }

    /// What the runtime did inside a call of the kubelet.
    fn below(&mut self, at: usize) {
        let parts: &[(&'static str, Deed)] = match self.phases[at].name {
            "sandbox" => &[
                ("cni", Deed::Network),
                ("runc create", Deed::TaskCreate),
                ("runc start", Deed::TaskStart),
            ],
            "start container" => &[("runc create", Deed::TaskCreate), ("runc start", Deed::TaskStart)],
            "pull" => &[("unpack", Deed::Unpack)],
            _ => &[],
        };
        let times = self.times(at);
        for (name, deed) in parts {
            let mut found = self.evidence.seen(*deed, None);
            found.retain(|seen| seen.is_within(times));
            // Of spans of one name that lie in each other, the outermost is the phase.
            let mut last_end = Nanos::default();
            for seen in found {
                if seen.start() >= last_end {
                    last_end = seen.end();
                    self.add(Phase::of(name, Some(at), &seen));
                }
            }
        }
    }

    /// Pulls of images, from asking for the image to having it, which includes waiting for other pulls.
    fn pulls(&self) -> Vec<Sighting<'a>> {
        let evidence = self.evidence;
        let pulls = evidence.asked(Deed::PullImage);
        let mut images = evidence.seen(Deed::Image, None);
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
        let Some(pod) = self.evidence.history.pod() else {
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
    fn starts_of(&self, name: &str) -> Vec<(Nanos<Wall>, Nanos<Wall>)> {
        let ids: Vec<_> = self
            .phases
            .iter()
            .filter(|phase| {
                phase.name == "create container" && said(phase, attr::K8S_CONTAINER_NAME) == Some(name)
            })
            .filter_map(|phase| said(phase, attr::CONTAINER_ID))
            .collect();
        let starts = self.phases.iter().filter(|phase| phase.name == "start container");
        starts
            .filter(|phase| said(phase, attr::CONTAINER_ID).is_some_and(|id| ids.contains(&id)))
            .map(|phase| (phase.start, phase.end))
            .collect()
    }

    /// A container that had to end, or that ended too early, ran until the kubelet looked after the pod again.
    fn runs(&mut self, name: &str, role: Role) {
        let starts = self.starts_of(name);
        let is_init = role == Role::Init;
        for (index, (_, started)) in starts.iter().enumerate() {
            let is_last = index + 1 == starts.len();
            if is_last && !is_init && !self.has_ended(name) {
                continue;
            }
            let next = self
                .phases
                .iter()
                .filter(|phase| matches!(phase.name, "sync" | "create container") && phase.start > *started)
                .map(|phase| phase.start)
                .min();
            let end = next.unwrap_or(self.end).min(self.end);
            let mut run = Phase::new(
                if is_init { "init" } else { "run" },
                "kubelet",
                None,
                (*started, end),
            );
            run.set(attr::K8S_CONTAINER_NAME, name.into());
            if !is_init && let Some(trouble) = self.evidence.history.trouble() {
                run.error = Some(trouble.into());
            }
            self.add(run);
        }
    }

    fn has_ended(&self, name: &str) -> bool {
        let pod = self.evidence.history.pod();
        let container = pod.and_then(|pod| pod.containers.iter().find(|container| &*container.name == name));
        container.is_some_and(|container| {
            matches!(container.state, State::Terminated(_)) || container.last_end.is_some()
        })
    }

    /// Between an attempt that failed and the next one.
    fn back_off(&mut self) {
        let mut attempts: Vec<_> = self
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
            let next = attempts.get(index + 1).map_or(self.end, |(start, ..)| *start);
            if next > *end {
                let mut wait = Phase::new("back-off", "kubelet", None, (*end, next));
                wait.set("error.message", (&**error).into());
                self.add(wait);
            }
        }
    }

    /// A container runs, and the kubelet has still to see it and to say so.
    fn observe(&mut self) {
        let Some(observed) = self.evidence.history.started().filter(|at| *at <= self.end) else {
            return;
        };
        let starts = self.phases.iter().filter(|phase| phase.name == "start container");
        if let Some(started) = starts.map(|phase| phase.end).max()
            && started < observed
        {
            self.add(Phase::new("observe", "kubelet", None, (started, observed)));
        }
    }

    /// From the time at which a container runs to the time at which its probe has found it ready.
    fn probes(&mut self, pod: &Pod) {
        let Some(started) = self.evidence.history.started() else {
            return;
        };
        for container in &pod.containers {
            if !container.has_readiness_probe && !container.has_startup_probe {
                continue;
            }
            let ready = self.evidence.history.container_ready(&container.name);
            let ready = ready.unwrap_or(self.end).min(self.end);
            if ready > started {
                let mut probe = Phase::new("probe", "kubelet", None, (started, ready));
                probe.set(attr::K8S_CONTAINER_NAME, (&*container.name).into());
                self.add(probe);
            }
        }
    }

    /// The kubelet's reports of the pod's status.
    fn status_writes(&mut self) {
        let evidence = self.evidence;
        let mut writes = evidence.seen(Deed::Request(Verb::Status), None);
        if writes.is_empty() {
            writes = evidence.seen(Deed::Store(Verb::Update), None);
        }
        let bound = |phase: &Phase| matches!(phase.name, "bind" | "create");
        let taken: Vec<_> = self
            .phases
            .iter()
            .filter(|phase| bound(phase))
            .map(|phase| phase.start)
            .collect();
        writes.retain(|write| !taken.contains(&write.start()) && write.start() < self.end);
        for write in writes.iter().take(MAX_STATUS_WRITES) {
            self.write("status", write);
        }
    }

    /// Nanoseconds in which images were pulled or containers ran that had to end first.
    fn excluded(&self) -> u64 {
        let phases = self.phases.iter();
        let mut times: Vec<_> = phases
            .filter(|phase| matches!(phase.name, "pull" | "init"))
            .map(|phase| (phase.start.count(), phase.end.count()))
            .collect();
        times.sort_unstable();
        let (mut sum, mut until) = (0, 0);
        for (start, end) in times {
            sum += end.saturating_sub(start.max(until));
            until = until.max(end);
        }
        sum
    }

    /// Every phase within the whole and within the phase that it is a part of.
    fn finish(mut self) -> Vec<Phase> {
        for at in 0..self.phases.len() {
            let (start, end) = match self.phases[at].parent {
                Some(parent) => self.times(parent),
                None => (self.begun, self.end),
            };
            let phase = &mut self.phases[at];
            phase.start = phase.start.clamp(start, end);
            phase.end = phase.end.clamp(start, end);
        }
        self.phases
    }
}

fn said<'p>(phase: &'p Phase, key: &str) -> Option<&'p str> {
    let attribute = phase.attributes.iter().find(|(known, _)| &**known == key);
    attribute.and_then(|(_, value)| Value::text(value))
}
