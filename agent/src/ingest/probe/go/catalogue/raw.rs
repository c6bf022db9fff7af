//! The catalogue as it is written: the schema of the embedded files and of the user's own entries.
//!
//! It is only well-formed; whether it makes sense is for the room above to say.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A component, and what is traced inside it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// `service.name` of its spans, as the component itself would say.
    pub service: String,
    /// Go functions that only this component holds: a process that holds one of them is one, whatever its name. May
    /// be left out to add functions to a component that the agent knows.
    pub holds: Vec<String>,
    /// What is traced inside it.
    pub functions: Vec<Function>,
}

/// Go functions that are traced alike.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Function {
    /// The symbol, with its whole package path: `k8s.io/kubernetes/pkg/kubelet.(*Kubelet).SyncPod`.
    pub function: String,
    /// Words that stand for `{}` wherever it is written in this entry, which makes one entry of each.
    #[serde(rename = "for")]
    pub words: Vec<String>,
    /// The name of its spans.
    pub span: String,
    /// The side of a call that its spans are.
    pub kind: Kind,
    /// The remote procedure that it calls or serves: `runtime.v1.RuntimeService/RunPodSandbox`. A client's call is
    /// the parent of the call of the server that serves it.
    pub rpc: String,
    /// The name of the span by which the component reports the same call itself, if it does.
    pub native: String,
    /// The same for every span.
    pub attributes: BTreeMap<String, String>,
    /// For a function that is called very often: its calls are counted in a histogram, and only slow ones, and those
    /// with its prefix, become spans.
    pub hot: Option<Hot>,
    /// Parameters in order, `name type` separated by commas, receiver first, as far as captures need them. Types:
    /// `*T` (`*_` where T is of no interest), `string`, `[]T`, `map`, `chan`, `func`, `error`, `any`, `interface`,
    /// `any(*T)` for an interface that holds a *T, `context.Context`, `struct T`, number types and `bool`. T is the
    /// full name, `k8s.io/api/core/v1.Pod`. A parameter `ctx context.Context` gives the native span around the call.
    pub params: String,
    /// Results in the same form. A result `err` says by not being nil that the call failed.
    pub results: String,
    /// Attributes and where they are read: `k8s.pod.uid: pod.ObjectMeta.UID`. A key of two attributes with a slash
    /// between them (`k8s.namespace.name/k8s.job.name`) splits a value of that form.
    pub capture: BTreeMap<String, String>,
    /// The calls that are its work, by symbol, and `interface` for those through an interface or a function value. Its
    /// return may be seen as soon as the last of them has returned, where that takes a thirtieth of the time that it
    /// takes on its last instruction. Without it, and where it makes none of these calls, every call is its work.
    pub until: Vec<String>,
    /// Other forms of the function, for other versions of the component, each with the fields that differ. The first
    /// form that the executable's own types confirm is used.
    pub variants: Vec<Variant>,
}

/// What may differ between versions of a component; what is left out is as in the entry.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Variant {
    /// The symbol, where it has another name.
    pub function: Option<String>,
    /// As in the entry.
    pub params: Option<String>,
    /// As in the entry.
    pub results: Option<String>,
    /// As in the entry.
    pub capture: Option<BTreeMap<String, String>>,
}

/// A function that is called very often.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hot {
    /// Milliseconds from which a call becomes a span.
    pub slow_ms: u64,
    /// Calls whose first capture begins like this become spans, however fast: `/registry/pods/`.
    pub prefix: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Internal,
    Client,
    Server,
}
