//! One kind of object of this node, followed for as long as somebody asks.
//!
//! In: a client and a selector. Out: what the API server tells, taken up again where it broke off, and what keeps it
//! from telling: in the log, once until that changes. Must not know what an object means.

use std::{fmt, pin::Pin};

use futures::{Stream, StreamExt};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use super::{Rule, trouble::Trouble};

/// What is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) rule: Rule,
    /// What is so as long as there is trouble.
    pub(super) meanwhile: &'static str,
}

/// The objects of one subject.
pub(super) struct Follow<K> {
    subject: Subject,
    events: Pin<Box<dyn Stream<Item = watcher::Result<Event<K>>> + Send>>,
    trouble: Option<Trouble>,
}

impl<K> Follow<K>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    pub(super) fn new(subject: Subject, objects: Api<K>, fields: &str) -> Self {
        let config = watcher::Config {
            // A whole list is what the API server has in its cache, by node. Pages are what older ones read from etcd,
            // and of this node's pods that would be those of all nodes.
            page_size: None,
            ..watcher::Config::default().fields(fields)
        };
        Self {
            subject,
            events: watcher(objects, config).default_backoff().boxed(),
            trouble: None,
        }
    }

    /// What is told next, however long that takes.
    pub(super) async fn next(&mut self) -> Option<Event<K>> {
        loop {
            let error = match self.events.next().await? {
                Ok(event) => return Some(event),
                Err(error) => error,
            };
            if let Some(trouble) = Trouble::of(&error, self.subject.rule) {
                self.report(trouble, &error);
            } else {
                debug!(%error, resource = self.subject.rule.resource, "the watch starts anew");
            }
        }
    }

    /// Says that what was wrong is so no more.
    pub(super) fn settle(&mut self) {
        if self.trouble.take().is_some() {
            info!("the API server tells of {}", self.subject.rule.resource);
        }
    }

    /// Says what is wrong and what to do, once until it changes.
    pub(super) fn report(&mut self, trouble: Trouble, error: &dyn fmt::Display) {
        if self.trouble.replace(trouble) != Some(trouble) {
            warn!(%error, "{trouble}; until then {}", self.subject.meanwhile);
        }
    }
}
