//! The traces of pods that an agent has, one a line.

use serde::Deserialize;

use super::{Duration, Fault, instant, length, plain, read::Number};
use crate::model::time::Nanos;

/// What an agent answers.
#[derive(Deserialize)]
struct Stories {
    stories: Vec<Story>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Story {
    name: String,
    namespace: String,
    pod: String,
    start_time_unix_nano: Number<u64>,
    end_time_unix_nano: Number<u64>,
    outcome: String,
}

/// A table of the traces in an agent's answer.
///
/// # Errors
/// When it is not such an answer.
pub fn list(json: &[u8]) -> Result<String, Fault> {
    let Stories { stories } = serde_json::from_slice(json)?;
    if stories.is_empty() {
        return Ok("no trace of a pod yet\n".to_owned());
    }
    let lines = stories.iter().map(|story| {
        let start = Nanos::new(story.start_time_unix_nano.0);
        let took = Duration(length((start, Nanos::new(story.end_time_unix_nano.0))));
        let (started, name, outcome) = (instant(start), plain(&story.name), plain(&story.outcome));
        let pod = plain(&format!("{}/{}", story.namespace, story.pod));
        format!("{started}  {name:<17}  {took:>10}  {outcome:<9}  {pod}\n")
    });
    let head = format!(
        "{:<24}  {:<17}  {:>10}  {:<9}  POD\n",
        "STARTED", "TRACE OF", "TOOK", "OUTCOME"
    );
    Ok(std::iter::once(head).chain(lines).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_listed_as_they_come() {
        let json = br#"{"stories":[
            {"name":"pod start","namespace":"default","pod":"web-1","uid":"u",
             "startTimeUnixNano":"1764350103120000000","endTimeUnixNano":"1764350104800400000","outcome":"ready"},
            {"name":"container restart","namespace":"kube-system","pod":"dns","uid":"v",
             "startTimeUnixNano":"1764350000000000000","endTimeUnixNano":"1764350104800400000","outcome":"open"}]}"#;
        let expected = "\
STARTED                   TRACE OF                 TOOK  OUTCOME    POD
2025-11-28T17:15:03.120Z  pod start              1.68 s  ready      default/web-1
2025-11-28T17:13:20.000Z  container restart  1 min 45 s  open       kube-system/dns
";
        assert_eq!(list(json).unwrap(), expected);
        assert_eq!(list(br#"{"stories":[]}"#).unwrap(), "no trace of a pod yet\n");
        assert!(list(b"{}").is_err());
    }
}
