//! The router, asked in process: what each path answers in each state.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use tower::ServiceExt;

use super::*;
use crate::model::{Heartbeat, metric::Series, time::Nanos};

struct Asked {
    router: Router,
    phase: watch::Sender<Phase>,
    heartbeat: Arc<Heartbeat>,
}

fn desk(bearer_token_file: Option<PathBuf>) -> Asked {
    let heartbeat = Arc::new(Heartbeat::default());
    let watchdog = Watchdog::new(
        Duration::from_secs(30),
        [("export".to_owned(), Arc::clone(&heartbeat))],
    );
    let (sender, phase) = watch::channel(Phase::Starting);
    let metrics = Box::new(|| Ok("own 1\n".to_owned()));
    let traces = |wanted: Option<Wanted>| -> BoxFuture<'static, _> {
        Box::pin(async move {
            let wanted = wanted.map(|wanted| format!("{} of {}", wanted.story, wanted.pod));
            match wanted.as_deref() {
                None => Ok("{\"stories\":[]}".to_owned()),
                Some("pod start of default/web") => Ok("{}".to_owned()),
                Some("pod stop of web") => Err(Untold::Because("it does not answer".to_owned())),
                Some(_) => Err(Untold::Unknown),
            }
        })
    };
    let calls = Family {
        name: "a.b",
        description: "Said of it",
        start: Nanos::default(),
        series: Series::Counts(vec![(Arc::default(), 2)]),
    };
    let view = View {
        metrics,
        families: watch::channel(Arc::from([calls])).1,
        traces: Box::new(traces),
        watchdog: Mutex::new(watchdog),
        phase,
    };
    Asked {
        router: router(view, bearer_token_file),
        phase: sender,
        heartbeat,
    }
}

impl Asked {
    async fn get(&self, path: &str, authorization: Option<&str>) -> (u16, String) {
        let mut request = Request::get(path);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn readiness_follows_the_phase() {
    let desk = desk(None);
    for (phase, startup, ready) in [
        (Phase::Starting, 503, 503),
        (Phase::Running, 200, 200),
        (Phase::Draining, 200, 503),
    ] {
        desk.phase.send_replace(phase);
        assert_eq!(desk.get("/startupz", None).await.0, startup, "{phase:?}");
        assert_eq!(desk.get("/readyz", None).await.0, ready, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stands_still_turns_live_false_and_is_named() {
    let desk = desk(None);
    let working = desk.heartbeat.working();
    assert_eq!(desk.get("/livez", None).await.0, 200);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(
        desk.get("/livez", None).await,
        (503, "no progress: export\n".to_owned())
    );
    drop(working);
    assert_eq!(desk.get("/livez", None).await.0, 200);
}

#[tokio::test]
async fn metrics_ask_for_the_token_that_is_in_the_file_now() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let desk = desk(Some(file.path().to_owned()));
    std::fs::write(file.path(), "first\n").unwrap();
    assert_eq!(desk.get("/metrics", None).await.0, 401);
    assert_eq!(desk.get("/metrics", Some("Bearer wrong")).await.0, 401);
    assert_eq!(
        desk.get("/metrics", Some("Bearer first")).await,
        (
            200,
            "own 1\n# HELP a_b Said of it.\n# TYPE a_b counter\na_b_total 2\n# EOF\n".to_owned()
        )
    );
    std::fs::write(file.path(), "second").unwrap();
    assert_eq!(desk.get("/metrics", Some("Bearer first")).await.0, 401);
    assert_eq!(desk.get("/metrics", Some("Bearer second")).await.0, 200);
    std::fs::write(file.path(), "").unwrap();
    assert_eq!(
        desk.get("/metrics", Some("Bearer ")).await.0,
        401,
        "an empty file lets nobody in"
    );
    assert_eq!(desk.get("/livez", None).await.0, 200, "probes have no token");
}

#[tokio::test]
async fn a_trace_is_told_or_all_are_listed() {
    let desk = desk(None);
    for (path, status, text) in [
        ("/traces", 200, "{\"stories\":[]}"),
        ("/traces?pod=default/web", 200, "{}"),
        ("/traces?other=1&podd=2&pod=default%2Fweb", 200, "{}"),
        ("/traces?story=pod%20stop&pod=web", 503, "it does not answer\n"),
        ("/traces?pod=", 404, "the agent of this node has no such trace\n"),
    ] {
        assert_eq!(desk.get(path, None).await, (status, text.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn traces_ask_for_the_token_too() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let desk = desk(Some(file.path().to_owned()));
    std::fs::write(file.path(), "token").unwrap();
    assert_eq!(desk.get("/traces", None).await.0, 401);
    assert_eq!(desk.get("/traces", Some("Bearer token")).await.0, 200);
}
