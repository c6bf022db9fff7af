//! What is asked of pods' traces from outside the data path.
//!
//! In: a pod, as people name it. Out: JSON: the stories that there are traces of, or the latest such trace of one pod as
//! an OTLP request. A question goes to the correlator over a bounded channel, and what it answers becomes text here, at
//! the expense of whoever asks.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    time,
};

use crate::{
    correlate::pod_trace::{Candidate, Summary, Trace},
    export,
    model::{ResourceAttributes, pod::PodUid},
};

/// Questions that wait at one time; people ask them.
const MAX_ASKED: usize = 8;

/// Longer than the correlator is held up by endpoints that are full.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    #[error("there is no such trace")]
    Unknown,
    #[error("the data path does not answer")]
    Silent,
    #[error("write the answer as JSON")]
    Json(#[source] serde_json::Error),
}

/// A question to the correlator.
#[derive(Debug)]
pub(super) enum Asked {
    Summaries(oneshot::Sender<Vec<Summary>>),
    Latest(Wanted, oneshot::Sender<Option<Found>>),
}

/// A trace, and the attributes of the node that it is from.
pub(super) type Found = (Arc<Trace>, ResourceAttributes);

/// Whom to ask of pods' traces.
#[derive(Clone, Debug)]
pub struct Traces(mpsc::Sender<Asked>);

impl Traces {
    pub(super) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(MAX_ASKED);
        (Self(sender), receiver)
    }

    /// The stories that there are traces of, the latest first: `{"stories": [..]}`.
    ///
    /// # Errors
    /// When the data path does not answer.
    pub async fn stories(&self) -> Result<String, Untold> {
        let summaries = self.ask(Asked::Summaries).await?;
        let stories = Stories {
            stories: summaries.iter().map(Story::of).collect(),
        };
        serde_json::to_string(&stories).map_err(Untold::Json)
    }

    /// The latest trace of a pod, given as `[NAMESPACE/]NAME` or by its UID, with a root of this name: an OTLP request.
    ///
    /// # Errors
    /// When there is none, or the data path does not answer.
    pub async fn latest(&self, pod: &str, story: &str) -> Result<String, Untold> {
        let wanted = Wanted::new(pod, story);
        let found = self.ask(|answer| Asked::Latest(wanted, answer)).await?;
        let (trace, node) = found.ok_or(Untold::Unknown)?;
        export::encode::json(trace.spans.clone(), &node).map_err(Untold::Json)
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Asked) -> Result<T, Untold> {
        let (sender, answer) = oneshot::channel();
        self.0
            .try_send(question(sender))
            .map_err(|_full_or_gone| Untold::Silent)?;
        match time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(Untold::Silent),
        }
    }
}

/// A trace of a pod as people name it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    uid: Option<PodUid>,
    /// None for any.
    namespace: Option<Box<str>>,
    name: Box<str>,
    story: Box<str>,
}

impl Wanted {
    fn new(pod: &str, story: &str) -> Self {
        let (namespace, name) = match pod.split_once('/') {
            Some((namespace, name)) => (Some(namespace.into()), name),
            None => (None, pod),
        };
        Self {
            uid: PodUid::parse(pod),
            namespace,
            name: name.into(),
            story: story.into(),
        }
    }

    pub(super) fn is(&self, candidate: Candidate<'_>) -> bool {
        let Candidate {
            pod,
            namespace,
            name,
            story,
        } = candidate;
        let is_there = self
            .namespace
            .as_ref()
            .is_none_or(|wanted| **wanted == *namespace);
        *self.story == *story && (self.uid == Some(pod) || (is_there && *self.name == *name))
    }
}

#[derive(Serialize)]
struct Stories<'a> {
    stories: Vec<Story<'a>>,
}

/// With the names that OTLP/JSON has for the same things, and its numbers of 64 bits as text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Story<'a> {
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
    uid: String,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    outcome: &'a str,
}

impl<'a> Story<'a> {
    fn of(summary: &'a Summary) -> Self {
        Self {
            name: &summary.story,
            namespace: &summary.namespace,
            pod: &summary.name,
            uid: summary.pod.to_string(),
            start_time_unix_nano: summary.start.count().to_string(),
            end_time_unix_nano: summary.end.count().to_string(),
            outcome: summary.outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_wanted_by_its_name_or_its_uid() {
        let uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let candidate = Candidate {
            pod: PodUid::parse(uid).unwrap(),
            namespace: "default",
            name: "web",
            story: "pod start",
        };
        let is = |pod: &str| Wanted::new(pod, "pod start").is(candidate);
        assert!(is("web") && is("default/web") && is(uid) && is(&uid.replace('-', "")));
        for other in ["we", "web-1", "other/web", "default/", "/web", ""] {
            assert!(!is(other), "{other}");
        }
        assert!(!Wanted::new("web", "pod stop").is(candidate));
        assert!(!Wanted::new(uid, "pod stop").is(candidate));
    }

    #[tokio::test(start_paused = true)]
    async fn a_data_path_that_does_not_answer_is_not_waited_for() {
        let (traces, questions) = Traces::new();
        assert!(matches!(traces.stories().await, Err(Untold::Silent)));
        for _ in 1..MAX_ASKED {
            assert!(matches!(
                traces.latest("web", "pod start").await,
                Err(Untold::Silent)
            ));
        }
        let asked = time::Instant::now();
        assert!(matches!(traces.stories().await, Err(Untold::Silent)));
        assert_eq!(asked.elapsed(), Duration::ZERO, "there was no room to ask");
        drop(questions);
        assert!(matches!(traces.stories().await, Err(Untold::Silent)));
    }
}
